package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/rebootd/rebootd/test/cluster/lab"
	"github.com/rebootd/rebootd/test/image/image"
)

// How long the parts of a simulated reboot take.
const (
	goesDown = 500 * time.Millisecond
	isDown   = 2 * time.Second
	lookMark = 50 * time.Millisecond
)

// simulation is a control plane with simulated nodes, and a real agent for each.
type simulation struct {
	*stage

	dir    string
	lock   *os.File // held as long as this process lives
	binary string
	lab    *lab.Cluster
	client kubernetes.Interface
	hosts  []*simHost
	cancel context.CancelFunc
	live   sync.WaitGroup
}

// simulated starts a cluster of simulated nodes. The stage is there even if that fails.
func simulated(ctx context.Context, t *teller, nodes int, keep bool) (*stage, error) {
	switch {
	case nodes < 1:
		return nil, errors.New("--nodes must be at least 1")
	case keep:
		return nil, errors.New("--keep needs real nodes; a simulation ends with the program")
	}
	if err := removeStale(); err != nil {
		return nil, err
	}
	dir, lock, err := newFolder()
	if err != nil {
		return nil, err
	}
	s := &simulation{dir: dir, lock: lock, binary: filepath.Join(dir, "rebootd")}
	s.stage = &stage{
		how:  "touch a file for each, where its agent is told to look",
		logs: filepath.Join(dir, "logs"), stop: s.end, collect: s.collectLogs,
	}
	ctx, s.cancel = context.WithCancel(ctx) // called by end
	if err := s.start(ctx, t, nodes); err != nil {
		return s.stage, err
	}
	return s.stage, nil
}

func (s *simulation) start(ctx context.Context, t *teller, nodes int) error {
	err := t.step("building rebootd", "the output of go build above", func() error {
		return image.Compile(ctx, "github.com/rebootd/rebootd/cmd/rebootd", s.binary, "linux/amd64", "demo")
	})
	if err != nil {
		return err
	}
	err = t.step(fmt.Sprintf("starting a control plane and %d simulated nodes", nodes), filepath.Join(s.dir, "cluster", "log"), func() error {
		s.lab, err = lab.Start(ctx, lab.Options{Tier: 2, Dir: filepath.Join(s.dir, "cluster"), Log: stepLog{t}})
		if err != nil {
			return err
		}
		s.kubeconfig, s.bin = s.lab.Kubeconfig(), s.lab.Bin()
		s.client, err = kubernetes.NewForConfig(s.lab.Config())
		if err != nil {
			return err
		}
		return s.lab.AddFakeNodes(ctx, nodes, nil)
	})
	if err != nil {
		return err
	}
	return t.step(fmt.Sprintf("starting %d agents, and two applications with PodDisruptionBudgets", nodes), s.dir, func() error {
		return s.populate(ctx, nodes)
	})
}

func (s *simulation) populate(ctx context.Context, nodes int) error {
	if _, err := s.kubectl(ctx, "", "create", "namespace", namespace); err != nil {
		return err
	}
	if _, err := s.kubectl(ctx, workload, "apply", "-f", "-"); err != nil {
		return err
	}
	for _, deployment := range []string{"deployment/web", "deployment/store"} {
		if _, err := s.kubectl(ctx, "", "rollout", "status", "-n", podNamespace, deployment, rollout); err != nil {
			return err
		}
	}
	for i := range nodes {
		h := &simHost{simulation: s, name: fmt.Sprintf("fake-%d", i), boots: 1}
		h.dir = filepath.Join(s.dir, h.name)
		s.hosts = append(s.hosts, h)
		s.stage.hosts = append(s.stage.hosts, h)
		if err := h.start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// end stops everything, and leaves nothing but logs that were saved.
func (s *simulation) end() error {
	s.cancel()
	s.live.Wait()
	var failed []error
	if s.lab != nil {
		failed = append(failed, s.lab.Stop())
	}
	left, err := os.ReadDir(s.dir)
	failed = append(failed, err)
	for _, entry := range left {
		if path := filepath.Join(s.dir, entry.Name()); path != s.logs {
			failed = append(failed, os.RemoveAll(path))
		}
	}
	_ = os.Remove(s.dir) // unless logs are in it
	return errors.Join(failed...)
}

func (s *simulation) collectLogs(dir string) {
	for _, h := range s.hosts {
		_ = os.Rename(filepath.Join(h.dir, "agent.log"), filepath.Join(dir, h.name+".log")) // at worst it stays there
	}
	_ = os.Rename(filepath.Join(s.dir, "cluster", "log"), filepath.Join(dir, "cluster")) // as above
	if s.bin != "" {
		nodes, _ := s.kubectl(context.Background(), "", "get", "nodes", "-o", "yaml") // as much as there is
		_ = os.WriteFile(filepath.Join(dir, "nodes.yaml"), []byte(nodes), 0o600)
	}
}

// simHost is one simulated machine: a Node that kwok keeps alive, a folder that stands for its disk,
// and an agent.
type simHost struct {
	*simulation
	name string
	dir  string

	mu    sync.Mutex
	boots int
	agent *exec.Cmd
}

// Name implements host.
func (h *simHost) Name() string { return h.name }

// BootID implements host.
func (h *simHost) BootID(context.Context) (string, error) {
	id, err := os.ReadFile(h.bootID())
	return strings.TrimSpace(string(id)), err
}

// AskForReboot implements host.
func (h *simHost) AskForReboot(context.Context) error { return os.WriteFile(h.sentinel(), nil, 0o600) }

// Asks implements host.
func (h *simHost) Asks(context.Context) (bool, error) {
	_, err := os.Stat(h.sentinel())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Boots implements host.
func (h *simHost) Boots() (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.boots, nil
}

func (h *simHost) sentinel() string { return filepath.Join(h.dir, "run", "reboot-required") }
func (h *simHost) bootID() string   { return filepath.Join(h.dir, "boot-id") }
func (h *simHost) mark() string     { return filepath.Join(h.dir, "reboot-ordered") }

// start makes the machine's folder, and lives its life until ctx ends.
func (h *simHost) start(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Dir(h.sentinel()), 0o700); err != nil {
		return fmt.Errorf("making the folder of %s: %w", h.name, err)
	}
	n, err := h.client.CoreV1().Nodes().Get(ctx, h.name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("reading Node %s: %w", h.name, err)
	}
	if err := os.WriteFile(h.bootID(), []byte(n.Status.NodeInfo.BootID), 0o600); err != nil {
		return fmt.Errorf("writing the boot ID of %s: %w", h.name, err)
	}
	if err := h.startAgent(); err != nil {
		return err
	}
	h.live.Go(func() {
		if err := h.liveOn(ctx); err != nil && ctx.Err() == nil {
			fmt.Fprintf(os.Stderr, "simulating %s: %v\n", h.name, err)
		}
		h.killAgent()
	})
	return nil
}

// liveOn reboots the machine whenever the agent's reboot command has left its mark.
func (h *simHost) liveOn(ctx context.Context) error {
	for pause(ctx, lookMark) {
		if err := os.Remove(h.mark()); errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return err
		}
		if err := h.reboot(ctx); err != nil {
			return err
		}
	}
	return nil
}

// reboot does what a machine does: everything on it ends, its Node falls silent, and it comes back
// with another boot ID, and without the sentinel, which was in memory.
func (h *simHost) reboot(ctx context.Context) error {
	pause(ctx, goesDown)
	h.killAgent()
	if err := h.report(ctx, false); err != nil {
		return err
	}
	pause(ctx, isDown)
	h.mu.Lock()
	h.boots++
	h.mu.Unlock()
	err := errors.Join(os.Remove(h.sentinel()), os.WriteFile(h.bootID(), []byte(newBootID()), 0o600))
	if err != nil {
		return err
	}
	if err := h.report(ctx, true); err != nil {
		return err
	}
	return h.startAgent()
}

// report is what a kubelet, or the control plane about a silent one, says of the machine.
func (h *simHost) report(ctx context.Context, up bool) error {
	id, err := h.BootID(ctx)
	if err != nil {
		return err
	}
	return lab.Report(ctx, h.client, h.name, id, up)
}

func (h *simHost) startAgent() error {
	log, err := os.OpenFile(filepath.Join(h.dir, "agent.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("opening the log of %s: %w", h.name, err)
	}
	defer log.Close()
	agent := exec.Command(h.binary, "--node-name="+h.name, "--kubeconfig="+h.kubeconfig, "--namespace="+namespace,
		"--reboot-sentinel="+h.sentinel(), "--boot-id-file="+h.bootID(),
		"--command-namespace=own", "--reboot-command=touch "+h.mark(),
		"--steady-time=1s", "--metrics-port=0")
	agent.Env, agent.Stdout, agent.Stderr = []string{"PATH=" + os.Getenv("PATH")}, log, log
	agent.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := agent.Start(); err != nil {
		return fmt.Errorf("starting the agent of %s: %w", h.name, err)
	}
	h.agent = agent
	return nil
}

func (h *simHost) killAgent() {
	_ = h.agent.Process.Kill() // fails only if it has ended
	_ = h.agent.Wait()         // it was killed
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

func newBootID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// stepLog tells the lines that are written to it.
type stepLog struct{ *teller }

// Write implements io.Writer.
func (l stepLog) Write(lines []byte) (int, error) {
	for line := range strings.Lines(string(lines)) {
		l.say("  %s", withoutStamp(strings.TrimSpace(line)))
	}
	return len(lines), nil
}
