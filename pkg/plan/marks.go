package plan

import "slices"

// Kind says where on the Node a mark is.
type Kind string

// The kinds of marks.
const (
	Label      Kind = "label"
	Annotation Kind = "annotation"
)

// wasLimit bounds what a record remembers of one mark. What is longer can't be put back, so it is left alone.
const wasLimit = 250

// own is a value by which a mark of ours is known even when the record is gone.
const own = "rebootd"

// Mark is a label or an annotation that the Node carries from the cordon to the uncordon, for other programs to see.
type Mark struct {
	Kind  Kind   `json:"kind"`
	Key   string `json:"key"`
	Value string `json:"value"`
	// Was is what stood there before, to be put back. Nil: nothing.
	Was *string `json:"was,omitempty"`
}

// Change is what a step changes on the Node's labels and annotations. A nil value removes.
type Change struct {
	Kind  Kind
	Key   string
	Value *string
}

// ForAutoscalers are the marks by which Cluster Autoscaler and Karpenter know that they mustn't remove the node: once it is
// drained, they would take it for one that nobody needs.
func ForAutoscalers() []Mark {
	return []Mark{
		{Kind: Annotation, Key: "cluster-autoscaler.kubernetes.io/scale-down-disabled", Value: "true"},
		{Kind: Annotation, Key: "karpenter.sh/do-not-disrupt", Value: "true"},
	}
}

// ForLoadBalancers is the mark by which cloud providers and other load balancers leave the node out. Its value means nothing to
// them.
func ForLoadBalancers() Mark {
	return Mark{Kind: Label, Key: "node.kubernetes.io/exclude-from-external-load-balancers", Value: own}
}

// value is what the Node carries at the mark's place.
func (n Node) value(m Mark) (string, bool) {
	values := n.Annotations
	if m.Kind == Label {
		values = n.Labels
	}
	v, ok := values[m.Key]
	return v, ok
}

// marked is the action with the marks that go with it: they are set with the cordon, and taken off with whatever write
// says that the node isn't out any more. So no way into service can forget them.
func marked(o Observation, p Policy, a Action) Action {
	switch {
	case a.Do == DoCordon:
		a.Record.Marks, a.Marks = mark(o, p)
	case (a.Do == DoWrite || a.Do == DoUncordon) && !a.Record.Out():
		a.Record.Marks, a.Marks = nil, unmark(o, p)
		a.Record.Daemons, a.Record.Attached = nil, nil
	}
	return a
}

// mark sets what isn't set yet. What was set at an earlier cordon stays as somebody may have changed it since.
func mark(o Observation, p Policy) ([]Mark, []Change) {
	marks, changes := slices.Clone(o.Record.Marks), []Change(nil)
	for _, m := range p.Marks {
		was, there := o.Node.value(m)
		if has(marks, m) || len(was) > wasLimit || there && was == m.Value && was != own {
			continue // the last: somebody else wants the same, and for longer
		}
		if there && was != own { // else it was left behind
			m.Was = &was
		}
		marks = append(marks, m)
		changes = append(changes, Change{m.Kind, m.Key, &m.Value})
	}
	return marks, changes
}

// unmark puts back what was there before. A mark that somebody has changed or removed is theirs by now. One that only we can
// have set goes too, though the record doesn't know of it: a person has removed the record.
func unmark(o Observation, p Policy) []Change {
	var changes []Change
	for _, m := range o.Record.Marks {
		if v, there := o.Node.value(m); there && v == m.Value {
			changes = append(changes, Change{m.Kind, m.Key, m.Was})
		}
	}
	for _, m := range p.Marks {
		if v, there := o.Node.value(m); there && v == own && m.Value == own && !has(o.Record.Marks, m) {
			changes = append(changes, Change{m.Kind, m.Key, nil})
		}
	}
	return changes
}

// Unmark is what takes off the marks of a node that no agent works for any more.
func Unmark(n Node, r Record) []Change {
	return unmark(Observation{Node: n, Record: r}, Policy{Marks: []Mark{ForLoadBalancers()}})
}

func has(marks []Mark, m Mark) bool {
	return slices.ContainsFunc(marks, func(other Mark) bool { return other.Kind == m.Kind && other.Key == m.Key })
}
