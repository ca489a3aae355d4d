package cleanup

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/pkg/node"
	"github.com/rebootd/rebootd/pkg/plan"
)

// tidied is what makes a Node as if there had never been an agent.
type tidied struct {
	// patch is of the Node, or nil; condition is whether its condition is to go too, which only the status subresource can.
	patch     map[string]any
	condition bool
	// did says what that does; notes are what a person should know besides.
	did, notes []string
}

func (t tidied) nothing() bool { return t.patch == nil && !t.condition }

// tidy decides what to do with a Node. It is an error if that can't be known.
func (o Options) tidy(n *corev1.Node) (tidied, error) {
	seen, r, err := node.Observe(n.Name, n)
	if err != nil && n.Spec.Unschedulable {
		return tidied{}, fmt.Errorf("its record can't be read (%w), so nobody knows whose the cordon is. Decide: kubectl uncordon %s, or not; "+
			"then kubectl annotate node %s %s-", err, n.Name, n.Name, node.StateAnnotation)
	}
	t := tidied{}
	annotations, labels, spec := map[string]any{}, map[string]any{}, map[string]any{}
	change := func(c plan.Change) {
		if c.Kind == plan.Label {
			labels[c.Key] = c.Value
		} else {
			annotations[c.Key] = c.Value
		}
	}
	remove := func(from map[string]string, to map[string]any, keys ...string) {
		for _, key := range keys {
			if _, there := from[key]; there {
				to[key] = nil
			}
		}
	}
	for _, c := range plan.Unmark(seen, r) {
		change(c)
	}
	remove(n.Annotations, annotations, append([]string{node.StateAnnotation, node.AgentAnnotation, node.CallAnnotation}, o.Annotations...)...)
	remove(n.Labels, labels, node.RequiredLabel)
	t.requests(seen, r, annotations)
	t.service(n, r, spec)
	o.taints(n, r, spec)
	t.condition = slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool { return c.Type == node.ConditionType })
	t.assemble(n, annotations, labels, spec)
	return t, nil
}

// requests takes off those that are honoured: without the record, which knows that, they would ask anew if rebootd came back.
func (t *tidied) requests(n plan.Node, r plan.Record, annotations map[string]any) {
	for _, q := range n.Requests {
		key := node.RequestAnnotation
		if q.Now {
			key = node.RequestNowAnnotation
		}
		if r.HasHonoured(q) {
			annotations[key] = nil
			continue
		}
		t.notes = append(t.notes, fmt.Sprintf("a person's %s=%q stays, and asks again if rebootd is installed again", key, q.Text))
	}
}

// service is the uncordon, if the cordon is ours.
func (t *tidied) service(n *corev1.Node, r plan.Record, spec map[string]any) {
	switch {
	case n.Spec.Unschedulable && r.Cordon == plan.CordonOurs:
		spec["unschedulable"] = nil
		t.did = append(t.did, fmt.Sprintf("uncordoned (it was %s)", r.Phase))
	case n.Spec.Unschedulable && r.Phase != "":
		t.notes = append(t.notes, "it stays cordoned, for that wasn't rebootd's doing")
	}
	if r.Phase == plan.Rebooting {
		t.notes = append(t.notes, "its reboot command may have been given, which can't be called back: it may still go down, and comes back by itself")
	}
}

// taints are those that rebootd is known to put on.
func (o Options) taints(n *corev1.Node, r plan.Record, spec map[string]any) {
	ours := append([]string{plan.DefaultTaint, r.Taint}, o.Taints...)
	left := slices.DeleteFunc(slices.Clone(n.Spec.Taints), func(t corev1.Taint) bool {
		return t.Effect == corev1.TaintEffectPreferNoSchedule && slices.Contains(ours, t.Key)
	})
	if len(left) < len(n.Spec.Taints) {
		spec["taints"] = append([]corev1.Taint{}, left...) // empty, not null, in JSON
	}
}

func (t *tidied) assemble(n *corev1.Node, annotations, labels, spec map[string]any) {
	meta := map[string]any{"uid": n.UID, "resourceVersion": n.ResourceVersion}
	for name, part := range map[string]map[string]any{"annotations": annotations, "labels": labels} {
		if len(part) > 0 {
			meta[name] = part
		}
	}
	if len(annotations)+len(labels)+len(spec) > 0 {
		t.patch = map[string]any{"metadata": meta, "spec": spec}
	}
	if _, there := spec["taints"]; there {
		t.did = append(t.did, "taint removed")
	}
	for name, part := range map[string]map[string]any{"annotations": annotations, "labels": labels} {
		if keys := slices.Sorted(maps.Keys(part)); len(keys) > 0 {
			t.did = append(t.did, name+" removed or put back: "+strings.Join(keys, ", "))
		}
	}
	if t.condition {
		t.did = append(t.did, "condition removed")
	}
	slices.Sort(t.did)
	slices.Reverse(t.did) // what matters most is first
}
