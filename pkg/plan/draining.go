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

// detachLook is how soon the volumes are looked at again.
const detachLook = 2 * time.Second

// drained: nothing is left to evict, or nothing that is waited for. Then the volumes, the delay, and the announcement of the command.
func drained(o Observation, p Policy, since, now time.Time) Action {
	how, reason := "Drained;", Draining
	switch attached := o.Pods.Work == Done && p.VolumeDetachTimeout > 0 && len(o.Volumes) > 0; {
	case o.Pods.Work != Done:
		how = tooLong(o, p) + " Rebooting all the same (--on-drain-timeout=reboot);"
	case attached && now.Before(since.Add(p.VolumeDetachTimeout)):
		return within(keep(say(o, Draining, fmt.Sprintf("Drained; waiting until its volumes are detached, for up to %s (--volume-detach-timeout). Still attached: %s.",
			p.VolumeDetachTimeout, names(o.Volumes)), now)), detachLook)
	case attached:
		reason = DrainFailed
		how = fmt.Sprintf("Drained, but not all volumes were detached within %s (--volume-detach-timeout). Still attached: %s. Rebooting all the same;",
			p.VolumeDetachTimeout, names(o.Volumes))
	}
	if left := since.Add(p.RebootDelay).Sub(now); left > 0 {
		return within(keep(say(o, reason, fmt.Sprintf("%s waiting the reboot delay of %s.", how, p.RebootDelay), now)), left)
	}
	if a, wait := before(o, p, BeforeReboot, reason, how, now); wait {
		return a
	}
	if reason == DrainFailed && o.Record.Reason != DrainFailed { // else nobody would be warned
		return keep(say(o, reason, how+" the reboot command comes next.", now))
	}
	return attempt(o, how+" the reboot command comes next.", now)
}

// keep makes a wait one that doesn't forget that the drain is done.
func keep(a Action) Action {
	if a.Do == DoWait {
		a.Do = DoDrain
	}
	return a
}
