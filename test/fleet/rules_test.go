package fleet

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rebootd/rebootd/pkg/circuit"
	"github.com/rebootd/rebootd/pkg/node"
	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/test/fleet/sim"
)

// rules hold what is promised against what happens: at every write and at every command.
type rules struct {
	w     *world
	boxes map[string]*box

	mu     sync.Mutex
	steps  int
	checks map[string]int // by promise
	nodes  map[string]*truth
	// slots is how many the running agent of each node may count on, asked how many the one that made a Lease could.
	slots map[string]int
	asked map[*sim.Client]int
	may   map[string]int
	// sizes are how many nodes each group had, and since when.
	sizes map[string][]size
	// touched is when a slot was last written.
	touched map[string]time.Time
	// named is when a node was last named as the one that a slot is left to.
	named map[string]time.Time
	stays map[string]*stay
	// roomSince is since when a group has a slot that is free.
	roomSince map[string]time.Time
	circuit   circuitTruth
	// disturbed is when something last changed, by no agent's doing, in how many nodes are in service or Ready.
	disturbed time.Time
}

// truth is what is so of a Node, whatever its record says.
type truth struct {
	name, group string
	uid         types.UID
	// changedAt is when what its turn depends on changed last, waitsSince since when it waits for nothing but a slot, and paid what its
	// machine had been charged by then.
	changedAt, waitsSince time.Time
	paid                  time.Duration
	priority              int
	// readySince is since when the kubelet says of the present boot that it is Ready; zero: it doesn't.
	readySince time.Time
	readyBoot  string
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
	// taken are the slots that persons took from it, and when; expired those that were freed because it was silent.
	taken, expired map[string]time.Time
}

// inFlight is how long something that was proved may be on its way to the one who acts on it.
const inFlight = 12 * time.Second

func newRules(w *world) *rules {
	return &rules{w: w, boxes: map[string]*box{}, nodes: map[string]*truth{}, slots: map[string]int{},
		asked: map[*sim.Client]int{}, may: map[string]int{}, checks: map[string]int{}, sizes: map[string][]size{},
		touched: map[string]time.Time{}, named: map[string]time.Time{}, stays: map[string]*stay{}, roomSince: map[string]time.Time{}, circuit: circuitTruth{counted: map[string]bool{}}}
}

// meet notes a machine, before there is a Node of it.
func (r *rules) meet(b *box) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.boxes[b.Name] = b
}

// started notes an agent's configuration.
func (r *rules) started(b *box, p *sim.Process) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var n int
	b.Set(func() { n = b.Slots })
	r.slots[b.Name], r.asked[p.Client] = n, n
}

// changed looks at a write. The server is locked.
func (r *rules) changed(c sim.Change) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.steps++
	switch c.Kind {
	case sim.NodeKind:
		r.node(c)
	case sim.LeaseKind:
		r.lease(c)
	default:
		if c.After.GetName() == circuit.Name {
			r.circuitChanged(c)
		}
	}
	r.most()
	r.progress()
}

func (r *rules) node(c sim.Change) {
	after, name := c.After.(*corev1.Node), c.After.GetName()
	if c.By != nil {
		r.check(c.By.Name == name, name, "P11: %s writes to another's Node", c.By.Name)
	}
	switch c.Type {
	case watch.Added:
		r.disturbed = time.Now()
		r.nodes[name] = &truth{name: name, uid: after.UID, group: group(after), lostAt: time.Now(), changedAt: time.Now(),
			taken: map[string]time.Time{}, expired: map[string]time.Time{}}
		r.resize()
		return
	case watch.Deleted:
		r.disturbed = time.Now()
		delete(r.nodes, name)
		r.resize()
		return
	}
	before, t := c.Before.(*corev1.Node), r.nodes[name]
	if c.By == nil && (inService(before) != inService(after) || isReady(before) != isReady(after)) {
		r.disturbed = time.Now()
	}
	was := t.record
	if text := after.Annotations[node.StateAnnotation]; text != before.Annotations[node.StateAnnotation] {
		var err error
		t.record, err = plan.ParseRecord(text)
		r.check(err == nil, name, "a record that can't be read: %v", err)
	}
	r.follow(t, before, after, was)
	switch {
	case before.Spec.Unschedulable == after.Spec.Unschedulable:
	case c.By == nil:
		r.person(t, was, after.Spec.Unschedulable)
	case after.Spec.Unschedulable:
		r.cordoned(name, t, was)
	default:
		r.uncordoned(name, t, after)
	}
	if c.By != nil {
		r.recorded(name, t, was)
		r.told(name, before, after, was, t.record)
	}
	r.covered(name, after, t)
	_, marked := after.Labels[plan.ForLoadBalancers().Key]
	r.check(marked == t.record.Out(), name, "P3: marked as out: %v; record %s", marked, t.record)
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
func (r *rules) cordoned(name string, t *truth, was plan.Record) {
	t.sharedExcused = t.sharedExcused || time.Since(t.sharedLostAt) < inFlight
	t.cordon = plan.CordonOurs
	r.check(t.record.Phase == plan.Drain && t.record.Cordon == plan.CordonOurs, name, "P3: cordoned with record %s", t.record)
	r.check(r.boxes[name].mayGo(latest+2*inFlight), name, "P2: cordoned while a gate is closed or nothing is wanted")
	r.check(!r.isShut(latest+2*inFlight), name, "P7: cordoned while the circuit is open")
	r.backedOff(name, was)
	if time.Since(r.disturbed) > inFlight {
		r.enoughStay(t)
	}
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
	r.boxes[name].recorded(is.Requests)
	r.counted(name, was, is)
	r.gaveUp(name, t, was)
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

func (r *rules) check(ok bool, who, format string, args ...any) {
	promise := "other"
	if len(format) > 3 && format[0] == 'P' && strings.IndexByte(format[:4], ':') > 0 {
		promise = format[:strings.IndexByte(format, ':')]
	}
	r.checks[promise]++
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

// end looks at what is left when all is at rest.
func (r *rules) end() {
	nodes := map[string]*corev1.Node{}
	for _, b := range r.w.there() {
		nodes[b.Name] = b.Node()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range r.w.there() {
		n, t := nodes[b.Name], r.nodes[b.Name]
		b.Set(func() {
			for _, q := range b.wishes.requests {
				r.check(b.Boots > q.boot, b.Name, "asked %q for a reboot in boot-%d, and has had none", q.text, q.boot)
			}
			r.check(b.Wanted == plan.No, b.Name, "wants a reboot still")
			r.check(b.wantedAt == 0 || b.Boots > b.wantedAt, b.Name, "wanted a reboot in boot-%d, and has had none", b.wantedAt)
		})
		r.check(n.Spec.Unschedulable == t.asked || t.unseen, b.Name, "P3: cordoned %v, but a person left it %v", n.Spec.Unschedulable, t.asked)
	}
}
