package plan

import (
	"cmp"
	"fmt"
	"time"
)

// Decide returns the next step for this node. It covers every combination of record, slot, boot ID
// and wish, because a crash or a person can bring about any of them.
func Decide(o Observation, p Policy, now time.Time) Action {
	return inFull(o, asKured(o, p, marked(o, p, decide(o, p, now)), now))
}

func decide(o Observation, p Policy, now time.Time) Action {
	switch {
	case !o.Node.Exists:
		return refuse(o, fmt.Sprintf("There is no Node %s. Nothing is done until there is one.", o.Node.Name))
	case o.RecordError != "":
		return refuse(o, fmt.Sprintf("The record in annotation rebootd.io/state can't be read: %s. Nothing is done until it is "+
			"put right. To begin afresh, without a reboot as long as the hold is there: kubectl annotate node %s rebootd.io/state- rebootd.io/hold=repair; "+
			"if the node is cordoned and shouldn't be: kubectl uncordon %s", o.RecordError, o.Node.Name, o.Node.Name))
	case o.BootIDError != "":
		return refuse(o, fmt.Sprintf("The boot ID can't be read: %s. Nothing is done without it (--boot-id-file).", o.BootIDError))
	}
	if a, due := taint(o, p, now); due {
		return a
	}
	switch o.Record.Phase {
	case Required:
		return required(o, p, now)
	case Drain, Rebooting, Aborting:
		return out(o, p, now)
	case Recovering:
		return recovering(o, p, now)
	case Settle:
		return settling(o, p, now)
	default:
		return idle(o, now)
	}
}

// idle: in service and nothing under way. A slot still held is what a crash left; it goes first.
func idle(o Observation, now time.Time) Action {
	switch {
	case o.Slot.Held && o.Record.Phase == "" && o.Node.Unschedulable:
		return refuse(o, fmt.Sprintf("This node holds slot %s and is cordoned, but its record is gone, so it can't be known whose the cordon is. "+
			"The slot is kept until somebody says that the node is in service: kubectl uncordon %s", o.Slot.Name, o.Node.Name))
	case o.Slot.Held:
		return free(cmp.Or(o.Record.Reason, o.Wanted.Reason), "The node is in service; its slot is freed.")
	case o.Wanted.Answer == Yes:
		r := o.Record.idle(o.BootID, "", now)
		r.RequiredSince = now
		r = r.asked(o)
		return write(r.enter(Required, o.Wanted.Reason, now), o.Wanted.Message)
	case o.Record.Phase == "" || o.Record.BootID != o.BootID:
		return write(o.Record.idle(o.BootID, o.Wanted.Reason, now), o.Wanted.Message)
	case o.Wanted.Answer == No && o.Node.Labelled: // it was wanted still, or unknown, when the last record was written
		return write(o.Record.idle(o.BootID, o.Wanted.Reason, now), o.Wanted.Message)
	}
	if o.Wanted.Answer == No && o.Record.Reason == RebootSucceeded && o.Node.Told.Reason == RebootSucceeded {
		return Action{Do: DoWait, Reason: RebootSucceeded, Message: o.Node.Told.Message} // the last reboot's story stays
	}
	return say(o, o.Wanted.Reason, o.Wanted.Message, now)
}

// required: a reboot is wanted. What is cheap and this node's own is looked at first, then the slot, and
// under the slot everything again.
func required(o Observation, p Policy, now time.Time) Action {
	if a, wait := undo(o, p, now); wait {
		return a
	}
	if o.BootID != o.Record.BootID && len(o.Record.Requests) > 0 {
		r := o.Record.honour(o.Node)
		r.Reason, r.BootID = RebootSucceeded, o.BootID
		return write(r, "The machine has rebooted while it waited; what was requested is done.")
	}
	if o.Wanted.Answer == No {
		return write(o.Record.idle(o.BootID, o.Wanted.Reason, now), o.Wanted.Message)
	}
	if o.Slot.Held && o.Slot.Doubtful {
		return free(cmp.Or(o.Record.Reason, o.Wanted.Reason), "It may have been given back before; another is taken in its place.")
	}
	if a, closed := closedWhileInService(o, p, now); closed {
		return a
	}
	switch {
	case o.Slot.Error != "":
		return say(o, GateError, o.Slot.Error, now)
	case !o.Slot.Held && o.Slot.Free:
		return Action{Do: DoTake, Reason: WaitingForSlot, Message: "A slot is free; taking it."}
	case !o.Slot.Held:
		return say(o, WaitingForSlot, o.Slot.Message, now)
	}
	if left := o.Slot.HeldSince.Add(p.DrainDelay).Sub(now); left > 0 {
		return within(say(o, SlotTaken, fmt.Sprintf(
			"Slot %s is taken; waiting the drain delay of %s before the cordon.", o.Slot.Name, p.DrainDelay), now), left)
	}
	return cordon(o, p, now)
}

// closedWhileInService handles everything that can hold a node back while it is not cordoned. A slot is
// kept only for what would hold every other node too, and for a bounded time.
func closedWhileInService(o Observation, p Policy, now time.Time) (Action, bool) {
	if b := o.Record.BackOff; b != nil && now.Before(b.Until) {
		if o.Slot.Held {
			return free(BackingOff, b.Cause), true
		}
		return within(say(o, BackingOff, fmt.Sprintf("Backing off until %s after %s in a row. The last: %s",
			stamp(b.Until), count(b.Failures, "attempt"), b.Cause), now), b.Until.Sub(now)), true
	}
	if n := uncleared(o.Record.History, now.Add(-p.MaxRebootsPer)); p.MaxReboots > 0 && n >= p.MaxReboots {
		v := Verdict{Reason: RebootLoop, Message: fmt.Sprintf("%s within %s did not clear what asks for one: %s "+
			"Put right what asks for it; to try once more without waiting: kubectl annotate node %s rebootd.io/state-",
			count(n, "reboot"), p.MaxRebootsPer, o.Wanted.Message, o.Node.Name)}
		return holdBack(o, v, now), true
	}
	v, closed := firstClosed(o)
	if !closed {
		return Action{}, false
	}
	keep := v.Everyone && now.Sub(o.Slot.HeldSince) < p.TurnTime
	switch {
	case !o.Slot.Held || keep:
		return until(say(o, v.Reason, v.Message, now), v, now), true
	case !v.Costly:
		return free(v.Reason, v.Message), true
	}
	// A costly gate isn't asked without the slot: unless the node backs off it would take the same slot again at once.
	r := o.Record.backOff(o, p, v.Reason, v.Message, now)
	return write(r.enter(Required, v.Reason, o.Record.Since), v.Message), true
}

// holdBack says why, and gives back a slot that is held.
func holdBack(o Observation, v Verdict, now time.Time) Action {
	if o.Slot.Held {
		return free(v.Reason, v.Message)
	}
	return say(o, v.Reason, v.Message, now)
}

// out: the node is cordoned for a reboot that has not been proved. Whatever the phase: once the boot ID
// differs the machine has rebooted, by whomever, and all that is left is to come back.
func out(o Observation, p Policy, now time.Time) Action {
	if o.BootID != o.Record.BootID {
		r := o.Record
		r.FromBootID, r.BootID, r.Up = r.BootID, o.BootID, now
		if r.Phase != Rebooting {
			r.Attempts = 0
		}
		r = r.honour(o.Node)
		return write(r.enter(Recovering, RebootSucceeded, now), fmt.Sprintf(
			"Rebooted: the boot ID changed from %s to %s. Waiting until the node is healthy.", r.FromBootID, r.BootID))
	}
	switch o.Record.Phase {
	case Drain:
		return draining(o, p, now)
	case Rebooting:
		return rebooting(o, p, now)
	default:
		return aborting(o, p, now)
	}
}

// draining: cordoned under the slot. Every look may end it: slot lost, nothing wanted, a gate, the timeout.
func draining(o Observation, p Policy, now time.Time) Action {
	switch {
	case o.Slot.Error != "":
		return say(o, GateError, o.Slot.Error, now)
	case !o.Slot.Held:
		return abort(o, p, SlotLost, slotLost(o), now)
	case o.Wanted.Answer == No:
		return abort(o, p, o.Wanted.Reason, "The reboot is no longer wanted: "+o.Wanted.Message, now)
	}
	if v, closed := firstClosed(o); closed {
		return grace(o, p, v, now)
	}
	if !o.Node.Unschedulable {
		return cordon(o, p, now)
	}
	if a, wait := beforeDrain(o, p, now); wait {
		return a
	}
	if left := o.Record.Since.Add(p.LoadBalancerDelay).Sub(now); left > 0 {
		return within(say(o, Draining, fmt.Sprintf("Cordoned; waiting for the load balancers until %s, then the pods are evicted.",
			stamp(o.Record.Since.Add(p.LoadBalancerDelay))), now), left)
	}
	doneSince := o.Pods.DoneSince
	if o.Pods.Work != Done {
		late := p.DrainTimeout > 0 && !now.Before(drainEnd(o.Record, p))
		if !late || p.OnDrainTimeout != RebootAnyway {
			return evicting(o, p, late, now)
		}
		doneSince = drainEnd(o.Record, p)
	}
	return drained(o, p, doneSince, now)
}

// rebooting: drained, and the record says that the command comes next, or came.
func rebooting(o Observation, p Policy, now time.Time) Action {
	if !o.Record.Issued.IsZero() || (o.Command.Work == Doubtful && o.Record.Attempts >= p.RebootAttempts) {
		return issued(o, p, now)
	}
	switch o.Command.Work {
	case Running:
		return Action{Do: DoWait, Reason: RebootIssued, Message: "The reboot command is running."}
	case Done:
		r := o.Record
		r.Reason, r.Issued = RebootIssued, now
		return write(r, "The reboot command was given; waiting for the machine to go down.")
	default:
	}
	if a, stop := stopBeforeCommand(o, p, now); stop {
		return a
	}
	if o.Command.Work == Failed && o.Record.Attempts >= p.RebootAttempts {
		if o.Command.Doubt {
			return issued(o, p, now)
		}
		return abort(o, p, RebootFailed, fmt.Sprintf("The reboot command failed %s: %s",
			count(o.Record.Attempts, "time"), o.Command.Message), now)
	}
	return command(o, p, now)
}

// command runs the reboot command, or announces that it is run again. Nothing stands against it any more.
func command(o Observation, p Policy, now time.Time) Action {
	switch {
	case !o.Node.Unschedulable && !o.Command.Doubt:
		return cordon(o, p, now) // a person uncordoned it: there may be pods again
	case o.Command.Work == Doubtful && now.Before(o.Record.LastAttempt.Add(p.CommandTimeout)):
		again := o.Record.LastAttempt.Add(p.CommandTimeout)
		return within(say(o, RebootIssued, fmt.Sprintf(
			"An earlier agent may have given the reboot command; if the machine doesn't go down, it is given again at %s.", stamp(again)), now), again.Sub(now))
	case o.Command.Work == NotStarted:
		return Action{Do: DoReboot, Reason: RebootIssued, Message: fmt.Sprintf(
			"Running the reboot command (attempt %d of %d).", o.Record.Attempts, p.RebootAttempts)}
	case o.Command.Work == Failed:
		if left := o.Record.LastAttempt.Add(p.RetryDelay).Sub(now); left > 0 {
			return within(say(o, RebootFailed, fmt.Sprintf("Attempt %d of %d: %s. It is tried again.",
				o.Record.Attempts, p.RebootAttempts, o.Command.Message), now), left)
		}
	}
	return attempt(o, "The reboot command comes next.", now)
}

// stopBeforeCommand looks at slot, wish and gates for the last time before the command. As long as no
// command can be under way, what stops it leads back into service; otherwise the node waits where it is.
func stopBeforeCommand(o Observation, p Policy, now time.Time) (Action, bool) {
	v, closed := firstClosed(o)
	switch {
	case o.Slot.Error != "":
		return say(o, GateError, o.Slot.Error, now), true
	case !o.Slot.Held:
		v, closed = Verdict{Reason: SlotLost, Message: slotLost(o), ClosedSince: now.Add(-p.GateGrace)}, true
	case o.Wanted.Answer == No:
		v, closed = Verdict{Reason: o.Wanted.Reason, Message: "The reboot is no longer wanted: " + o.Wanted.Message,
			ClosedSince: now.Add(-p.GateGrace)}, true
	}
	switch {
	case !closed:
		return Action{}, false
	case o.Command.Doubt && !now.Before(o.Record.LastAttempt.Add(p.RebootTimeout)):
		return issued(o, p, now), true
	case o.Command.Doubt:
		return say(o, v.Reason, v.Message+" A reboot command may be under way already, so the node stays out of service.", now), true
	}
	return grace(o, p, v, now), true
}

// issued: a command was accepted, or may have been. It may only be slow, so the node stays out and keeps
// its slot until the boot ID changes or a person decides.
func issued(o Observation, p Policy, now time.Time) Action {
	since := o.Record.Issued
	if since.IsZero() {
		since = o.Record.LastAttempt
	}
	left := since.Add(p.RebootTimeout).Sub(now)
	if left > 0 {
		return within(say(o, RebootIssued, "The reboot command was given; waiting for the machine to go down.", now), left)
	}
	return failed(o, say(o, RebootTimedOut, fmt.Sprintf("The reboot command was given at %s, and %s later the boot ID is still %s. "+
		"The node stays out of service and keeps its slot, because the reboot may only be slow. Reboot the machine by hand; rebootd goes on when the boot ID has changed.",
		stamp(since), p.RebootTimeout, o.BootID), now))
}

// recovering: rebooted. Nothing but this node's own health decides when it is uncordoned: not the slot, not the gates.
func recovering(o Observation, p Policy, now time.Time) Action {
	if o.Record.Cordon == CordonOurs && !o.Node.Unschedulable {
		r := o.Record
		r.Cordon = CordonNone // whoever cordons it from now on is a person
		return write(r, "Rebooted; somebody uncordoned the node before it was known to be healthy.")
	}
	if a, waits := unhealthy(o, now); waits {
		left := o.Record.Since.Add(p.RebootTimeout).Sub(now)
		switch {
		case justBack(o, now) && a.Reason == NotReadyAfterReboot:
			return within(Action{Do: DoWait, Reason: RebootSucceeded, Message: o.Node.Told.Message}, backAt(o).Sub(now))
		case o.Record.Attempts == 0: // nothing that rebootd did
			return a
		case left > 0:
			return within(a, left)
		}
		return failed(o, a)
	}
	if left := o.HealthySince.Add(p.SteadyTime).Sub(now); left > 0 {
		return within(say(o, NotReadyAfterReboot, fmt.Sprintf(
			"Rebooted and Ready; it must stay so for %s.", p.SteadyTime), now), left)
	}
	if a, wait := afterReboot(o, p, now); wait {
		return a
	}
	r := o.Record
	msg := "Rebooted and healthy: uncordoned."
	if r.Cordon == CordonAdmin {
		msg = "Rebooted and healthy. It was cordoned before rebootd came, so it stays cordoned."
	}
	return uncordon(r.enter(Settle, Uncordoned, now), Uncordoned, msg)
}

// quietAfterBoot is how long after the reboot it is nothing to speak of that the Node is not Ready yet: that it has rebooted was just said.
const quietAfterBoot = 3 * time.Second

func backAt(o Observation) time.Time { return o.Record.Since.Add(quietAfterBoot) }

func justBack(o Observation, now time.Time) bool {
	return o.Record.Reason == RebootSucceeded && o.Node.Told.Reason == RebootSucceeded && now.Before(backAt(o))
}

// unhealthy says what is still missing on a node that has rebooted.
func unhealthy(o Observation, now time.Time) (Action, bool) {
	if o.HealthySince.IsZero() {
		msg := "Rebooted; the Node is not Ready yet: " + o.Node.NotReadyMessage
		if o.Node.Ready {
			msg = "Rebooted; the kubelet has not reported since."
		}
		return say(o, NotReadyAfterReboot, msg, now), true
	}
	if o.DaemonsError != "" {
		return say(o, GateError, fmt.Sprintf("Rebooted and Ready; whether the DaemonSets' pods are ready too can't be known (--wait-for-daemonsets): %s",
			o.DaemonsError), now), true
	}
	if pods := unready(o); pods != "" {
		return say(o, NotReadyAfterReboot, fmt.Sprintf("Rebooted and Ready; these DaemonSets' pods are not: %s.", pods), now), true
	}
	return Action{}, false
}

// settling: in service again, the slot still held, so that the next node waits until this one has settled.
func settling(o Observation, p Policy, now time.Time) Action {
	if !o.Node.Ready {
		return say(o, NotReadyAfterReboot, "Uncordoned, but the Node is not Ready: "+o.Node.NotReadyMessage, now)
	}
	if a, wait := skewed(o, now); wait {
		return a
	}
	if left := o.Record.Since.Add(p.SettleTime).Sub(now); left > 0 {
		return within(say(o, Settling, fmt.Sprintf(
			"In service again; the slot is held until %s, so that the next node waits.", stamp(o.Record.Since.Add(p.SettleTime))), now), left)
	}
	if v, closed := unsettled(o); closed {
		return say(o, v.Reason, fmt.Sprintf("In service again, but slot %s is kept, so that the next node waits. %s "+
			"To let the next node go all the same, delete the Lease %s.", o.Record.Slot, v.Message, o.Record.Slot), now)
	}
	r := o.Record
	done := Reboot{
		From: r.FromBootID, To: r.BootID, Out: r.OutSince, Drained: r.Drained, Up: r.Up, In: r.Since,
		Ours: r.Attempts > 0, Cleared: o.Wanted.Answer == No, Failed: r.Failed, By: r.AskedBy,
	}
	return write(r.remember(done).idle(o.BootID, RebootSucceeded, now), story(r, done))
}

// aborting: uncordon what is ours. The slot goes only after that, so that the node can't be out without one.
func aborting(o Observation, p Policy, now time.Time) Action {
	r := o.Record
	r.Slot, r.LeaseUID, r.FromBootID, r.Attempts = "", "", "", 0
	r.Hooked, r.HooksDone = r.Hooked && due(r, p, AfterReboot), nil
	r.OutSince, r.Drained, r.LastAttempt, r.Issued = time.Time{}, time.Time{}, time.Time{}, time.Time{}
	msg := "Gave up; the node is in service again."
	if r.Cordon == CordonAdmin {
		msg = "Gave up; the node stays cordoned, as it was before."
	}
	if r.BackOff != nil && r.BackOff.Reason == r.Reason { // else it is of an earlier attempt
		msg += " " + r.BackOff.Cause
	}
	return uncordon(r.enter(Required, r.Reason, now), r.Reason, msg)
}
