package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/klog/v2"

	"github.com/rebootd/rebootd/pkg/fleet"
	"github.com/rebootd/rebootd/pkg/host"
	"github.com/rebootd/rebootd/pkg/lock"
	"github.com/rebootd/rebootd/pkg/node"
	"github.com/rebootd/rebootd/pkg/node/drain"
	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/pkg/tell"
)

func TestMain(m *testing.M) {
	klog.SetLogger(logr.Discard()) // the reflector's word on every failed watch
	os.Exit(m.Run())
}

var errCrash = errors.New("the process is gone")

// machine is one simulated machine. In it runs one agent at a time, unless a test starts more.
type machine struct {
	t    *testing.T
	s    *apiserver
	name string

	mu       sync.Mutex
	boot     int
	wanted   plan.Answer
	podsFor  time.Duration // how long a drain takes
	drains   int
	draining int
	commands int
	fails    int  // how many commands are yet to fail
	silent   bool // a command that succeeds and reboots nothing
	clears   bool
	gate     plan.Verdict
	events   []string
	log      bytes.Buffer
	identity int

	slots          int
	maxUnavailable int
	groupLabel     string
	dryRun         bool
	policy         plan.Policy
	period         time.Duration
	// meddle is what becomes of each agent's calls.
	meddle func(p *process, c call) outcome
	down   chan struct{} // the machine goes down
	procs  []*process
}

func newMachine(t *testing.T, s *apiserver, name string) *machine {
	t.Helper()
	m := &machine{
		t: t, s: s, name: name, boot: 1, wanted: plan.Yes, podsFor: 10 * time.Second, clears: true, slots: 1, period: time.Minute,
		gate: plan.Verdict{Gate: "test", Open: true}, down: make(chan struct{}, 10),
		policy: plan.Policy{
			DrainTimeout: 30 * time.Minute, RebootTimeout: 15 * time.Minute, RebootAttempts: 3, RetryDelay: 10 * time.Second,
			SteadyTime: 10 * time.Second, GateGrace: 5 * time.Minute, TurnTime: 10 * time.Minute,
			BackOff: 5 * time.Minute, BackOffMax: 2 * time.Hour, MaxReboots: 3, MaxRebootsPer: 24 * time.Hour,
		},
	}
	if err := s.create(nodeKind, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
		t.Fatal(err)
	}
	m.kubelet(true)
	return m
}

// kubelet reports for the machine, with its present boot.
func (m *machine) kubelet(ready bool) {
	m.t.Helper()
	bootID, _ := m.bootID()
	status := map[bool]string{true: "True", false: "False"}[ready]
	patch := fmt.Sprintf(`{"status":{"nodeInfo":{"bootID":%q},"conditions":[{"type":"Ready","status":%q}]}}`, bootID, status)
	if _, err := m.s.patchNode(m.name, []byte(patch), true); err != nil {
		m.t.Error(err)
	}
}

// patch changes the Node as anybody could.
func (m *machine) patch(patch string) {
	m.t.Helper()
	if _, err := m.s.patchNode(m.name, []byte(patch), false); err != nil {
		m.t.Error(err)
	}
}

func (m *machine) bootID() (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return fmt.Sprintf("boot-%d", m.boot), nil
}

func (m *machine) Look(context.Context) plan.Wanted {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch m.wanted {
	case plan.Yes:
		return plan.Wanted{Answer: plan.Yes, Reason: plan.RebootRequired, Message: "A file asks."}
	case plan.No:
		return plan.Wanted{Answer: plan.No, Reason: plan.NotRequired, Message: "No file."}
	default:
		return plan.Wanted{Answer: plan.Unknown, Reason: plan.SentinelUnknown, Message: "It can't be seen."}
	}
}

func (m *machine) Ask(context.Context, *corev1.Node) plan.Verdict {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.gate
}

func (m *machine) set(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
}

// process is one run of the agent.
type process struct {
	*Agent
	m      *machine
	c      *client
	cancel context.CancelFunc
	ended  chan struct{}
	mu     sync.Mutex
	dead   bool
}

func (m *machine) start() *process {
	m.identity++
	bootID, _ := m.bootID()
	p := &process{m: m, c: &client{s: m.s}, ended: make(chan struct{})}
	log := logrus.New()
	log.SetOutput(locked{m})
	log.SetFormatter(&logrus.TextFormatter{DisableTimestamp: true})
	p.c.meddle = func(c call) outcome {
		if p.gone() {
			return outcome{before: errCrash}
		}
		if m.meddle == nil {
			return outcome{}
		}
		return m.meddle(p, c)
	}
	p.Agent = New(Parts{
		NodeName: m.name, Identity: fmt.Sprintf("agent-%d@%s", m.identity, bootID),
		Writer: node.Writer{Nodes: nodes{p.c}, Manager: "test", Now: time.Now},
		Groups: func(name, _ string) *lock.Group {
			return &lock.Group{Leases: leases{p.c}, Namespace: "ns", Name: name, Slots: m.slots}
		},
		LockGroup: "default", LockGroupLabel: m.groupLabel, Fleet: &fleet.Reader{Metadata: metas{p.c}, Nodes: nodes{p.c}},
		ControlPlanes:  &lock.Group{Leases: leases{p.c}, Namespace: "ns", Name: "control-plane", Only: lock.ControlPlaneSlot, Slots: 1},
		MaxUnavailable: func(int) int { return m.maxUnavailable },
		Drainer:        p, Rebooter: p, Sentinels: []Sentinel{m}, Gates: []Gate{m}, BootID: m.bootID,
		Policy: m.policy, Period: m.period, DryRun: m.dryRun,
		Tell: &tell.Teller{Log: log, Events: p, Metrics: tell.NewMetrics(prometheus.NewRegistry(), m.name, "test"), Now: time.Now},
		Log:  log, Now: time.Now,
	})
	ctx, cancel := context.WithCancel(m.t.Context())
	p.cancel = cancel
	m.procs = append(m.procs, p)
	go func() {
		defer close(p.ended)
		p.Run(ctx)
	}()
	return p
}

func (p *process) gone() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dead
}

// die makes a crash of what is left: nothing that the process does from now on has an effect.
func (p *process) die() {
	p.mu.Lock()
	p.dead = true
	p.mu.Unlock()
	p.cancel()
}

func (p *process) kill() {
	p.die()
	<-p.ended
}

func (p *process) stop() {
	p.cancel()
	<-p.ended
}

func (p *process) Drain(ctx context.Context, _ drain.Way, report func(drain.Progress)) error {
	m := p.m
	m.set(func() { m.drains++; m.draining++ })
	defer m.set(func() { m.draining-- })
	report(drain.Progress{Total: 3})
	m.mu.Lock()
	takes := m.podsFor
	m.mu.Unlock()
	if takes < 0 {
		return errors.New("no drain here")
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(takes):
		return nil
	}
}

func (p *process) String() string { return "a test" }

// Reboot is the command. It looks whether it may run at all.
func (p *process) Reboot(context.Context) host.Result {
	if p.gone() {
		return host.Result{Err: errCrash}
	}
	m := p.m
	n, r := m.node(), m.record()
	if l := m.lease(); l == nil || string(l.UID) != r.LeaseUID {
		m.t.Errorf("%s: reboots without its slot: %v, record %s", m.name, l, r)
	}
	if bootID, _ := m.bootID(); r.Phase != plan.Rebooting || r.BootID != bootID || !n.Spec.Unschedulable {
		m.t.Errorf("%s: reboots with record %s, unschedulable %v", m.name, r, n.Spec.Unschedulable)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.commands++
	switch {
	case m.draining > 0:
		m.t.Errorf("%s: reboots while a drain is under way", m.name)
	case m.fails > 0:
		m.fails--
		return host.Result{ExitCode: 1, Err: errors.New("exit status 1")}
	case !m.silent:
		m.down <- struct{}{}
	}
	return host.Result{}
}

// live runs agents in the machine until the test ends, and starts them again when they crash or the machine reboots.
func (m *machine) live(ctx context.Context) {
	for ctx.Err() == nil {
		p := m.start()
		select {
		case <-ctx.Done():
			p.stop()
		case <-p.ended:
			time.Sleep(time.Second)
		case <-m.down:
			p.kill()
			m.powerCut()
		}
	}
}

// powerCut is a reboot: it ends whatever runs, and the kubelet is back before the agent.
func (m *machine) powerCut() {
	time.Sleep(30 * time.Second)
	m.set(func() {
		m.boot++
		if m.clears {
			m.wanted = plan.No
		}
	})
	m.kubelet(true)
}

func (m *machine) node() *corev1.Node {
	o, err := m.s.get(nodeKind, m.name)
	if err != nil {
		return &corev1.Node{}
	}
	return o.(*corev1.Node)
}

func (m *machine) record() plan.Record {
	r, err := plan.ParseRecord(m.node().Annotations[node.StateAnnotation])
	if err != nil {
		m.t.Error(err)
	}
	return r
}

// lease is what this very Node holds.
func (m *machine) lease() *coordinationv1.Lease {
	uid := m.node().UID
	all, _ := m.s.list(leaseKind, func(o object) bool {
		return len(o.GetOwnerReferences()) == 1 && o.GetOwnerReferences()[0].UID == uid
	})
	for _, l := range all {
		if l.GetName() != lock.ControlPlaneSlot {
			return l.(*coordinationv1.Lease)
		}
	}
	return nil
}

func (m *machine) told() corev1.NodeCondition {
	for _, c := range m.node().Status.Conditions {
		if c.Type == node.ConditionType {
			return c
		}
	}
	return corev1.NodeCondition{}
}

// meet lets everything else come to rest, and tells the race detector that what was done so far by anyone comes before what
// is done now: in a bubble only one goroutine at a time makes time pass, but it doesn't know that.
func (m *machine) meet() {
	synctest.Wait()
	m.set(func() {})
}

// pass lets time pass.
func (m *machine) pass(d time.Duration) {
	m.meet()
	time.Sleep(d)
	m.meet()
}

// until lets time pass until something is so.
func (m *machine) until(what string, most time.Duration, ok func() bool) {
	m.t.Helper()
	for end := time.Now().Add(most); ; time.Sleep(100 * time.Millisecond) {
		m.meet()
		done := ok()
		m.meet()
		if done {
			return
		}
		if !time.Now().Before(end) {
			m.t.Fatalf("%s: not within %s: %s; record %s\n%s", m.name, most, what, m.record(), m.logged())
		}
	}
}

func (m *machine) reaches(phase plan.Phase) {
	m.t.Helper()
	m.until("phase "+string(phase), 2*time.Hour, func() bool { return m.record().Phase == phase })
}

// back waits for the end of a reboot and looks at what is left of it.
func (m *machine) back(reboots int) {
	m.t.Helper()
	m.until("back in service", 3*time.Hour, func() bool {
		r := m.record()
		return r.Phase == plan.Idle && len(r.History) == reboots && m.lease() == nil
	})
}

func (m *machine) logged() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.log.String()
}

// Event takes in the Events.
func (p *process) Event(_ runtime.Object, kind, reason, message string) {
	if !p.gone() {
		p.m.set(func() { p.m.events = append(p.m.events, kind+" "+reason+" "+message) })
	}
}

func (p *process) Eventf(runtime.Object, string, string, string, ...any) {}

func (p *process) AnnotatedEventf(runtime.Object, map[string]string, string, string, string, ...any) {
}

// locked is the log's writer.
type locked struct{ m *machine }

var _ io.Writer = locked{}

func (l locked) Write(b []byte) (int, error) {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	return l.m.log.Write(b)
}
