package plan

import (
	"fmt"
	"hash/fnv"
	"slices"
	"time"
)

// A message that changes under the same reason is written again no more often than this: seldom on a node that
// waits, because there may be thousands; soon on one that is out, keeps a slot or has an error, because somebody is watching it.
const (
	retellWaiting = 10 * time.Minute
	retellOut     = 30 * time.Second
)

// say is "do nothing but say why". What the Node doesn't say yet is written first.
func say(o Observation, reason Reason, message string, now time.Time) Action {
	retell := retellWaiting
	if o.Record.Out() || o.Record.Phase == Settle || reason == GateError || reason == SentinelUnknown {
		retell = retellOut
	}
	r, told := o.Record.asked(o), o.Node.Told
	same := o.Record.Reason == reason && told.Reason == reason && slices.Equal(r.Requests, o.Record.Requests)
	if same && (told.Message == InFull(o, r, message) || now.Sub(told.At) < retell) {
		return Action{Do: DoWait, Reason: reason, Message: message}
	}
	r.Reason = reason
	return write(r, message)
}

// failed counts a reboot as failed, once, after that was told.
func failed(o Observation, told Action) Action {
	if told.Do != DoWait || o.Record.Failed {
		return told
	}
	told.Do, told.Record = DoFail, o.Record
	told.Record.Failed = true
	return told
}

// refuse is for what leaves no record that could be written: the reason goes into the condition alone.
func refuse(o Observation, message string) Action {
	do := DoWait
	if told := o.Node.Told; o.Node.Exists && (told.Reason != GateError || told.Message != InFull(o, o.Record, message)) {
		do = DoTell
	}
	return Action{Do: do, Reason: GateError, Message: message}
}

// inFull is the action with what the Node's condition is to say.
func inFull(o Observation, a Action) Action {
	r := o.Record
	switch a.Do {
	case DoWrite, DoFail, DoCordon, DoUncordon:
		r = a.Record
	default:
	}
	a.Told = InFull(o, r, a.Message)
	return a
}

// within is the action, looked at again no later than in d.
func within(a Action, d time.Duration) Action {
	a.Again = max(d, time.Millisecond)
	return a
}

// until is the action, looked at again when the gate may open by itself.
func until(a Action, v Verdict, now time.Time) Action {
	left := v.Until.Sub(now)
	if v.Until.IsZero() || a.Again > 0 && a.Again < left {
		return a
	}
	return within(a, left)
}

func write(r Record, message string) Action {
	return Action{Do: DoWrite, Reason: r.Reason, Message: message, Record: r}
}

func free(reason Reason, message string) Action {
	return Action{Do: DoFree, Reason: reason, Message: message}
}

// cordon announces the drain. A node that is cordoned already was so by a person, unless the record
// says that we did it; a cordon that a person took off in mid-drain is put on again, as ours.
func cordon(o Observation, p Policy, now time.Time) Action {
	r := o.Record
	if !r.Out() {
		r = r.watched(o.Daemons)
		if r.Attached = nil; p.VolumeDetachTimeout > 0 {
			r.Attached = o.Node.Attached[:min(len(o.Node.Attached), attachedLimit)]
		}
	}
	if r.Phase != Drain {
		r = r.afresh(p).enter(Drain, Draining, now)
		r.OutSince, r.Attempts, r.Failed = now, 0, false
		r.Drained, r.Up = time.Time{}, time.Time{}
		r.LastAttempt, r.Issued = time.Time{}, time.Time{}
	}
	r.Reason, r.BootID, r.Slot, r.LeaseUID = Draining, o.BootID, o.Slot.Name, o.Slot.LeaseUID
	r = r.asked(o)
	msg := "Cordoned; " + follows(o, p, r)
	switch {
	case !o.Node.Unschedulable:
		r.Cordon = CordonOurs
	case r.Cordon == CordonNone:
		r.Cordon = CordonAdmin
		msg = "Found cordoned, and stays so after the reboot; " + follows(o, p, r)
	}
	return Action{Do: DoCordon, Reason: Draining, Message: msg, Record: r}
}

// uncordon takes the cordon off if it is ours, together with the record that says so.
func uncordon(r Record, reason Reason, message string) Action {
	do := DoWrite
	if r.Cordon == CordonOurs {
		do = DoUncordon
	}
	r.Cordon = CordonNone
	return Action{Do: do, Reason: reason, Message: message, Record: r}
}

// attempt announces one run of the reboot command.
func attempt(o Observation, message string, now time.Time) Action {
	r := o.Record
	if r.Phase != Rebooting {
		r = r.watched(o.Daemons).enter(Rebooting, RebootIssued, now)
		r.Drained = now
	}
	r = r.asked(o)
	r.Reason = RebootIssued
	r.Attempts++
	r.LastAttempt = now
	return write(r, message)
}

// grace waits for a gate that closed on a cordoned node; what we did ourselves may have closed it. After the
// grace time it gives up.
func grace(o Observation, p Policy, v Verdict, now time.Time) Action {
	left := v.ClosedSince.Add(p.GateGrace).Sub(now)
	if left > 0 {
		a := within(say(o, v.Reason, fmt.Sprintf("%s The node is cordoned already and waits up to %s for it.", v.Message, p.GateGrace), now), left)
		return until(a, v, now)
	}
	return abort(o, p, v.Reason, v.Message, now)
}

// abort gives up before the reboot. A reboot that is no longer wanted is no failure and needs no back-off.
func abort(o Observation, p Policy, reason Reason, message string, now time.Time) Action {
	r := o.Record
	if o.Wanted.Answer != No {
		r = r.backOff(o, p, reason, message, now)
	}
	return write(r.enter(Aborting, reason, now), message)
}

// backOff is the record with one more failure. The pause doubles each time and is spread by up to a quarter, by
// the node's name, so that nodes which failed together don't come back together.
func (r Record) backOff(o Observation, p Policy, reason Reason, cause string, now time.Time) Record {
	b := BackOff{Failures: 1, Reason: reason, Cause: shorten(cause)}
	if r.BackOff != nil {
		b.Failures += r.BackOff.Failures
	}
	d := p.BackOff
	for i := 1; i < b.Failures && d < p.BackOffMax; i++ {
		d *= 2
	}
	d = min(d, p.BackOffMax)
	h := fnv.New32a()
	_, _ = fmt.Fprint(h, o.Node.Name, b.Failures) // a hash.Hash never returns an error
	d += time.Duration(float64(d) / 4 * float64(h.Sum32()) / (1 << 32))
	b.Until = now.Add(d)
	r.BackOff = &b
	return r
}

// firstClosed is the first closed gate, in the order in which they were asked. A wish that can't be known closes too, and a
// request-now goes past those that are skippable.
func firstClosed(o Observation) (Verdict, bool) {
	for _, v := range o.Gates {
		if !v.Open && (!v.Skippable || !o.Wanted.Now) {
			return v, true
		}
	}
	if o.Wanted.Answer == Unknown {
		return Verdict{Gate: "sentinel", Reason: SentinelUnknown, Message: o.Wanted.Message, ClosedSince: o.Wanted.Since}, true
	}
	return Verdict{}, false
}

// Closed reports whether one of these verdicts holds a node back that wants this.
func Closed(gates []Verdict, w Wanted) bool {
	_, closed := firstClosed(Observation{Gates: gates, Wanted: w})
	return closed
}

// unsettled is the first gate that keeps the slot after the settle time. Where the slot is gone, a person has let the next node go.
func unsettled(o Observation) (Verdict, bool) {
	if !o.Slot.Held && o.Slot.Error == "" {
		return Verdict{}, false
	}
	for _, v := range o.Gates {
		if !v.Open {
			return v, true
		}
	}
	return Verdict{}, false
}

// uncleared counts the reboots since then, our own only, that did not clear what asked for them.
func uncleared(history []Reboot, since time.Time) int {
	n := 0
	for _, b := range history {
		if b.Ours && !b.Cleared && b.In.After(since) {
			n++
		}
	}
	return n
}

func slotLost(o Observation) string {
	return fmt.Sprintf("Lease %s, which let this node be out of service, is gone or is not this node's any more.", o.Record.Slot)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func rounded(from, to time.Time) time.Duration { return to.Sub(from).Round(time.Second) }

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// shorten bounds what goes into the record.
func shorten(s string) string { return Clip(s, 500) }
