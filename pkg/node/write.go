package node

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rebootd/rebootd/pkg/plan"
)

// Tale is what the Node is to say: to people in the condition, and in the label that goes with it; to other programs in
// its marks.
type Tale struct {
	Wanted  plan.Answer
	Reason  plan.Reason
	Message string
	// Marks are changes of labels and annotations. Tell leaves them out.
	Marks []plan.Change
}

// Writer writes to one Node. Each write but Tell is made on the version of the Node that it was decided on, and fails with a
// conflict when somebody changed it since: then one looks again. That is what makes a cordon neither
// forgotten nor stolen.
type Writer struct {
	Nodes Nodes
	// Manager names who writes, in managedFields.
	Manager string
	// Now is the clock of the condition's times.
	Now func() time.Time
}

// Write writes record, label and condition in one request. A patch of the status subresource also
// writes metadata; spec it can't.
func (w *Writer) Write(ctx context.Context, n *corev1.Node, r plan.Record, t Tale) (*corev1.Node, error) {
	return w.patch(ctx, n, map[string]any{
		"metadata": w.metadata(n, r, t),
		"status":   map[string]any{"conditions": []corev1.NodeCondition{w.condition(n, t)}},
	}, "status")
}

// Tell writes the condition alone and leaves the record as it stands. It is for whatever version of the Node there is now: others write to it just
// when it was cordoned or uncordoned, and what is told doesn't depend on it. Told too late, it is told anew.
func (w *Writer) Tell(ctx context.Context, n *corev1.Node, t Tale) (*corev1.Node, error) {
	return w.tell(ctx, n, t, map[string]any{"uid": n.UID})
}

// Overtake is Tell for this version of the Node alone: where it succeeds, no other write that was made on the version can succeed any more.
func (w *Writer) Overtake(ctx context.Context, n *corev1.Node, t Tale) (*corev1.Node, error) {
	return w.tell(ctx, n, t, on(n))
}

func (w *Writer) tell(ctx context.Context, n *corev1.Node, t Tale, which map[string]any) (*corev1.Node, error) {
	return w.patch(ctx, n, map[string]any{
		"metadata": which,
		"status":   map[string]any{"conditions": []corev1.NodeCondition{w.condition(n, t)}},
	}, "status")
}

// Cordon writes the record and spec.unschedulable in one request, so that a cordon of ours always comes with the
// record that says whose it is. (The drain library's CordonHelper can't: it patches spec alone and without a version.)
func (w *Writer) Cordon(ctx context.Context, n *corev1.Node, r plan.Record, t Tale) (*corev1.Node, error) {
	return w.schedulable(ctx, n, r, t, true)
}

// Uncordon is the way back: record and spec in one request.
func (w *Writer) Uncordon(ctx context.Context, n *corev1.Node, r plan.Record, t Tale) (*corev1.Node, error) {
	return w.schedulable(ctx, n, r, t, nil)
}

func (w *Writer) schedulable(ctx context.Context, n *corev1.Node, r plan.Record, t Tale, unschedulable any) (*corev1.Node, error) {
	return w.patch(ctx, n, map[string]any{
		"metadata": w.metadata(n, r, t),
		"spec":     map[string]any{"unschedulable": unschedulable},
	})
}

// Taint writes the record, puts the soft taint on that it names, unless the Node has it, and takes off those of the other
// keys, in one request. The Node's other taints stay as they are: the patch is only good for the version that they were read from.
func (w *Writer) Taint(ctx context.Context, n *corev1.Node, r plan.Record, off []string) (*corev1.Node, error) {
	meta := on(n)
	meta["annotations"] = map[string]any{StateAnnotation: r.String()}
	missing := r.Taint != ""
	taints := []corev1.Taint{}
	for _, t := range n.Spec.Taints {
		soft := t.Effect == corev1.TaintEffectPreferNoSchedule
		if soft && slices.Contains(off, t.Key) {
			continue
		}
		missing = missing && (!soft || t.Key != r.Taint)
		taints = append(taints, t)
	}
	if missing {
		taints = append(taints, corev1.Taint{Key: r.Taint, Effect: corev1.TaintEffectPreferNoSchedule})
	}
	return w.patch(ctx, n, map[string]any{"metadata": meta, "spec": map[string]any{"taints": taints}})
}

// Annotate sets annotations; a nil value removes one.
func (w *Writer) Annotate(ctx context.Context, n *corev1.Node, annotations map[string]any) (*corev1.Node, error) {
	meta := on(n)
	meta["annotations"] = annotations
	return w.patch(ctx, n, map[string]any{"metadata": meta})
}

// on ties a patch to the very object and version it was decided on.
func on(n *corev1.Node) map[string]any {
	return map[string]any{"uid": n.UID, "resourceVersion": n.ResourceVersion}
}

func (w *Writer) metadata(n *corev1.Node, r plan.Record, t Tale) map[string]any {
	meta := on(n)
	annotations, labels := map[string]any{StateAnnotation: r.String()}, map[string]any{}
	switch t.Wanted {
	case plan.Yes:
		labels[RequiredLabel] = "true"
	case plan.No:
		labels[RequiredLabel] = nil
	case plan.Unknown: // the label stays as it is
	}
	for _, c := range t.Marks {
		if c.Kind == plan.Label {
			labels[c.Key] = c.Value
		} else {
			annotations[c.Key] = c.Value
		}
	}
	meta["annotations"] = annotations
	if len(labels) > 0 {
		meta["labels"] = labels
	}
	return meta
}

func (w *Writer) condition(n *corev1.Node, t Tale) corev1.NodeCondition {
	now := metav1.NewTime(w.Now())
	c := corev1.NodeCondition{
		Type: ConditionType, Reason: string(t.Reason), Message: t.Message,
		LastHeartbeatTime: now, LastTransitionTime: now,
	}
	switch t.Wanted {
	case plan.Yes:
		c.Status = corev1.ConditionTrue
	case plan.No:
		c.Status = corev1.ConditionFalse
	default:
		c.Status = corev1.ConditionUnknown
	}
	for _, old := range n.Status.Conditions {
		if old.Type == c.Type && old.Status == c.Status {
			c.LastTransitionTime = old.LastTransitionTime
		}
	}
	return c
}

func (w *Writer) patch(ctx context.Context, n *corev1.Node, patch map[string]any, subresources ...string) (*corev1.Node, error) {
	data, err := json.Marshal(patch)
	if err != nil {
		return nil, fmt.Errorf("encoding a patch of Node %s: %w", n.Name, err)
	}
	// Conditions are merged by their type, which only a strategic merge patch does.
	after, err := w.Nodes.Patch(ctx, n.Name, types.StrategicMergePatchType, data,
		metav1.PatchOptions{FieldManager: w.Manager}, subresources...)
	return after, explain("patch", n.Name, err)
}
