package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rebootd/rebootd/pkg/agent"
	"github.com/rebootd/rebootd/pkg/host"
	"github.com/rebootd/rebootd/pkg/lock"
	"github.com/rebootd/rebootd/pkg/node"
	"github.com/rebootd/rebootd/pkg/node/drain"
	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/pkg/tell"
)

// ErrCrash is what a process gets to see that is dead.
var ErrCrash = errors.New("the process is gone")

// Machine is one simulated machine. In it runs one agent at a time, unless a test starts more.
type Machine struct {
	T      testing.TB
	Server *Server
	Name   string
	// Boots counts the machine's boots, from 1.
	Boots int

	// Of what the agent sees: what the sentinel and a gate answer.
	Wanted plan.Answer
	Gate   plan.Verdict
	// PodsFor is how long a drain takes; below zero it can't work.
	PodsFor time.Duration
	// Fails is how many commands are yet to fail; Silent is a command that succeeds and reboots nothing.
	Fails  int
	Silent bool
	// Sick is a kubelet that isn't Ready after a boot.
	Sick bool
	// Clears is whether a reboot ends the wish for one.
	Clears bool

	// What became of it.
	Drains, Draining, Commands int
	Events                     []string

	// The configuration of the agents that are started from now on.
	Slots, MaxUnavailable int
	// Threshold is of the circuit, 0: none. CircuitReset is after how long it closes by itself.
	Threshold    int
	CircuitReset time.Duration
	// Pausable is whether agents look at the ConfigMap that pauses all.
	Pausable bool
	// Pods, if not nil, is the gate of the pods on the machine.
	Pods agent.Rule[*metav1.PartialObjectMetadata]
	// LockTTL is the slots'.
	LockTTL    time.Duration
	GroupLabel string
	DryRun     bool
	Policy     plan.Policy
	Period     time.Duration
	// Metrics are its agents'; nil: each has its own.
	Metrics *tell.Metrics
	// Parts, if not nil, has the last word on what an agent is made of.
	Parts func(*Process, *agent.Parts)
	// Meddle is what becomes of each agent's calls.
	Meddle func(*Process, Call) Outcome
	// OnDrain and OnReboot, if not nil, are what the drain and the command do.
	OnDrain  func(context.Context, *Process, drain.Way, func(drain.Progress)) error
	OnReboot func(*Process) host.Result

	// Procs are all agents so far.
	Procs []*Process
	// Down receives when the machine goes down.
	Down chan struct{}

	mu  sync.Mutex
	log bytes.Buffer
}

// DefaultPolicy is a usual policy, without delays.
func DefaultPolicy() plan.Policy {
	return plan.Policy{
		Marks:        append(plan.ForAutoscalers(), plan.ForLoadBalancers()),
		DrainTimeout: 30 * time.Minute, RebootTimeout: 15 * time.Minute, RebootAttempts: 3, RetryDelay: 10 * time.Second,
		SteadyTime: 10 * time.Second, GateGrace: 5 * time.Minute, TurnTime: 10 * time.Minute,
		BackOff: 5 * time.Minute, BackOffMax: 2 * time.Hour, MaxReboots: 3, MaxRebootsPer: 24 * time.Hour,
	}
}

// NewMachine returns a machine whose Node is Ready, and that wants a reboot.
func NewMachine(t testing.TB, s *Server, name string) *Machine {
	t.Helper()
	m := &Machine{
		T: t, Server: s, Name: name, Boots: 1, Wanted: plan.Yes, PodsFor: 10 * time.Second, Clears: true, Slots: 1, Period: time.Minute,
		Gate: plan.Verdict{Gate: "test", Open: true}, Down: make(chan struct{}, 10), Policy: DefaultPolicy(),
	}
	m.Register(nil)
	m.Kubelet(true)
	return m
}

// Register makes the Node anew.
func (m *Machine) Register(labels map[string]string) {
	m.T.Helper()
	if err := m.Server.Create(nil, NodeKind, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: m.Name, Labels: labels}}); err != nil {
		m.T.Error(err)
	}
}

// Kubelet reports for the machine, with its present boot.
func (m *Machine) Kubelet(ready bool) {
	m.T.Helper()
	bootID, _ := m.BootID()
	if err := m.Report(bootID, ready); err != nil {
		m.T.Error(err)
	}
}

// Report writes the Node's status as a kubelet would, or the control plane about it.
func (m *Machine) Report(bootID string, ready bool) error {
	status := map[bool]string{true: "True", false: "False"}[ready]
	patch := fmt.Sprintf(`{"status":{"nodeInfo":{"bootID":%q},"conditions":[{"type":"Ready","status":%q}]}}`, bootID, status)
	_, err := m.Server.Patch(nil, NodeKind, m.Name, types.StrategicMergePatchType, []byte(patch), true)
	return err
}

// Patch changes the Node as anybody could.
func (m *Machine) Patch(patch string) {
	m.T.Helper()
	if _, err := m.Server.Patch(nil, NodeKind, m.Name, types.StrategicMergePatchType, []byte(patch), false); err != nil {
		m.T.Error(err)
	}
}

// BootID is the machine's, now.
func (m *Machine) BootID() (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return fmt.Sprintf("boot-%d", m.Boots), nil
}

// Look is the sentinel.
func (m *Machine) Look(context.Context) plan.Wanted {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch m.Wanted {
	case plan.Yes:
		return plan.Wanted{Answer: plan.Yes, Reason: plan.RebootRequired, Message: "A file asks.", Packages: []string{"linux-image"}}
	case plan.No:
		return plan.Wanted{Answer: plan.No, Reason: plan.NotRequired, Message: "No file."}
	default:
		return plan.Wanted{Answer: plan.Unknown, Reason: plan.SentinelUnknown, Message: "It can't be seen."}
	}
}

// Ask is the gate.
func (m *Machine) Ask(context.Context, *corev1.Node) plan.Verdict {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.Gate
}

// Set changes or reads the machine's fields while agents run.
func (m *Machine) Set(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
}

// Live runs agents in the machine until the test ends, and starts them again when they crash or the machine reboots.
func (m *Machine) Live(ctx context.Context) {
	for ctx.Err() == nil {
		p := m.Start()
		select {
		case <-ctx.Done():
			p.Stop()
		case <-p.Ended:
			time.Sleep(time.Second)
		case <-m.Down:
			p.Kill()
			m.PowerCut()
		}
	}
}

// PowerCut is a reboot: it ends whatever runs, and the kubelet is back before the agent.
func (m *Machine) PowerCut() {
	time.Sleep(30 * time.Second)
	m.Boot()
	var sick bool
	m.Set(func() { sick = m.Sick })
	m.Kubelet(!sick)
}

// Boot is the instant of the boot.
func (m *Machine) Boot() {
	m.Set(func() {
		m.Boots++
		if m.Clears {
			m.Wanted = plan.No
		}
	})
}

// Node is the machine's Node, or an empty one.
func (m *Machine) Node() *corev1.Node {
	o, err := m.Server.Get(NodeKind, m.Name)
	if err != nil {
		return &corev1.Node{}
	}
	return o.(*corev1.Node)
}

// Record is what the Node says.
func (m *Machine) Record() plan.Record {
	r, err := plan.ParseRecord(m.Node().Annotations[node.StateAnnotation])
	if err != nil {
		m.T.Error(err)
	}
	return r
}

// Lease is what this very Node holds.
func (m *Machine) Lease() *coordinationv1.Lease {
	uid := m.Node().UID
	all, _ := m.Server.List(LeaseKind, func(o Object) bool {
		return len(o.GetOwnerReferences()) == 1 && o.GetOwnerReferences()[0].UID == uid
	})
	for _, l := range all {
		if l.GetName() != lock.ControlPlaneSlot {
			return l.(*coordinationv1.Lease)
		}
	}
	return nil
}

// Told is what the Node's condition says.
func (m *Machine) Told() corev1.NodeCondition {
	for _, c := range m.Node().Status.Conditions {
		if c.Type == node.ConditionType {
			return c
		}
	}
	return corev1.NodeCondition{}
}

// Meet lets everything else come to rest, and tells the race detector that what was done so far by anyone comes before what
// is done now: in a bubble only one goroutine at a time makes time pass, but it doesn't know that.
func (m *Machine) Meet() {
	synctest.Wait()
	m.Set(func() {})
}

// Pass lets time pass.
func (m *Machine) Pass(d time.Duration) {
	m.Meet()
	time.Sleep(d)
	m.Meet()
}

// Until lets time pass until something is so.
func (m *Machine) Until(what string, most time.Duration, ok func() bool) {
	m.T.Helper()
	for end := time.Now().Add(most); ; time.Sleep(100 * time.Millisecond) {
		m.Meet()
		done := ok()
		m.Meet()
		if done {
			return
		}
		if !time.Now().Before(end) {
			m.T.Fatalf("%s: not within %s: %s; record %s\n%s", m.Name, most, what, m.Record(), m.Logged())
		}
	}
}

// Reaches waits for a phase.
func (m *Machine) Reaches(phase plan.Phase) {
	m.T.Helper()
	m.Until("phase "+string(phase), 2*time.Hour, func() bool { return m.Record().Phase == phase })
}

// Back waits for the end of a reboot and looks at what is left of it.
func (m *Machine) Back(reboots int) {
	m.T.Helper()
	m.Until("back in service", 3*time.Hour, func() bool {
		r := m.Record()
		return r.Phase == plan.Idle && len(r.History) == reboots && m.Lease() == nil
	})
}

// Logged is what all agents have logged.
func (m *Machine) Logged() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.log.String()
}

// Write is the log's end.
func (m *Machine) Write(b []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.log.Write(b)
}
