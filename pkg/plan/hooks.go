package plan

import (
	"fmt"
	"slices"
	"time"
)

// HookPoint is where on the way through a reboot the cluster's owner can have something done.
type HookPoint string

// The points.
const (
	// BeforeDrain: the node is cordoned, and nothing has been evicted yet.
	BeforeDrain HookPoint = "before-drain"
	// BeforeReboot: drained; the reboot command is next.
	BeforeReboot HookPoint = "before-reboot"
	// AfterReboot: rebooted and healthy, and about to be uncordoned; or back in service without a reboot, after hooks that
	// were before it.
	AfterReboot HookPoint = "after-reboot"
)

// HookPoints returns every point, in the order of a reboot.
func HookPoints() []HookPoint { return []HookPoint{BeforeDrain, BeforeReboot, AfterReboot} }

// HookState is how far the hooks of one point have come, in this process; they can be run again at any time.
type HookState struct {
	Point HookPoint
	// Work is Running until every hook of the point has succeeded, or need not; then it is Done.
	Work Work
	// Message says which hook fails and why; empty while none does.
	Message string
	// FailingSince is since when a hook that must succeed fails. Zero: none does.
	FailingSince time.Time
}

// beforeDrain runs the hooks that come before the first eviction.
func beforeDrain(o Observation, p Policy, now time.Time) (Action, bool) {
	return before(o, p, BeforeDrain, Draining, "Cordoned;", now)
}

// before runs the hooks of a point before the reboot. What they do must be undone, so the record says that they begin before
// they do, under the reason that the node is in. One that keeps failing ends the attempt as a gate does.
func before(o Observation, p Policy, point HookPoint, reason Reason, stands string, now time.Time) (Action, bool) {
	if !due(o.Record, p, point) {
		return Action{}, false
	}
	s := o.Hooks.at(point)
	switch {
	case !o.Record.Hooked:
		r := o.Record
		r.Reason, r.Hooked = reason, true
		return write(r, runs(stands, point)), true
	case s.Work == Done:
		r := o.Record
		r.HooksDone = append(slices.Clone(r.HooksDone), point)
		if r.Reason = reason; point == BeforeDrain {
			r.Since = now // the drain gets all of its time
		}
		return write(r, fmt.Sprintf("%s the hooks %s have run.", stands, point)), true
	case s.FailingSince.IsZero():
		return hook(say(o, reason, runs(stands, point), now), point), true
	}
	left := s.FailingSince.Add(p.GateGrace).Sub(now)
	if left <= 0 {
		return abort(o, p, HookFailed, fmt.Sprintf("The hooks %s did not succeed within %s. %s", point, p.GateGrace, s.Message), now), true
	}
	return within(hook(say(o, BlockedByHook, fmt.Sprintf("%s It is tried again; the node is cordoned and waits up to %s for it.",
		s.Message, p.GateGrace), now), point), left), true
}

// afterReboot runs the hooks that come between the proof of health and the uncordon. A person who uncordons the node lets it go past
// one that fails.
func afterReboot(o Observation, p Policy, now time.Time) (Action, bool) {
	s := o.Hooks.at(AfterReboot)
	switch {
	case !due(o.Record, p, AfterReboot), s.Work == Done, !s.FailingSince.IsZero() && !o.Node.Unschedulable:
		return Action{}, false
	case s.FailingSince.IsZero():
		return hook(say(o, RebootSucceeded, runs("Rebooted and healthy;", AfterReboot), now), AfterReboot), true
	}
	return hook(say(o, BlockedByHook, fmt.Sprintf("Rebooted and healthy, but a hook holds the node back. %s It is tried again until it "+
		"succeeds; until then the node stays cordoned and keeps its slot. To go on without it: kubectl uncordon %s", s.Message, o.Node.Name), now), AfterReboot), true
}

// undo runs the hooks after-reboot when a node is back without a reboot, if there is something that they may have to undo. The
// node is in service by then; its slot, if it still has one, is kept meanwhile, so that what one node undoes isn't what the
// next one has done. A hook that fails keeps it only as long as a gate would.
func undo(o Observation, p Policy, now time.Time) (Action, bool) {
	if !o.Record.Hooked || !due(o.Record, p, AfterReboot) {
		return Action{}, false
	}
	s, r := o.Hooks.at(AfterReboot), o.Record
	r.Hooked = false
	switch {
	case s.Work == Done:
		return write(r, "Gave up before the reboot; the hooks after-reboot have run."), true
	case s.FailingSince.IsZero():
		return hook(say(o, o.Record.Reason, runs("Gave up before the reboot;", AfterReboot), now), AfterReboot), true
	}
	left := s.FailingSince.Add(p.GateGrace).Sub(now)
	if left <= 0 {
		r.Reason = HookFailed
		return write(r, fmt.Sprintf("The hooks after-reboot did not succeed within %s. What the hooks before the reboot did may have to be undone by hand. %s",
			p.GateGrace, s.Message)), true
	}
	return within(hook(say(o, BlockedByHook, fmt.Sprintf("Gave up before the reboot. %s It is tried again; the node is in service, and keeps "+
		"its slot for up to %s.", s.Message, p.GateGrace), now), AfterReboot), left), true
}

// due reports whether there are hooks at the point that have not run in this attempt.
func due(r Record, p Policy, point HookPoint) bool {
	return slices.Contains(p.Hooks, point) && !slices.Contains(r.HooksDone, point)
}

// afresh is the record at the beginning of a drain: what is to be undone stays, and of a drain that had ended, so does what need
// not be done twice.
func (r Record) afresh(p Policy) Record {
	if r.Phase != Rebooting {
		r.Hooked, r.HooksDone = false, nil
	}
	r.HooksDone = slices.DeleteFunc(slices.Clone(r.HooksDone), func(d HookPoint) bool { return d == BeforeReboot })
	r.Hooked = r.Hooked || due(r, p, BeforeDrain)
	return r
}

// at is the state, if it is that of this point.
func (s HookState) at(point HookPoint) HookState {
	if s.Point != point {
		return HookState{Point: point}
	}
	return s
}

// hook makes of a wait one in which the hooks of the point run.
func hook(a Action, point HookPoint) Action {
	if a.Do == DoWait {
		a.Do, a.Hook = DoHook, point
	}
	return a
}

func runs(stands string, point HookPoint) string {
	return fmt.Sprintf("%s running the hooks %s.", stands, point)
}

// follows says what follows the cordon, and what is known to stand in its way: an open gate may have something to say.
func follows(o Observation, p Policy, r Record) string {
	message := "evicting the pods."
	switch {
	case due(r, p, BeforeDrain):
		message = fmt.Sprintf("running the hooks %s.", BeforeDrain)
	case p.LoadBalancerDelay > 0:
		message = fmt.Sprintf("waiting %s for the load balancers before the pods are evicted.", p.LoadBalancerDelay)
	}
	for _, v := range o.Gates {
		if v.Open && v.Message != "" {
			message += " " + v.Message
		}
	}
	return message
}
