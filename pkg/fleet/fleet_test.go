package fleet

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rebootd/rebootd/pkg/plan"
)

// list is a cluster's Nodes, of whose labels and annotations only those are read that keep says yes to.
type list struct {
	nodes []corev1.Node
	keep  func(key string) bool
	kept  map[string]bool
}

func (l list) EachNode(_ context.Context, _ metav1.ListOptions, take func(*corev1.Node)) error {
	for _, n := range l.nodes {
		n := n.DeepCopy()
		for _, m := range []map[string]string{n.Labels, n.Annotations} {
			maps.DeleteFunc(m, func(key, _ string) bool { return !l.keep(key) })
			for key := range m {
				l.kept[key] = true
			}
		}
		take(n)
	}
	return nil
}

func (l list) EachNodeMetadata(ctx context.Context, o metav1.ListOptions, take func(*metav1.PartialObjectMetadata)) error {
	return l.EachNode(ctx, o, func(n *corev1.Node) { take(&metav1.PartialObjectMetadata{ObjectMeta: n.ObjectMeta}) })
}

func (l list) CountNodes(context.Context, string) (int, error) { return len(l.nodes), nil }

// Whoever reads only what Reads says knows the same of the other nodes, and much less is read.
func TestReadsWhatIsLookedAt(t *testing.T) {
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	all := list{keep: func(string) bool { return true }, kept: map[string]bool{}}
	for i, reason := range []plan.Reason{plan.WaitingForSlot, plan.RebootRequired, plan.OutsideWindow} {
		all.nodes = append(all.nodes, corev1.Node{ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprint("n", i),
			Labels: map[string]string{
				requiredLabel: "true", "zone": fmt.Sprint("z", i), []string{controlPlaneLabel, masterLabel, "worker"}[i]: "", "kubernetes.io/os": "linux",
			},
			Annotations: map[string]string{
				stateAnnotation:    fmt.Sprintf(`{"version":1,"phase":"Required","reason":%q,"requiredSince":%q}`, reason, since.Format(time.RFC3339)),
				PriorityAnnotation: fmt.Sprint(i), "other": strings.Repeat("x", 100),
			},
		}})
	}
	some := list{nodes: all.nodes, keep: Reads("zone"), kept: map[string]bool{}}
	type known struct {
		waiting       []Waiter
		others, heads []plan.Other
	}
	knows := func(l list) (k known) {
		r := &Reader{Nodes: l, OrderLabel: "zone"}
		var errs [3]error
		k.waiting, errs[0] = r.Waiting(t.Context(), "")
		k.others, errs[1] = r.Others(t.Context(), "n0", "")
		k.heads, errs[2] = r.ControlPlanes(t.Context(), "n0")
		if errs != [3]error{} {
			t.Fatal(errs)
		}
		return k
	}
	whole, part := knows(all), knows(some)
	if !reflect.DeepEqual(whole, part) {
		t.Errorf("with all that there is  %+v\nwith what is looked at  %+v", whole, part)
	}
	if len(whole.waiting) != 2 || whole.waiting[1].Priority != 1 || whole.waiting[1].Zone != "z1" || !whole.waiting[1].ControlPlane || !whole.waiting[0].Since.Equal(since) {
		t.Errorf("waiting: %+v", whole.waiting)
	}
	if len(some.kept) != 6 || some.kept["other"] || some.kept["kubernetes.io/os"] {
		t.Errorf("read were %v", some.kept)
	}
}
