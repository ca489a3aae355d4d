package fleet

import (
	"maps"
	"slices"
	"strconv"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rebootd/rebootd/pkg/fleet"
	"github.com/rebootd/rebootd/pkg/lock"
	"github.com/rebootd/rebootd/pkg/node"
	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/test/fleet/sim"
)

// size is how many nodes a group had from some time on.
type size struct {
	at    time.Time
	nodes int
}

// resize notes how many nodes each group has.
func (r *rules) resize() {
	now := map[string]int{}
	for g := range r.sizes {
		now[g] = 0
	}
	for _, t := range r.nodes {
		now[t.group]++
	}
	for g, n := range now {
		if all := r.sizes[g]; len(all) == 0 || all[len(all)-1].nodes != n {
			r.sizes[g] = append(all, size{time.Now(), n})
		}
	}
}

// mayAt is how many of a group whoever takes a slot now may count on: that was decided by what there was a while ago at the most.
func (r *rules) mayAt(by *sim.Client, group string) int {
	if r.w.percent == 0 {
		return r.asked[by]
	}
	nodes := 0
	for _, s := range slices.Backward(r.sizes[group]) {
		nodes = max(nodes, s.nodes)
		if time.Since(s.at) > latest+2*inFlight {
			break
		}
	}
	return r.w.shareOf(nodes)
}

// out is whether the Node is out of service by our doing.
func (t *truth) out() bool { return t.cordon == plan.CordonOurs || t.record.Out() }

// covered: who is out holds the slot that its record names.
func (r *rules) covered(name string, n *corev1.Node, t *truth) {
	if !t.out() {
		t.excused, t.sharedExcused = false, false
		return
	}
	if at, ok := t.taken[t.record.LeaseUID]; ok && time.Since(at) < latest+inFlight {
		t.excused = true // it was proved to be held, and the cordon was on its way, perhaps for long
	}
	r.check(t.excused || r.holds(n, t.record), name, "P5: out of service without a slot; record %s", t.record)
}

func (r *rules) holds(n *corev1.Node, record plan.Record) bool {
	l, ok := r.w.server.Objects(sim.LeaseKind)[record.Slot]
	return ok && string(l.GetUID()) == record.LeaseUID && len(l.GetOwnerReferences()) == 1 && l.GetOwnerReferences()[0].UID == n.UID
}

func (r *rules) lease(c sim.Change) {
	l := c.After.(*coordinationv1.Lease)
	holder, uid := l.OwnerReferences[0].Name, string(l.UID)
	t := r.nodes[holder]
	expires := c.By != nil && c.By.Name != holder && c.Type == watch.Deleted && r.w.ttl > 0
	if expires {
		r.check(time.Since(r.touched[uid]) >= r.w.ttl, c.By.Name, "P5: frees %s of %s, who was heard of %s ago", l.Name, holder, time.Since(r.touched[uid]))
		r.w.tell(c.By.Name, "frees slot %s of %s, who was silent", l.Name, holder)
	} else if c.By != nil {
		r.check(c.By.Name == holder, c.By.Name, "P5: writes to %s, which %s holds", l.Name, holder)
		r.w.tell(c.By.Name, "%s slot %s %s", map[watch.EventType]string{watch.Added: "takes", watch.Deleted: "frees", watch.Modified: "hands on, or renews,"}[c.Type], l.Name, l.UID)
	}
	r.touched[uid] = time.Now()
	switch c.Type {
	case watch.Added:
		g, _ := lock.GroupOf(l.Name)
		r.may[uid] = r.mayAt(c.By, g)
	case watch.Modified:
		r.handedOn(c)
	default:
		delete(r.stays, uid)
		if t != nil {
			r.freed(c, t, l, expires)
		}
	}
}

// freed: a slot is gone.
func (r *rules) freed(c sim.Change, t *truth, l *coordinationv1.Lease, expires bool) {
	uid := string(l.UID)
	if l.Name == lock.ControlPlaneSlot {
		r.check(c.By == nil || expires || !t.out(), t.name, "P5: frees the control planes' slot while it is out of service: %s", t.record)
		t.sharedExcused, t.sharedLostAt = t.out(), time.Now()
	}
	switch {
	case c.By == nil: // a person, or the garbage collector
		t.taken[uid] = time.Now()
		if t.record.LeaseUID == uid {
			t.excused, t.lostAt = t.out(), time.Now()
		}
	case t.record.LeaseUID != uid:
	case expires: // P1 doesn't hold for the silent; that they do nothing any more does
		t.expired[uid], t.excused = time.Now(), t.out()
		r.check(r.boxes[t.name].drains() == 0, t.name, "P2: evicts still, though its slot %s was not renewed for so long that it was freed", l.Name)
	default:
		r.check(!t.out(), t.name, "P5: frees slot %s while it is out of service: %s", l.Name, t.record)
	}
}

// most: no more are out than may be.
func (r *rules) most() {
	out, may := map[string][]string{}, map[string]int{}
	controlPlanes := 0
	nodes := r.w.server.Objects(sim.NodeKind)
	for name, t := range r.nodes {
		n := r.slots[name]
		if all := r.sizes[t.group]; r.w.percent > 0 {
			n = r.w.shareOf(all[len(all)-1].nodes)
		}
		may[t.group] = max(may[t.group], n)
		if t.out() && !t.excused {
			g, ok := lock.GroupOf(t.record.Slot) // which it may have left since
			if !ok {
				g = t.group
			}
			out[g] = append(out[g], name)
			if o := nodes[name]; o != nil && fleet.ControlPlane(o.GetLabels()) && !t.sharedExcused {
				controlPlanes++
			}
		}
	}
	for _, o := range r.w.server.Objects(sim.LeaseKind) {
		g, _ := lock.GroupOf(o.GetName())
		may[g] = max(may[g], r.may[string(o.GetUID())])
	}
	for _, g := range slices.Sorted(maps.Keys(out)) {
		slices.Sort(out[g])
		r.check(len(out[g]) <= may[g], "world", "P1: %d of group %s are out, %d may be: %q", len(out[g]), g, may[g], out[g])
	}
	r.beside(out["default"], may["default"])
	r.check(controlPlanes <= 1, "world", "P1: %d control planes are out", controlPlanes)
}

// inService is whether a Node takes pods.
func inService(n *corev1.Node) bool { return isReady(n) && !n.Spec.Unschedulable }

func isReady(n *corev1.Node) bool {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// enoughStay: with a node that has just been cordoned, not too many are out, whoever took them out.
func (r *rules) enoughStay(me *truth) {
	if g, _ := lock.GroupOf(me.record.Slot); r.w.groups > 0 && g != me.group {
		return // it left the group in which it has counted
	}
	out, silent, planes, ready, plane := 0, 0, 0, 0, false
	for other, o := range r.w.server.Objects(sim.NodeKind) {
		n := o.(*corev1.Node)
		if group(n) == me.group {
			if other == me.name || !inService(n) {
				out++
			}
			if t := r.nodes[other]; other != me.name && !isReady(n) && t.out() && t.excused {
				silent++
			}
		}
		if !fleet.ControlPlane(n.Labels) {
			continue
		}
		planes++
		plane = plane || other == me.name
		if isReady(n) && other != me.name {
			ready++
		}
	}
	r.check(r.w.maxUnavailable == 0 || out <= r.w.maxUnavailable, me.name, "cordoned, and now %d are out", out)
	r.check(!plane || planes < 3 || ready >= planes/2+1, me.name, "cordoned, and now %d of %d control planes are Ready", ready, planes)
	r.check(silent == 0 || silent < r.may[me.record.LeaseUID], me.name, "cordoned, though %d that lost their slots are not back", silent)
}

// keptFor is how long after it was named a node is passed over by others: the time that the slot needs to be freed, and that it is kept for the node then.
const keptFor = inFlight + 5*time.Second

// handedOn: the successor is one of those who have waited, and none of a higher priority has.
func (r *rules) handedOn(c sim.Change) {
	is, was := c.After.GetAnnotations()[lock.NextAnnotation], c.Before.GetAnnotations()[lock.NextAnnotation]
	next := r.nodes[is]
	if is != was {
		r.named[is] = time.Now()
	}
	if is == was || next == nil || !next.settled() {
		return
	}
	holds := map[string]bool{} // or will: somebody else has named it
	for name, o := range r.w.server.Objects(sim.LeaseKind) {
		holds[o.GetOwnerReferences()[0].Name] = true
		if name != c.After.GetName() {
			holds[o.GetAnnotations()[lock.NextAnnotation]] = true
		}
	}
	g, _ := lock.GroupOf(c.After.GetName())
	for _, t := range r.nodes {
		reserved := time.Since(r.named[t.name]) < keptFor
		if t.group == g && next.group == g && t.settled() && !holds[t.name] && !reserved && !t.waitsSince.IsZero() {
			r.check(t.priority <= next.priority, c.By.Name, "hands on to %s, but %s goes first: priority %d, not %d", is, t.name, t.priority, next.priority)
		}
	}
	r.check(!next.waitsSince.IsZero(), c.By.Name, "hands on to %s, who doesn't wait: %s", is, next.record)
}

// settled is whether everyone knows of the node what is so.
func (t *truth) settled() bool { return time.Since(t.changedAt) > latest+inFlight }

// follow notes what changed of a Node, as far as its turn depends on it.
func (r *rules) follow(t *truth, before, after *corev1.Node, was plan.Record) {
	if g := group(after); g != t.group {
		t.group, t.changedAt, t.waitsSince, r.disturbed = g, time.Now(), time.Time{}, time.Now()
		r.resize()
	}
	priority, _ := strconv.Atoi(after.Annotations[fleet.PriorityAnnotation])
	labelled := before.Labels[node.RequiredLabel] != after.Labels[node.RequiredLabel]
	if priority != t.priority || labelled || was.Phase != t.record.Phase || was.Waits() != t.record.Waits() {
		t.priority, t.changedAt = priority, time.Now()
	}
	switch {
	case !t.record.Waits():
		t.waitsSince = time.Time{}
	case t.waitsSince.IsZero():
		_, paid := r.boxes[t.name].owes()
		t.waitsSince, t.paid = time.Now(), paid
	}
	switch {
	case !isReady(after):
		t.readySince = time.Time{}
	case t.readySince.IsZero() || before.Status.NodeInfo.BootID != after.Status.NodeInfo.BootID:
		t.readySince = time.Now()
	}
	if before.Spec.Unschedulable && !after.Spec.Unschedulable {
		b := r.boxes[t.name]
		b.Set(func() { b.pods.old = false })
	}
	t.readyBoot = after.Status.NodeInfo.BootID
}
