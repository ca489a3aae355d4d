package agent

import (
	"slices"
	"time"

	"github.com/rebootd/rebootd/pkg/lock"
	"github.com/rebootd/rebootd/pkg/plan"
)

// A window that opens, a pause that ends, a circuit that opens: every node of the cluster sees it in the same moment. There may be thousands, and the
// API server has to bear what they do then.
const (
	// tellWithin is within how long they tell of it. Until it has, a node is passed over when a slot is handed on.
	tellWithin = 15 * time.Second
	// crowd is how many nodes are taken to be after a slot where nobody has counted them: they try for it within four seconds.
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
	if !onlySays || step.Reason == before.Reason || !ofAll(step.Reason) && !ofAll(before.Reason) {
		m.telling = ""
		return 0
	}
	if m.telling != step.Reason {
		m.telling, m.tellAt = step.Reason, a.Now().Add(a.upTo(tellWithin))
	}
	a.Tell.Measure(before.Phase, step.Reason)
	return m.tellAt.Sub(a.Now())
}

// amongMany are the free slots as a node sees them that has waited for this reason until now: others have, too, and nobody has
// counted them.
func amongMany(free []lock.Handover, waited plan.Reason) []lock.Handover {
	if !ofAll(waited) {
		return free
	}
	many := slices.Clone(free)
	for i := range many {
		many[i].Waiting = max(many[i].Waiting, crowd)
	}
	return many
}
