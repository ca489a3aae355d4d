package agent

import (
	"context"
	"slices"
	"time"

	"github.com/rebootd/rebootd/pkg/lock"
	"github.com/rebootd/rebootd/pkg/plan"
)

// A window that opens, a pause that ends, a circuit that opens: every node of the cluster sees it in the same moment. There may be thousands, and the
// API server has to bear what they do then.
const (
	// tellWithin is within how long they tell of it, at least; tellEach for each node of a cluster that is larger than that allows, tellMost in any.
	// Until it has told, a node is passed over when a slot is handed on.
	tellWithin = 15 * time.Second
	tellEach   = 10 * time.Millisecond
	tellMost   = 2 * time.Minute
	// countWithin is within how long a node that begins to wait counts them; countAgain is when a count that failed is tried again.
	countWithin = time.Minute
	countAgain  = time.Minute
	// crowd is how many nodes are taken to be after a slot, at least, where nobody has counted those: they try for it within four seconds.
	crowd = 800
)

// ofAll reports whether a reason is one that all nodes have, or none.
func ofAll(r plan.Reason) bool {
	switch r {
	case plan.OutsideWindow, plan.Frozen, plan.Paused, plan.CircuitOpen, plan.KuredPresent:
		return true
	default:
		return false
	}
}

// notAllAtOnce is how long this node waits before it writes that it waits for something else now, where that holds for all others too. A node
// that holds a slot, or has begun to be out, doesn't wait.
func (a *Agent) notAllAtOnce(o plan.Observation, step plan.Action) time.Duration {
	m, before := &a.memory, o.Record
	onlySays := step.Do == plan.DoWrite && step.Record.Phase == plan.Required && before.Phase == plan.Required && !o.Slot.Held
	if step.Do == plan.DoTake {
		return 0 // it may have to wait for its turn, and then that it told nothing yet is still so
	}
	if !onlySays || step.Reason == before.Reason || !ofAll(step.Reason) && !ofAll(before.Reason) {
		m.telling = ""
		return 0
	}
	if m.telling != step.Reason {
		within := min(max(tellWithin, time.Duration(m.nodes)*tellEach), tellMost)
		m.telling, m.tellAt = step.Reason, a.Now().Add(a.upTo(within))
	}
	a.Tell.Measure(before.Phase, step.Reason)
	left := m.tellAt.Sub(a.Now())
	if left <= 0 {
		return 0
	}
	return a.sooner(step.Again, left)
}

// countAll counts the Nodes of the cluster, once for each time that this one has to wait: beforehand, because in the moment that it matters all would.
// It returns how soon to look again; zero, as in again, is when something changes.
func (a *Agent) countAll(ctx context.Context, o plan.Observation, again time.Duration) time.Duration {
	m := &a.memory
	if o.Record.Phase != plan.Required {
		m.nodes, m.countAt = 0, time.Time{}
		return again
	}
	if m.nodes > 0 {
		return again
	}
	if m.countAt.IsZero() {
		m.countAt = a.Now().Add(a.upTo(countWithin)) // what asks for this reboot may ask for all of them now
	}
	if !a.Now().Before(m.countAt) {
		n, err := a.Fleet.Count(ctx, "")
		if err == nil {
			m.nodes = max(n, 1)
			return again
		}
		m.countAt = a.soon(countAgain) // until then it is taken to be a cluster of the usual size
	}
	return a.sooner(again, m.countAt.Sub(a.Now()))
}

// sooner is the shorter of two times until the next look; zero of the first is as long as it is allowed.
func (a *Agent) sooner(again, other time.Duration) time.Duration {
	if again <= 0 {
		again = a.spread(a.Period)
	}
	return min(again, other)
}

// amongMany are the free slots as a node sees them that has waited for this reason until now: others have, too, and nobody has
// counted them. nodes is how many the cluster has; 0: that isn't known.
func amongMany(free []lock.Handover, waited plan.Reason, nodes int) []lock.Handover {
	if !ofAll(waited) {
		return free
	}
	many := slices.Clone(free)
	for i := range many {
		many[i].Waiting = max(many[i].Waiting, nodes, crowd)
	}
	return many
}
