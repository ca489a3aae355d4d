package agent_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rebootd/rebootd/pkg/lock"
	"github.com/rebootd/rebootd/pkg/node/drain"
	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/pkg/tell"
	"github.com/rebootd/rebootd/test/fleet/sim"
)

var errPartition = errors.New("no route to host")

// cutOff returns a switch that keeps every call of a machine from the server.
func cutOff(m *sim.Machine) *atomic.Bool {
	var off atomic.Bool
	m.Meddle = func(*sim.Process, sim.Call) sim.Outcome {
		if off.Load() {
			return sim.Outcome{Before: errPartition}
		}
		return sim.Outcome{}
	}
	return &off
}

// With a TTL, a slot of a holder that works isn't freed, however long that takes.
func TestRenewed(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		s := sim.NewServer()
		first, second := sim.NewMachine(t, s, "first"), sim.NewMachine(t, s, "second")
		first.LockTTL, second.LockTTL = 10*time.Minute, 10*time.Minute
		first.PodsFor, first.Policy.DrainTimeout = 5*time.Hour, 0
		watchOut(t, s, 1)
		go first.Live(ctx)
		first.Reaches(plan.Drain)
		go second.Live(ctx)
		first.Pass(5 * time.Hour)
		first.Back(1)
		second.Back(1)
		if first.Commands != 1 || second.Commands != 1 {
			t.Errorf("%d and %d commands", first.Commands, second.Commands)
		}
	})
}

// A holder that can't renew its slot stops before anybody frees it, and gives up when it finds it gone. The next goes on.
func TestSilentHolder(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		s := sim.NewServer()
		first, second := sim.NewMachine(t, s, "first"), sim.NewMachine(t, s, "second")
		first.LockTTL, second.LockTTL = 30*time.Minute, 30*time.Minute
		first.PodsFor, first.Policy.DrainTimeout = 10*time.Hour, 0
		off := cutOff(first)
		go first.Live(ctx)
		first.Reaches(plan.Drain)
		go second.Live(ctx)
		first.Pass(15 * time.Minute)
		off.Store(true)
		first.Pass(21 * time.Minute)
		if first.Draining != 0 || first.Lease() == nil {
			t.Errorf("%d drains at ⅔ of the TTL, lease %v", first.Draining, first.Lease())
		}
		second.Until("the slot is freed", time.Hour, func() bool { return first.Lease() == nil })
		second.Back(1)
		if first.Commands != 0 || second.Commands != 1 {
			t.Errorf("%d and %d commands", first.Commands, second.Commands)
		}
		if all := strings.Join(second.Events, "\n"); !strings.Contains(all, "of node first: it was not renewed for 30m0s (--lock-ttl)") {
			t.Errorf("%s", all)
		}
		off.Store(false)
		first.Until("it gives up", time.Hour, func() bool { return first.Record().Phase == plan.Required && !first.Node().Spec.Unschedulable })
		first.Set(func() { first.PodsFor = time.Second })
		first.Back(1)
	})
}

// It stops as well when it can't even find out what became of its last write.
func TestSilentHolderThatWrites(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		s := sim.NewServer()
		m := sim.NewMachine(t, s, "first")
		m.LockTTL, m.Policy.DrainTimeout = 30*time.Minute, 0
		m.OnDrain = func(ctx context.Context, _ *sim.Process, _ drain.Way, report func(drain.Progress)) error {
			for gone := 0; ctx.Err() == nil; gone++ {
				report(drain.Progress{Total: 1000, Gone: gone})
				select {
				case <-ctx.Done():
				case <-time.After(time.Minute):
				}
			}
			return ctx.Err()
		}
		var armed, off atomic.Bool
		m.Meddle = func(_ *sim.Process, c sim.Call) sim.Outcome {
			if armed.Load() && c.Verb == "patch" && c.Kind == sim.NodeKind {
				off.Store(true) // the way is cut with this very write
			}
			if off.Load() {
				return sim.Outcome{Before: errPartition}
			}
			return sim.Outcome{}
		}
		go m.Live(ctx)
		m.Reaches(plan.Drain)
		m.Pass(15 * time.Minute)
		armed.Store(true)
		m.Until("a write", time.Hour, off.Load)
		m.Pass(21 * time.Minute)
		if m.Draining != 0 {
			t.Errorf("%d drains at ⅔ of the TTL", m.Draining)
		}
	})
}

// A holder that reboots for longer than the TTL loses its slot, comes back into service all the same, and is not
// rebooted again.
func TestSlowerThanTTL(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		s := sim.NewServer()
		first, second := sim.NewMachine(t, s, "first"), sim.NewMachine(t, s, "second")
		first.LockTTL, second.LockTTL = 5*time.Minute, 5*time.Minute
		first.Silent = true
		p := first.Start()
		first.Until("the command", time.Hour, func() bool { return first.Commands == 1 })
		first.Pass(time.Second)
		p.Kill()
		go second.Live(ctx)
		second.Back(1)
		if first.Lease() != nil || !first.Node().Spec.Unschedulable {
			t.Errorf("lease %v", first.Lease())
		}
		first.Set(func() { first.Silent = false })
		first.PowerCut()
		go first.Live(ctx)
		first.Back(1)
		if first.Commands != 1 {
			t.Errorf("%d commands", first.Commands)
		}
	})
}

// Two control planes with a TTL: the shared slot of one that is silent is freed as well.
func TestSilentControlPlane(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		s := sim.NewServer()
		all := controlPlanes(t, s, 2)
		for _, m := range all {
			m.LockTTL = 10 * time.Minute
		}
		all[0].Silent = true
		p := all[0].Start()
		all[0].Until("the command", time.Hour, func() bool { return all[0].Commands == 1 })
		all[0].Pass(time.Hour)
		go all[1].Live(ctx)
		all[1].Pass(time.Hour)
		if all[1].Commands != 0 {
			t.Error("went although the other one renews")
		}
		p.Kill()
		all[1].Back(1)
	})
}

// The slot that all control planes share can lose its owner too.
func TestOrphanedControlPlanesSlot(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		s := sim.NewServer()
		m := controlPlanes(t, s, 1)[0]
		metrics := prometheus.NewRegistry()
		m.Metrics = tell.NewMetrics(metrics, m.Name, "v1")
		orphan := sim.OrphanedSlot(lock.ControlPlaneSlot, "control-plane", "gone")
		if err := s.Create(nil, sim.LeaseKind, orphan); err != nil {
			t.Fatal(err)
		}
		go m.Live(ctx)
		m.Pass(time.Minute)
		if c := m.Told(); c.Reason != string(plan.GateError) || !strings.Contains(c.Message, "kubectl delete lease -n ns "+lock.ControlPlaneSlot) || m.Lease() != nil {
			t.Errorf("%+v, lease %v", c, m.Lease())
		}
		families, err := metrics.Gather()
		if err != nil {
			t.Error(err)
		}
		counted := 0.0
		for _, f := range families {
			if f.GetName() == "rebootd_orphaned_slots" {
				counted = f.GetMetric()[0].GetGauge().GetValue()
			}
		}
		if counted != 1 {
			t.Errorf("%v orphans are counted, want 1", counted)
		}
		if err := s.Remove(nil, sim.LeaseKind, lock.ControlPlaneSlot, nil); err != nil {
			t.Fatal(err)
		}
		m.Back(1)
	})
}

// A Lease without an owner is told of by whoever waits for it.
func TestOrphan(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		s := sim.NewServer()
		m := sim.NewMachine(t, s, "waits")
		if err := s.Create(nil, sim.LeaseKind, sim.OrphanedSlot("rebootd-default-0", "default", "gone")); err != nil {
			t.Fatal(err)
		}
		go m.Live(ctx)
		m.Pass(time.Minute)
		if c := m.Told(); c.Reason != string(plan.GateError) || !strings.Contains(c.Message, "kubectl delete lease -n ns rebootd-default-0") {
			t.Errorf("%+v", c)
		}
		if err := s.Remove(nil, sim.LeaseKind, "rebootd-default-0", nil); err != nil {
			t.Fatal(err)
		}
		m.Back(1)
	})
}
