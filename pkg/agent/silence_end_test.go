package agent_test

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/pkg/agent"
	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/pkg/silence"
	"github.com/rebootd/rebootd/test/fleet/sim"
)

// Given up: the node is in service again, and its alerts are heard soon.
func TestSilenceEndsWhenGivenUp(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		m := newMuted(t)
		m.PodsFor = time.Hour
		go m.Live(ctx)
		m.Reaches(plan.Drain)
		m.Set(func() { m.hangs = true }) // the answer, not the silence, is what is late
		m.Set(func() { m.Wanted = plan.No })
		m.Reaches(plan.Idle)
		m.Set(func() { m.hangs = false })
		m.Pass(5 * time.Second)
		if left := m.left(); left > 2*time.Minute || m.ends == 0 {
			t.Errorf("silent for %s, ended %d times", left, m.ends)
		}
	})
}

// The first word of a node that is out may be late; that nothing is wanted any more is known before it comes.
func TestSilenceUnderWayIsEnded(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		m := newMuted(t)
		m.PodsFor, m.hangs = time.Hour, true
		go m.Live(ctx)
		m.Reaches(plan.Drain)
		m.Set(func() { m.Wanted = plan.No })
		m.Reaches(plan.Idle)
		m.Set(func() { m.hangs = false })
		m.Pass(time.Minute)
		if left := m.left(); left > 2*time.Minute || m.sets == 0 || m.ends == 0 {
			t.Errorf("silent for %s, %d times set, %d times ended", left, m.sets, m.ends)
		}
	})
}

func TestSilenceOfANodeCreatedAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		m := newMuted(t)
		m.PodsFor = time.Hour
		m.addressed("10.0.0.1")
		go m.Live(ctx)
		m.Reaches(plan.Drain)
		m.Pass(time.Minute)
		if err := m.Server.Remove(nil, sim.NodeKind, "worker", nil); err != nil {
			t.Fatal(err)
		}
		m.Pass(5 * time.Second)
		if left := m.left(); left > 2*time.Minute || m.ends != 1 { // for the address that it had
			t.Errorf("there is no Node, and it is silent for %s; ended %d times", left, m.ends)
		}
		m.Set(func() { m.Wanted = plan.No })
		fresh := &corev1.Node{}
		fresh.Name = "worker"
		if err := m.Server.Create(nil, sim.NodeKind, fresh); err != nil {
			t.Fatal(err)
		}
		m.Kubelet(true)
		sets, _ := m.count()
		m.Pass(time.Hour)
		m.Set(func() { m.Wanted, m.PodsFor = plan.Yes, 10*time.Second })
		m.Back(1)
		if s, _ := m.count(); s <= sets {
			t.Error("not silenced for its own reboot")
		}
	})
}

// Of two agents for one node only the one that works for it touches the silence.
func TestSilenceOfTwoAgents(t *testing.T) {
	inBubble(t, func(t *testing.T, _ context.Context) {
		m := newMuted(t)
		m.PodsFor = 20 * time.Minute
		who := m.spied()
		m.Start()
		m.Reaches(plan.Drain)
		m.Start()
		m.Pass(8 * time.Minute)
		if who[1] != 2 || who[2] != 0 {
			t.Errorf("asked by agents: %v", who)
		}
		m.Patch(`{"metadata":{"annotations":{"rebootd.io/agent":"agent-2@boot-1"}}}`)
		m.Pass(9 * time.Minute)
		if who[1] != 2 || who[2] != 2 {
			t.Errorf("asked by agents: %v", who)
		}
		m.Procs[0].Stop()
		m.Procs[1].Stop()
	})
}

// spied counts what each agent asks for.
func (m *muted) spied() map[int]int {
	who := map[int]int{}
	parts := m.Parts
	m.Parts = func(p *sim.Process, a *agent.Parts) {
		parts(p, a)
		a.Silence.By = spy{a.Silence.By, func() { m.Set(func() { who[p.Number]++ }) }}
	}
	return who
}

type spy struct {
	agent.Silencer
	asked func()
}

func (s spy) Set(ctx context.Context, n silence.Node, until time.Time) error {
	s.asked()
	return s.Silencer.Set(ctx, n, until)
}

func (s spy) End(ctx context.Context, n silence.Node, until time.Time) error {
	s.asked()
	return s.Silencer.End(ctx, n, until)
}
