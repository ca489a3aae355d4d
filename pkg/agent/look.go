package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"

	"github.com/rebootd/rebootd/pkg/mirror"
	"github.com/rebootd/rebootd/pkg/node"
	"github.com/rebootd/rebootd/pkg/plan"
)

// memory is what this process has seen so far and a single look can't show: since when something has been so. A
// restart forgets it, which only makes the node wait longer.
type memory struct {
	uid          types.UID
	healthySince time.Time
	wanted       plan.Wanted
	closedSince  map[string]time.Time
	// costly are the answers of the costly gates that are asked within a look, costlyAt when they were given.
	costly   []plan.Verdict
	costlyAt time.Time
	// costlyFor is how long they are good for while nothing is disrupted.
	costlyFor time.Duration
	// answers are what the gates beside the loop had said by this look.
	answers answers
	// disruptingSince is since when steps have been due, one after another, that disrupt something; zero: none is.
	disruptingSince time.Time
	// liveAt is when the gates whose objects are watched were last asked by what is read consistently; zero: they are to be asked so.
	liveAt time.Time
	// daemons are of the same time.
	daemons []plan.Daemon
	// skew is what was last found out about the versions.
	skew skewMemory
	// detach is what is known of the volumes that are still attached.
	detach detachWork
	// due is since when the step that is due goes out of service or to the reboot.
	due time.Time
	// priority is the one that was told to be no number.
	priority string
	// telling is the reason that this node has yet to tell, because all nodes do, and tellAt when it will.
	telling plan.Reason
	tellAt  time.Time
	// nodes is how many Nodes the cluster had when this one began to wait; 0: that isn't known. countAt is when to count them; zero: not yet drawn.
	nodes   int
	countAt time.Time
	// dry stands in for the record and the condition, which a dry run doesn't write.
	dry *dryRecord
}

type dryRecord struct {
	record plan.Record
	told   plan.Told
	// tainted is whether the Node's soft taints are taken for what the record says.
	tainted bool
}

// own is this machine's Node, nil when there is none. When a write's outcome is unknown it is read live.
func (a *Agent) own(ctx context.Context) (*corev1.Node, error) {
	if _, err := a.self.Items(); err != nil {
		return nil, err
	}
	if a.unsettled {
		if err := a.refresh(ctx); err != nil {
			return nil, err
		}
		a.unsettled = false
	}
	n := newest(a.self)
	if n == nil {
		return nil, nil
	}
	if a.memory.uid != n.UID {
		a.meet(n)
	}
	return n, nil
}

// meet starts afresh with a Node that this process hasn't seen yet.
func (a *Agent) meet(n *corev1.Node) {
	recreated := a.memory.uid != ""
	a.drain.stop()
	a.inquiry.forget()
	a.memory = memory{uid: n.UID, closedSince: map[string]time.Time{}}
	a.command.forget()
	seen, _, _ := node.Observe(a.NodeName, n)
	a.Tell.Resume(seen.Told)
	if recreated {
		a.recreated(n)
	}
}

func (a *Agent) recreated(n *corev1.Node) {
	a.Tell.Happened(n, plan.Idle, plan.NodeRecreated, fmt.Sprintf(
		"Node %s was deleted and created again. What rebootd knew of the old one is gone; it starts afresh.", n.Name))
}

// newest is the Node of the highest version: of a Node that was re-created both may be there for a moment.
func newest(m *mirror.Mirror[*corev1.Node]) *corev1.Node {
	items, _ := m.Items()
	var best *corev1.Node
	for _, n := range items {
		if best == nil {
			best = n
			continue
		}
		if cmp, err := resourceversion.CompareResourceVersion(n.ResourceVersion, best.ResourceVersion); err == nil && cmp > 0 {
			best = n
		}
	}
	return best
}

// refresh reads the Node live into the mirror.
func (a *Agent) refresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	n, err := a.Writer.Nodes.Get(ctx, a.NodeName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		if old := newest(a.self); old != nil {
			a.self.Drop(old.UID)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("get Node %s: %w", a.NodeName, err)
	}
	a.self.Put(n)
	return nil
}

// errNotYet: something is being looked at for the first time. What looks wakes the loop.
var errNotYet = errors.New("not everything has been looked at yet")

// observe looks at everything that the next decision rests on.
func (a *Agent) observe(ctx context.Context, n *corev1.Node) (plan.Observation, error) {
	var o plan.Observation
	var recordErr error
	o.Node, o.Record, recordErr = node.Observe(a.NodeName, n)
	if recordErr != nil {
		o.RecordError = recordErr.Error()
	}
	if a.DryRun {
		a.pretend(&o)
	}
	o.Hooks = a.hooks.state(o.Record)
	if recordErr == nil {
		a.keepSilent(n, o.Record)
	}
	if bootID, err := a.BootID(); err != nil {
		o.BootIDError = err.Error()
	} else {
		o.BootID = bootID
	}
	o.Wanted = a.wanted(ctx, o)
	if n == nil {
		a.why.Store(fmt.Sprintf("there is no Node %s (--node-name)", a.NodeName))
	}
	if n == nil || recordErr != nil {
		return o, nil
	}
	notYet := a.watchGates(ctx, o)
	a.watchDaemons(ctx, o)
	var err error
	if o.Slot, err = a.observeSlot(ctx, n, o); err == nil {
		err = notYet
	}
	if err != nil {
		return o, err
	}
	if a.unasked(o.Record) {
		a.why.Store("the sentinel command has not ended yet")
		return o, errNotYet
	}
	if o.Gates, err = a.ask(ctx, n, o); err != nil {
		a.why.Store(err.Error())
		return o, err
	}
	if err := a.observeDaemons(&o); err != nil {
		return o, err
	}
	o.HealthySince = a.healthySince(o)
	o.Pods = a.drain.state()
	o.Volumes = a.volumes(ctx, o)
	o.Command = a.command.state(o.Record)
	o.Skew = a.skew(ctx, n, o.Record)
	return o, nil
}

// wanted asks every sentinel, and looks at the requests on the Node.
func (a *Agent) wanted(ctx context.Context, o plan.Observation) plan.Wanted {
	ctx, cancel := context.WithTimeout(ctx, gateTimeout)
	defer cancel()
	wishes := make([]plan.Wanted, 0, len(a.Sentinels)+1)
	for _, s := range a.Sentinels {
		wishes = append(wishes, s.Look(ctx))
	}
	w := plan.Join(append(wishes, plan.Requested(o.Node, o.Record)))
	w.Since = a.Now()
	if old := a.memory.wanted; old.Answer == w.Answer && !old.Since.IsZero() {
		w.Since = old.Since
	}
	a.memory.wanted = w
	return w
}

// ask asks the gates that are to be asked now, and remembers since when each has been closed.
func (a *Agent) ask(ctx context.Context, n *corev1.Node, o plan.Observation) ([]plan.Verdict, error) {
	how := a.asking(o) // before askCostly answers what outdated wants
	costly, err := a.askCostly(ctx, n, o)
	if err != nil {
		return nil, err
	}
	var verdicts []plan.Verdict
	if asksGates(o) {
		verdicts = a.askCheap(ctx, n, how)
	}
	if o.Record.Phase == plan.Required {
		verdicts = append(verdicts, a.watchControlPlanes(ctx, n)...)
	}
	verdicts = append(verdicts, costly...)
	healthy, err := a.askHealthy(n, o)
	if err != nil {
		return nil, err
	}
	verdicts = append(verdicts, healthy...)
	verdicts = append(verdicts, a.askInterlock(ctx, n, o, how, verdicts)...)
	if how == live {
		a.memory.liveAt = a.Now()
	}
	closed := map[string]time.Time{}
	for i := range verdicts {
		v := &verdicts[i]
		if v.Open {
			continue
		}
		v.ClosedSince = a.Now()
		if t, ok := a.memory.closedSince[v.Gate]; ok {
			v.ClosedSince = t
		}
		closed[v.Gate] = v.ClosedSince
	}
	a.memory.closedSince = closed
	return verdicts, nil
}

func (a *Agent) healthySince(o plan.Observation) time.Time {
	switch {
	case !plan.Healthy(o):
		a.memory.healthySince = time.Time{}
	case a.memory.healthySince.IsZero():
		a.memory.healthySince = a.Now()
	}
	return a.memory.healthySince
}

// pretend puts what a dry run would have written in the place of what the Node says.
func (a *Agent) pretend(o *plan.Observation) {
	if a.memory.dry == nil {
		a.memory.dry = &dryRecord{record: o.Record, told: o.Node.Told}
	}
	o.Record, o.Node.Told = a.memory.dry.record, a.memory.dry.told
	if a.memory.dry.tainted {
		o.Node.Soft = []string{o.Record.Taint}
	}
}
