// Package kured plays kured's part in tests: it takes and frees kured's lock as kured 1.23 does, with all that is wrong with it.
package kured

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Node is one of kured's nodes, with its configuration.
type Node struct {
	ID          string
	Concurrency int
	TTL         time.Duration
	Now         func() time.Time
}

type one struct {
	NodeID   string `json:"nodeID"`
	Metadata struct {
		Unschedulable bool `json:"unschedulable"`
	} `json:"metadata"`
	Created time.Time     `json:"created"`
	TTL     time.Duration `json:"TTL"`
}

type several struct {
	MaxOwners int   `json:"maxOwners"`
	Locks     []one `json:"locks"`
}

func (n Node) expired(l one) bool { return l.TTL > 0 && n.Now().Sub(l.Created) >= l.TTL }

func (n Node) mine() one { return one{NodeID: n.ID, Created: n.Now().UTC(), TTL: n.TTL} }

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// Acquire is the annotation as kured would write it; ok is false if kured doesn't get the lock. Nothing is to be written where
// write is false.
func (n Node) Acquire(annotation string, there bool) (next string, write, ok bool, err error) {
	if n.Concurrency > 1 {
		return n.acquireOneOfSeveral(annotation, there)
	}
	if there {
		var held one
		if err := json.Unmarshal([]byte(annotation), &held); err != nil {
			return "", false, false, fmt.Errorf("kured: %w", err)
		}
		if !n.expired(held) {
			return "", false, held.NodeID == n.ID, nil
		}
	}
	return text(n.mine()), true, true, nil
}

// acquireOneOfSeveral doesn't look whether this node has a place already.
func (n Node) acquireOneOfSeveral(annotation string, there bool) (next string, write, ok bool, err error) {
	var held several
	if there {
		if err := json.Unmarshal([]byte(annotation), &held); err != nil {
			return "", false, false, fmt.Errorf("kured: %w", err)
		}
	}
	locks := held.Locks
	if len(locks) >= n.Concurrency {
		locks = nil
		for _, l := range held.Locks {
			if !n.expired(l) {
				locks = append(locks, l)
			}
		}
		if len(locks) == len(held.Locks) {
			return "", false, false, nil
		}
	}
	return text(several{MaxOwners: n.Concurrency, Locks: append(locks, n.mine())}), true, true, nil
}

// ErrNotHeld is what kured says of a lock that isn't its own.
var ErrNotHeld = errors.New("kured: lock not held")

// Release is the annotation afterwards; there is false if kured takes it off.
func (n Node) Release(annotation string, there bool) (next string, still bool, err error) {
	if !there {
		return "", false, nil
	}
	if n.Concurrency <= 1 {
		var held one
		if err := json.Unmarshal([]byte(annotation), &held); err != nil {
			return "", false, fmt.Errorf("kured: %w", err)
		}
		if held.NodeID != n.ID {
			return "", false, ErrNotHeld
		}
		return "", false, nil
	}
	var held several
	if err := json.Unmarshal([]byte(annotation), &held); err != nil {
		return "", false, fmt.Errorf("kured: %w", err)
	}
	for i, l := range held.Locks {
		if l.NodeID == n.ID {
			held.Locks = append(held.Locks[:i], held.Locks[i+1:]...)
			return text(held), true, nil
		}
	}
	return "", false, ErrNotHeld
}
