package lock

import (
	"cmp"
	"hash/fnv"
	"math"
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

// Successor is the node that a slot is left to: the first of those who wait that neither has a slot, nor is named by another one, held or
// freed lately. mine is the slot, and what it has said until now: of several that name the same node, because they were freed at the same
// time, the first keeps it, and the others take those after it. None is empty.
func Successor(ordered []Waiter, mine Slot, held []Slot, freed map[string]bool) string {
	taken, skip := map[string]bool{}, 0
	for _, s := range held {
		taken[s.Node] = true
		switch {
		case s.UID == mine.UID:
		case s.Next == "" || s.Next != mine.Next:
			taken[s.Next] = true
		case s.Index < mine.Index:
			skip++
		}
	}
	for _, w := range ordered {
		if taken[w.Node] || freed[w.Node] {
			continue
		}
		if skip == 0 {
			return w.Node
		}
		skip--
	}
	return ""
}

// Handover is what a slot that is free says about who comes next.
type Handover struct {
	// Slot is its index.
	Slot int
	// Next is the node whose turn it is; empty when the holder named none.
	Next string
	// Waiting is how many nodes waited.
	Waiting int
	// At is when the slot was seen to be freed; zero: it was free already.
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

// Forgotten is how long after a slot was freed its handover still says something.
const Forgotten = reserve + spreadMost

// Reserved is the node that a slot is kept for; empty: it is anybody's.
func (h Handover) Reserved(now time.Time) string {
	if now.Sub(h.At) < reserve {
		return h.Next
	}
	return ""
}

// Turn is when a node may try for a slot, and for which of those that are free: the one that is kept for it, or those that are kept for
// nobody, in an order that differs from node to node, so that those who try in the same moment don't try for the same. since is since when
// the node has been after a slot. chance is a random number from 0 up to 1, which spreads those that were
// not named: there may be thousands. Few of them are early, however many there are: they would all try before they could see that
// one of them has the slot. Where no slot is free its turn is now, and for any.
func Turn(node string, free []Handover, since, now time.Time, chance float64) (at time.Time, slots []int) {
	at = now
	for i, h := range free {
		switch h.Reserved(now) {
		case node:
			return now, []int{h.Slot}
		case "":
			slots = append(slots, h.Slot)
		}
		from := h.At
		if h.Next != "" {
			from = from.Add(reserve)
		}
		window := min(max(spreadLeast, time.Duration(h.Waiting)*spread), spreadMost)
		turn := later(from, since).Add(time.Duration(math.Cbrt(chance) * float64(window)))
		if i == 0 || turn.Before(at) {
			at = turn
		}
	}
	return at, begin(slots, node)
}

// begin lets the order begin where the node's name says.
func begin(slots []int, node string) []int {
	if len(slots) == 0 {
		return nil
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(node)) // a hash.Hash never returns an error
	first := int(h.Sum32()>>1) % len(slots)
	return slices.Concat(slots[first:], slots[:first])
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
