package agent_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"

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
		if c := all[0].Told(); c.Reason != string(plan.ControlPlaneQuorum) || all[0].Node().Spec.Unschedulable {
			t.Errorf("%+v, unschedulable %v", c, all[0].Node().Spec.Unschedulable)
		}
		all[2].Kubelet(true)
		all[0].Back(1)
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
