package view

import (
	"maps"
	"slices"
	"time"

	"github.com/rebootd/rebootd/pkg/lock"
	"github.com/rebootd/rebootd/pkg/plan"
)

// group is one lock group: its slots and who waits for one.
type group struct {
	slots int
	nodes int
	// out are those that have a slot or are under way; queue are the others that wait for nothing but a slot, in order.
	out, queue []*Node
	// blocked wait for something else; in the order in which they would go.
	blocked []*Node
	// heldBack are the names of those.
	heldBack []string
}

// groupsOf sorts the nodes into their groups and gives each that waits its turn.
func groupsOf(s *Status, o options) map[string]*group {
	groups := map[string]*group{}
	byName := map[string]*Node{}
	for i := range s.Nodes {
		n := &s.Nodes[i]
		byName[n.Name] = n
		g := groups[n.Group]
		if g == nil {
			g = &group{}
			groups[n.Group] = g
		}
		g.nodes++
		switch {
		case n.UnderWay() || n.Slot != "":
			g.out = append(g.out, n)
		case n.Waiting() && n.record.Waits():
			g.queue = append(g.queue, n)
		case n.Waiting():
			g.blocked = append(g.blocked, n)
		}
	}
	for name, g := range groups {
		g.slots = o.concurrency.Of(g.nodes)
		zone := g.zone(s.Slots, name, byName)
		g.queue, g.blocked = inOrder(g.queue, zone, byName), inOrder(g.blocked, zone, byName)
		for i, n := range g.queue {
			n.Turn = i + 1
		}
		for _, n := range g.blocked {
			g.heldBack = append(g.heldBack, n.Name)
		}
	}
	for _, slot := range s.Slots { // the takers counted; while they differ, the larger number holds
		if g := groups[slot.Group]; g != nil && slot.Slots > 0 {
			g.slots = max(g.slots, slot.Slots)
		}
	}
	return groups
}

// zone is the one under way: that of the node which took its slot last. It will name who comes next.
func (g *group) zone(slots []Slot, name string, byName map[string]*Node) string {
	var last Slot
	for _, s := range slots {
		if s.Group == name && byName[s.Holder] != nil && (last.Name == "" || s.Since.Before(last.Since)) {
			last = s
		}
	}
	if n := byName[last.Holder]; n != nil {
		return n.Zone
	}
	return ""
}

func inOrder(nodes []*Node, zone string, byName map[string]*Node) []*Node {
	var waiters []lock.Waiter
	for _, n := range nodes {
		waiters = append(waiters, lock.Waiter{Node: n.Name, Priority: n.Priority, ControlPlane: n.ControlPlane, Zone: n.Zone, Since: n.required})
	}
	var sorted []*Node
	for _, w := range lock.Order(waiters, zone) {
		sorted = append(sorted, byName[w.Node])
	}
	return sorted
}

const (
	// measuredFor and measuredMost bound the reboots that an estimate rests on: the newest.
	measuredFor  = 90 * 24 * time.Hour
	measuredMost = 50
)

// measured is the median of how long the last reboots of rebootd's own kept a node out of service.
func measured(nodes []Node, now time.Time) (time.Duration, bool) {
	var all []plan.Reboot
	for _, n := range nodes {
		for _, b := range n.Reboots {
			if b.Ours && b.In.After(b.Out) && now.Sub(b.In) < measuredFor {
				all = append(all, b)
			}
		}
	}
	if len(all) == 0 {
		return 0, false
	}
	slices.SortFunc(all, func(a, b plan.Reboot) int { return b.In.Compare(a.In) })
	all = all[:min(len(all), measuredMost)]
	var took []time.Duration
	for _, b := range all {
		took = append(took, b.In.Sub(b.Out))
	}
	slices.Sort(took)
	return took[len(took)/2], true
}

// estimate says when each that waits for nothing but a slot will go, and when the last of them is done. Groups go side by
// side; control planes go one at a time in the whole cluster.
func (s *Status) estimate(now time.Time) {
	if s.Pause != nil || s.Circuit != nil && s.Circuit.Open {
		return
	}
	cycle := s.Summary.Cycle.Duration
	var ends, controlPlane time.Time
	for _, name := range slices.Sorted(maps.Keys(s.groups)) {
		g := s.groups[name]
		slots := g.slots - s.stuck(name)
		free := make([]time.Time, 0, g.slots)
		for _, n := range g.out {
			if n.lost() {
				slots--
				continue
			}
			end := n.record.OutSince.Add(cycle)
			if n.record.OutSince.IsZero() {
				end = now.Add(cycle)
			}
			end = later(end, now)
			free = append(free, end)
			ends = later(ends, end)
			if n.ControlPlane {
				controlPlane = later(controlPlane, end)
			}
		}
		if slots < 1 {
			continue
		}
		for len(free) < slots {
			free = append(free, now)
		}
		for _, n := range g.queue {
			i := earliest(free, slots)
			start := free[i]
			if n.ControlPlane {
				start = later(start, controlPlane)
				controlPlane = start.Add(cycle)
			}
			n.Starts = start
			free[i] = start.Add(cycle)
			ends = later(ends, free[i])
		}
	}
	s.Summary.Ends = ends
}

// stuck counts the group's slots that no node frees.
func (s *Status) stuck(group string) int {
	n := 0
	for _, slot := range s.Slots {
		if slot.Group == group && slot.Trouble != "" {
			n++
		}
	}
	return n
}

// earliest is the slot that is free first. When more are held than there are, the first to come back leave theirs unused.
func earliest(free []time.Time, slots int) int {
	order := make([]int, len(free))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return free[a].Compare(free[b]) })
	return order[max(0, len(free)-slots)]
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
