package fleet

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
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

// rules hold what is promised against what happens: at every write and at every command.
type rules struct {
	w     *world
	boxes map[string]*box

	mu            sync.Mutex
	steps, checks int
	nodes         map[string]*truth
	// slots is how many the running agent of each node may count on, asked how many the one that made a Lease could.
	slots map[string]int
	asked map[*sim.Client]int
	may   map[string]int
	// disturbed is when something last changed, by no agent's doing, in how many nodes are in service.
	disturbed time.Time
}

// truth is what is so of a Node, whatever its record says.
type truth struct {
	group string
	// cordon says who put on the cordon that it has.
	cordon plan.Cordon
	// asked is how the last person who cordoned or uncordoned it left it; unseen: over our cordon, where it can't be seen.
	asked, unseen bool
	// bootsOut is the machine's boots when it went out.
	bootsOut int
	// excused is that a person took its slot while it was out: it doesn't count until it is in again.
	excused bool
	// sharedExcused is the same of the slot that all control planes share.
	sharedExcused bool
	// lostAt is when.
	lostAt time.Time
	record plan.Record
	// sharedLostAt is when a person took its control planes' slot.
	sharedLostAt time.Time
	// taken are the slots that persons took from it, and when.
	taken map[string]time.Time
}

// inFlight is how long something that was proved may be on its way to the one who acts on it.
const inFlight = 12 * time.Second

func newRules(w *world) *rules {
	return &rules{w: w, boxes: map[string]*box{}, nodes: map[string]*truth{}, slots: map[string]int{},
		asked: map[*sim.Client]int{}, may: map[string]int{}}
}

// started notes an agent's configuration.
func (r *rules) started(b *box, p *sim.Process) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := b.mayBeOut()
	r.boxes[b.Name], r.slots[b.Name], r.asked[p.Client] = b, n, n
}

// changed looks at a write. The server is locked.
func (r *rules) changed(c sim.Change) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.steps++
	if c.Kind == sim.NodeKind {
		r.node(c)
	} else {
		r.lease(c)
	}
	r.most()
}

func (r *rules) node(c sim.Change) {
	after, name := c.After.(*corev1.Node), c.After.GetName()
	if c.By != nil {
		r.check(c.By.Name == name, name, "P11: %s writes to another's Node", c.By.Name)
	}
	switch c.Type {
	case watch.Added:
		r.disturbed = time.Now()
		r.nodes[name] = &truth{group: group(after), taken: map[string]time.Time{}, lostAt: time.Now()}
		return
	case watch.Deleted:
		r.disturbed = time.Now()
		delete(r.nodes, name)
		return
	}
	before, t := c.Before.(*corev1.Node), r.nodes[name]
	if c.By == nil && inService(before) != inService(after) {
		r.disturbed = time.Now()
	}
	record, err := plan.ParseRecord(after.Annotations[node.StateAnnotation])
	r.check(err == nil, name, "a record that can't be read: %v", err)
	was := t.record
	t.record = record
	switch {
	case before.Spec.Unschedulable == after.Spec.Unschedulable:
	case c.By == nil:
		r.person(t, was, after.Spec.Unschedulable)
	case after.Spec.Unschedulable:
		r.cordoned(name, t)
	default:
		r.uncordoned(name, t, after)
	}
	if c.By != nil {
		r.recorded(name, t, was)
		r.told(name, before, after, was, record)
	}
	r.covered(name, after, t)
	_, marked := after.Labels[plan.ForLoadBalancers().Key]
	r.check(marked == record.Out(), name, "P3: marked as out: %v; record %s", marked, record)
}

func group(n *corev1.Node) string {
	if g := n.Labels["pool"]; g != "" {
		return g
	}
	return "default"
}

// person notes what a person did to the cordon. One over a record that says ours can't be told from ours.
func (r *rules) person(t *truth, was plan.Record, on bool) {
	t.asked, t.unseen = on, on && was.Cordon == plan.CordonOurs
	switch {
	case !on:
		t.cordon = plan.CordonNone
	case t.unseen:
		t.cordon = plan.CordonOurs
	default:
		t.cordon = plan.CordonAdmin
	}
}

// cordoned: one of ours was put on.
func (r *rules) cordoned(name string, t *truth) {
	t.sharedExcused = t.sharedExcused || time.Since(t.sharedLostAt) < inFlight
	t.cordon = plan.CordonOurs
	r.check(t.record.Phase == plan.Drain && t.record.Cordon == plan.CordonOurs, name, "P3: cordoned with record %s", t.record)
	r.check(r.boxes[name].mayGo(latest+2*inFlight), name, "P2: cordoned while a gate is closed or nothing is wanted")
	if time.Since(r.disturbed) > inFlight {
		r.enoughStay(name)
	}
}

// inService is whether a Node takes pods.
func inService(n *corev1.Node) bool {
	seen, _, _ := node.Observe(n.Name, n)
	return seen.Ready && !n.Spec.Unschedulable
}

// enoughStay: with a node that has just been cordoned, not too many are out, whoever took them out.
func (r *rules) enoughStay(name string) {
	out, planes, ready := 0, 0, 0
	me := r.nodes[name].group
	for other, o := range r.w.server.Objects(sim.NodeKind) {
		n := o.(*corev1.Node)
		if group(n) == me && (other == name || !inService(n)) {
			out++
		}
		seen, _, _ := node.Observe(other, n)
		if fleet.ControlPlane(n.Labels) {
			planes++
			if seen.Ready && other != name {
				ready++
			}
		}
	}
	r.check(r.w.maxUnavailable == 0 || out <= r.w.maxUnavailable, name, "cordoned, and now %d are out", out)
	plane := fleet.ControlPlane(r.boxes[name].labels)
	r.check(!plane || planes < 3 || ready >= planes/2+1, name, "cordoned, and now %d of %d control planes are Ready", ready, planes)
}

// uncordoned: a cordon was taken off by an agent.
func (r *rules) uncordoned(name string, t *truth, after *corev1.Node) {
	r.check(t.cordon == plan.CordonOurs, name, "P3: takes off a cordon that isn't its own (%q)", t.cordon)
	t.cordon = plan.CordonNone
	if t.record.Phase != plan.Settle {
		return
	}
	boots := r.boxes[name].boots()
	seen, _, _ := node.Observe(name, after)
	r.check(seen.Ready && boots > t.bootsOut, name, "uncordoned after the reboot, but Ready %v, boot %d, %d before", seen.Ready, boots, t.bootsOut)
	r.check(seen.BootID == "" || seen.BootID != t.record.FromBootID, name, "uncordoned before the kubelet reported after the reboot")
}

// recorded looks at what an agent wrote into the record.
func (r *rules) recorded(name string, t *truth, was plan.Record) {
	is, boots := t.record, r.boxes[name].boots()
	if is.Phase == plan.Drain && was.Phase != plan.Drain {
		t.bootsOut = boots // or the one in which it was decided, if the write was long on its way
		var decided int
		if n, _ := fmt.Sscanf(is.BootID, "boot-%d", &decided); n == 1 {
			t.bootsOut = min(boots, decided)
		}
	}
	r.check(t.cordon != plan.CordonOurs || is.Cordon == plan.CordonOurs, name, "P3: the record forgets whose the cordon is: %s", is)
	r.check(t.cordon != plan.CordonAdmin || is.Cordon != plan.CordonOurs, name, "P3: the record claims a person's cordon: %s", is)
	if is.Phase == plan.Recovering && was.Phase != plan.Recovering {
		r.check(boots > t.bootsOut, name, "P4: believes in a reboot, but the boot is the same: %s", is)
	}
	if len(is.History) > 0 && (len(was.History) == 0 || !reflect.DeepEqual(is.History[len(is.History)-1], was.History[len(was.History)-1])) {
		last := is.History[len(is.History)-1]
		r.check(boots > t.bootsOut && last.From != last.To, name, "P4: remembers a reboot that wasn't: %+v", last)
	}
}

// told tells the story's main line.
func (r *rules) told(name string, before, after *corev1.Node, was, is plan.Record) {
	if was.Phase != is.Phase || before.Spec.Unschedulable != after.Spec.Unschedulable || was.Attempts != is.Attempts || was.Reason != is.Reason {
		r.w.tell(name, "writes %s (%s), cordoned %v %q, slot %s %s, attempt %d", is.Phase, is.Reason, after.Spec.Unschedulable, is.Cordon, is.Slot, is.LeaseUID, is.Attempts)
	}
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
	holder := l.OwnerReferences[0].Name
	t := r.nodes[holder]
	if c.By != nil {
		r.check(c.By.Name == holder, c.By.Name, "P5: writes to %s, which %s holds", l.Name, holder)
		r.w.tell(c.By.Name, "%s slot %s %s", map[watch.EventType]string{watch.Added: "takes", watch.Deleted: "frees", watch.Modified: "hands on"}[c.Type], l.Name, l.UID)
	}
	if c.Type == watch.Added {
		r.may[string(l.UID)] = r.asked[c.By]
	}
	mine := t != nil && t.record.LeaseUID == string(l.UID)
	if l.Name == lock.ControlPlaneSlot && c.Type == watch.Deleted && t != nil {
		r.check(c.By == nil || !t.out(), holder, "P5: frees the control planes' slot while it is out of service: %s", t.record)
		t.sharedExcused, t.sharedLostAt = t.out(), time.Now()
	}
	if c.Type == watch.Deleted && c.By == nil && t != nil {
		t.taken[string(l.UID)] = time.Now()
	}
	if c.Type != watch.Deleted || !mine {
		return
	}
	if c.By == nil { // a person, or the garbage collector
		t.excused, t.lostAt = t.out(), time.Now()
		return
	}
	r.check(!t.out(), holder, "P5: frees slot %s while it is out of service: %s", l.Name, t.record)
}

// most: no more are out than may be.
func (r *rules) most() {
	out, may := map[string][]string{}, map[string]int{}
	controlPlanes := 0
	for name, t := range r.nodes {
		may[t.group] = max(may[t.group], r.slots[name])
		if t.out() && !t.excused {
			out[t.group] = append(out[t.group], name)
			if b := r.boxes[name]; fleet.ControlPlane(b.labels) && !t.sharedExcused {
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
	r.check(controlPlanes <= 1, "world", "P1: %d control planes are out", controlPlanes)
}

func (r *rules) check(ok bool, who, format string, args ...any) {
	r.checks++
	if !ok {
		r.w.fail(who, format, args...)
	}
}

// excuse notes that a person does something to a Node after which what its agent has in flight means nothing.
func (r *rules) excuse(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.nodes[name]; t != nil {
		t.lostAt = time.Now()
	}
}

// drains: an agent begins to evict.
func (r *rules) drains(b *box) { r.disrupts(b, plan.Drain, "evicts") }

// commands: the reboot command is run.
func (r *rules) commands(b *box, p *sim.Process) {
	r.w.tell(b.Name, "the reboot command is run")
	r.disrupts(b, plan.Rebooting, "reboots")
	r.mu.Lock()
	defer r.mu.Unlock()
	b.Set(func() { r.check(b.evicting[p] == 0, b.Name, "reboots while it evicts") })
	r.check(b.mayGo(2*inFlight), b.Name, "P2: reboots while a gate is closed or nothing is wanted")
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

// end looks at what is left when all is at rest.
func (r *rules) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range r.w.boxes {
		n, t := b.Node(), r.nodes[b.Name]
		b.Set(func() {
			r.check(b.Wanted == plan.No, b.Name, "wants a reboot still")
			r.check(b.wantedAt == 0 || b.Boots > b.wantedAt, b.Name, "wanted a reboot in boot-%d, and has had none", b.wantedAt)
		})
		r.check(n.Spec.Unschedulable == t.asked || t.unseen, b.Name, "P3: cordoned %v, but a person left it %v", n.Spec.Unschedulable, t.asked)
	}
}
