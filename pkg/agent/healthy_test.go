package agent_test

import (
	"context"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/pkg/agent"
	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/test/fleet/sim"
)

// toldGate answers after a while, and counts.
type toldGate struct {
	mu    sync.Mutex
	says  plan.Verdict
	takes time.Duration
	asked []time.Time
}

func (g *toldGate) Ask(ctx context.Context, _ *corev1.Node) plan.Verdict {
	g.mu.Lock()
	g.asked = append(g.asked, time.Now())
	says, takes := g.says, g.takes
	g.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return plan.Verdict{Gate: "slow", Reason: plan.GateError, Message: "No answer in time."}
	}
	return says
}

func (g *toldGate) set(says plan.Verdict, takes time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.says, g.takes = says, takes
}

func (g *toldGate) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.asked)
}

// The slot is kept after the settle time until every healthy gate is open, across a restart of the agent; nothing is asked before,
// nor afterwards, and a gate that doesn't answer doesn't keep the loop from turning.
func TestHealthyBeforeTheNext(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		s := sim.NewServer()
		first, second := sim.NewMachine(t, s, "a"), sim.NewMachine(t, s, "b")
		first.Policy.SettleTime = 3 * time.Minute
		ill := plan.Verdict{Gate: "ceph", Reason: plan.Settling, Message: "Ceph is not well."}
		g, well := &toldGate{says: ill, takes: 2 * time.Second}, &toldGate{says: plan.Verdict{Gate: "well", Open: true}}
		first.Parts = func(_ *sim.Process, p *agent.Parts) { p.HealthyGates = []agent.Gate{well, g} }
		go first.Live(ctx)
		first.Reaches(plan.Drain)
		go second.Live(ctx)
		first.Reaches(plan.Settle)
		since := first.Record().Since
		first.Until("it says why", 10*time.Minute, func() bool { return contains(first.Told().Message, "Ceph is not well.") })
		if at := g.asked[0]; at.Before(since.Add(3*time.Minute)) || at.After(since.Add(3*time.Minute+35*time.Second)) {
			t.Errorf("asked at %s, settling since %s", at, since)
		}
		first.Pass(time.Hour)
		if n := g.count(); n < 100 || n > 130 || second.Commands != 0 || first.Node().Spec.Unschedulable || first.Lease() == nil {
			t.Errorf("asked %d times in an hour; %d commands of the next; lease %v", n, second.Commands, first.Lease())
		}
		first.Running().Kill()
		g.set(ill, time.Hour)
		first.Until("it says that there is no answer", 10*time.Minute, func() bool { return first.Told().Reason == string(plan.GateError) })
		for range 30 {
			first.Pass(20 * time.Second)
			if err := first.Running().Healthy(); err != nil {
				t.Fatal(err)
			}
		}
		if second.Commands != 0 {
			t.Error("the next one rebooted meanwhile")
		}
		g.set(plan.Verdict{Gate: "ceph", Open: true}, time.Second)
		first.Back(1)
		n := g.count()
		second.Back(1)
		first.Pass(time.Hour)
		if g.count() != n {
			t.Errorf("asked %d times in service", g.count()-n)
		}
	})
}

// A person lets the next node go by deleting the slot.
func TestUnhealthyButFreed(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		m := sim.NewMachine(t, sim.NewServer(), "worker")
		g := &toldGate{says: plan.Verdict{Gate: "ceph", Reason: plan.Settling, Message: "Ceph is not well."}}
		m.Parts = func(_ *sim.Process, p *agent.Parts) { p.HealthyGates = []agent.Gate{g} }
		go m.Live(ctx)
		m.Until("it says how to go on", time.Hour, func() bool {
			return contains(m.Told().Message, "To let the next node go all the same, delete the Lease rebootd-default-0.")
		})
		if err := m.Server.Remove(nil, sim.LeaseKind, m.Lease().Name, nil); err != nil {
			t.Fatal(err)
		}
		m.Back(1)
	})
}
