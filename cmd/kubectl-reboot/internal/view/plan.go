package view

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/rebootd/rebootd/pkg/plan"
)

// Plan is in what order the nodes go, when, and what holds each one back now.
type Plan struct {
	metav1.TypeMeta `json:",inline"`

	At        time.Time `json:"at"`
	Namespace string    `json:"namespace"`
	Summary   Summary   `json:"summary"`
	Pause     *Pause    `json:"pause,omitempty"`
	Circuit   *Breaker  `json:"circuit,omitempty"`
	Kured     *Kured    `json:"kured,omitempty"`
	Groups    []Group   `json:"lockGroups"`
	Notes     []string  `json:"notes,omitempty"`
}

// Group is one lock group: those under way, then those that go in turn, then those that something holds back.
type Group struct {
	Name  string `json:"name"`
	Slots int    `json:"slots"`
	Steps []Step `json:"steps"`
}

// Step is one node's place in the plan.
type Step struct {
	// Turn counts those that wait for nothing but a slot, from 1 on.
	Turn  int    `json:"turn,omitempty"`
	Node  string `json:"node"`
	State string `json:"state"`
	// When is when it goes, in words; Starts is the same as a time, where there is one.
	When   string    `json:"when"`
	Starts time.Time `json:"starts,omitzero"`
	// Reason and Message are what its condition says.
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
}

// DeepCopyObject makes a Plan printable by kubectl's printers; they don't change what they print.
func (p *Plan) DeepCopyObject() runtime.Object { c := *p; return &c }

// NewPlan computes the plan from the status.
func NewPlan(s *Status) *Plan {
	p := &Plan{
		TypeMeta: metav1.TypeMeta{APIVersion: APIVersion, Kind: "RebootPlan"},
		At:       s.At, Namespace: s.Namespace, Summary: s.Summary, Pause: s.Pause, Circuit: s.Circuit, Kured: s.Kured,
		Groups: []Group{}, Notes: s.Notes,
	}
	for _, name := range slices.Sorted(maps.Keys(s.groups)) {
		group := Group{Name: name, Slots: s.groups[name].slots}
		for _, n := range inPlan(s, name) {
			starts, when := goes(n, s)
			group.Steps = append(group.Steps, Step{
				Turn: n.Turn, Node: n.Name, State: n.State, When: when, Starts: starts, Reason: n.Reason, Message: n.Message,
			})
		}
		if len(group.Steps) > 0 {
			p.Groups = append(p.Groups, group)
		}
	}
	return p
}

// inPlan are a group's nodes that want a reboot or are under way. The status has them in order already, but for those held back.
func inPlan(s *Status, name string) []Node {
	place := map[string]int{}
	for i, blocked := range s.groups[name].heldBack {
		place[blocked] = i
	}
	var all []Node
	for _, n := range s.Nodes {
		if n.Group == name && (n.UnderWay() || n.Waiting() || n.Slot != "") {
			all = append(all, n)
		}
	}
	slices.SortStableFunc(all, func(a, b Node) int {
		if c := rank(a) - rank(b); c != 0 {
			return c
		}
		return place[a.Name] - place[b.Name]
	})
	return all
}

// goes is when a node goes, as far as anybody knows: zero when it isn't known, or is now.
func goes(n Node, s *Status) (time.Time, string) {
	switch {
	case n.Out():
		return time.Time{}, "out now"
	case n.State == string(plan.Settle):
		return time.Time{}, "back, settling"
	case n.Slot != "" && n.Waiting():
		return time.Time{}, "has its slot"
	case n.Slot != "":
		return time.Time{}, "holds a slot"
	case s.Circuit != nil && s.Circuit.Open:
		return time.Time{}, "when the circuit is closed"
	case s.Pause != nil && !s.Pause.Until.IsZero():
		return notBefore(s.Pause.Until)
	case s.Pause != nil:
		return time.Time{}, "when resumed"
	case n.HeldBack():
		return whenBlocked(n)
	case n.Starts.IsZero():
		return time.Time{}, "in its turn"
	case !n.Starts.After(s.At):
		return n.Starts, "now"
	}
	return n.Starts, "in about " + Age(n.Starts.Sub(s.At))
}

func whenBlocked(n Node) (time.Time, string) {
	switch plan.Reason(n.Reason) {
	case plan.OutsideWindow, plan.Frozen:
		if at, ok := opens(n.Message); ok {
			return notBefore(at)
		}
	case plan.BackingOff:
		if n.BackOff != nil {
			return notBefore(n.BackOff.Until)
		}
	case plan.Held:
		return time.Time{}, "when let go"
	default:
	}
	return time.Time{}, "not known"
}

func notBefore(t time.Time) (time.Time, string) { return t, "not before " + Stamp(t) }

// opens is when the next window opens, as the condition's message has it.
func opens(message string) (time.Time, bool) {
	m := regexp.MustCompile(`opens at (\S+)`).FindStringSubmatch(message)
	if m == nil {
		return time.Time{}, false
	}
	at, err := time.Parse(time.RFC3339, strings.TrimRight(m[1], ".;,"))
	return at, err == nil
}

// Line is how many slots a group has, and who has them.
func (g Group) Line() string {
	return fmt.Sprintf("Lock group %s, %s", g.Name, Count(g.Slots, "slot"))
}
