package fleet

import (
	"fmt"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rebootd/rebootd/pkg/circuit"
	"github.com/rebootd/rebootd/pkg/node/drain"
	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/test/fleet/sim"
)

// now is by the machine's clock.
func (b *box) now() time.Time { return time.Now().Add(time.Duration(b.skew.Load())) }

// drains: an agent begins to evict, or to delete.
func (r *rules) drains(b *box, way drain.Way) {
	r.disrupts(b, plan.Drain, "evicts")
	if way != drain.Delete || r.w.jumps {
		return
	}
	record := b.Record()
	late := b.now().Sub(record.Since) >= b.Policy.DrainTimeout
	r.mu.Lock()
	defer r.mu.Unlock()
	r.check(b.Policy.OnDrainTimeout == plan.DeletePods && (late || record.Phase != plan.Drain), b.Name, "P2: deletes pods, with record %s", record)
}

// evicts: a pod goes.
func (r *rules) evicts(b *box) {
	record := b.Record()
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.nodes[b.Name]; t != nil {
		at, lost := t.expired[record.LeaseUID]
		r.check(!lost, b.Name, "P2: evicts by a slot that was freed %s ago, because it was not renewed", time.Since(at))
	}
}

// commands: the reboot command is run.
func (r *rules) commands(b *box, p *sim.Process) {
	r.w.tell(b.Name, "the reboot command is run")
	r.disrupts(b, plan.Rebooting, "reboots")
	record := b.Record()
	r.mu.Lock()
	defer r.mu.Unlock()
	left, evicting := 0, 0
	b.Set(func() { left, evicting = b.pods.left, b.evicting[p] })
	r.check(evicting == 0, b.Name, "reboots while it evicts")
	r.check(b.mayGo(2*inFlight), b.Name, "P2: reboots while a gate is closed or nothing is wanted")
	r.check(!r.isShut(2*inFlight), b.Name, "P7: reboots while the circuit is open")
	anyway := b.Policy.OnDrainTimeout == plan.RebootAnyway && (r.w.jumps || b.now().Sub(record.OutSince) >= b.Policy.DrainTimeout)
	r.check(left == 0 || anyway, b.Name, "P2: reboots with %d pods left (-1: never drained); record %s", left, record)
}

// disrupts: only with slot and record.
func (r *rules) disrupts(b *box, phase plan.Phase, what string) {
	n, lease := b.Node(), (*coordinationv1.Lease)(nil)
	record := b.Record()
	if o, err := b.Server.Get(sim.LeaseKind, record.Slot); err == nil {
		lease = o.(*coordinationv1.Lease)
	}
	boot, _ := b.BootID()
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.nodes[b.Name]
	if t == nil || n.UID == "" || time.Since(t.lostAt) < inFlight {
		return // a person was quicker than the answer that it goes by
	}
	announced := phase == plan.Drain && record.Phase == plan.Rebooting // by this very agent, and it hasn't seen so yet
	r.check((record.Phase == phase || announced) && strings.HasPrefix(record.BootID, boot), b.Name, "P2: %s in %s with record %s", what, boot, record)
	r.check(lease != nil && string(lease.UID) == record.LeaseUID && lease.OwnerReferences[0].UID == n.UID, b.Name, "P2: %s without its slot: record %s", what, record)
}

// circuitTruth is what is so of the circuit.
type circuitTruth struct {
	// since is since when nobody may reboot, opened what its ConfigMap says of that; zero: everybody may.
	since, opened time.Time
	// broken is that nobody can read it.
	broken bool
	// counted are the failures that it has ever held.
	counted map[string]bool
}

func failed(name string, out time.Time) string { return fmt.Sprintf("%s@%d", name, out.Unix()) }

func (r *rules) circuitChanged(c sim.Change) {
	t := &r.circuit
	state, err := circuit.Parse(c.After.(*corev1.ConfigMap).Data)
	if c.Type == watch.Deleted {
		t.since, t.opened, t.broken = time.Time{}, time.Time{}, false
		return
	}
	if c.By != nil {
		r.check(!t.broken && err == nil, c.By.Name, "P7: writes over a circuit that it can't read, or one that nobody can: %v", err)
		r.check(len(state.Failures) < r.w.threshold || !state.Opened.IsZero(), c.By.Name, "P7: %d failures, and the circuit is closed", len(state.Failures))
		r.w.tell(c.By.Name, "circuit: %q, open since %s", state, state.Opened)
	}
	t.broken = err != nil
	switch {
	case !t.broken && state.Opened.IsZero():
		t.since = time.Time{}
	case t.broken || !t.opened.Equal(state.Opened):
		t.since = time.Now()
	}
	t.opened = state.Opened
	for _, f := range state.Failures {
		t.counted[failed(f.Node, f.Out)] = true
	}
}

// isShut is whether the circuit is open, whosever clock one looks at, and has been for so long.
func (r *rules) isShut(ago time.Duration) bool {
	t := r.circuit
	if t.since.IsZero() || time.Since(t.since) < ago {
		return false
	}
	clocks := time.Second
	if r.w.skewed {
		clocks = 20 * time.Minute
	}
	return t.broken || r.w.reset == 0 || !r.w.jumps && time.Since(t.since) < r.w.reset-clocks
}

// stopped is whether only a person lets reboots go on.
func (r *rules) stopped() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.circuit.since.IsZero() && (r.circuit.broken || r.w.reset == 0)
}

// counted: a record says that its failure was counted only when it was.
func (r *rules) counted(name string, was, is plan.Record) {
	if is.Failed && !was.Failed && r.w.threshold > 0 {
		r.check(r.circuit.counted[failed(name, is.OutSince)], name, "P7: says that its failure was counted: %s", is)
	}
}
