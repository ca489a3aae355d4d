package fleet

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/test/fleet/sim"
)

// deed is one thing that may happen, and how often beside the others.
type deed struct {
	name string
	// often is its share.
	often int
	do    func(*box)
}

// deeds are all there are. A new one is a line here; what it may cost an agent in time it charges to the machine.
func (w *world) deeds() []deed {
	return []deed{
		{"wish", 5, w.want}, {"wish withdrawn", 1, w.unwant}, {"sentinel unknown", 1, w.doubt},
		{"gate closed", 1, w.closeGate}, {"gate opened", 1, w.openGate},
		{"crash", 2, w.kill}, {"power cut", 2, w.pullPlug}, {"two agents", 1, w.update},
		{"partition", 2, w.cut}, {"outage", 1, w.outage},
		{"watches dropped", 1, w.dropWatches}, {"watches expired", 1, w.expire}, {"watches frozen", 1, w.freeze},
		{"clock", 1, w.jump}, {"not Ready", 1, w.sicken}, {"pods stuck", 2, w.stick}, {"reboots in vain", 1, w.spoil},
		// What people do.
		{"cordon", 1, w.cordon}, {"uncordon", 1, w.uncordon}, {"hold", 1, w.hold}, {"hold ended", 1, w.letGo},
		{"request", 1, w.request}, {"request withdrawn", 1, w.withdraw}, {"priority", 1, w.prefer},
		{"slot freed by hand", 1, w.takeSlot}, {"other concurrency", 1, w.concurrency},
		{"circuit closed by hand", 1, w.closeCircuit}, {"circuit spoiled", 1, w.spoilCircuit},
		{"pause", 1, w.pause}, {"pause ended", 1, w.resume},
		{"Node deleted", 1, w.deleteNode}, {"other group", 2, w.relabel}, {"node added", 1, w.grow}, {"node removed", 1, w.shrink},
	}
}

// deed does something to one machine, or to all.
func (w *world) deed() {
	there := w.there()
	b, all := there[w.chance.IntN(len(there))], w.deeds()
	sum := 0
	for _, d := range all {
		sum += d.often
	}
	n := w.chance.IntN(sum)
	for _, d := range all {
		if n -= d.often; n < 0 {
			w.fault(d.name)
			d.do(b)
			return
		}
	}
}

func (w *world) kill(b *box)     { b.order(crash) }
func (w *world) update(b *box)   { b.order(overlap) }
func (w *world) pullPlug(b *box) { b.order(powerCut) }

// cut takes the agent's way to the server away.
func (w *world) cut(b *box) {
	d := w.chance.between(time.Second, w.chance.pick(20*time.Second, 2*time.Minute, 10*time.Minute))
	w.tell(b.Name, "has no way to the API server for %s", d.Round(time.Millisecond))
	b.Set(func() { b.cutUntil = time.Now().Add(d) })
	b.charge(d + 3*time.Minute)
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
	for _, b := range w.there() {
		b.endWatches(watch.Event{})
		b.charge(d + 3*time.Minute)
		time.Sleep(w.chance.between(0, time.Millisecond))
	}
}

func (b *box) endWatches(last watch.Event) {
	var p *sim.Process
	b.Set(func() { p = b.running })
	b.charge(time.Minute)
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
	b.charge(d + time.Minute)
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
		b.charge(time.Minute)
		b.Patch(patch)
	}
}

// jump sets a machine's clock.
func (w *world) jump(b *box) {
	if w.jumps {
		d := w.chance.between(-10*time.Minute, 10*time.Minute)
		w.tell(b.Name, "its clock jumps to %s off", d.Round(time.Second))
		b.charge(20 * time.Minute)
		b.skew.Store(int64(d))
	}
}

// sicken makes the kubelet say that the node isn't Ready, for a while.
func (w *world) sicken(b *box) {
	d := w.chance.between(time.Second, 4*time.Minute)
	w.tell(b.Name, "is not Ready for %s", d.Round(time.Second))
	b.Set(func() { b.ready = false })
	b.charge(d + time.Minute)
	b.report()
	w.wg.Go(func() {
		b.pause(d)
		b.Set(func() { b.ready = true })
		b.report()
	})
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
		b.cutUntil, b.lagUntil, b.pods.heldUntil = time.Time{}, time.Time{}, time.Time{}
		b.Clears, b.ready = true, true
		b.Slots = b.w.slots
	})
	b.change(func() {
		b.Gate.Open = true
		if b.Wanted == plan.Unknown {
			b.Wanted, b.wantedAt = plan.No, 0
		}
	})
	b.anew()
	b.w.letGo(b)
	b.report()
	if b.w.maxUnavailable > 0 && b.Node().Spec.Unschedulable { // what people cordoned would hold the others for ever
		b.w.uncordon(b)
	}
	b.order(restart)
}
