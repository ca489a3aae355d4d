package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rebootd/rebootd/pkg/agent"
	"github.com/rebootd/rebootd/pkg/config"
	"github.com/rebootd/rebootd/test/cluster/lab"
)

// startsAfter is how long after the kubelet its pods are there: kwok has taken the Node over by then, else the agent's first write conflicts with that.
const startsAfter = 400 * time.Millisecond

// machine is one simulated machine: a Node that kwok keeps alive, a folder that stands for its disk, and the real agent, in this
// process.
type machine struct {
	*world
	name, dir  string
	kubeconfig string
	flags      []string
	// down is how long a reboot takes, from the command until the kubelet reports again.
	down time.Duration

	mu     sync.Mutex
	cancel context.CancelFunc
	ended  chan struct{}
	file   *os.File
}

// machines makes so many, with Nodes that are Ready, and tokens for their agents.
func (w *world) machines(ctx context.Context, n int, down time.Duration, flags ...string) ([]*machine, error) {
	if err := w.AddFakeNodes(ctx, n, nil); err != nil {
		return nil, err
	}
	all := make([]*machine, n)
	err := lab.InParallel(n, func(i int) (err error) {
		all[i], err = w.machine(ctx, fmt.Sprintf("fake-%d", i), down, flags...)
		return err
	})
	return all, err
}

func (w *world) machine(ctx context.Context, name string, down time.Duration, flags ...string) (*machine, error) {
	m := &machine{world: w, name: name, dir: filepath.Join(w.dir, "machines", name), down: down, flags: flags}
	if err := os.MkdirAll(m.path("run"), 0o700); err != nil {
		return nil, err
	}
	n, err := w.client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(m.path("boot-id"), []byte(n.Status.NodeInfo.BootID), 0o600); err != nil {
		return nil, err
	}
	m.kubeconfig, err = w.kubeconfig(ctx, m.dir, name, "")
	return m, err
}

func (m *machine) path(name string) string { return filepath.Join(m.dir, name) }

func (m *machine) sentinel() string { return m.path("run/reboot-required") }

// require asks for a reboot.
func (m *machine) require() error { return os.WriteFile(m.sentinel(), nil, 0o600) }

// args are the agent's. Commands run in this machine's own namespaces, and the reboot command only leaves a mark.
func (m *machine) args() []string {
	return append([]string{
		"--node-name=" + m.name, "--kubeconfig=" + m.kubeconfig, "--namespace=" + namespace,
		"--reboot-sentinel=" + m.sentinel(), "--boot-id-file=" + m.path("boot-id"),
		"--command-namespace=own", "--reboot-command=touch " + filepath.Join(m.marks.dir, m.name),
		"--steady-time=0", "--metrics-port=0",
	}, m.flags...)
}

// start starts the agent, and from then on plays the machine.
func (m *machine) start(ctx context.Context) error {
	m.marks.on(m.name, func() {
		if err := m.reboot(ctx); err != nil && ctx.Err() == nil {
			m.say("the simulated machine %s: %v", m.name, err)
		}
	})
	return m.boot(ctx)
}

func (m *machine) boot(ctx context.Context) error {
	c, err := config.Parse(m.args(), nil, io.Discard)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(m.path("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	log := logrus.New()
	log.SetOutput(file)
	ctx, cancel := context.WithCancel(ctx)
	a, err := agent.Build(ctx, c, "bench", prometheus.NewRegistry(), log)
	if err != nil {
		cancel()
		return err
	}
	ended := make(chan struct{})
	m.mu.Lock()
	if m.file != nil {
		m.file.Close() // not when its agent ended: the reboot command may tell of its end after that
	}
	m.cancel, m.ended, m.file = cancel, ended, file
	m.mu.Unlock()
	go func() {
		defer close(ended)
		a.Run(ctx)
	}()
	return nil
}

// halt ends the agent, as the end of its pod does.
func (m *machine) halt() {
	m.mu.Lock()
	cancel, ended := m.cancel, m.ended
	m.mu.Unlock()
	if cancel != nil {
		cancel()
		<-ended
	}
}

// haltAll halts all at once: each takes its time to say goodbye, if there is no API server.
func haltAll(all []*machine) {
	var wg sync.WaitGroup
	for _, m := range all {
		wg.Go(m.halt)
	}
	wg.Wait()
}

// reboot is what a machine does: everything on it ends, its Node falls silent, and it comes back with another boot ID and
// without the sentinel, which was in memory.
func (m *machine) reboot(ctx context.Context) error {
	begun := time.Now()
	m.halt()
	if err := m.report(ctx, false); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Until(begun.Add(m.takes()))):
	}
	err := errors.Join(os.Remove(m.sentinel()), os.WriteFile(m.path("boot-id"), []byte(rand.Text()), 0o600))
	if err != nil {
		return err
	}
	if err := m.report(ctx, true); err != nil {
		return err
	}
	time.Sleep(startsAfter)
	return m.boot(ctx)
}

// takes is how long a reboot takes now.
func (m *machine) takes() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.down
}

// report is what a kubelet, or the control plane about a silent one, says of the machine.
func (m *machine) report(ctx context.Context, up bool) error {
	id, err := os.ReadFile(m.path("boot-id"))
	if err != nil {
		return err
	}
	return lab.Report(ctx, m.client, m.name, strings.TrimSpace(string(id)), up)
}

// marks are what the reboot commands leave, one file for each machine, in one folder.
type marks struct {
	dir string
	mu  sync.Mutex
	do  map[string]func()
	at  map[string]time.Time
	n   map[string]int
}

func newMarks(ctx context.Context, dir string) (*marks, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	events, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	if err := events.Add(dir); err != nil {
		return nil, err
	}
	m := &marks{dir: dir, do: map[string]func(){}, at: map[string]time.Time{}, n: map[string]int{}}
	go func() {
		defer events.Close()
		for {
			select {
			case <-ctx.Done():
				return
			case e := <-events.Events:
				if e.Has(fsnotify.Create) {
					m.left(filepath.Base(e.Name))
				}
			}
		}
	}()
	return m, nil
}

func (m *marks) on(name string, do func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.do[name] = do
}

func (m *marks) left(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at[name] = time.Now()
	m.n[name]++
	_ = os.Remove(filepath.Join(m.dir, name)) // else the next one isn't seen, and its test fails
	if do := m.do[name]; do != nil {
		go do()
	}
}

// when is when a machine's reboot command ran last; zero: it hasn't.
func (m *marks) when(name string) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.at[name]
}

// times is how often a machine's reboot command ran.
func (m *marks) times(name string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.n[name]
}
