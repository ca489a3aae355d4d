// Package notify tells people by chat, mail or webhook what happens to a node: each thing once, beside everything else, and
// never with a secret in the log.
package notify

import (
	"time"

	"github.com/rebootd/rebootd/pkg/plan"
)

// Event is one kind of thing that people can be told of.
type Event string

// The events.
const (
	Required     Event = "required"
	Blocked      Event = "blocked"
	Draining     Event = "draining"
	Rebooting    Event = "rebooting"
	Back         Event = "back"
	DrainFailed  Event = "drain-failed"
	RebootFailed Event = "reboot-failed"
	NotBack      Event = "not-back"
	Loop         Event = "loop"
	Circuit      Event = "circuit"
)

// Events returns all events, in the order in which a node meets them.
func Events() []Event {
	return []Event{Required, Blocked, Draining, Rebooting, Back, DrainFailed, RebootFailed, NotBack, Loop, Circuit}
}

// Notice is what a template gets to see.
type Notice struct {
	Event Event
	// Node is the node's name, Cluster what --cluster-name says.
	Node, Cluster string
	Phase         plan.Phase
	Reason        plan.Reason
	// Message is the sentence that the Node's condition carries.
	Message string
	// AskedBy names what asks for the reboot, and Why is its sentence. Packages are those that want it, where they are known: none
	// any more once the reboot is no longer asked for.
	AskedBy  []string
	Why      string
	Packages []string
	// Time is when it happened. Waited is how long the reboot has been wanted, OutFor how long the node has been, or was, out of
	// service; DrainedIn and BootedIn are the parts of it from the cordon to the end of the drain, and from there to the new boot.
	// In whole seconds; zero if it isn't known.
	Time                time.Time
	Waited, OutFor      time.Duration
	DrainedIn, BootedIn time.Duration
}
