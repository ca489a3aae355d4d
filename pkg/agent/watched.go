package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/rebootd/rebootd/pkg/mirror"
	"github.com/rebootd/rebootd/pkg/plan"
)

// Rule is a gate that rests on objects of the API server: what they are, and what they mean.
type Rule[T mirror.Object] interface {
	Source() mirror.Source
	// Judge doesn't keep what it is given.
	Judge(found []T) plan.Verdict
}

// asking is how a gate is asked whose objects are watched.
type asking int

const (
	// byWatch: nothing can be disrupted now, so what is watched is enough.
	byWatch asking = iota
	// underSlot: what is watched is enough, unless it is known to lag.
	underSlot
	// live: something may be disrupted next, so the objects are read consistently.
	live
)

// lagging is how long an answer that was read counts against what is watched, before it is read anew.
const lagging = 2 * time.Second

// watched asks a rule. As long as a node waits its objects are watched, which costs nothing while nothing changes; before
// anything is disrupted they are read consistently. A nil one is no gate.
type watched[T mirror.Object] struct {
	name    string
	rule    Rule[T]
	example T
	now     func() time.Time
	objects mirror.Needed[T]

	// no is the last answer that was read, at noAt, if it was no. It counts until the watch has told of the same, which is noted
	// in overtaken, or until it is read again.
	no        *plan.Verdict
	noAt      time.Time
	overtaken bool
}

func watch[T mirror.Object](name string, r Rule[T], example T, now func() time.Time) *watched[T] {
	return &watched[T]{name: name, rule: r, example: example, now: now}
}

// start begins to watch, unless it does already.
func (w *watched[T]) start(ctx context.Context, wake func()) {
	if w == nil {
		return
	}
	w.objects.Start(ctx, wake, func() *mirror.Mirror[T] { return mirror.New(w.name, w.rule.Source(), w.example, nil) })
}

// stop ends the watch and forgets what was seen.
func (w *watched[T]) stop() {
	if w == nil {
		return
	}
	w.objects.Stop()
	w.no = nil
}

// synced reports whether there is an answer, or an error in its place.
func (w *watched[T]) synced() bool {
	if w == nil {
		return true
	}
	_, err := w.objects.Items()
	return !errors.Is(err, mirror.ErrNotSynced)
}

// ask asks the rule.
func (w *watched[T]) ask(ctx context.Context, how asking) []plan.Verdict {
	if w == nil {
		return nil
	}
	seen := w.judge(w.objects.Items())
	stale := w.no != nil && seen.Open && (w.overtaken || w.now().Sub(w.noAt).Abs() >= lagging)
	switch {
	case how == live, stale && how == underSlot:
		w.read(ctx)
	case stale:
		w.no = nil
	}
	switch {
	case !seen.Open:
		w.overtaken = true
		return []plan.Verdict{seen}
	case w.no == nil:
		return []plan.Verdict{seen}
	}
	no := *w.no
	if again := w.noAt.Add(lagging); no.Until.IsZero() || again.Before(no.Until) {
		no.Until = again
	}
	return []plan.Verdict{no}
}

// read reads the objects consistently: no resourceVersion, so never from a cache that lags.
func (w *watched[T]) read(ctx context.Context) {
	var found []T
	list, err := w.rule.Source().List(ctx, metav1.ListOptions{})
	if err == nil {
		err = meta.EachListItem(list, func(o runtime.Object) error {
			one, ok := o.(T)
			if !ok {
				return fmt.Errorf("unexpected %T", o)
			}
			found = append(found, one)
			return nil
		})
	}
	w.no, w.overtaken = nil, false
	if v := w.judge(found, err); !v.Open {
		w.no, w.noAt = &v, w.now()
	}
}

// judge is what the rule says. What can't be read would hold every node, so nobody need back off for it.
func (w *watched[T]) judge(found []T, err error) plan.Verdict {
	if err != nil {
		return unanswered(plan.Verdict{Gate: w.name, Everyone: true}, err)
	}
	return w.rule.Judge(found)
}

// watchGates watches what people hold this node back with, as long as they can. errNotYet: look again when that was read.
func (a *Agent) watchGates(ctx context.Context, o plan.Observation) error {
	asked := asksGates(o)
	soon := o.Wanted.Answer == plan.Yes && (o.Record.Phase == plan.Idle || o.Record.Phase == "")
	if !asked && !soon {
		a.pause.stop()
		a.kured.stop()
		a.pods.stop()
		return nil
	}
	a.pause.start(ctx, a.Wake)
	a.kured.start(ctx, a.Wake)
	a.pods.start(ctx, a.Wake)
	if asked && (!a.pause.synced() || !a.kured.synced() || !a.pods.synced()) {
		return errNotYet
	}
	return nil
}

// asksGates reports whether this node can be held back. One that is out and has rebooted can't: it only comes back.
func asksGates(o plan.Observation) bool {
	switch o.Record.Phase {
	case plan.Required:
		return true
	case plan.Drain, plan.Rebooting:
		return o.BootID == o.Record.BootID
	default:
		return false
	}
}
