package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/rebootd/rebootd/test/demo/show"
)

//go:embed workload.yaml
var workload string

const (
	namespace    = "rebootd" // of rebootd
	podNamespace = "demo"    // of workload.yaml

	patience = 10 * time.Minute // for all reboots together
	// quiet is after how much time without a change it is said that nothing changes.
	quiet = 30 * time.Second
)

// host is one machine, asked directly and not through Kubernetes.
type host interface {
	Name() string
	BootID(ctx context.Context) (string, error)
	AskForReboot(ctx context.Context) error
	// Asks says whether what asks for a reboot is there.
	Asks(ctx context.Context) (bool, error)
	// Boots is how often the machine has booted since the cluster was started.
	Boots() (int, error)
}

// stage is a cluster with rebootd in it.
type stage struct {
	kubeconfig string
	bin        string // folder of kubectl
	hosts      []host
	how        string // how the nodes are asked to reboot, and how often it is looked, in words

	collect func(dir string) // copies logs to a folder
	stop    func() error     // removes the cluster, also a half of it
	logs    string           // folder for collect
}

// play asks for the reboots, shows them, and returns what went wrong.
func (s *stage) play(ctx context.Context, t *teller) ([]string, error) {
	config, err := clientcmd.BuildConfigFromFlags("", s.kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", s.kubeconfig, err)
	}
	config.QPS = -1
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("creating a client: %w", err)
	}
	before, err := s.bootIDs(ctx)
	if err != nil {
		return nil, err
	}
	if err := t.step("waiting until rebootd has looked at every node", s.logs, func() error { return s.looked(ctx, client) }); err != nil {
		return nil, err
	}
	watching, stop := context.WithTimeout(ctx, patience)
	defer stop()
	p := &performance{stage: s, teller: t, observer: show.NewObserver()}
	p.header()
	events := show.Watch(watching, client, podNamespace, t.now)
	asked := make(chan error, 1)
	go func() { asked <- s.askAll(watching, t) }()
	if err := p.follow(watching, events, asked); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	stop()
	if !p.observer.Done() {
		p.observer.Wrong(fmt.Sprintf("not all nodes were done within %s", patience))
	}
	t.text("\n" + p.observer.Table(s.names()) + "\n" + p.observer.Measured() + "\n\n")
	return append(p.observer.Problems(s.names()), s.check(ctx, client, p.observer, before)...), nil
}

// performance is one run of the demo.
type performance struct {
	*stage
	*teller

	observer *show.Observer
	told     bool // whether the cluster's own words have been shown
}

func (p *performance) header() {
	p.text(`
What each node does, one line per change. PHASE and the sentence are rebootd's own, read from the Node
as anybody can (kubectl describe node). SERVICE is what the observer sees: "in" service, or OUT because
the node is cordoned, not Ready, or both.

  TIME    NODE     SERVICE         PHASE       WHAT IT SAYS
`)
}

// follow prints what happens until every node is done.
func (p *performance) follow(ctx context.Context, events <-chan show.Event, asked <-chan error) error {
	silence := time.NewTimer(quiet)
	defer silence.Stop()
	for !p.observer.Done() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-asked:
			if err != nil {
				return err
			}
			asked = nil
		case <-silence.C:
			p.say("(nothing has changed for %.0f s; out of service: %s)", quiet.Seconds(), strings.Join(p.observer.Out(), ", "))
			silence.Reset(quiet)
		case e := <-events:
			if line := e.Say(p.observer); line != "" {
				p.sayAt(e.At, line)
				silence.Reset(quiet)
			}
			if err := p.tell(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// tell shows once, when the second node is about to reboot, how kubectl tells the story.
func (p *performance) tell(ctx context.Context) error {
	if p.told || p.observer.Trips() < 2 {
		return nil
	}
	for _, node := range p.observer.Out() {
		if p.observer.Now(node).Phase != "Rebooting" {
			continue
		}
		p.told = true
		leases, err := p.kubectl(ctx, "", "get", "leases", "-n", namespace)
		if err != nil {
			return err
		}
		described, err := p.kubectl(ctx, "", "describe", "node", node)
		if err != nil {
			return err
		}
		p.text("\n  The same in the cluster's own words. Who may be out of service:\n\n    $ kubectl get leases -n " + namespace + "\n" +
			indent(leases) + "\n  And what is known about that node:\n\n    $ kubectl describe node " + node + "    (an excerpt)\n" +
			indent(show.Excerpt(described)) + "\n")
	}
	return nil
}

func (s *stage) askAll(ctx context.Context, t *teller) error {
	t.say("asking all %d nodes to reboot: %s", len(s.hosts), s.how)
	return inParallel(len(s.hosts), func(i int) error {
		if err := s.hosts[i].AskForReboot(ctx); err != nil {
			return fmt.Errorf("asking %s to reboot: %w", s.hosts[i].Name(), err)
		}
		return nil
	})
}

// check asks the machines themselves, and the cluster, whether all is as it should be now. before are
// the boot IDs that the machines had.
func (s *stage) check(ctx context.Context, client kubernetes.Interface, o *show.Observer, before map[string]string) []string {
	var wrong []string
	add := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	for _, h := range s.hosts {
		id, err := h.BootID(ctx)
		asks, askErr := h.Asks(ctx)
		boots, bootErr := h.Boots()
		if err := errors.Join(err, askErr, bootErr); err != nil {
			add("%s can't be asked: %v", h.Name(), err)
			continue
		}
		if want := []string{before[h.Name()], id}; !slices.Equal(o.Boots(h.Name()), want) {
			add("%s says itself that its boots were %q, its kubelet said %q", h.Name(), want, o.Boots(h.Name()))
		}
		if boots != 2 {
			add("%s has booted %d times, not twice", h.Name(), boots)
		}
		if asks {
			add("%s still asks for a reboot", h.Name())
		}
	}
	var holders []string
	err := s.eventually(ctx, 10*time.Second, func() (bool, error) { // the slot is freed in the moment after the node is done
		leases, err := client.CoordinationV1().Leases(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, fmt.Errorf("listing Leases: %w", err)
		}
		holders = nil
		for _, l := range leases.Items {
			holders = append(holders, l.Name)
		}
		return len(holders) == 0, nil
	})
	if err != nil {
		add("slots still held: %q (%v)", holders, err)
	}
	return wrong
}

func (s *stage) eventually(ctx context.Context, patience time.Duration, ask func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		if done, err := ask(); done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// looked returns when rebootd has said something about every node.
func (s *stage) looked(ctx context.Context, client kubernetes.Interface) error {
	return s.eventually(ctx, time.Minute, func() (bool, error) {
		list, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, fmt.Errorf("listing Nodes: %w", err)
		}
		for i := range list.Items {
			if show.Look(&list.Items[i]).Reason == "" {
				return false, nil
			}
		}
		return true, nil
	})
}

func (s *stage) bootIDs(ctx context.Context) (map[string]string, error) {
	ids := map[string]string{}
	for _, h := range s.hosts {
		id, err := h.BootID(ctx)
		if err != nil {
			return nil, fmt.Errorf("reading the boot ID of %s: %w", h.Name(), err)
		}
		ids[h.Name()] = id
	}
	return ids, nil
}

func (s *stage) names() []string {
	names := make([]string, 0, len(s.hosts))
	for _, h := range s.hosts {
		names = append(names, h.Name())
	}
	return names
}

// kubectl runs kubectl as the cluster's administrator.
func (s *stage) kubectl(ctx context.Context, stdin string, args ...string) (string, error) {
	cmd := command(ctx, filepath.Join(s.bin, "kubectl"), append([]string{"--kubeconfig", s.kubeconfig}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	return output(cmd)
}

// end removes the cluster. After a failure it saves the logs first, and returns their folder.
func (s *stage) end(t *teller, failed bool) string {
	if s == nil {
		return ""
	}
	logs := ""
	if failed && s.collect != nil {
		if err := os.MkdirAll(s.logs, 0o755); err == nil { //nolint:gosec // nothing secret is logged
			s.collect(s.logs)
			logs = s.logs
		}
	}
	if err := s.stop(); err != nil {
		t.say("cleaning up failed: %v", err)
	}
	return logs
}
