package view

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/rebootd/rebootd/pkg/plan"
)

// APIVersion is that of what -o json and -o yaml print.
const APIVersion = "kubectl-reboot.rebootd.io/v1"

// Status is everything about the cluster's reboots at one moment.
type Status struct {
	metav1.TypeMeta `json:",inline"`

	At        time.Time `json:"at"`
	Namespace string    `json:"namespace"`
	Summary   Summary   `json:"summary"`
	Pause     *Pause    `json:"pause,omitempty"`
	Circuit   *Breaker  `json:"circuit,omitempty"`
	Kured     *Kured    `json:"kured,omitempty"`
	Slots     []Slot    `json:"slots"`
	// Nodes are those under way, then those that wait, in their order, then the rest.
	Nodes []Node `json:"nodes"`
	// Notes are sentences about what is wrong, or could not be read.
	Notes []string `json:"notes,omitempty"`

	groups map[string]*group
}

// Summary counts the roll: the nodes that want a reboot, and those that had theirs since the first of these began to want it.
type Summary struct {
	Nodes int `json:"nodes"`
	// Wanting is Done + Out + Settling + Waiting.
	Wanting  int `json:"wanting"`
	Done     int `json:"done"`
	Out      int `json:"out"`
	Settling int `json:"settling,omitempty"`
	Waiting  int `json:"waiting"`
	// HeldBack are those among Waiting that wait for something else than a slot.
	HeldBack int `json:"heldBack,omitempty"`
	// Idle want none; NoAgent have no agent; of Unknown it isn't known whether they want one.
	Idle    int `json:"idle"`
	NoAgent int `json:"noAgent,omitempty"`
	Unknown int `json:"unknown,omitempty"`
	// Since is when the first of them began to want it.
	Since time.Time `json:"since,omitzero"`
	// Cycle is how long a reboot takes from the cordon until the slot is free, as measured; Ends when those that are not
	// held back will be done.
	Cycle metav1.Duration `json:"cycle,omitzero"`
	Ends  time.Time       `json:"ends,omitzero"`
	// Text is all that as one line.
	Text string `json:"text"`
}

// DeepCopyObject makes a Status printable by kubectl's printers; they don't change what they print.
func (s *Status) DeepCopyObject() runtime.Object { c := *s; return &c }

// New computes the status.
func New(f Facts) *Status {
	o := readOptions(f.Agents)
	s := &Status{
		TypeMeta: metav1.TypeMeta{APIVersion: APIVersion, Kind: "RebootStatus"},
		At:       f.Now, Namespace: f.Namespace, Nodes: make([]Node, 0, len(f.Nodes)), Slots: []Slot{},
		Pause: newPause(f.Control, f.Now), Circuit: NewBreaker(f.Circuit).after(o.circuitReset, f.Now), Kured: newKured(f.Kured, f.Now),
	}
	uids := map[string]string{}
	for i := range f.Nodes {
		n := newNode(f, o, &f.Nodes[i])
		uids[n.Name] = string(f.Nodes[i].UID)
		s.Nodes = append(s.Nodes, n)
	}
	byName := map[string]*Node{}
	for i := range s.Nodes {
		byName[s.Nodes[i].Name] = &s.Nodes[i]
	}
	s.Slots = append(s.Slots, slotsOf(f, byName, uids)...)
	for _, slot := range s.Slots {
		if n := byName[slot.Holder]; n != nil && slot.nodeUID == uids[slot.Holder] {
			n.Slot = cmp.Or(n.Slot, slot.Name)
			n.Group = slotGroup(slot, n.Group)
		}
	}
	s.groups = groupsOf(s, o)
	s.count(f, o)
	slices.SortStableFunc(s.Nodes, compareNodes)
	s.note(f)
	return s
}

// slotGroup is the lock group of the node that holds the slot. The control planes' slot says nothing about that.
func slotGroup(s Slot, own string) string {
	if s.Group == controlPlanes {
		return own
	}
	return s.Group
}

const controlPlanes = "control-plane"

// compareNodes sorts what moves first.
func compareNodes(a, b Node) int {
	return cmp.Or(
		cmp.Compare(rank(a), rank(b)),
		cmp.Compare(a.Group, b.Group),
		cmp.Compare(a.Turn, b.Turn),
		cmp.Compare(a.Name, b.Name),
	)
}

func rank(n Node) int {
	switch {
	case n.UnderWay():
		return 0
	case n.Waiting() && n.Slot != "":
		return 1
	case n.Waiting() && !n.HeldBack():
		return 2
	case n.Waiting():
		return 3
	case n.Slot != "": // whether it is out can't be known
		return 0
	case n.unknown():
		return 4
	case n.State == NoAgent:
		return 6
	default:
		return 5
	}
}

// count fills in the summary.
func (s *Status) count(f Facts, o options) {
	c := &s.Summary
	c.Nodes = len(s.Nodes)
	for _, n := range s.Nodes {
		if (n.UnderWay() || n.Waiting()) && !n.required.IsZero() && (c.Since.IsZero() || n.required.Before(c.Since)) {
			c.Since = n.required
		}
	}
	for _, n := range s.Nodes {
		switch {
		case n.Out():
			c.Out++
		case n.State == string(plan.Settle):
			c.Settling++
		case n.Waiting():
			c.Waiting++
			if n.HeldBack() {
				c.HeldBack++
			}
		case !c.Since.IsZero() && slices.ContainsFunc(n.Reboots, func(b plan.Reboot) bool { return b.In.After(c.Since) }):
			c.Done++
		case n.State == NoAgent:
			c.NoAgent++
		case n.unknown():
			c.Unknown++
		default:
			c.Idle++
		}
	}
	c.Wanting = c.Done + c.Out + c.Settling + c.Waiting
	if d, ok := measured(s.Nodes, f.Now); ok {
		c.Cycle = metav1.Duration{Duration: d + o.settle}
		s.estimate(f.Now)
	}
	c.Text = s.summary()
}

func (s *Status) summary() string {
	c := s.Summary
	rest := s.rest()
	if c.Nodes == 0 {
		return "There are no nodes."
	}
	if c.Wanting == 0 {
		return Count(c.Nodes, "node") + ": " + rest + "."
	}
	text := fmt.Sprintf("%d of %d done, %d out, ", c.Done, c.Wanting, c.Out)
	if c.Settling > 0 {
		text += fmt.Sprintf("%d settling, ", c.Settling)
	}
	text += fmt.Sprintf("%d waiting", c.Waiting)
	if c.HeldBack > 0 {
		text += fmt.Sprintf(" (%d held back)", c.HeldBack)
	}
	if rest != "" {
		text += "; " + rest
	}
	return text + "; " + s.outlook() + "."
}

// rest counts those that have no part in the roll.
func (s *Status) rest() string {
	c := s.Summary
	var parts []string
	switch {
	case c.Idle == 1:
		parts = append(parts, "1 wants no reboot")
	case c.Idle > 1:
		parts = append(parts, fmt.Sprintf("%d want no reboot", c.Idle))
	}
	if c.NoAgent > 0 {
		parts = append(parts, fmt.Sprintf("%d without an agent", c.NoAgent))
	}
	if c.Unknown > 0 {
		parts = append(parts, fmt.Sprintf("%d that may or may not want one", c.Unknown))
	}
	return strings.Join(parts, ", ")
}

// outlook says how long it will take, or why that isn't known.
func (s *Status) outlook() string {
	c := s.Summary
	switch {
	case s.Pause != nil:
		return "no estimate while reboots are paused"
	case s.Circuit != nil && s.Circuit.Open:
		return "no estimate while the circuit is open"
	case c.Out+c.Settling == 0 && c.Waiting == c.HeldBack:
		return "no estimate: all that wait are held back"
	case c.Cycle.Duration == 0:
		return "no estimate before a reboot was measured"
	case c.Ends.IsZero():
		return "no estimate: who holds the slots doesn't come back"
	}
	left := fmt.Sprintf("about %s left", Age(max(c.Ends.Sub(s.At), time.Second)))
	if c.HeldBack > 0 {
		left += " for those not held back"
	}
	return fmt.Sprintf("%s (%s each)", left, Age(c.Cycle.Duration))
}

// note says what is wrong, and what could not be read.
func (s *Status) note(f Facts) {
	troubles := map[string][]string{}
	var order []string
	for _, n := range s.Nodes {
		if n.Trouble == "" {
			continue
		}
		kind := n.Trouble
		if n.State != NoAgent || n.Agent != "" {
			kind = n.Name + ": " + n.Trouble // says something of its own
		}
		if len(troubles[kind]) == 0 {
			order = append(order, kind)
		}
		troubles[kind] = append(troubles[kind], n.Name)
	}
	const most = 10
	for i, kind := range order {
		if i == most {
			s.Notes = append(s.Notes, fmt.Sprintf("%s more with trouble; -o wide shows it.", Count(len(order)-most, "node")))
			break
		}
		if strings.HasPrefix(kind, troubles[kind][0]+": ") {
			s.Notes = append(s.Notes, kind+".")
			continue
		}
		s.Notes = append(s.Notes, Names(troubles[kind])+": "+kind+".")
	}
	for _, slot := range s.Slots {
		if slot.Trouble != "" {
			s.Notes = append(s.Notes, fmt.Sprintf("Slot %s, held by %s: %s. If that machine is not out of service: kubectl reboot release %s",
				slot.Name, slot.Holder, slot.Trouble, slot.Name))
		}
	}
	for _, u := range f.Unread {
		s.Notes = append(s.Notes, u.Sentence())
	}
}

// Keep keeps only the nodes that are wanted; what was computed of all of them stays.
func (s *Status) Keep(wanted func(Node) bool) {
	s.Nodes = slices.DeleteFunc(slices.Clone(s.Nodes), func(n Node) bool { return !wanted(n) })
}

// Find is the node of this name, nil if there is none.
func (s *Status) Find(name string) *Node {
	for i := range s.Nodes {
		if s.Nodes[i].Name == name {
			return &s.Nodes[i]
		}
	}
	return nil
}
