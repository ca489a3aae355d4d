package agent

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
)

const controlPlane = `{"metadata":{"labels":{"node-role.kubernetes.io/control-plane":"","pool":%q}}}`

// controlPlanes are so many machines, each in a lock group of its own.
func controlPlanes(t *testing.T, s *apiserver, n int) []*machine {
	t.Helper()
	var all []*machine
	for i := range n {
		m := newMachine(t, s, fmt.Sprintf("cp%d", i))
		m.groupLabel = "pool"
		m.patch(fmt.Sprintf(controlPlane, string(rune('a'+i))))
		all = append(all, m)
	}
	return all
}

// The control planes go one at a time, in whatever lock groups they are, and leave nothing behind.
func TestControlPlanesOneAtATime(t *testing.T) {
	for _, n := range []int{1, 2, 3, 5} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			inBubble(t, func(t *testing.T, ctx context.Context) {
				s := newAPIServer()
				all := controlPlanes(t, s, n)
				watchNodes(t, s, 1)
				for _, m := range all {
					go m.live(ctx)
				}
				for _, m := range all {
					m.back(1)
				}
				all[0].pass(time.Minute)
				if left, _ := s.list(leaseKind, func(object) bool { return true }); len(left) != 0 {
					t.Errorf("left: %v", left)
				}
			})
		})
	}
}

// With three control planes and one of them not Ready, none of the others goes: two must stay.
func TestQuorum(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		s := newAPIServer()
		all := controlPlanes(t, s, 3)
		all[2].kubelet(false)
		go all[0].live(ctx)
		all[0].pass(5 * time.Minute)
		if c := all[0].told(); c.Reason != string(plan.ControlPlaneQuorum) || all[0].node().Spec.Unschedulable {
			t.Errorf("%+v, unschedulable %v", c, all[0].node().Spec.Unschedulable)
		}
		all[2].kubelet(true)
		all[0].back(1)
	})
}

// A control plane that dies right after it took the shared slot frees it when it is back.
func TestSharedSlotIsNotForgotten(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		s := newAPIServer()
		m := controlPlanes(t, s, 1)[0]
		shared := func() *coordinationv1.Lease {
			o, err := s.get(leaseKind, lock.ControlPlaneSlot)
			if err != nil {
				return nil
			}
			return o.(*coordinationv1.Lease)
		}
		m.podsFor = time.Hour
		p := m.start()
		m.reaches(plan.Drain)
		if shared() == nil {
			t.Error("the shared slot isn't held in the drain")
		}
		p.kill()
		m.wanted = plan.No
		go m.live(ctx)
		m.until("it gives up", time.Hour, func() bool { return m.record().Phase == plan.Idle && m.lease() == nil })
		m.pass(time.Second)
		if l := shared(); l != nil {
			t.Errorf("left: %v", l)
		}
	})
}

// With --max-unavailable, a node that a person has cordoned and one that isn't Ready count.
func TestMaxUnavailable(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		s := newAPIServer()
		var all []*machine
		for i := range 6 {
			m := newMachine(t, s, fmt.Sprintf("n%d", i))
			m.slots, m.maxUnavailable = 6, 3
			all = append(all, m)
		}
		all[0].patch(`{"spec":{"unschedulable":true}}`)
		all[1].kubelet(false)
		watchNodes(t, s, 3)
		for _, m := range all[2:] {
			go m.live(ctx)
		}
		for _, m := range all[2:] {
			m.back(1)
		}
		all[0].patch(`{"spec":{"unschedulable":false}}`)
		for _, m := range all[2:] {
			m.set(func() { m.wanted = plan.Yes })
		}
		for _, m := range all[2:] {
			m.back(2)
		}
	})
}

// A node that isn't Ready and carries a record counts, though its slot is gone: broken nodes don't pile up.
func TestSilentNodeCounts(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		s := newAPIServer()
		broken, next := newMachine(t, s, "broken"), newMachine(t, s, "next")
		broken.silent = true
		p := broken.start()
		broken.reaches(plan.Rebooting)
		p.kill()
		broken.kubelet(false)
		l := broken.lease()
		if err := s.remove(leaseKind, l.Name, &l.UID); err != nil {
			t.Fatal(err)
		}
		go next.live(ctx)
		next.pass(2 * time.Minute)
		if c := next.told(); c.Reason != string(plan.BlockedByUnavailable) || next.node().Spec.Unschedulable || !contains(c.Message, "broken") {
			t.Errorf("%+v, unschedulable %v", c, next.node().Spec.Unschedulable)
		}
		broken.kubelet(true)
		next.back(1)
	})
}

// watchNodes looks at every write whether more Nodes are out of service, whoever did it, than may be.
func watchNodes(t *testing.T, s *apiserver, n int) {
	s.check = func() {
		var out []string
		for name, o := range s.objects[nodeKind] {
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
