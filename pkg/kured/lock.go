// Package kured knows the lock by which kured's nodes take turns: an annotation of kured's DaemonSet. What it says and who may have
// a place in it are a value and pure rules; [Interlock] reads it and writes it by compare-and-swap.
//
// A node of rebootd stands in it as rebootd/NAME and without a TTL. Kured compares whole names, so no kured takes that for its own.
package kured

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	// prefix begins the names of rebootd's entries.
	prefix = "rebootd/"
	// filler takes up a place that kured would give to one more node than rebootd allows. It is nobody's, and goes with the last of
	// rebootd's entries.
	filler = "rebootd"
	// manual is the name that kured documents for a person's pause.
	manual = "manual"
)

// Entry is one that holds the lock.
type Entry struct {
	NodeID  string        `json:"nodeID"`
	Created time.Time     `json:"created"`
	TTL     time.Duration `json:"TTL"`
	// Metadata is what kured knows of the node from before.
	Metadata Metadata `json:"metadata"`

	raw json.RawMessage // as it stands there: of others' nothing may get lost
}

// Metadata is what kured keeps of a node while it holds the lock.
type Metadata struct {
	// Unschedulable is whether it was cordoned already: then kured leaves it so.
	Unschedulable bool `json:"unschedulable"`
}

// Expired is as kured sees it: by this machine's clock, whoever wrote the time.
func (e Entry) Expired(now time.Time) bool { return e.TTL > 0 && now.Sub(e.Created) >= e.TTL }

// Manual reports whether it is a person's, by the name that kured documents for that.
func (e Entry) Manual() bool { return e.NodeID == manual }

// Rebootd reports whether it is rebootd's, and of which node; of none is what only takes up a place.
func (e Entry) Rebootd() (node string, ours bool) {
	node, is := strings.CutPrefix(e.NodeID, prefix)
	if !is {
		node = ""
	}
	return node, is || e.NodeID == filler
}

func (e Entry) ours() bool { return strings.HasPrefix(e.NodeID, prefix) || e.NodeID == filler }

func (e Entry) text() json.RawMessage {
	if e.raw != nil {
		return e.raw
	}
	text, _ := json.Marshal(struct { // of such fields it never fails
		NodeID   string        `json:"nodeID"`
		Metadata Metadata      `json:"metadata"`
		Created  time.Time     `json:"created"`
		TTL      time.Duration `json:"TTL"`
	}{NodeID: e.NodeID, Metadata: e.Metadata, Created: e.Created, TTL: e.TTL})
	return text
}

// Lock is what the annotation says. The zero value is a lock that nobody holds.
type Lock struct {
	Entries []Entry
	// several is whether it is in the form that a kured with --concurrency above 1 writes, and owners the number there.
	several bool
	owners  int
}

// Parse reads the annotation, in either form.
func Parse(text string) (Lock, error) {
	var v struct {
		NodeID    *string           `json:"nodeID"`
		MaxOwners *int              `json:"maxOwners"`
		Locks     []json.RawMessage `json:"locks"`
	}
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return Lock{}, fmt.Errorf("not kured's lock: %w", err)
	}
	var raws []json.RawMessage
	l := Lock{several: v.MaxOwners != nil || v.Locks != nil}
	switch {
	case l.several:
		raws = v.Locks
		if v.MaxOwners != nil {
			l.owners = *v.MaxOwners
		}
	case v.NodeID == nil:
		return Lock{}, errors.New("not kured's lock: it names no node")
	}
	if v.NodeID != nil {
		raws = append(raws, json.RawMessage(text))
	}
	for _, raw := range raws {
		e := Entry{raw: raw}
		if err := json.Unmarshal(raw, &e); err != nil {
			return Lock{}, fmt.Errorf("not kured's lock: %w", err)
		}
		l.Entries = append(l.Entries, e)
	}
	return l, nil
}

// String is the annotation; empty if there is to be none. Kured of any --concurrency takes none for a free lock.
func (l Lock) String() string {
	if len(l.Entries) == 0 {
		return ""
	}
	if !l.several {
		return string(l.Entries[0].text())
	}
	v := struct {
		MaxOwners int               `json:"maxOwners"`
		Locks     []json.RawMessage `json:"locks"`
	}{MaxOwners: l.owners}
	for _, e := range l.Entries {
		v.Locks = append(v.Locks, e.text())
	}
	text, _ := json.Marshal(v) // what was read as JSON can be written
	return string(text)
}

// Manual reports whether a person holds it by the name that kured documents for that. (A kured with --concurrency above 1 overwrites
// such a pause.)
func (l Lock) Manual(now time.Time) bool {
	return slices.ContainsFunc(l.Entries, func(e Entry) bool { return e.NodeID == manual && !e.Expired(now) })
}

// Holds reports whether a node of rebootd stands in it.
func (l Lock) Holds(node string) bool {
	return slices.ContainsFunc(l.Entries, func(e Entry) bool { return e.NodeID == prefix+node })
}

// Nodes are the nodes of rebootd that stand in it.
func (l Lock) Nodes() []string {
	var nodes []string
	for _, e := range l.Entries {
		if node, ok := strings.CutPrefix(e.NodeID, prefix); ok {
			nodes = append(nodes, node)
		}
	}
	return nodes
}

// Limits are how many nodes may be out at once: by kured's --concurrency and by rebootd's. The smaller counts for both.
type Limits struct{ Kured, Rebootd int }

// TakenError says who holds the lock, so that there is no place for one more.
type TakenError struct{ By []string }

func (e *TakenError) Error() string {
	return "kured's lock is held by " + strings.Join(e.By, " and ")
}

// With is the lock with a new entry of this node. An earlier one of its own is replaced; those of nodes that are gone are dropped. Places that
// kured would give away beyond the limits are filled. It is a [TakenError] if there is no place.
func (l Lock) With(node string, limits Limits, gone func(node string) bool, now time.Time) (Lock, error) {
	next := Lock{several: l.several || limits.Kured > 1, owners: max(l.owners, limits.Kured)}
	most := max(1, min(limits.Kured, limits.Rebootd))
	var expired []Entry
	var by []string
	fillers := max(0, next.owners-most)
	had := 0
	for _, e := range l.Entries {
		other, ours := strings.CutPrefix(e.NodeID, prefix)
		switch {
		case ours && (other == node || gone(other)):
		case e.NodeID == filler:
			had++
		case e.Expired(now):
			expired = append(expired, e)
		default:
			next.Entries = append(next.Entries, e)
			by = append(by, fmt.Sprintf("%q", e.NodeID))
		}
	}
	if len(by) >= most || l.Manual(now) {
		return Lock{}, &TakenError{By: by}
	}
	if slices.ContainsFunc(next.Entries, Entry.ours) { // those whose limit was lower count on theirs
		fillers = max(fillers, had)
	}
	next.Entries = append(next.Entries, Entry{NodeID: prefix + node, Created: now.UTC()})
	if !next.several {
		return next, nil
	}
	for range min(fillers, next.owners-len(next.Entries)) {
		next.Entries = append(next.Entries, Entry{NodeID: filler, Created: now.UTC()})
	}
	if room := next.owners - len(next.Entries); room > 0 { // kured, too, drops them only when it needs their places
		next.Entries = append(next.Entries, expired[:min(room, len(expired))]...)
	}
	return next, nil
}

// Without is the lock without this node, and whether that is another. With the last node of rebootd the fillers go.
func (l Lock) Without(node string) (Lock, bool) {
	next := l
	next.Entries = slices.DeleteFunc(slices.Clone(l.Entries), func(e Entry) bool { return e.NodeID == prefix+node })
	if len(next.Nodes()) == 0 {
		next.Entries = slices.DeleteFunc(next.Entries, func(e Entry) bool { return e.NodeID == filler })
	}
	return next, len(next.Entries) != len(l.Entries)
}

// Drop is the lock without the entries that are stale.
func (l Lock) Drop(stale func(Entry) bool) Lock {
	l.Entries = slices.DeleteFunc(slices.Clone(l.Entries), stale)
	return l
}

// Misread reports whether a kured with that --concurrency takes it for held although nobody holds it: what one with --concurrency above 1 leaves
// behind, one with 1 reads as the lock of a node without a name.
func (l Lock) Misread(concurrency int) bool {
	return l.several && len(l.Entries) == 0 && concurrency == 1
}
