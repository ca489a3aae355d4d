package agent

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/pkg/node"
	"github.com/rebootd/rebootd/pkg/plan"
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
		m := newMachine(t, newAPIServer(), "worker")
		go m.live(ctx)
		m.reaches(plan.Drain)
		if n := m.node(); !n.Spec.Unschedulable || m.lease() == nil || n.Labels[node.RequiredLabel] != "true" {
			t.Errorf("in the drain: %+v, lease %v", n, m.lease())
		}
		m.back(1)
		n, r := m.node(), m.record()
		if n.Spec.Unschedulable || n.Labels[node.RequiredLabel] != "" || m.told().Status != corev1.ConditionFalse ||
			m.told().Reason != string(plan.RebootSucceeded) {
			t.Errorf("afterwards: %+v", n)
		}
		if h := r.History[0]; h.From != "boot-1" || h.To != "boot-2" || !h.Ours || !h.Cleared || m.commands != 1 {
			t.Errorf("%d commands, history %+v", m.commands, h)
		}
	})
}

// A drain that is done stays done during the delay, and the delay is kept.
func TestRebootDelay(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		m := newMachine(t, newAPIServer(), "worker")
		m.policy.RebootDelay = 5 * time.Minute
		began := time.Now()
		go m.live(ctx)
		m.reaches(plan.Rebooting)
		if d := time.Since(began); d < 5*time.Minute || d > 6*time.Minute || m.drains != 1 {
			t.Errorf("rebooting after %s and %d drains", d, m.drains)
		}
		m.back(1)
	})
}

// An agent with nothing to do sends no request beyond its own watch.
func TestIdleCostsNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		m := newMachine(t, newAPIServer(), "worker")
		m.wanted = plan.No
		go m.live(ctx)
		m.pass(5 * time.Minute)
		c := m.procs[0].c
		patches, before := c.count("patch"), c.count("")
		m.pass(24 * time.Hour)
		if after := c.count(""); after != before || patches > 2 {
			t.Errorf("%d requests in a day of nothing; %d writes at the start: %v", after-before, patches, c.calls)
		}
	})
}

// A node that waits for a slot sends none either, once it has told.
func TestWaitingCostsNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		s := newAPIServer()
		holder, waiter := newMachine(t, s, "a"), newMachine(t, s, "b")
		holder.podsFor = 5 * time.Hour
		holder.policy.DrainTimeout = 0
		go holder.live(ctx)
		holder.reaches(plan.Drain)
		go waiter.live(ctx)
		waiter.pass(5 * time.Minute)
		before := waiter.procs[0].c.count("")
		waiter.pass(4 * time.Hour)
		if after := waiter.procs[0].c.count(""); after != before {
			t.Errorf("%d requests in four hours of waiting: %v", after-before, waiter.procs[0].c.calls[before:])
		}
		holder.back(1)
		waiter.back(1)
	})
}

// TestLeaseDeleted: a person frees the slot in mid-drain. The drain stops, and the node is back in service.
func TestLeaseDeleted(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		m := newMachine(t, newAPIServer(), "worker")
		m.podsFor = time.Hour
		go m.live(ctx)
		m.until("the drain is under way", time.Minute, func() bool { return m.draining == 1 })
		if err := m.s.remove(leaseKind, m.lease().Name, nil); err != nil {
			t.Fatal(err)
		}
		m.until("uncordoned", 5*time.Second, func() bool { return !m.node().Spec.Unschedulable })
		r := m.record()
		if m.draining != 0 || m.commands != 0 || r.BackOff == nil || r.BackOff.Reason != plan.SlotLost {
			t.Errorf("%d drains, %d commands, record %s", m.draining, m.commands, r)
		}
		m.podsFor = time.Second
		m.back(1)
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
				m := newMachine(t, newAPIServer(), "worker")
				m.policy.DrainDelay, m.policy.SettleTime = time.Minute, time.Minute
				switch phase {
				case plan.Idle:
					m.wanted = plan.No
				case plan.Rebooting:
					m.silent = true
				default:
				}
				done := make(chan struct{})
				living, stop := context.WithCancel(ctx)
				go func() { defer close(done); m.live(living) }()
				m.reaches(phase)
				if phase == plan.Required {
					m.until("the slot is held", time.Minute, func() bool { return m.lease() != nil })
				}
				stop()
				began := time.Now()
				<-done
				took := time.Since(began)
				at, cordoned, lease := m.record(), m.node().Spec.Unschedulable, m.lease()
				if took > time.Second || at.Phase != phase || m.node().Annotations[node.AgentAnnotation] != "" || m.draining > 0 {
					t.Errorf("ended after %s with record %s, claimed by %q, %d drains", took, at, m.node().Annotations[node.AgentAnnotation], m.draining)
				}
				if cordoned != at.Out() || (lease != nil) != (phase != plan.Idle) {
					t.Errorf("cordoned %v, lease %v", cordoned, lease)
				}
				m.meet()
				m.s.check, m.podsFor, m.silent = func() {}, time.Second, false
				if phase == plan.Rebooting {
					m.powerCut()
				}
				go m.live(ctx)
				if phase != plan.Idle {
					m.back(1)
				}
			})
		})
	}
}

// A dry run writes nothing at all.
func TestDryRun(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		m := newMachine(t, newAPIServer(), "worker")
		m.dryRun = true
		version := m.s.version
		go m.live(ctx)
		m.pass(10 * time.Minute)
		m.set(func() { m.wanted = plan.Unknown })
		m.pass(10 * time.Minute)
		m.set(func() { m.wanted = plan.No })
		m.pass(10 * time.Minute)
		c := m.procs[0].c
		if m.s.version != version || c.count("patch")+c.count("create")+c.count("delete") != 0 || m.drains+m.commands != 0 {
			t.Errorf("it wrote: %v, %d drains, %d commands", c.calls, m.drains, m.commands)
		}
		for _, want := range []string{"Would now take a slot", "It can't be seen.", "Nothing asks"} {
			if !contains(m.logged(), "Dry run: "+want) {
				t.Errorf("the log lacks %q:\n%s", want, m.logged())
			}
		}
	})
}

// A drain that can't work is tried again, but not in a tight loop, and given up in the end.
func TestDrainCannotWork(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		m := newMachine(t, newAPIServer(), "worker")
		m.podsFor = -1
		go m.live(ctx)
		m.reaches(plan.Drain)
		m.pass(10 * time.Minute)
		if m.drains < 2 || m.drains > 200 {
			t.Errorf("%d drains in 10 minutes", m.drains)
		}
		m.set(func() { m.podsFor = time.Second })
		m.back(1)
	})
}

// A Node that is created again in mid-drain starts afresh: the old one's slot is gone with it.
func TestNodeRecreated(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		m := newMachine(t, newAPIServer(), "worker")
		m.podsFor = time.Hour
		go m.live(ctx)
		m.until("the drain is under way", time.Minute, func() bool { return m.draining == 1 })
		if err := m.s.remove(nodeKind, "worker", nil); err != nil {
			t.Fatal(err)
		}
		m.pass(time.Minute)
		if m.draining != 0 {
			t.Error("it drains on for a Node that is gone")
		}
		fresh := &corev1.Node{}
		fresh.Name = "worker"
		if err := m.s.create(nodeKind, fresh); err != nil {
			t.Fatal(err)
		}
		m.kubelet(true)
		m.set(func() { m.podsFor = time.Second })
		m.back(1)
		found := false
		for _, e := range m.events {
			found = found || contains(e, "Warning NodeRecreated")
		}
		if !found {
			t.Errorf("no Event: %q", m.events)
		}
	})
}

// Handed on: two nodes want a reboot and one may be out. The second goes as soon as the first is back.
func TestHandover(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		s := newAPIServer()
		machines := map[string]*machine{}
		for _, name := range []string{"a", "b", "c", "d", "e"} {
			machines[name] = newMachine(t, s, name)
			machines[name].slots = 2
		}
		most := watchOut(t, s, 2)
		for _, m := range machines {
			go m.live(ctx)
		}
		for _, m := range machines {
			m.back(1)
			if m.commands != 1 {
				t.Errorf("%s: %d commands", m.name, m.commands)
			}
		}
		if *most != 2 {
			t.Errorf("at most %d were out at once, 2 could have been", *most)
		}
	})
}

// watchOut looks at every write whether more nodes are out than may be.
func watchOut(t *testing.T, s *apiserver, n int) *int {
	most := 0
	s.check = func() {
		out := 0
		for _, o := range s.objects[nodeKind] {
			if r, err := plan.ParseRecord(o.GetAnnotations()[node.StateAnnotation]); err == nil && r.Out() {
				out++
			}
		}
		if most = max(most, out); out > n {
			t.Errorf("%d nodes are out, %d may be", out, n)
		}
		if held := len(s.objects[leaseKind]); held > n {
			t.Errorf("%d slots are held, %d may be", held, n)
		}
	}
	return &most
}

func contains(s, part string) bool { return strings.Contains(s, part) }
