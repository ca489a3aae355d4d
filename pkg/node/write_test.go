package node

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rebootd/rebootd/pkg/plan"
)

// captured is what one patch said and where it went.
type captured struct {
	Nodes
	patch       map[string]any
	subresource string
}

func (c *captured) Patch(_ context.Context, _ string, _ types.PatchType, data []byte, _ metav1.PatchOptions, sub ...string) (*corev1.Node, error) {
	c.patch, c.subresource = nil, strings.Join(sub, "/")
	return &corev1.Node{}, json.Unmarshal(data, &c.patch)
}

func (c *captured) at(path string) any {
	var v any = c.patch
	for key := range strings.SplitSeq(path, "|") {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		if v, ok = m[key]; !ok {
			return "absent"
		}
	}
	return v
}

func TestWriter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	before := metav1.NewTime(now.Add(-time.Hour))
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "n", UID: "uid", ResourceVersion: "42"},
		Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{
			{Type: ConditionType, Status: corev1.ConditionTrue, LastTransitionTime: before},
		}},
	}
	c := &captured{}
	w := Writer{Nodes: c, Manager: "test", Now: func() time.Time { return now }}
	record := plan.Record{Phase: plan.Drain, BootID: "b", Cordon: plan.CordonOurs}

	check := func(name string, want map[string]any) {
		t.Helper()
		for path, v := range want {
			if got := c.at(path); got != v {
				t.Errorf("%s: %s is %v, want %v", name, path, got, v)
			}
		}
	}
	call := func(_ *corev1.Node, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		check("every patch but what only tells", map[string]any{"metadata|uid": "uid", "metadata|resourceVersion": "42"})
	}

	call(w.Cordon(t.Context(), n, record, Tale{Wanted: plan.Yes}))
	check("cordon", map[string]any{
		"spec|unschedulable": true, "metadata|annotations|" + StateAnnotation: record.String(), "metadata|labels|" + RequiredLabel: "true", "status": "absent",
	})
	call(w.Uncordon(t.Context(), n, record, Tale{Wanted: plan.No}))
	check("uncordon", map[string]any{"spec|unschedulable": nil, "metadata|labels|" + RequiredLabel: nil})
	call(w.Write(t.Context(), n, record, Tale{Wanted: plan.Unknown, Reason: plan.SentinelUnknown, Message: "m"}))
	check("unknown", map[string]any{"metadata|labels": "absent", "spec": "absent"})
	if c.subresource != "status" || condition(t, c).Status != corev1.ConditionUnknown || !condition(t, c).LastTransitionTime.Time.Equal(now) {
		t.Errorf("subresource %q, condition %+v", c.subresource, condition(t, c))
	}
	call(w.Write(t.Context(), n, record, Tale{Wanted: plan.Yes, Reason: plan.Draining, Message: "m"}))
	if !condition(t, c).LastTransitionTime.Time.Equal(before.Time) || !condition(t, c).LastHeartbeatTime.Time.Equal(now) {
		t.Errorf("a condition that stays true keeps its transition time: %+v", condition(t, c))
	}
	call(w.Overtake(t.Context(), n, Tale{Wanted: plan.Yes}))
	check("overtake", map[string]any{"metadata|annotations": "absent"})
	if _, err := w.Tell(t.Context(), n, Tale{Wanted: plan.Yes}); err != nil {
		t.Fatal(err)
	}
	check("tell", map[string]any{"metadata|uid": "uid", "metadata|resourceVersion": "absent", "metadata|annotations": "absent"})

	one := "1"
	marks := []plan.Change{{Kind: plan.Label, Key: "l", Value: &one}, {Kind: plan.Annotation, Key: "a"}}
	call(w.Cordon(t.Context(), n, record, Tale{Wanted: plan.Yes, Marks: marks}))
	check("marks", map[string]any{
		"metadata|labels|l": "1", "metadata|annotations|a": nil, "metadata|annotations|" + StateAnnotation: record.String(), "metadata|labels|" + RequiredLabel: "true",
	})
	call(w.Write(t.Context(), n, record, Tale{Wanted: plan.Unknown, Marks: marks}))
	check("marks of an administrator's cordon", map[string]any{"metadata|labels|l": "1", "metadata|annotations|a": nil, "metadata|labels|" + RequiredLabel: "absent"})
}

func condition(t *testing.T, c *captured) corev1.NodeCondition {
	t.Helper()
	data, err := json.Marshal(c.at("status|conditions"))
	if err != nil {
		t.Fatal(err)
	}
	var all []corev1.NodeCondition
	if err := json.Unmarshal(data, &all); err != nil || len(all) != 1 {
		t.Fatalf("%s: %v", data, err)
	}
	return all[0]
}
