package fleet

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/test/fleet/sim"
)

// deed does something to one machine, or to all.
func (w *world) deed() {
	b := w.boxes[w.chance.IntN(len(w.boxes))]
	deeds := []func(*box){
		w.want, w.want, w.want, w.want, w.want, w.unwant, w.doubt, w.closeGate, w.openGate, w.kill, w.kill, w.pullPlug, w.pullPlug,
		w.cut, w.cut, w.outage, w.cordon, w.uncordon, w.deleteNode, w.takeSlot, w.concurrency, w.dropWatches, w.expire, w.freeze,
		w.jump, w.sicken, w.stick, w.spoil, w.update,
	}
	w.fault()
	deeds[w.chance.IntN(len(deeds))](b)
}

func (w *world) want(b *box) {
	w.tell(b.Name, "wants a reboot")
	b.Set(func() { b.Wanted, b.wantedAt = plan.Yes, b.Boots })
	b.allowed()
}

func (w *world) unwant(b *box) { w.answer(b, plan.No, "wants no reboot any more") }
func (w *world) doubt(b *box)  { w.answer(b, plan.Unknown, "can't say whether it wants a reboot") }

func (w *world) answer(b *box, a plan.Answer, what string) {
	if w.chance.one(2) {
		w.tell(b.Name, "%s", what)
		b.forbidden(func() {
			if b.Wanted = a; a == plan.No {
				b.wantedAt = 0
			}
		})
	}
}

func (w *world) closeGate(b *box) {
	w.tell(b.Name, "its gate closes")
	b.forbidden(func() { b.Gate.Open, b.Gate.Everyone = false, w.chance.one(2) })
}

func (w *world) openGate(b *box) {
	b.Set(func() { b.Gate.Open = true })
	b.allowed()
}

// forbidden notes since when no reboot may begin.
func (b *box) forbidden(f func()) {
	b.Set(func() {
		if b.Wanted == plan.Yes && b.Gate.Open {
			b.openedAt = time.Now()
		}
		f()
	})
}

// mayGo is whether gate and wish allow a reboot, or did so long ago that what was decided then may still be on its way.
func (b *box) mayGo(ago time.Duration) (may bool) {
	b.Set(func() {
		may = b.Wanted == plan.Yes && b.Gate.Open || !b.openedAt.IsZero() && time.Since(b.openedAt) < ago
	})
	return may
}

func (b *box) boots() (n int) {
	b.Set(func() { n = b.Boots })
	return n
}

func (b *box) allowed() {
	b.Set(func() {
		if b.Wanted == plan.Yes && b.Gate.Open {
			b.openedAt = time.Time{}
		}
	})
}

func (w *world) kill(b *box)     { b.order(crash) }
func (w *world) update(b *box)   { b.order(overlap) }
func (w *world) pullPlug(b *box) { b.order(powerCut) }

// cut takes the agent's way to the server away.
func (w *world) cut(b *box) {
	d := w.chance.between(time.Second, w.chance.pick(20*time.Second, 2*time.Minute, 10*time.Minute))
	w.tell(b.Name, "has no way to the API server for %s", d.Round(time.Millisecond))
	b.Set(func() { b.cutUntil = time.Now().Add(d) })
	ends := w.chance.one(2)
	w.wg.Go(func() {
		b.pause(d)
		if ends {
			b.endWatches(watch.Event{})
		}
	})
}

// outage is a time without an API server.
func (w *world) outage(*box) {
	if !w.chance.one(3) {
		return
	}
	d := w.chance.between(time.Second, 3*time.Minute)
	w.tell("world", "there is no API server for %s", d.Round(time.Millisecond))
	w.mu.Lock()
	w.outUntil = time.Now().Add(d)
	w.mu.Unlock()
	for _, b := range w.boxes {
		b.endWatches(watch.Event{})
		time.Sleep(w.chance.between(0, time.Millisecond))
	}
}

func (b *box) endWatches(last watch.Event) {
	var p *sim.Process
	b.Set(func() { p = b.running })
	if p != nil {
		p.Client.EndWatches(last)
	}
}

func (w *world) dropWatches(b *box) { b.endWatches(watch.Event{}) }

// expire ends the watches because their version is too old.
func (w *world) expire(b *box) {
	b.endWatches(watch.Event{Type: watch.Error, Object: &metav1.Status{
		Status: metav1.StatusFailure, Code: 410, Reason: metav1.StatusReasonExpired, Message: "too old resource version"}})
}

// freeze makes the watches fall behind.
func (w *world) freeze(b *box) {
	d := w.chance.between(time.Second, 2*time.Minute)
	w.tell(b.Name, "its watches stand still for %s", d.Round(time.Millisecond))
	b.Set(func() { b.lagUntil = time.Now().Add(d) })
}

func (w *world) cordon(b *box) {
	w.schedulable(b, `{"spec":{"unschedulable":true}}`, "a person cordons it")
}
func (w *world) uncordon(b *box) {
	w.schedulable(b, `{"spec":{"unschedulable":null}}`, "a person uncordons it")
}

func (w *world) schedulable(b *box, patch, what string) {
	if b.Node().UID != "" {
		w.tell(b.Name, "%s", what)
		b.Patch(patch)
	}
}

// deleteNode deletes the Node; after a while its kubelet makes it anew.
func (w *world) deleteNode(b *box) {
	if b.Node().UID == "" || !w.chance.one(2) {
		return
	}
	w.tell(b.Name, "its Node is deleted")
	w.rules.excuse(b.Name)
	_ = w.server.Remove(nil, sim.NodeKind, b.Name, nil)
	after := w.chance.between(time.Second, w.chance.pick(10*time.Second, 5*time.Minute))
	w.wg.Go(func() {
		b.pause(after)
		b.anew()
	})
}

// anew makes the Node again, if there is none.
func (b *box) anew() {
	if b.Node().UID == "" && b.w.ctx.Err() == nil {
		b.w.tell(b.Name, "its Node is created again")
		b.w.rules.excuse(b.Name)
		b.Register(b.labels)
		b.report()
	}
}

// takeSlot is an operator who deletes a slot's Lease by hand.
func (w *world) takeSlot(*box) {
	all, _ := w.server.List(sim.LeaseKind, nil)
	if len(all) == 0 {
		return
	}
	l := all[w.chance.IntN(len(all))]
	w.tell("world", "a person deletes the slot %s of %s", l.GetName(), l.GetOwnerReferences()[0].Name)
	_ = w.server.Remove(nil, sim.LeaseKind, l.GetName(), nil)
}

// concurrency changes the number of slots; the agents are restarted one after another.
func (w *world) concurrency(*box) {
	n := 1 + w.chance.IntN(4)
	if !w.chance.one(2) || n == w.slots {
		return
	}
	w.tell("world", "the number of slots is to be %d, not %d", n, w.slots)
	w.slots = n
	pauses := w.chance.between(time.Second, 30*time.Second)
	w.wg.Go(func() {
		for _, b := range w.boxes {
			b.Set(func() { b.Slots = n })
			b.order(restart)
			b.pause(pauses)
		}
	})
}

// jump sets a machine's clock.
func (w *world) jump(b *box) {
	if w.jumps {
		d := w.chance.between(-10*time.Minute, 10*time.Minute)
		w.tell(b.Name, "its clock jumps to %s off", d.Round(time.Second))
		b.skew.Store(int64(d))
	}
}

// sicken makes the kubelet say that the node isn't Ready, for a while.
func (w *world) sicken(b *box) {
	d := w.chance.between(time.Second, 4*time.Minute)
	w.tell(b.Name, "is not Ready for %s", d.Round(time.Second))
	b.Set(func() { b.ready = false })
	b.report()
	w.wg.Go(func() {
		b.pause(d)
		b.Set(func() { b.ready = true })
		b.report()
	})
}

// stick keeps the pods from going, for a while or until the end.
func (w *world) stick(b *box) {
	if w.chance.one(4) {
		w.tell(b.Name, "can't be drained any more")
		b.Set(func() { b.undrainable = true })
		return
	}
	d := w.chance.between(10*time.Second, 10*time.Minute)
	w.tell(b.Name, "can't be drained for %s", d.Round(time.Second))
	b.Set(func() { b.stuckUntil = time.Now().Add(d) })
}

// spoil makes reboots not end the wish.
func (w *world) spoil(b *box) {
	if w.chance.one(3) {
		w.tell(b.Name, "reboots don't help it from now on")
		b.Set(func() { b.Clears = false })
	}
}

// heal ends all that is wrong with a machine.
func (b *box) heal() {
	b.Set(func() {
		b.cutUntil, b.lagUntil, b.stuckUntil = time.Time{}, time.Time{}, time.Time{}
		b.Clears, b.ready, b.Gate.Open = true, true, true
		if b.Wanted == plan.Unknown {
			b.Wanted, b.wantedAt = plan.No, 0
		}
		b.Slots = b.w.slots
	})
	b.allowed()
	b.anew()
	b.report()
	if b.w.maxUnavailable > 0 && b.Node().Spec.Unschedulable { // what people cordoned would hold the others for ever
		b.w.uncordon(b)
	}
	b.order(restart)
}
