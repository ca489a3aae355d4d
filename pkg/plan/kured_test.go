package plan

import (
	"strings"
	"testing"
	"time"
)

func TestAnnotatesAsKured(t *testing.T) {
	const both = "weave.works/kured-most-recent-reboot-needed=2030-01-01T00:00:0"
	w := newWorld()
	w.policy.AsKured.Annotate = true
	w.podsStuck = true
	w.wanted = Yes
	w.gate(Verdict{Gate: "window", Reason: OutsideWindow, Message: "Closed."})
	w.gate(Verdict{Gate: "test", Reason: Held, Message: "Held."})
	w.reach(t, Required)
	w.turn(func(string) {})
	if got := text(w.node); got != "" {
		t.Errorf("outside the window: %q", got)
	}
	w.gate(Verdict{Gate: "window", Open: true})
	w.turn(func(string) {})
	waiting := text(w.node)
	if !strings.HasPrefix(waiting, both) || strings.Count(waiting, "kured-reboot-in-progress=2030-01-01T00:00:0") != 1 {
		t.Errorf("held in an open window: %q", waiting)
	}
	w.now = w.now.Add(time.Hour)
	w.gate(Verdict{Gate: "test", Open: true})
	w.reach(t, Drain)
	if got := text(w.node); got != waiting {
		t.Errorf("cordoned: %q, want %q as before", got, waiting)
	}
	w.podsStuck = false
	w.reach(t, Settle)
	if got := text(w.node); got != waiting {
		t.Errorf("back: %q, want %q as before", got, waiting)
	}
	w.reach(t, Idle)
	if got := text(w.node); strings.Contains(got, "in-progress") || !strings.HasPrefix(got, both) {
		t.Errorf("afterwards: %q, want only %s…", got, both)
	}
	w.wanted = Yes
	w.reach(t, Drain)
	if got := text(w.node); strings.Contains(got, both) || strings.Count(got, "=2030-01-01T01:") != 2 {
		t.Errorf("the next one: %q, want times of its own", got)
	}
}

// Kured leaves its annotation for ever on a node whose wish ends otherwise than by kured's own reboot.
func TestAnnotationGoesWithTheWish(t *testing.T) {
	for name, begin := range map[string]func(*world){
		"a wish of its own": func(w *world) {
			w.wanted, w.free = Yes, false
			w.reach(t, Required)
			w.turn(func(string) {})
			if !strings.Contains(text(w.node), "in-progress") {
				t.Errorf("while it waits: %q", text(w.node))
			}
			w.wanted = No
		},
		"left behind by kured": func(w *world) {
			w.node.Annotations = map[string]string{KuredInProgress: "2029-01-01T00:00:00Z", KuredMostRecent: "x"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.policy.AsKured.Annotate = true
			begin(w)
			w.reach(t, Idle)
			if got := text(w.node); strings.Contains(got, "in-progress") || !strings.Contains(got, "most-recent") {
				t.Errorf("afterwards: %q", got)
			}
		})
	}
}

// A request-now goes past windows, so its node is under way though they are closed.
func TestAnnotatesWithRequestNow(t *testing.T) {
	o := Observation{Wanted: Wanted{Now: true}, Gates: []Verdict{{Reason: OutsideWindow, Skippable: true}}}
	if !windowOpen(o) {
		t.Error("a request-now waits for a window")
	}
	if o.Wanted.Now = false; windowOpen(o) {
		t.Error("a closed window is open")
	}
}

func TestNothingIsAnnotatedUnlessWanted(t *testing.T) {
	w := newWorld()
	w.node.Annotations = map[string]string{KuredInProgress: "2029-01-01T00:00:00Z"}
	w.wanted = Yes
	w.reach(t, Settle)
	w.reach(t, Idle)
	if got := text(w.node); got != KuredInProgress+"=2029-01-01T00:00:00Z" {
		t.Errorf("it carries %q", got)
	}
}

func TestLabelsBeforeAndAfter(t *testing.T) {
	for _, end := range []string{"rebooted", "given up", "cordoned by a person"} {
		t.Run(end, func(t *testing.T) {
			w := newWorld()
			w.policy.AsKured.Before = []Mark{{Kind: Label, Key: "a", Value: "out"}, {Kind: Label, Key: "b", Value: "1"}}
			w.policy.AsKured.After = []Mark{{Kind: Label, Key: "a", Value: "in"}}
			w.node.Labels = map[string]string{"a": "new", "b": "1"}
			w.wanted, w.podsStuck = Yes, true
			w.node.Unschedulable = end == "cordoned by a person"
			w.reach(t, Required)
			if got := text(w.node); got != "label a=new label b=1" {
				t.Errorf("while it waits: %q", got)
			}
			w.reach(t, Drain)
			if got := text(w.node); got != "label a=out label b=1" {
				t.Errorf("while it is out: %q", got)
			}
			w.forget()
			if end == "given up" {
				w.lease = ""
				w.reach(t, Required)
			} else {
				w.podsStuck = false
				w.reach(t, Recovering)
				if got := text(w.node); got != "label a=out label b=1" {
					t.Errorf("before it is back: %q", got)
				}
				w.reach(t, Settle)
			}
			if got := text(w.node); got != "label a=in label b=1" {
				t.Errorf("back: %q", got)
			}
		})
	}
}
