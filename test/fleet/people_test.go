package fleet

import (
	"fmt"
	"maps"
	"time"

	"github.com/rebootd/rebootd/pkg/circuit"
	"github.com/rebootd/rebootd/test/fleet/sim"
)

// deleteNode deletes the Node; after a while its kubelet makes it anew.
func (w *world) deleteNode(b *box) {
	if b.Node().UID == "" || !w.chance.one(2) {
		return
	}
	w.tell(b.Name, "its Node is deleted")
	w.remove(b)
	after := w.chance.between(time.Second, w.chance.pick(10*time.Second, 5*time.Minute))
	b.charge(after + time.Minute)
	w.wg.Go(func() {
		b.pause(after)
		b.anew()
	})
}

// remove deletes the Node, and what people had written on it.
func (w *world) remove(b *box) {
	w.rules.excuse(b.Name)
	_ = w.server.Remove(nil, sim.NodeKind, b.Name, nil)
	b.change(func() {
		clear(b.wishes.requests)
		b.wishes.hold = false
	})
}

// anew makes the Node again, if there is none.
func (b *box) anew() {
	if b.Node().UID == "" && b.w.ctx.Err() == nil && !b.isGone() {
		b.w.tell(b.Name, "its Node is created again")
		b.w.rules.excuse(b.Name)
		var labels map[string]string
		b.Set(func() { labels = b.labels })
		b.Register(labels)
		b.report()
	}
}

// relabel puts a node into another lock group, or into that of the nodes without a label.
func (w *world) relabel(b *box) {
	if w.groups == 0 || b.Node().UID == "" {
		return
	}
	value := "null"
	labels := maps.Clone(b.labels)
	delete(labels, "pool")
	if i := w.chance.IntN(w.groups + 1); i < w.groups {
		labels["pool"] = poolOf(i, w.groups)
		value = fmt.Sprintf("%q", labels["pool"])
	}
	w.tell(b.Name, "a person sets its label pool=%s", value)
	b.Set(func() { b.labels = labels })
	b.charge(3 * time.Minute) // a take may be on its way, and until then it watches the group that it left
	b.Patch(fmt.Sprintf(`{"metadata":{"labels":{"pool":%s}}}`, value))
}

// most is how many machines a world may grow to beyond what it began with.
const most = 3

// grow adds a node.
func (w *world) grow(*box) {
	if len(w.boxes) >= w.nodes+most {
		return
	}
	b := newBox(w, len(w.boxes))
	w.tell(b.Name, "is new")
	w.boxes = append(w.boxes, b)
	w.wg.Go(b.run)
}

// shrink takes a node away for good, as an autoscaler does.
func (w *world) shrink(b *box) {
	if len(w.there()) == 1 || !w.chance.one(2) {
		return
	}
	w.tell(b.Name, "is taken away for good")
	b.Set(func() { b.gone, b.up = true, false })
	close(b.away)
	w.remove(b)
}

// takeSlot is an operator who deletes a slot's Lease by hand.
func (w *world) takeSlot(*box) {
	all, _ := w.server.List(sim.LeaseKind, nil)
	if len(all) == 0 {
		return
	}
	l := all[w.chance.IntN(len(all))]
	w.tell("world", "a person deletes the slot %s of %s", l.GetName(), l.GetOwnerReferences()[0].Name)
	w.box(l.GetOwnerReferences()[0].Name).charge(2 * time.Minute)
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
	there := w.there()
	w.wg.Go(func() {
		for _, b := range there {
			b.Set(func() { b.Slots = n })
			b.order(restart)
			b.pause(pauses)
		}
	})
}

// closeCircuit is a person who says that what made reboots fail is put right.
func (w *world) closeCircuit(*box) {
	if w.server.Remove(nil, sim.ConfigMapKind, circuit.Name, nil) == nil {
		w.tell("world", "a person closes the circuit")
	}
}

// spoilCircuit leaves something in the circuit's ConfigMap that nobody can read.
func (w *world) spoilCircuit(*box) {
	if w.threshold > 0 && w.chance.one(4) && w.server.Create(nil, sim.ConfigMapKind, sim.ConfigMap(circuit.Name, map[string]string{circuit.OpenKey: "perhaps"})) == nil {
		w.tell("world", "a person writes nonsense into the circuit")
	}
}
