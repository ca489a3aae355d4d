package plan

import (
	"slices"
	"time"
)

// What kured sets on Nodes with --annotate-nodes: that a reboot is under way, and when one was last needed. Both hold a time.
const (
	KuredInProgress = "weave.works/kured-reboot-in-progress"
	KuredMostRecent = "weave.works/kured-most-recent-reboot-needed"
)

// AsKured is what a Node carries for programs that were made for kured.
type AsKured struct {
	// Annotate is whether kured's two annotations are set.
	Annotate bool
	// Before are the labels that are set with the cordon, After those that are set when the node isn't out any more. Neither
	// remembers what was there before.
	Before, After []Mark
}

// asKured is the action with what goes into its write for programs that were made for kured.
func asKured(o Observation, p Policy, a Action, now time.Time) Action {
	var changes []Change
	switch {
	case a.Do == DoCordon:
		changes = set(o.Node, p.AsKured.Before)
	case (a.Do == DoWrite || a.Do == DoUncordon) && o.Record.Out() && !a.Record.Out():
		changes = set(o.Node, p.AsKured.After)
	}
	if p.AsKured.Annotate {
		changes = append(changes, annotate(o, a, now)...)
	}
	a.Marks = append(slices.Clip(a.Marks), changes...)
	return a
}

// annotate sets both annotations once the node waits in an open window, or is cordoned, as kured does; the first of them goes when
// no reboot is wanted any more. (Kured leaves it there for ever when that comes about otherwise than by its own reboot.)
func annotate(o Observation, a Action, now time.Time) []Change {
	_, there := o.Node.Annotations[KuredInProgress]
	waits := a.Do == DoWrite && a.Record.Phase == Required && o.Record.Phase == Required && windowOpen(o)
	switch {
	case !there && (waits || a.Do == DoCordon):
		at := stamp(now)
		return []Change{{Annotation, KuredInProgress, &at}, {Annotation, KuredMostRecent, &at}}
	case there && a.Do == DoWrite && a.Record.Phase == Idle && o.Wanted.Answer == No:
		return []Change{{Annotation, KuredInProgress, nil}}
	}
	return nil
}

// windowOpen reports whether no window or freeze holds the node back.
func windowOpen(o Observation) bool {
	return !slices.ContainsFunc(o.Gates, func(v Verdict) bool {
		return !v.Open && (v.Reason == OutsideWindow || v.Reason == Frozen) && (!v.Skippable || !o.Wanted.Now)
	})
}

// set are the changes that make the Node carry the marks.
func set(n Node, marks []Mark) []Change {
	var changes []Change
	for _, m := range marks {
		if v, there := n.value(m); !there || v != m.Value {
			changes = append(changes, Change{m.Kind, m.Key, &m.Value})
		}
	}
	return changes
}
