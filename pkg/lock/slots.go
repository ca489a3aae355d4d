// Package lock says how many nodes may be out of service at once: the slots of a lock group, each a
// Lease that exists as long as it is held.
//
// Taking a slot is creating its Lease, freeing it is deleting it, so a slot can't be held by two and
// nobody ever takes one from somebody else. Each Lease is owned by its holder's Node object, by name and
// UID: when that Node is deleted or replaced, Kubernetes' garbage collector frees the slot. The
// Lease's UID is the fencing token: a holder that finds another one, or none, has lost its slot.
//
// What is guaranteed: among agents that are configured with the same number N never more than N hold a slot; while
// the numbers differ, the largest holds. What is not: that a slot is freed while its holder is
// silent. A rebooting machine is silent too, so there is no expiry.
//
// This file is pure; the Leases are in leases.go.
package lock

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Slot is one held slot.
type Slot struct {
	// Name is its Lease's, Index the number at its end.
	Name  string
	Index int
	UID   types.UID
	// Node and NodeUID are the holder's.
	Node    string
	NodeUID types.UID
	// Created is when it was taken, by the API server's clock, to the second.
	Created time.Time
	// Slots is how many slots the group had when this one was taken; 0: its taker didn't say.
	Slots int
	// Version is the Lease's resourceVersion: it changes with every renewal.
	Version string
	// By is the process that took it.
	By string
	// Next is the node that it was left to; empty: none yet.
	Next string
}

// Orphan reports whether the Lease has lost the reference to its holder's Node: then nothing frees it when that is gone.
func (s Slot) Orphan() bool { return s.NodeUID == "" }

// ControlPlaneSlot is the Lease that all control planes of the cluster share, whatever their lock groups.
const ControlPlaneSlot = "rebootd-control-plane"

// Name is the Lease of slot index in a group.
func Name(group string, index int) string { return prefix(group) + strconv.Itoa(index) }

func prefix(group string) string { return "rebootd-" + group + "-" }

// index is the number at the end of a Lease's name; false for a Lease that is no slot of the group.
func index(group, name string) (int, bool) {
	tail, ok := strings.CutPrefix(name, prefix(group))
	if !ok {
		return 0, false
	}
	i, err := strconv.Atoi(tail)
	return i, err == nil && i >= 0 && Name(group, i) == name
}

// GroupOf is the group of a slot's Lease name.
func GroupOf(name string) (string, bool) {
	tail, ok := strings.CutPrefix(name, "rebootd-")
	cut := strings.LastIndexByte(tail, '-')
	if !ok || cut <= 0 {
		return "", false
	}
	_, ok = index(tail[:cut], name)
	return tail[:cut], ok
}

// Mine is the slot that this very Node holds. A Lease that names the node with another Node UID belongs to
// an earlier Node of that name and isn't its. Of several (an answer that was lost, and a second try) it is the
// oldest; the rest are extra and to be given back.
func Mine(held []Slot, node string, uid types.UID) (mine Slot, extra []Slot, ok bool) {
	var all []Slot
	for _, s := range held {
		if s.Node == node && s.NodeUID == uid {
			all = append(all, s)
		}
	}
	if len(all) == 0 {
		return Slot{}, nil, false
	}
	slices.SortFunc(all, func(a, b Slot) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Index, b.Index))
	})
	return all[0], all[1:], true
}

// Free are the slots that can be taken when n nodes may be out: those that nobody holds. There is none when n or more are held,
// whatever their index: what was taken under a larger n counts until it is given back.
func Free(held []Slot, n int) []int {
	if len(held) >= n {
		return nil
	}
	taken := map[int]bool{}
	for _, s := range held {
		taken[s.Index] = true
	}
	var free []int
	for i := range n {
		if !taken[i] {
			free = append(free, i)
		}
	}
	return free
}

// choose is the first of the wanted slots that is free; nil wants any. False: none of them is.
func choose(free, want []int) (int, bool) {
	if want == nil && len(free) > 0 {
		return free[0], true
	}
	for _, i := range want {
		if slices.Contains(free, i) {
			return i, true
		}
	}
	return 0, false
}

// Known is how many slots a group has, as far as its held slots tell: the most that any taker counted, at
// least 1. It serves those who wait where the number is a share of the group's nodes, so that not everyone has to count them.
func Known(held []Slot) int {
	n := 1
	for _, s := range held {
		n = max(n, s.Slots)
	}
	return n
}

// Surplus reports whether mine must be given back because n others were there before it. Creation
// times are whole seconds; whoever came in the same second counts as earlier, so that of two who can't
// tell, both give way rather than neither.
func Surplus(held []Slot, mine Slot, n int) bool {
	earlier := 0
	for _, s := range held {
		if s.UID != mine.UID && !s.Created.After(mine.Created) {
			earlier++
		}
	}
	return earlier >= n
}
