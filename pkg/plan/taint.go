package plan

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// DefaultTaint is the key of the taint that is rebootd's by its name, whatever was configured.
const DefaultTaint = "rebootd.io/reboot-required"

// taint is the step that brings the Node's soft taint in line with the wish. The record remembers its key in the write that
// puts it on, so that no change of options leaves one behind; a key that was configured is taken for ours
// whoever put it there, as kured does. It is left to nodes in service: nothing that brings one back, or that would free a slot, waits for
// a taint that can't be written.
func taint(o Observation, p Policy, now time.Time) (Action, bool) {
	if o.Wanted.Answer == Unknown || !mayTaint(o, p, now) { // while it isn't known it stays as it is
		return Action{}, false
	}
	want := ""
	if o.Wanted.Answer == Yes {
		want = p.Taint
	}
	a := Action{Do: DoTaint, Reason: o.Record.Reason, Record: o.Record, Message: fmt.Sprintf("Tainted the Node with %s:PreferNoSchedule, because a reboot is wanted.", want)}
	for _, key := range o.Node.Soft {
		if key != want && slices.Contains([]string{o.Record.Taint, p.Taint, DefaultTaint}, key) && !slices.Contains(a.Untaint, key) {
			a.Untaint = append(a.Untaint, key)
		}
	}
	if want == "" {
		a.Message = fmt.Sprintf("The taint %s is not on the Node any more, because no reboot is wanted or none is configured.",
			cmp.Or(names(a.Untaint), o.Record.Taint))
	}
	a.Record.Taint = want
	lacks := want != "" && !slices.Contains(o.Node.Soft, want)
	return a, lacks || len(a.Untaint) > 0 || o.Record.Taint != want
}

func mayTaint(o Observation, p Policy, now time.Time) bool {
	switch o.Record.Phase {
	case Idle:
		return !o.Slot.Held && o.Record.BootID == o.BootID && o.Wanted.Answer != Yes
	case Required:
		return !o.Slot.Held
	case Settle:
		return now.Before(o.Record.Since.Add(p.SettleTime))
	default:
		return false
	}
}
