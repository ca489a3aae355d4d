package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Other is what a node knows of another one of its lock group.
type Other struct {
	Name  string
	Ready bool
	// Unschedulable is whether it takes no pods: it is cordoned, or about to be removed.
	Unschedulable bool
	ControlPlane  bool
	// Busy is whether its record is other than idle, or can't be read.
	Busy bool
	// Out is when it went out of service for its reboot, Ordered when its reboot command was last announced, by its own clock; zero: its
	// record doesn't say so.
	Out, Ordered time.Time
	// HoldsSlot is whether it holds a slot, HeldFirst whether it took it before this node took its own, HeldTogether whether in the same
	// second, so that nobody can tell.
	HoldsSlot, HeldFirst, HeldTogether bool
}

// Budget is how many nodes may be out of service, whoever took them out.
type Budget struct {
	// Slots is how many slots the group has.
	Slots int
	// MaxUnavailable is how many of the group may be out, this node included. 0: no limit.
	MaxUnavailable int
}

// TooMany says why this node may not go out as well: one sentence, empty if it may.
//
// A node that isn't Ready and carries a record other than idle counts as if it held a slot, even when its slot
// expired: so a slot that comes back never lets broken nodes pile up. With MaxUnavailable every node counts that isn't
// Ready or is cordoned. Whoever holds a slot counts too, if it didn't come later: it is about to go. So of two that look at the same
// time the later one gives way.
func (b Budget) TooMany(others []Other) string {
	var taken, out []string
	for _, o := range others {
		silent := !o.Ready && o.Busy
		if o.HoldsSlot || silent {
			taken = append(taken, o.Name)
		}
		if !o.Ready || o.Unschedulable || o.HoldsSlot && (o.HeldFirst || o.HeldTogether) {
			out = append(out, o.Name)
		}
	}
	switch {
	case len(taken) >= b.Slots && anySilent(others):
		return fmt.Sprintf("%s out of service by rebootd's doing or not back yet: %s; no more than %d may be.",
			are(len(taken)), names(taken), b.Slots)
	case b.MaxUnavailable > 0 && len(out) >= b.MaxUnavailable:
		return fmt.Sprintf("%s out of service already: %s; with this one that would be more than --max-unavailable=%d.",
			are(len(out)), names(out), b.MaxUnavailable)
	}
	return ""
}

// GivesWay reports whether this node is one to give its slot back, of those that only keep each other from going because they took theirs
// in the same second: all do but the first by name.
func (b Budget) GivesWay(self string, others []Other) bool {
	first := true
	alone := slices.Clone(others)
	for i := range alone {
		if alone[i].HeldTogether {
			first = first && self < alone[i].Name
			alone[i].HoldsSlot, alone[i].HeldTogether = false, false
		}
	}
	return !first && b.TooMany(others) != "" && b.TooMany(alone) == ""
}

// Lost are those that went down for a reboot so long ago that they should be back, and are not: nobody but the others can count them as
// failed. Their clocks are taken to agree with this node's, but for a small part of that time.
func Lost(others []Other, p Policy, now time.Time) []Other {
	return slices.DeleteFunc(slices.Clone(others), func(o Other) bool {
		return o.Ready || !o.HoldsSlot || o.Ordered.IsZero() || now.Sub(o.Ordered) < p.RebootTimeout
	})
}

// anySilent: without such a node the slots alone have counted right, and were checked when this one was taken.
func anySilent(others []Other) bool {
	for _, o := range others {
		if !o.Ready && o.Busy && !o.HoldsSlot {
			return true
		}
	}
	return false
}

// Quorum says why a control plane may not go out: from three on a majority must stay Ready. Empty if it may. One or two
// have no majority to keep, and reboot all the same.
func Quorum(others []Other) string {
	total, ready := 1, 0
	var away []string
	for _, o := range others {
		if !o.ControlPlane {
			continue
		}
		total++
		if o.Ready {
			ready++
		} else {
			away = append(away, o.Name)
		}
	}
	if need := total/2 + 1; total >= 3 && ready < need {
		return fmt.Sprintf("Only %d of %d control planes would stay Ready, and %d must; not Ready: %s.", ready, total, need, names(away))
	}
	return ""
}

func are(n int) string {
	if n == 1 {
		return "1 node is"
	}
	return fmt.Sprintf("%d nodes are", n)
}

// names lists the first few.
func names(all []string) string {
	const shown = 5
	if more := len(all) - shown; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(all[:shown], ", "), more)
	}
	return strings.Join(all, ", ")
}
