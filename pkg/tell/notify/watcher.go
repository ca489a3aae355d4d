package notify

import (
	"cmp"
	"time"

	"github.com/rebootd/rebootd/pkg/plan"
)

// Watcher finds, in what is said of a node on every look, what people are to be told of. It is not safe for concurrent use.
type Watcher struct {
	// BlockedAfter is how long a node must be held back before that is an event; zero: it never is.
	BlockedAfter time.Duration
	// NotBackAfter is how long a node may take to be healthy after its reboot.
	NotBackAfter time.Duration

	phase  plan.Phase // of the last look; "" before the first
	since  time.Time  // when this process first saw the phase
	reason plan.Reason
	held   time.Time // since when it has been held back; zero: it isn't
	told   map[Event]bool
}

// See takes in one look and returns what is new. found is the phase that the Node's record had, phase the one it has now. What a
// process finds at its start is not new: an earlier one has told of it.
func (w *Watcher) See(found, phase plan.Phase, reason plan.Reason, now time.Time) []Event {
	first := w.phase == ""
	before := w.phase
	if first {
		before = cmp.Or(found, plan.Idle)
	}
	if first || phase != before {
		w.phase, w.since, w.told = phase, now, map[Event]bool{}
	}
	var events []Event
	if phase != before {
		events = entered(before, phase, reason)
	}
	news := reason != w.reason
	w.reason = reason
	if reason == plan.RebootLoop && news && !first {
		events = append(events, Loop)
	}
	if first && reason == plan.RebootTimedOut {
		w.told[NotBack] = true
	}
	if w.blocked(phase, reason, now) {
		events = w.once(events, Blocked)
	}
	if w.late(phase, reason, now) {
		events = w.once(events, NotBack)
	}
	return events
}

// blocked reports whether the node has been held back for long.
func (w *Watcher) blocked(phase plan.Phase, reason plan.Reason, now time.Time) bool {
	switch {
	case phase != plan.Required || !holds(reason):
		w.held, w.told[Blocked] = time.Time{}, false
		return false
	case w.held.IsZero():
		w.held = now
	}
	return w.BlockedAfter > 0 && now.Sub(w.held) >= w.BlockedAfter
}

// late reports whether the machine should be back by now.
func (w *Watcher) late(phase plan.Phase, reason plan.Reason, now time.Time) bool {
	unwell := phase == plan.Recovering || phase == plan.Settle && reason == plan.NotReadyAfterReboot
	return reason == plan.RebootTimedOut || unwell && now.Sub(w.since) >= w.NotBackAfter
}

// once adds an event that is told once in a phase.
func (w *Watcher) once(events []Event, e Event) []Event {
	if w.told[e] {
		return events
	}
	w.told[e] = true
	return append(events, e)
}

func entered(before, phase plan.Phase, reason plan.Reason) []Event {
	switch {
	case phase == plan.Required && before == plan.Idle:
		return []Event{Required}
	case phase == plan.Drain:
		return []Event{Draining}
	case phase == plan.Rebooting:
		return []Event{Rebooting}
	case phase == plan.Settle:
		return []Event{Back}
	case phase == plan.Aborting && reason == plan.RebootFailed:
		return []Event{RebootFailed}
	case phase == plan.Aborting && reason != plan.NotRequired:
		return []Event{DrainFailed}
	default:
		return nil
	}
}

// holds reports whether the reason is something that a person may want to put right. A window that is closed, a pause and
// other nodes' slots are not: they are waited for by design, and by many nodes at once.
func holds(reason plan.Reason) bool {
	switch reason {
	case plan.SentinelUnknown, plan.Held, plan.BlockedByAlert, plan.BlockedByQuery, plan.BlockedByPod, plan.BlockedByHook,
		plan.BlockedByUnavailable, plan.BlockedByPDB, plan.BlockedByAutoscaler, plan.BlockedByVersionSkew, plan.ControlPlaneQuorum,
		plan.BackingOff, plan.GateError:
		return true
	default:
		return false
	}
}
