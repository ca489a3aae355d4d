package view

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"

	"github.com/rebootd/rebootd/pkg/lock"
	"github.com/rebootd/rebootd/pkg/plan"
)

// Slot is one slot that is held.
type Slot struct {
	Name   string    `json:"name"`
	Group  string    `json:"lockGroup"`
	UID    string    `json:"uid"`
	Holder string    `json:"holder"`
	Since  time.Time `json:"since,omitzero"`
	// Slots is how many slots its taker counted in the group.
	Slots int `json:"slots,omitempty"`
	// State and Reason are the holder's.
	State  string `json:"state,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Trouble says why nobody frees it: one clause.
	Trouble string `json:"trouble,omitempty"`

	nodeUID string
}

// SlotOf is the slot that a Lease stands for; false for a Lease that is none.
func SlotOf(l *coordinationv1.Lease) (Slot, bool) {
	g := lock.Group{Name: l.Labels[lock.GroupLabel]}
	if l.Name == lock.ControlPlaneSlot {
		g.Only = l.Name
	}
	if g.Name == "" {
		return Slot{}, false
	}
	held := g.FromLeases([]*coordinationv1.Lease{l})
	if len(held) == 0 {
		return Slot{}, false
	}
	s := held[0]
	return Slot{Name: s.Name, Group: g.Name, UID: string(s.UID), Holder: s.Node, Since: s.Created, Slots: s.Slots, nodeUID: string(s.NodeUID)}, true
}

// slotsOf reads the slots, and what is wrong with each.
func slotsOf(f Facts, nodes map[string]*Node, uids map[string]string) []Slot {
	var slots []Slot
	for i := range f.Leases {
		s, ok := SlotOf(&f.Leases[i])
		if !ok {
			continue
		}
		holder := nodes[s.Holder]
		if holder != nil {
			s.State, s.Reason = holder.State, holder.Reason
		}
		switch {
		case holder == nil:
			s.Trouble = fmt.Sprintf("there is no Node %s", s.Holder)
		case s.nodeUID == "":
			s.Trouble = fmt.Sprintf("it lost the reference to its owner, so nothing frees it when Node %s is gone", s.Holder)
		case uids[s.Holder] != s.nodeUID:
			s.Trouble = fmt.Sprintf("it is of an earlier Node %s", s.Holder)
		}
		slots = append(slots, s)
	}
	slices.SortFunc(slots, func(a, b Slot) int { return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Name, b.Name)) })
	return slots
}

// Danger says what a release of the slot breaks: whole sentences.
func (s Slot) Danger(holder *Node) []string {
	if holder == nil {
		return []string{fmt.Sprintf("There is no Node %s. If its machine is off or gone, nothing breaks.", s.Holder)}
	}
	state := fmt.Sprintf("Node %s is %s", holder.Name, holder.State)
	if holder.Reason != "" {
		state += fmt.Sprintf(" (%s)", holder.Reason)
	}
	var said []string
	switch {
	case holder.Out():
		said = append(said, fmt.Sprintf("%s since %s: it is out of service.", state, Stamp(holder.Since)),
			"Without this slot the next node goes while this one is still away: two nodes may be out at once.")
	case holder.State == string(plan.Settle):
		said = append(said, state+": it is in service again, and the next node goes before it has settled.")
	case holder.State == Unreadable || holder.State == NoRecord || holder.State == NoAgent:
		said = append(said, state+": whether it is out of service can't be known from its record.",
			"If it is, the next node goes while this one is away: two nodes may be out at once.")
	default:
		said = append(said, state+": it is in service, and takes a slot again when its turn comes.")
	}
	if !holder.Ready {
		said = append(said, "Its Node is not Ready.")
	}
	if holder.Unschedulable {
		said = append(said, "It is cordoned.")
	}
	return said
}
