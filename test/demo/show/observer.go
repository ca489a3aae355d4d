package show

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// blindLimit is how long the observer may be without a look at all Nodes before what it says about
// the whole time is worth nothing.
const blindLimit = 15 * time.Second

// Observer remembers what was seen. All times are since the start. It isn't safe for concurrent use.
type Observer struct {
	nodes map[string]*history
	most  int
	// where tells of the first time when more than one node was out, if ever.
	where string
	// moved says on which node each pod was when it was told to go.
	moved map[string]string

	changes, looks int
	lastLook       time.Duration
	blind          time.Duration // the longest time between two looks
	wrong          []string
}

// history is what was seen of one node.
type history struct {
	now   Seen
	said  Seen          // what the last line told of
	boots []string      // different boot IDs, in the order they were seen
	since time.Duration // when it went out, if it is out
	out   time.Duration // how long it was out before that
	trips int           // how often it went out
}

// NewObserver returns one that has seen nothing.
func NewObserver() *Observer {
	return &Observer{nodes: map[string]*history{}, moved: map[string]string{}}
}

// See takes in a change of one Node, in the order in which the API server made them, and returns a
// line about it; an empty one if it changes nothing that is told.
func (o *Observer) See(at time.Duration, now Seen) string {
	h, known := o.nodes[now.Node]
	if !known {
		h = &history{}
		o.nodes[now.Node] = h
	}
	o.changes++
	before := h.now
	h.now = now
	if known && before.BootID != now.BootID && !before.Cordoned && !now.Cordoned {
		o.wrong = append(o.wrong, fmt.Sprintf("%s rebooted, as was seen at %s, without a cordon", now.Node, seconds(at)))
	}
	if now.BootID != "" && !slices.Contains(h.boots, now.BootID) {
		h.boots = append(h.boots, now.BootID)
	}
	switch {
	case now.Out() && !before.wasOut():
		h.since = at
		h.trips++
	case !now.Out() && before.wasOut():
		h.out += at - h.since
	}
	o.count(at, o.Out())
	words := changes(h.said, now)
	if words == "" {
		return ""
	}
	said := h.said
	if h.said = now; !now.Agree { // what rebootd says is told when it is complete
		h.said.Phase, h.said.Reason, h.said.Message = said.Phase, said.Reason, said.Message
	}
	return fmt.Sprintf("%-8s %-14s  %-10s  %s", now.Node, now.Service(), now.Phase, words)
}

func (s Seen) wasOut() bool { return s.Node != "" && s.Out() }

// Glance takes in a look at all Nodes at one moment. It counts, but it says nothing: how it lies in
// time among the changes isn't known.
func (o *Observer) Glance(at time.Duration, nodes []Seen) {
	if o.looks++; o.looks > 1 {
		o.blind = max(o.blind, at-o.lastLook)
	}
	o.lastLook = at
	var out []string
	for _, s := range nodes {
		if s.Out() {
			out = append(out, s.Node)
		}
	}
	slices.Sort(out)
	o.count(at, out)
}

// Moved takes in that a pod was told to leave a node.
func (o *Observer) Moved(pod, node string) { o.moved[pod] = node }

// Wrong takes in something that must not happen.
func (o *Observer) Wrong(what string) { o.wrong = append(o.wrong, what) }

func (o *Observer) count(at time.Duration, out []string) {
	o.most = max(o.most, len(out))
	if len(out) > 1 && o.where == "" {
		o.where = fmt.Sprintf("%s were out of service together at %s", strings.Join(out, " and "), seconds(at))
	}
}

// Out names the nodes that are out of service now.
func (o *Observer) Out() []string {
	var out []string
	for name, h := range o.nodes {
		if h.now.Out() {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// Trips is how often nodes went out of service so far, all together.
func (o *Observer) Trips() int {
	n := 0
	for _, h := range o.nodes {
		n += h.trips
	}
	return n
}

// Now is what was last seen of a node.
func (o *Observer) Now(node string) Seen {
	if h, ok := o.nodes[node]; ok {
		return h.now
	}
	return Seen{}
}

// Boots are the boot IDs that the kubelet of a node reported, in their order.
func (o *Observer) Boots(node string) []string {
	if h, ok := o.nodes[node]; ok {
		return h.boots
	}
	return nil
}

// Done says whether every node has rebooted and serves again, with nothing under way.
func (o *Observer) Done() bool {
	for _, h := range o.nodes {
		if len(h.boots) < 2 || h.now.Out() || h.now.Phase != "Idle" || !h.now.Agree {
			return false
		}
	}
	return len(o.nodes) > 0
}

// Problems lists all that the observer has against what it saw of these nodes. None is good.
func (o *Observer) Problems(nodes []string) []string {
	problems := slices.Clone(o.wrong)
	if o.where != "" {
		problems = append(problems, o.where)
	}
	if o.blind > blindLimit {
		problems = append(problems, "the observer saw nothing for "+seconds(o.blind))
	}
	for _, name := range nodes {
		h, ok := o.nodes[name]
		if !ok {
			problems = append(problems, name+" was never seen")
			continue
		}
		if n := len(h.boots) - 1; n != 1 {
			problems = append(problems, fmt.Sprintf("%s rebooted %d times", name, max(0, n)))
		}
		if h.now.Out() {
			problems = append(problems, fmt.Sprintf("%s is still out of service (%s)", name, h.now.Service()))
		}
		if h.now.Phase != "Idle" {
			problems = append(problems, fmt.Sprintf("%s is in phase %s: %s: %s", name, h.now.Phase, h.now.Reason, h.now.Message))
		}
	}
	return problems
}

// Measured is the verdict on how many nodes were out at once, and what it rests on.
func (o *Observer) Measured() string {
	verdict := fmt.Sprintf("yes, never more than %d", o.most)
	if o.most > 1 {
		verdict = fmt.Sprintf("NO, up to %d: %s", o.most, o.where)
	}
	return fmt.Sprintf("At most one out at any time: %s.\nMeasured by an observer independent of rebootd: it watched %d changes "+
		"of Nodes, and besides looked at all\nof them %d times, at least every %s.", verdict, o.changes, o.looks, seconds(o.blind))
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
