package agent_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/pkg/agent"
	"github.com/rebootd/rebootd/pkg/fleet"
	"github.com/rebootd/rebootd/pkg/lock"
	"github.com/rebootd/rebootd/pkg/node"
	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/test/fleet/sim"
)

const controlPlane = `{"metadata":{"labels":{"node-role.kubernetes.io/control-plane":"","pool":%q}}}`

// controlPlanes are so many machines, each in a lock group of its own.
func controlPlanes(t *testing.T, s *sim.Server, n int) []*sim.Machine {
	t.Helper()
	var all []*sim.Machine
	for i := range n {
		m := sim.NewMachine(t, s, fmt.Sprintf("cp%d", i))
		m.GroupLabel = "pool"
		m.Patch(fmt.Sprintf(controlPlane, string(rune('a'+i))))
		all = append(all, m)
	}
	return all
}

// The control planes go one at a time, in whatever lock groups they are, and leave nothing behind.
func TestControlPlanesOneAtATime(t *testing.T) {
	for _, n := range []int{1, 2, 3, 5} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			inBubble(t, func(t *testing.T, ctx context.Context) {
				s := sim.NewServer()
				all := controlPlanes(t, s, n)
				watchNodes(t, s, 1)
				for _, m := range all {
					go m.Live(ctx)
				}
				for _, m := range all {
					m.Back(1)
				}
				all[0].Pass(time.Minute)
				if left, _ := s.List(sim.LeaseKind, nil); len(left) != 0 {
					t.Errorf("left: %v", left)
				}
			})
		})
	}
}

// With three control planes and one of them not Ready, none of the others goes: two must stay.
func TestQuorum(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		s := sim.NewServer()
		all := controlPlanes(t, s, 3)
		all[2].Kubelet(false)
		go all[0].Live(ctx)
		all[0].Pass(5 * time.Minute)
		if c := all[0].Told(); c.Reason != string(plan.BackingOff) || !strings.Contains(c.Message, "control planes would stay Ready") ||
			all[0].Node().Spec.Unschedulable || all[0].Lease() != nil {
			t.Errorf("%+v, unschedulable %v", c, all[0].Node().Spec.Unschedulable)
		}
		all[2].Kubelet(true)
		all[0].Back(1)
	})
}

// Control planes that carry only the older label count like the others.
func TestQuorumOfMasters(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		s := sim.NewServer()
		all := controlPlanes(t, s, 3)
		for _, m := range all[1:] {
			m.Patch(`{"metadata":{"labels":{"node-role.kubernetes.io/control-plane":null,"node-role.kubernetes.io/master":""}}}`)
		}
		all[0].Patch(`{"metadata":{"labels":{"node-role.kubernetes.io/master":""}}}`) // both: it must not count twice
		all[2].Kubelet(false)
		for _, m := range all[:2] {
			go m.Live(ctx)
		}
		all[0].Pass(5 * time.Minute)
		for _, m := range all[:2] {
			if m.Commands != 0 || !strings.Contains(m.Told().Message, "Only 1 of 3 control planes would stay Ready") {
				t.Errorf("%s: %+v", m.Name, m.Told())
			}
		}
		all[2].Kubelet(true)
		for _, m := range all[:2] {
			m.Back(1)
		}
	})
}

// A control plane that dies right after it took the shared slot frees it when it is back.
func TestSharedSlotIsNotForgotten(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		s := sim.NewServer()
		m := controlPlanes(t, s, 1)[0]
		shared := func() *coordinationv1.Lease {
			o, err := s.Get(sim.LeaseKind, lock.ControlPlaneSlot)
			if err != nil {
				return nil
			}
			return o.(*coordinationv1.Lease)
		}
		m.PodsFor = time.Hour
		p := m.Start()
		m.Reaches(plan.Drain)
		if shared() == nil {
			t.Error("the shared slot isn't held in the drain")
		}
		p.Kill()
		m.Wanted = plan.No
		go m.Live(ctx)
		m.Until("it gives up", time.Hour, func() bool { return m.Record().Phase == plan.Idle && m.Lease() == nil })
		m.Pass(time.Second)
		if l := shared(); l != nil {
			t.Errorf("left: %v", l)
		}
	})
}

// A control plane whose group's slot a person frees in mid-reboot keeps the shared one until it is back.
func TestSharedSlotIsKeptWhileOut(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		s := sim.NewServer()
		m := controlPlanes(t, s, 1)[0]
		m.Silent = true
		go m.Live(ctx)
		m.Reaches(plan.Rebooting)
		m.Pass(time.Minute)
		if err := s.Remove(nil, sim.LeaseKind, m.Lease().Name, nil); err != nil {
			t.Fatal(err)
		}
		m.Pass(time.Minute)
		if _, err := s.Get(sim.LeaseKind, lock.ControlPlaneSlot); err != nil || !m.Record().Out() {
			t.Errorf("%v, record %s", err, m.Record())
		}
		m.Down <- struct{}{}
		m.Back(1)
		m.Pass(time.Minute)
		if left, _ := s.List(sim.LeaseKind, nil); len(left) != 0 {
			t.Errorf("left: %v", left)
		}
	})
}

// With --max-unavailable, a node that a person has cordoned and one that isn't Ready count.
func TestMaxUnavailable(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		s := sim.NewServer()
		var all []*sim.Machine
		for i := range 6 {
			m := sim.NewMachine(t, s, fmt.Sprintf("n%d", i))
			m.Slots, m.MaxUnavailable = 6, 3
			all = append(all, m)
		}
		all[0].Patch(`{"spec":{"unschedulable":true}}`)
		all[1].Kubelet(false)
		watchNodes(t, s, 3)
		for _, m := range all[2:] {
			go m.Live(ctx)
		}
		for _, m := range all[2:] {
			m.Back(1)
		}
		all[0].Patch(`{"spec":{"unschedulable":false}}`)
		for _, m := range all[2:] {
			m.Set(func() { m.Wanted = plan.Yes })
		}
		for _, m := range all[2:] {
			m.Back(2)
		}
	})
}

// Two that take their slots in the same second, where only one may be out: one goes at once, the other gives way.
func TestMaxUnavailableInTheSameSecond(t *testing.T) {
	for name, delay := range map[string]time.Duration{"one looks first": 0, "they see each other": time.Minute} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, ctx context.Context) {
				s := sim.NewServer()
				var all []*sim.Machine
				for i := range 2 {
					m := sim.NewMachine(t, s, fmt.Sprintf("n%d", i))
					m.Slots, m.MaxUnavailable, m.Policy.DrainDelay = 2, 1, delay
					all = append(all, m)
				}
				watchNodes(t, s, 1)
				for _, m := range all {
					go m.Live(ctx)
				}
				back := func() (n int) {
					for _, m := range all {
						n += len(m.Record().History)
					}
					return n
				}
				all[0].Until("one is back", 4*time.Minute, func() bool { return back() == 1 })
				all[0].Until("both are back", 20*time.Minute, func() bool { return back() == 2 })
				for _, m := range all {
					m.Until("the end", time.Minute, func() bool { return m.Lease() == nil })
					if m.Drains != 1 {
						t.Errorf("%s: %d drains", m.Name, m.Drains)
					}
				}
			})
		})
	}
}

// A node that isn't Ready and carries a record counts, though its slot is gone: broken nodes don't pile up.
func TestSilentNodeCounts(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		s := sim.NewServer()
		broken, next := sim.NewMachine(t, s, "broken"), sim.NewMachine(t, s, "next")
		broken.Silent = true
		p := broken.Start()
		broken.Reaches(plan.Rebooting)
		p.Kill()
		broken.Kubelet(false)
		l := broken.Lease()
		if err := s.Remove(nil, sim.LeaseKind, l.Name, nil); err != nil {
			t.Fatal(err)
		}
		go next.Live(ctx)
		next.Pass(2 * time.Minute)
		if c := next.Told(); c.Reason != string(plan.BlockedByUnavailable) || next.Node().Spec.Unschedulable || !contains(c.Message, "broken") {
			t.Errorf("%+v, unschedulable %v", c, next.Node().Spec.Unschedulable)
		}
		broken.Kubelet(true)
		next.Back(1)
	})
}

// watchNodes looks at every write whether more Nodes are out of service, whoever did it, than may be.
func watchNodes(t *testing.T, s *sim.Server, n int) {
	s.Changed = func(sim.Change) {
		var out []string
		for name, o := range s.Objects(sim.NodeKind) {
			seen, _, _ := node.Observe(name, o.(*corev1.Node))
			if !seen.Ready || o.(*corev1.Node).Spec.Unschedulable {
				out = append(out, name)
			}
		}
		if len(out) > n {
			t.Errorf("%q are out, %d may be", out, n)
		}
	}
}

// While a control plane is out, another one doesn't keep a slot that a worker could have.
func TestControlPlaneWaitsWithoutSlot(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		s := sim.NewServer()
		all := controlPlanes(t, s, 2)
		worker := sim.NewMachine(t, s, "worker")
		for _, m := range append(all, worker) {
			m.GroupLabel, m.Slots = "", 2
		}
		all[0].PodsFor = time.Hour
		all[0].Policy.DrainTimeout = 0
		go all[0].Live(ctx)
		all[0].Reaches(plan.Drain)
		go all[1].Live(ctx)
		all[1].Pass(time.Minute)
		if c := all[1].Told(); c.Reason != string(plan.WaitingForSlot) || !strings.Contains(c.Message, "Another control plane") || all[1].Lease() != nil {
			t.Errorf("%+v, lease %v", c, all[1].Lease())
		}
		go worker.Live(ctx)
		worker.Until("its turn comes at once", 5*time.Minute, func() bool { return len(worker.Record().History) == 1 })
		all[0].Pass(time.Hour)
		all[1].Until("its turn comes with the other's end", 5*time.Minute, func() bool { return len(all[1].Record().History) == 1 })
	})
}

// A node that stops being a control plane, or leaves its lock group, while its agent is away frees what it held.
func TestStraySlots(t *testing.T) {
	for name, phase := range map[string]plan.Phase{"in service": plan.Required, "out of service": plan.Drain} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, ctx context.Context) {
				s := sim.NewServer()
				m := controlPlanes(t, s, 1)[0]
				if phase == plan.Required {
					m.Policy.DrainDelay = time.Hour
				} else {
					m.PodsFor = 10 * time.Minute
				}
				p := m.Start()
				m.Until("the slot is held", time.Minute, func() bool { return m.Lease() != nil })
				m.Reaches(phase)
				p.Kill()
				m.Policy.DrainDelay = 0
				m.Patch(`{"metadata":{"labels":{"node-role.kubernetes.io/control-plane":null,"pool":"other"}}}`)
				go m.Live(ctx)
				m.Back(1)
				m.Pass(time.Minute)
				if left, _ := s.List(sim.LeaseKind, nil); len(left) != 0 {
					t.Errorf("left: %v", left)
				}
			})
		})
	}
}

// A node that left its lock group while it was out takes no slot of that group any more, though for a while it still watches it:
// the group's nodes are not those among which it counts.
func TestNoSlotOfTheGroupItLeft(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		s := sim.NewServer()
		m := sim.NewMachine(t, s, "n")
		m.GroupLabel, m.PodsFor = "pool", time.Minute
		m.Patch(`{"metadata":{"labels":{"pool":"a"}}}`)
		p := m.Start()
		m.Reaches(plan.Drain)
		p.Kill()
		m.Patch(`{"metadata":{"labels":{"pool":"b"}}}`)
		m.Set(func() { m.Wanted = plan.No })
		go m.Live(ctx)
		m.Reaches(plan.Idle)
		m.Set(func() { m.Wanted = plan.Yes })
		m.Reaches(plan.Drain)
		if got := m.Record().Slot; got != "rebootd-b-0" {
			t.Errorf("went out under %s", got)
		}
	})
}

// counts makes the number of slots depend on how many nodes the group has.
func counts(slots func(nodes int) int) func(*sim.Process, *agent.Parts) {
	return func(_ *sim.Process, parts *agent.Parts) {
		groups, reader := parts.Groups, parts.Fleet.(*fleet.Reader)
		parts.Groups = func(name, members string) *lock.Group {
			g := groups(name, members)
			g.Slots, g.Count = 0, func(ctx context.Context) (int, int, error) {
				n, err := reader.Count(ctx, members)
				return slots(n), n, err
			}
			return g
		}
	}
}

// A group that grows lets more go, though whoever holds the only slot never comes back.
func TestShareOfGrowingGroup(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		s := sim.NewServer()
		half := counts(func(nodes int) int { return nodes / 2 })
		broken, next := sim.NewMachine(t, s, "broken"), sim.NewMachine(t, s, "next")
		broken.Silent, broken.Parts, next.Parts = true, half, half
		go broken.Live(ctx)
		broken.Until("timed out", time.Hour, func() bool { return broken.Told().Reason == string(plan.RebootTimedOut) })
		go next.Live(ctx)
		next.Pass(time.Hour)
		if next.Commands != 0 {
			t.Error("goes though one of two is out")
		}
		for _, name := range []string{"new1", "new2"} {
			sim.NewMachine(t, s, name)
		}
		next.Back(1)
	})
}
