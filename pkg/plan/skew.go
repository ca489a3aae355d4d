package plan

import (
	"fmt"
	"time"
)

// skewed holds the slot of a node that came back with versions that don't go together: it serves, but the next one must not
// follow it there. It ends when the versions fit, or when a person takes the slot away.
func skewed(o Observation, now time.Time) (Action, bool) {
	if o.Skew.Reason == "" || !o.Slot.Held {
		return Action{}, false
	}
	return say(o, o.Skew.Reason, fmt.Sprintf("Uncordoned, but its slot is kept, so that no other node follows: %s To go on all the same, delete the Lease %s.", o.Skew.Message, o.Slot.Name), now), true
}
