package fleet

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/pkg/fleet"
	"github.com/rebootd/rebootd/pkg/lock"
	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/test/fleet/sim"
)

// P8 after each step: a node keeps a slot from others only as long as its configuration allows for where it stands, and nobody
// waits long for a slot that is free. What goes wrong with a machine, and what people do to it, costs time that nobody can say exactly: it
// is charged to the machine (box.charge), generously, and added to what is allowed.

// slack is how long a step may take of itself: a look each 30 s at the latest, some requests, a jitter.
const slack = 3 * time.Minute

// stay is how long a holder of a slot has stood in one place.
type stay struct {
	place place
	since time.Time
	paid  time.Duration
}

// place is where it stands. From one to the next is progress.
type place struct {
	phase    plan.Phase
	attempts int
	boots    int
	backOff  bool
}

// cost is what something takes from an agent: no more than the time from then on until its end.
type cost struct{ end time.Time }

// charge notes that something may cost the machine's agent so much time.
func (b *box) charge(d time.Duration) {
	b.Set(func() {
		b.debt += d
		b.costs = append(b.costs, cost{time.Now().Add(d)})
	})
}

// owes is how much time the machine was charged in all, paid how much of it is over.
func (b *box) owes() (owes, paid time.Duration) {
	now := time.Now()
	b.Set(func() {
		b.costs = slices.DeleteFunc(b.costs, func(c cost) bool { return !c.end.After(now) })
		owes, paid = b.debt, b.debt
		for _, c := range b.costs {
			paid -= c.end.Sub(now)
		}
	})
	return owes, paid
}

// look is progress when nothing has been written.
func (r *rules) look() {
	r.w.server.Look(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.progress()
	})
}

// progress looks at every slot that is held, and at every one that is not.
func (r *rules) progress() {
	held := map[string]int{}
	for _, o := range r.w.server.Objects(sim.LeaseKind) {
		g, _ := lock.GroupOf(o.GetName())
		held[g]++
		owner := o.GetOwnerReferences()[0]
		if t := r.nodes[owner.Name]; t != nil && t.uid == owner.UID {
			r.stands(t, o.GetName(), string(o.GetUID()))
		}
	}
	r.room(held)
}

// stands: a holder doesn't stand in one place for too long.
func (r *rules) stands(t *truth, slot, uid string) {
	b := r.boxes[t.name]
	var boots int
	var up bool
	b.Set(func() { boots, up = b.Boots, b.up })
	owes, paid := b.owes()
	backOff := t.record.Phase == plan.Required && t.record.BackOff != nil && b.now().Before(t.record.BackOff.Until) && !r.w.jumps
	here := place{t.record.Phase, t.record.Attempts, boots, backOff}
	s := r.stays[uid]
	if s == nil || s.place != here {
		s = &stay{here, time.Now(), paid}
		r.stays[uid] = s
	}
	since := s.since
	if here.phase == plan.Recovering || here.phase == plan.Settle {
		if boot, _ := b.BootID(); t.readySince.IsZero() || t.readyBoot != boot {
			return // it may wait for its kubelet for ever
		}
		if t.readySince.After(since) {
			since = t.readySince
		}
	}
	if !up || here.phase == plan.Rebooting && t.record.Reason == plan.RebootTimedOut && boots == t.bootsOut {
		return // the machine is off, or only a person can help
	}
	allowed := allowedIn(b.Policy, here, t.bootsOut) + slack + owes - s.paid
	r.check(time.Since(since) <= allowed, t.name, "P8: keeps slot %s for %s in %+v (%s), %s are allowed", slot, time.Since(since), here, t.record.Reason, allowed)
}

// allowedIn is how long the configuration lets a node keep its slot in one place.
func allowedIn(p plan.Policy, here place, bootsOut int) time.Duration {
	rebooted := here.boots > bootsOut
	switch {
	case here.phase == plan.Required && !here.backOff:
		return p.DrainDelay + p.TurnTime
	case here.phase == plan.Drain && !rebooted:
		d := p.DrainTimeout + p.RebootDelay + p.GateGrace
		if p.OnDrainTimeout == plan.DeletePods {
			d += p.DrainTimeout
		}
		return d
	case here.phase == plan.Rebooting && !rebooted:
		return p.RetryDelay + p.CommandTimeout + p.GateGrace + p.RebootTimeout
	case here.phase == plan.Recovering:
		return p.SteadyTime
	case here.phase == plan.Settle:
		return p.SettleTime
	default: // in service, or it has given up, or the next step is due: at once
		return 0
	}
}

// room: nobody waits for nothing but a slot while there is one. Of a share of the group's nodes a waiting node learns late.
func (r *rules) room(held map[string]int) {
	if r.w.percent > 0 {
		return
	}
	least := map[string]int{}
	for name, t := range r.nodes {
		if n, ok := r.slots[name]; ok && (least[t.group] == 0 || n < least[t.group]) {
			least[t.group] = n
		}
	}
	for g, n := range least {
		if held[g] >= n {
			delete(r.roomSince, g)
		} else if r.roomSince[g].IsZero() {
			r.roomSince[g] = time.Now()
		}
	}
	nodes := r.w.server.Objects(sim.NodeKind)
	for _, t := range r.nodes {
		since, free := r.roomSince[t.group]
		if !free || t.waitsSince.IsZero() || fleet.ControlPlane(nodes[t.name].(*corev1.Node).Labels) {
			continue // control planes wait for each other, too
		}
		if t.waitsSince.After(since) {
			since = t.waitsSince
		}
		owes, _ := r.boxes[t.name].owes()
		allowed := slack + owes - t.paid
		r.check(time.Since(since) <= allowed, t.name, "P8: waits for a slot of group %s for %s, and one is free; %s are allowed", t.group, time.Since(since), allowed)
	}
}

// gaveUp: whoever gives up with a failure backs off, for twice as long as the last time.
func (r *rules) gaveUp(name string, t *truth, was plan.Record) {
	is := t.record
	if is.Phase != plan.Aborting || was.Phase == plan.Aborting {
		return
	}
	before, after := failures(was), failures(is)
	r.check(is.Reason != plan.DrainTimedOut || after == before+1, name, "P8: gives up a drain and doesn't back off: %s", is)
	if after == before {
		return
	}
	p := r.boxes[name].Policy
	least := p.BackOff
	for range after - 1 {
		least = min(2*least, p.BackOffMax)
	}
	r.check(is.BackOff.Until.Sub(is.Since) >= least, name, "P8: backs off for less than %s: %s", least, is)
}

func failures(r plan.Record) int {
	if r.BackOff == nil {
		return 0
	}
	return r.BackOff.Failures
}

// backedOff: nobody is cordoned who backs off.
func (r *rules) backedOff(name string, was plan.Record) {
	if b := was.BackOff; b != nil && !r.w.jumps {
		now := r.boxes[name].now()
		r.check(!now.Before(b.Until), name, "P8: cordoned at %s, though it backs off until %s", now, b.Until)
	}
}
