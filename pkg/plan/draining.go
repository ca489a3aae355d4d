package plan

import (
	"fmt"
	"strings"
	"time"
)

// drainEnd is when a drain has taken too long.
func drainEnd(r Record, p Policy) time.Time {
	return r.Since.Add(p.LoadBalancerDelay + p.DrainTimeout)
}

// evicting lets the drain go on while pods are left. From the timeout on it deletes them, if that was asked for, and for as
// long again.
func evicting(o Observation, p Policy, late bool, now time.Time) Action {
	reason, message, deadline := Draining, "Cordoned; evicting the pods.", drainEnd(o.Record, p)
	switch {
	case late && p.OnDrainTimeout == DeletePods && now.Before(deadline.Add(p.DrainTimeout)):
		message = fmt.Sprintf("Cordoned; not all pods could be evicted within %s, so they are deleted (--on-drain-timeout=delete).", p.DrainTimeout)
		deadline = deadline.Add(p.DrainTimeout)
	case late:
		return abort(o, p, DrainTimedOut, tooLong(o, p), now)
	case o.Pods.Blocked:
		reason = BlockedByPDB
	}
	a := say(o, reason, strings.TrimSpace(message+" "+o.Pods.Message), now)
	if a.Do == DoWait {
		a.Do, a.Delete = DoDrain, late
	}
	if p.DrainTimeout > 0 {
		a = within(a, deadline.Sub(now))
	}
	return a
}

func tooLong(o Observation, p Policy) string {
	end := "."
	if p.OnDrainTimeout == DeletePods {
		end = fmt.Sprintf(", nor within another %s in which the pods were deleted.", p.DrainTimeout)
	}
	return strings.TrimSpace(fmt.Sprintf("The drain did not end within %s%s %s", p.DrainTimeout, end, o.Pods.Message))
}
