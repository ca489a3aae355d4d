package agent_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rebootd/rebootd/pkg/node"
	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/test/fleet/sim"
)

// inBubble runs a test in virtual time, with a context that ends before it.
func inBubble(t *testing.T, f func(t *testing.T, ctx context.Context)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		f(t, ctx)
		cancel()
		synctest.Wait()
		time.Sleep(2 * time.Second)
	})
}

func TestWholeWay(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		m := sim.NewMachine(t, sim.NewServer(), "worker")
		go m.Live(ctx)
		m.Reaches(plan.Drain)
		if n := m.Node(); !n.Spec.Unschedulable || m.Lease() == nil || n.Labels[node.RequiredLabel] != "true" {
			t.Errorf("in the drain: %+v, lease %v", n, m.Lease())
		}
		m.Back(1)
		n, r := m.Node(), m.Record()
		if n.Spec.Unschedulable || n.Labels[node.RequiredLabel] != "" || m.Told().Status != corev1.ConditionFalse ||
			m.Told().Reason != string(plan.RebootSucceeded) {
			t.Errorf("afterwards: %+v", n)
		}
		if h := r.History[0]; h.From != "boot-1" || h.To != "boot-2" || !h.Ours || !h.Cleared || m.Commands != 1 {
			t.Errorf("%d commands, history %+v", m.Commands, h)
		}
	})
}

// The label goes when nothing asks any more, though that couldn't be known when the reboot's end was written.
func TestLabelGoes(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		m := sim.NewMachine(t, sim.NewServer(), "worker")
		m.Clears = false
		go m.Live(ctx)
		m.Until("rebooted", time.Hour, func() bool { return m.Boots == 2 })
		m.Set(func() { m.Wanted = plan.Unknown })
		m.Back(1)
		m.Set(func() { m.Wanted = plan.No })
		m.Pass(5 * time.Minute)
		if n := m.Node(); n.Labels[node.RequiredLabel] != "" || m.Told().Status != corev1.ConditionFalse {
			t.Errorf("labels %v, condition %+v", n.Labels, m.Told())
		}
	})
}

// A drain that is done stays done during the delay, and the delay is kept.
func TestRebootDelay(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		m := sim.NewMachine(t, sim.NewServer(), "worker")
		m.Policy.RebootDelay = 5 * time.Minute
		began := time.Now()
		go m.Live(ctx)
		m.Reaches(plan.Rebooting)
		if d := time.Since(began); d < 5*time.Minute || d > 6*time.Minute || m.Drains != 1 {
			t.Errorf("rebooting after %s and %d drains", d, m.Drains)
		}
		m.Back(1)
	})
}

// An agent with nothing to do sends no request beyond its own watch.
func TestIdleCostsNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		m := sim.NewMachine(t, sim.NewServer(), "worker")
		m.Wanted = plan.No
		go m.Live(ctx)
		m.Pass(5 * time.Minute)
		c := m.Procs[0].Client
		patches, before := c.Count("patch"), c.Count("")
		m.Pass(24 * time.Hour)
		if after := c.Count(""); after != before || patches > 2 {
			t.Errorf("%d requests in a day of nothing; %d writes at the start: %v", after-before, patches, c.Calls())
		}
	})
}

// A node that waits for a slot sends none either, once it has told.
func TestWaitingCostsNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		s := sim.NewServer()
		holder, waiter := sim.NewMachine(t, s, "a"), sim.NewMachine(t, s, "b")
		holder.PodsFor = 5 * time.Hour
		holder.Policy.DrainTimeout = 0
		go holder.Live(ctx)
		holder.Reaches(plan.Drain)
		go waiter.Live(ctx)
		waiter.Pass(5 * time.Minute)
		before := waiter.Procs[0].Client.Count("")
		waiter.Pass(4 * time.Hour)
		if after := waiter.Procs[0].Client.Count(""); after != before {
			t.Errorf("%d requests in four hours of waiting: %v", after-before, waiter.Procs[0].Client.Calls()[before:])
		}
		holder.Back(1)
		waiter.Back(1)
	})
}

// TestLeaseDeleted: a person frees the slot in mid-drain. The drain stops, and the node is back in service.
func TestLeaseDeleted(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		m := sim.NewMachine(t, sim.NewServer(), "worker")
		m.PodsFor = time.Hour
		go m.Live(ctx)
		m.Until("the drain is under way", time.Minute, func() bool { return m.Draining == 1 })
		if err := m.Server.Remove(nil, sim.LeaseKind, m.Lease().Name, nil); err != nil {
			t.Fatal(err)
		}
		m.Until("uncordoned", 5*time.Second, func() bool { return !m.Node().Spec.Unschedulable })
		r := m.Record()
		if m.Draining != 0 || m.Commands != 0 || r.BackOff == nil || r.BackOff.Reason != plan.SlotLost {
			t.Errorf("%d drains, %d commands, record %s", m.Draining, m.Commands, r)
		}
		m.PodsFor = time.Second
		m.Back(1)
	})
}

// TestTermination: SIGTERM ends the agent at once, in every phase that lasts, and gives nothing up.
func TestTermination(t *testing.T) {
	for _, phase := range plan.Phases() {
		if phase == plan.Aborting {
			continue // over within a turn: nobody can stop the agent in it for sure
		}
		t.Run(string(phase), func(t *testing.T) {
			inBubble(t, func(t *testing.T, ctx context.Context) {
				m := sim.NewMachine(t, sim.NewServer(), "worker")
				m.Policy.DrainDelay, m.Policy.SettleTime = time.Minute, time.Minute
				switch phase {
				case plan.Idle:
					m.Wanted = plan.No
				case plan.Rebooting:
					m.Silent = true
				default:
				}
				done := make(chan struct{})
				living, stop := context.WithCancel(ctx)
				go func() { defer close(done); m.Live(living) }()
				m.Reaches(phase)
				if phase == plan.Required {
					m.Until("the slot is held", time.Minute, func() bool { return m.Lease() != nil })
				}
				stop()
				began := time.Now()
				<-done
				took := time.Since(began)
				at, cordoned, lease := m.Record(), m.Node().Spec.Unschedulable, m.Lease()
				claimed := m.Node().Annotations[node.AgentAnnotation] != "" // the next agent is one of another boot, where one comes
				if took > time.Second || at.Phase != phase || claimed != (phase == plan.Rebooting) || m.Draining > 0 {
					t.Errorf("ended after %s with record %s, claimed by %q, %d drains", took, at, m.Node().Annotations[node.AgentAnnotation], m.Draining)
				}
				if cordoned != at.Out() || (lease != nil) != (phase != plan.Idle) {
					t.Errorf("cordoned %v, lease %v", cordoned, lease)
				}
				m.Meet()
				m.PodsFor, m.Silent = time.Second, false
				if phase == plan.Rebooting {
					m.PowerCut()
				}
				go m.Live(ctx)
				if phase != plan.Idle {
					m.Back(1)
				}
			})
		})
	}
}

// A dry run writes nothing at all.
func TestDryRun(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		m := sim.NewMachine(t, sim.NewServer(), "worker")
		m.DryRun = true
		version := m.Server.Version()
		go m.Live(ctx)
		m.Pass(10 * time.Minute)
		m.Set(func() { m.Wanted = plan.Unknown })
		m.Pass(10 * time.Minute)
		m.Set(func() { m.Wanted = plan.No })
		m.Pass(10 * time.Minute)
		c := m.Procs[0].Client
		if m.Server.Version() != version || c.Count("patch")+c.Count("create")+c.Count("delete") != 0 || m.Drains+m.Commands != 0 {
			t.Errorf("it wrote: %v, %d drains, %d commands", c.Calls(), m.Drains, m.Commands)
		}
		for _, want := range []string{"Would now take a slot", "It can't be seen.", "Nothing asks"} {
			if !contains(m.Logged(), "Dry run: "+want) {
				t.Errorf("the log lacks %q:\n%s", want, m.Logged())
			}
		}
	})
}

// A drain that can't work is tried again, but not in a tight loop, and given up in the end.
func TestDrainCannotWork(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		m := sim.NewMachine(t, sim.NewServer(), "worker")
		m.PodsFor = -1
		go m.Live(ctx)
		m.Reaches(plan.Drain)
		m.Pass(10 * time.Minute)
		if m.Drains < 2 || m.Drains > 200 {
			t.Errorf("%d drains in 10 minutes", m.Drains)
		}
		m.Set(func() { m.PodsFor = time.Second })
		m.Back(1)
	})
}

// A Node that is created again in mid-drain starts afresh: the old one's slot is gone with it.
func TestNodeRecreated(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		m := sim.NewMachine(t, sim.NewServer(), "worker")
		m.PodsFor = time.Hour
		go m.Live(ctx)
		m.Until("the drain is under way", time.Minute, func() bool { return m.Draining == 1 })
		if err := m.Server.Remove(nil, sim.NodeKind, "worker", nil); err != nil {
			t.Fatal(err)
		}
		m.Pass(time.Minute)
		if m.Draining != 0 {
			t.Error("it drains on for a Node that is gone")
		}
		fresh := &corev1.Node{}
		fresh.Name = "worker"
		if err := m.Server.Create(nil, sim.NodeKind, fresh); err != nil {
			t.Fatal(err)
		}
		m.Kubelet(true)
		m.Set(func() { m.PodsFor = time.Second })
		m.Back(1)
		found := false
		for _, e := range m.Events {
			found = found || contains(e, "Warning NodeRecreated")
		}
		if !found {
			t.Errorf("no Event: %q", m.Events)
		}
	})
}

// Handed on: two nodes want a reboot and one may be out. The second goes as soon as the first is back.
func TestHandover(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		s := sim.NewServer()
		machines := map[string]*sim.Machine{}
		for _, name := range []string{"a", "b", "c", "d", "e"} {
			machines[name] = sim.NewMachine(t, s, name)
			machines[name].Slots = 2
		}
		most := watchOut(t, s, 2)
		for _, m := range machines {
			go m.Live(ctx)
		}
		for _, m := range machines {
			m.Back(1)
			if m.Commands != 1 {
				t.Errorf("%s: %d commands", m.Name, m.Commands)
			}
		}
		if *most != 2 {
			t.Errorf("at most %d were out at once, 2 could have been", *most)
		}
	})
}

// With several slots each is handed on at once, even when they come free one right after the other: they don't name the same node.
func TestHandoverOfSeveralSlots(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		s := sim.NewServer()
		var all []*sim.Machine
		for i := range 9 {
			m := sim.NewMachine(t, s, fmt.Sprintf("n%d", i))
			m.Slots = 3
			m.Meddle = func(*sim.Process, sim.Call) sim.Outcome { return sim.Outcome{Arrives: 100 * time.Millisecond} }
			all = append(all, m)
		}
		turns := watchTurns(s)
		for _, m := range all {
			go m.Live(ctx)
		}
		for _, m := range all {
			m.Back(1)
		}
		if turns.taken != 6 || turns.slowest > 3*time.Second {
			t.Errorf("%d turns, the slowest took %s", turns.taken, turns.slowest)
		}
	})
}

// turns are the slots that were taken again after they had been freed.
type turns struct {
	begun   atomic.Bool // one was freed
	taken   int
	slowest time.Duration // the longest that one was free
}

func watchTurns(s *sim.Server) *turns {
	freed, w := map[string]time.Time{}, &turns{}
	s.Changed = func(c sim.Change) {
		name := c.After.GetName()
		switch at, was := freed[name]; {
		case c.Kind != sim.LeaseKind:
		case c.Type == watch.Deleted:
			w.begun.Store(true)
			freed[name] = time.Now()
		case c.Type == watch.Added && was:
			w.taken++
			w.slowest = max(w.slowest, time.Since(at))
		}
	}
	return w
}

// watchOut looks at every write whether more nodes are out than may be.
func watchOut(t *testing.T, s *sim.Server, n int) *int {
	most := 0
	s.Changed = func(sim.Change) {
		out := 0
		for _, o := range s.Objects(sim.NodeKind) {
			if r, err := plan.ParseRecord(o.GetAnnotations()[node.StateAnnotation]); err == nil && r.Out() {
				out++
			}
		}
		if most = max(most, out); out > n {
			t.Errorf("%d nodes are out, %d may be", out, n)
		}
		if held := len(s.Objects(sim.LeaseKind)); held > n {
			t.Errorf("%d slots are held, %d may be", held, n)
		}
	}
	return &most
}

func contains(s, part string) bool { return strings.Contains(s, part) }
