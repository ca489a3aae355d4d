package agent_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/rebootd/rebootd/pkg/agent"
	"github.com/rebootd/rebootd/pkg/node"
	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/test/fleet/sim"
)

// slowGate answers after a while, and notes when it was asked.
type slowGate struct {
	mu     sync.Mutex
	takes  time.Duration
	answer plan.Verdict
	asked  []time.Time
}

func (g *slowGate) set(change func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change()
}

func (g *slowGate) times() []time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clip(g.asked)
}

func (g *slowGate) Ask(ctx context.Context, _ *corev1.Node) plan.Verdict {
	g.mu.Lock()
	g.asked = append(g.asked, time.Now())
	takes, v := g.takes, g.answer
	g.mu.Unlock()
	select {
	case <-time.After(takes):
		return v
	case <-ctx.Done():
		return plan.Verdict{Gate: v.Gate, Reason: plan.GateError, Everyone: true, Message: "It did not answer in time."}
	}
}

func open(name string, takes time.Duration) *slowGate {
	return &slowGate{takes: takes, answer: plan.Verdict{Gate: name, Open: true}}
}

func withCostly(m *sim.Machine, gates ...*slowGate) {
	m.Parts = func(_ *sim.Process, p *agent.Parts) {
		for _, g := range gates {
			p.CostlyGates = append(p.CostlyGates, g)
		}
	}
}

// Gates that take their time are asked at the same time, before the cordon, before the drain and before the command; the node that
// only waits doesn't ask.
func TestCostlyGatesAreAskedBeforeEachStep(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		s := sim.NewServer()
		m, waiter := sim.NewMachine(t, s, "a"), sim.NewMachine(t, s, "b")
		gates := []*slowGate{open("one", 3*time.Second), open("two", 3*time.Second)}
		waits := open("waits", 0)
		withCostly(m, gates...)
		withCostly(waiter, waits)
		m.PodsFor = 10 * time.Minute
		began := time.Now()
		go m.Live(ctx)
		m.Reaches(plan.Drain)
		if d := time.Since(began); d > 8*time.Second {
			t.Errorf("cordoned after %s: asked one after the other?", d)
		}
		go waiter.Live(ctx)
		waiter.Pass(5 * time.Minute)
		if n := len(waits.times()); n != 0 {
			t.Errorf("a node that waits for a slot asked %d times", n)
		}
		m.Reaches(plan.Rebooting)
		announced := time.Now()
		m.Back(1)
		for _, g := range gates {
			g.answer.Open = true
			last := g.times()[len(g.times())-1]
			if last.Before(announced.Add(-10*time.Second)) || last.After(announced.Add(10*time.Second)) {
				t.Errorf("gate %s was last asked at %s, the reboot was announced at %s", g.answer.Gate, last, announced)
			}
		}
		waiter.Back(1)
		if len(waits.times()) < 2 {
			t.Error("the second node never asked")
		}
	})
}

// A gate that never answers in time is closed, and doesn't keep the loop from turning: the health check stays good and a
// slot that a person frees is noticed at once.
func TestGateThatHangs(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		m := sim.NewMachine(t, sim.NewServer(), "a")
		hangs := open("hangs", time.Hour)
		withCostly(m, hangs)
		go m.Live(ctx)
		m.Until("the slot is taken", time.Minute, func() bool { return m.Lease() != nil })
		m.Until("it is told", time.Minute, func() bool { return m.Told().Reason == string(plan.GateError) })
		if msg := m.Told().Message; !strings.Contains(msg, "did not answer") || m.Node().Spec.Unschedulable {
			t.Errorf("told %q", msg)
		}
		hangs.set(func() { hangs.takes = 0 })
		m.Back(1)
	})
}

// What closes between the answer that let the node cordon and the command stops the command.
func TestCostlyGateClosesInTheDrain(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		m := sim.NewMachine(t, sim.NewServer(), "a")
		m.PodsFor = 20 * time.Second
		alert := open("alerts", 100*time.Millisecond)
		withCostly(m, alert)
		go m.Live(ctx)
		m.Reaches(plan.Drain)
		alert.set(func() {
			alert.answer = plan.Verdict{Gate: "alerts", Reason: plan.BlockedByAlert, Message: "An alert fires.", Everyone: true}
		})
		m.Pass(4 * time.Minute)
		if m.Commands != 0 || m.Told().Reason != string(plan.BlockedByAlert) || !m.Node().Spec.Unschedulable {
			t.Fatalf("%d commands, told %+v", m.Commands, m.Told())
		}
		m.Until("given up", 10*time.Minute, func() bool { return !m.Node().Spec.Unschedulable && m.Lease() == nil })
		if b := m.Record().BackOff; b == nil || m.Commands != 0 {
			t.Errorf("%d commands, back-off %+v", m.Commands, b)
		}
		alert.set(func() { alert.answer = plan.Verdict{Gate: "alerts", Open: true} })
		m.Back(1)
	})
}

// A costly gate that holds everyone keeps the turn uncordoned, and is asked again each period; one of this node's own gives the turn on.
func TestCostlyGateKeepsTheTurn(t *testing.T) {
	for _, everyone := range []bool{true, false} {
		inBubble(t, func(t *testing.T, ctx context.Context) {
			m := sim.NewMachine(t, sim.NewServer(), "a")
			g := open("gate", 0)
			g.answer = plan.Verdict{Gate: "gate", Reason: plan.BlockedByAlert, Message: "An alert fires.", Everyone: everyone}
			withCostly(m, g)
			go m.Live(ctx)
			m.Until("it is told", time.Minute, func() bool { return m.Node().Annotations[node.StateAnnotation] != "" && len(g.times()) > 0 })
			m.Pass(5 * time.Minute)
			asked, held := len(g.times()), m.Lease() != nil
			switch {
			case held != everyone || m.Node().Spec.Unschedulable:
				t.Errorf("holds everyone %t: slot held %t", everyone, held)
			case everyone && (asked < 8 || asked > 14):
				t.Errorf("asked %d times in 5 minutes", asked)
			case !everyone && asked > 2:
				t.Errorf("backing off, but asked %d times", asked)
			}
		})
	}
}

// What the API server was too busy to answer is asked again some seconds later, not after the half minute that an answer is good for.
func TestBusyServerIsAskedAgainSoon(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		m := sim.NewMachine(t, sim.NewServer(), "m")
		var first time.Time
		m.Meddle = func(_ *sim.Process, c sim.Call) sim.Outcome {
			if c.Verb != "list" || c.Kind != sim.NodeKind || m.Lease() == nil || !first.IsZero() && time.Since(first) > time.Second {
				return sim.Outcome{}
			}
			if first.IsZero() {
				first = time.Now()
			}
			return sim.Outcome{Before: apierrors.NewTooManyRequests("busy", 1)}
		}
		go m.Live(ctx)
		m.Reaches(plan.Drain)
		if took := time.Since(first); first.IsZero() || took > 10*time.Second {
			t.Errorf("cordoned %s after the first list of Nodes was refused", took)
		}
		m.Back(1)
	})
}

// A node that goes down while another one drains for some seconds is seen before that one's reboot command.
func TestOthersAreLookedAtAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		s := sim.NewServer()
		m, other := sim.NewMachine(t, s, "m"), sim.NewMachine(t, s, "other")
		m.MaxUnavailable = 1
		go m.Live(ctx)
		m.Reaches(plan.Drain)
		m.Pass(m.PodsFor / 2)
		other.Kubelet(false)
		m.Pass(time.Minute)
		if m.Commands != 0 {
			t.Errorf("rebooted while another node is down: %s", m.Logged())
		}
		other.Kubelet(true)
		m.Back(1)
	})
}
