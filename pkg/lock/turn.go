package lock

import (
	"cmp"
	"slices"
	"time"
)

// Waiter is one node that waits for a slot of its group.
type Waiter struct {
	Node string
	// Priority is from the annotation rebootd.io/priority; higher goes first.
	Priority     int
	ControlPlane bool
	// Zone is the value of the label that nodes are grouped by on their way; empty: none.
	Zone string
	// Since is since when it has wanted its reboot.
	Since time.Time
}

// Order sorts waiters into the order in which they go: by priority, workers before control planes, the zone that
// is under way first and the others one after another, the longest waiting, then by name.
func Order(waiters []Waiter, zone string) []Waiter {
	sorted := slices.Clone(waiters)
	first := map[string]time.Time{} // when a zone's longest waiter began to wait
	for _, w := range waiters {
		if t, ok := first[w.Zone]; !ok || w.Since.Before(t) {
			first[w.Zone] = w.Since
		}
	}
	slices.SortFunc(sorted, func(a, b Waiter) int {
		return cmp.Or(
			cmp.Compare(b.Priority, a.Priority),
			compareBool(a.ControlPlane, b.ControlPlane),
			compareBool(a.Zone != zone, b.Zone != zone),
			first[a.Zone].Compare(first[b.Zone]),
			cmp.Compare(a.Zone, b.Zone),
			a.Since.Compare(b.Since),
			cmp.Compare(a.Node, b.Node),
		)
	})
	return sorted
}

// compareBool sorts false before true.
func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	default:
		return 1
	}
}

// Handover is what a freed slot says about who comes next.
type Handover struct {
	// Next is the node whose turn it is; empty when the holder named none.
	Next string
	// Waiting is how many nodes waited.
	Waiting int
	// At is when the slot was seen to be freed.
	At time.Time
}

const (
	// reserve is how long only the successor may take the freed slot. One that is absent or blocked costs
	// the others no more than this.
	reserve = 5 * time.Second
	// spread is how much later, per waiter, the last of the others may try.
	spread      = 5 * time.Millisecond
	spreadLeast = 300 * time.Millisecond
	spreadMost  = 15 * time.Second
)

// Turn is when a node may try for a slot that it sees free now. chance is a random number from 0 up to 1,
// which spreads those that were not named: there may be thousands. The zero Handover is for a slot
// that was free already.
func (h Handover) Turn(node string, now time.Time, chance float64) time.Time {
	if h.Next == node && now.Sub(h.At) < reserve {
		return now
	}
	turn := now
	if h.Next != "" {
		turn = later(turn, h.At.Add(reserve))
	}
	window := min(max(spreadLeast, time.Duration(h.Waiting)*spread), spreadMost)
	return turn.Add(time.Duration(chance * float64(window)))
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
