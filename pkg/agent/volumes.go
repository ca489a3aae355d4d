package agent

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/rebootd/rebootd/pkg/node"
	"github.com/rebootd/rebootd/pkg/plan"
)

// detachEvery is how often the volumes are looked for, at least, that are still attached to a drained node.
const detachEvery = 2 * time.Second

// detachWork is what is known of the volumes of a drained node.
type detachWork struct {
	node.Detaching
	due  time.Time // when to look again; zero: now
	left []string
}

// soon is in how long to look again; zero or less: no matter.
func (d *detachWork) soon(now time.Time) time.Duration { return d.due.Sub(now) }

// volumes says which volumes are still attached to the node, once it is drained.
func (a *Agent) volumes(ctx context.Context, o plan.Observation) []string {
	if a.Volumes == nil || a.Policy.VolumeDetachTimeout == 0 || o.Record.Phase != plan.Drain || o.Pods.Work != plan.Done {
		a.memory.detach = detachWork{}
		return nil
	}
	d := &a.memory.detach
	soon := d.soon(a.Now())
	if !d.due.IsZero() && (d.left == nil || soon > 0 && soon <= detachEvery) {
		return d.left
	}
	ctx, cancel := context.WithTimeout(ctx, gateTimeout)
	defer cancel()
	names := slices.Compact(slices.Sorted(slices.Values(slices.Concat(o.Record.Attached, o.Node.Attached))))
	var err error
	if d.left, err = a.Volumes.Left(ctx, &d.Detaching, names); err != nil {
		a.Log.WithError(err).Debug("Whether volumes are still attached can't be known.")
		d.left = append(d.left, fmt.Sprintf("of some it can't be known: %v", err))
	}
	d.due = a.Now().Add(a.spread(detachEvery))
	return d.left
}
