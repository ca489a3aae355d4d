package sim

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The short way through a patch comes to the same end as the long one.
func TestQuick(t *testing.T) {
	taken := 0
	for seed := range uint64(4000) {
		c := rand.New(rand.NewPCG(seed, 0))
		old, patch := someNode(c), somePatch(c)
		short, ok := quick(old, patch)
		if !ok {
			continue
		}
		taken++
		long, err := merge(NodeKind, old, true, patch)
		for _, o := range []Object{short, long} { // whose order means nothing
			slices.SortFunc(o.(*corev1.Node).Status.Conditions, func(a, b corev1.NodeCondition) int { return cmp.Compare(a.Type, b.Type) })
		}
		if err != nil || !apiequality.Semantic.DeepEqual(short, long) {
			t.Fatalf("seed %d: %s\non    %+v\nshort %+v\nlong  %+v, %v", seed, patch, old, short, long, err)
		}
	}
	if taken < 1000 {
		t.Errorf("only %d of the patches go the short way", taken)
	}
	for _, other := range []string{
		`{"spec":{"taints":[]}}`, `{"metadata":{"finalizers":null}}`, `{"status":{"conditions":[{"$patch":"delete","type":"Ready"}]}}`, `[]`,
		`{"status":{"conditions":[{"type":"Ready","reason":"Only"}]}}`, `{"metadata":{"annotations":{"a":1}}}`,
	} {
		if _, ok := quick(&corev1.Node{Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: "Ready"}}}}, []byte(other)); ok {
			t.Errorf("%s goes the short way", other)
		}
	}
}

func someNode(c *rand.Rand) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", UID: "u", ResourceVersion: "7", Labels: someMap(c), Annotations: someMap(c)}}
	n.Spec.Unschedulable = c.IntN(2) == 0
	n.Status.NodeInfo.BootID = []string{"", "b"}[c.IntN(2)]
	for i := range c.IntN(3) {
		n.Status.Conditions = append(n.Status.Conditions, corev1.NodeCondition{
			Type: corev1.NodeConditionType(fmt.Sprint("T", i)), Status: "True", Reason: "Old", Message: "Of old.",
			LastHeartbeatTime: metav1.Unix(c.Int64N(100)+1, 0), LastTransitionTime: metav1.Unix(5, 0),
		})
	}
	return n
}

func someMap(c *rand.Rand) map[string]string {
	var m map[string]string
	for i := range c.IntN(3) {
		if m == nil {
			m = map[string]string{}
		}
		m[fmt.Sprint("k", i)] = "old"
	}
	return m
}

func somePatch(c *rand.Rand) []byte {
	meta, spec, status := map[string]any{}, map[string]any{}, map[string]any{}
	some := func() map[string]any {
		m := map[string]any{}
		for i := range c.IntN(4) {
			m[fmt.Sprint("k", i)] = []any{nil, "", "new", `q"uoted`}[c.IntN(4)]
		}
		return m
	}
	if c.IntN(2) == 0 {
		meta["annotations"] = some()
	}
	if c.IntN(2) == 0 {
		meta["labels"] = some()
	}
	if c.IntN(3) == 0 {
		meta["uid"], meta["resourceVersion"] = "other", "8"
	}
	if c.IntN(2) == 0 {
		spec["unschedulable"] = []any{nil, true, false}[c.IntN(3)]
	}
	if c.IntN(3) == 0 {
		status["nodeInfo"] = map[string]any{"bootID": "new"}
	}
	now := metav1.NewTime(time.Unix(c.Int64N(1000), c.Int64N(1000)))
	switch kind := fmt.Sprint("T", c.IntN(3)); c.IntN(4) {
	case 0:
		status["conditions"] = []any{map[string]any{"type": kind, "status": "False"}}
	case 1:
		status["conditions"] = []corev1.NodeCondition{{Type: corev1.NodeConditionType(kind), Status: "False", Reason: "New", Message: "Of now.",
			LastHeartbeatTime: now, LastTransitionTime: now}}
	case 2:
		status["conditions"] = []any{map[string]any{"type": kind, "status": "False", "message": "Half."}}
	}
	data, err := json.Marshal(map[string]any{"metadata": meta, "spec": spec, "status": status})
	if err != nil {
		panic(err)
	}
	return data
}
