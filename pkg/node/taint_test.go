package node

import (
	"encoding/json"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rebootd/rebootd/pkg/plan"
)

func TestTaint(t *testing.T) {
	hard := corev1.Taint{Key: "a", Value: "v", Effect: corev1.TaintEffectNoSchedule} // the same key, another effect
	soft := func(key string) corev1.Taint {
		return corev1.Taint{Key: key, Effect: corev1.TaintEffectPreferNoSchedule}
	}
	for name, tt := range map[string]struct {
		has  []corev1.Taint
		on   string
		off  []string
		want []corev1.Taint
	}{
		"on":                   {[]corev1.Taint{hard}, "a", nil, []corev1.Taint{hard, soft("a")}},
		"on already":           {[]corev1.Taint{soft("a"), hard}, "a", nil, []corev1.Taint{soft("a"), hard}},
		"off":                  {[]corev1.Taint{hard, soft("b"), soft("a")}, "", []string{"a"}, []corev1.Taint{hard, soft("b")}},
		"off is an empty list": {[]corev1.Taint{soft("a")}, "", []string{"a"}, []corev1.Taint{}},
		"one for another":      {[]corev1.Taint{soft("a")}, "b", []string{"a"}, []corev1.Taint{soft("b")}},
	} {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", UID: "uid", ResourceVersion: "42"}, Spec: corev1.NodeSpec{Taints: tt.has}}
		c := &captured{}
		w := Writer{Nodes: c, Manager: "test", Now: time.Now}
		record := plan.Record{Phase: plan.Required, Taint: tt.on}
		if _, err := w.Taint(t.Context(), n, record, tt.off); err != nil {
			t.Fatal(err)
		}
		got, _ := json.Marshal(c.at("spec|taints"))
		is, _ := json.Marshal(asAny(t, tt.want))
		if string(got) != string(is) || c.subresource != "" || c.at("metadata|resourceVersion") != "42" ||
			c.at("metadata|annotations|"+StateAnnotation) != record.String() || c.at("metadata|labels") != "absent" {
			t.Errorf("%s: %s, want %s; %v", name, got, is, c.patch)
		}
		seen, _, _ := Observe("n", n)
		for _, key := range seen.Soft {
			if key != "a" && key != "b" {
				t.Errorf("%s: sees %q", name, seen.Soft)
			}
		}
	}
	n := &corev1.Node{Spec: corev1.NodeSpec{Taints: []corev1.Taint{hard, soft("b")}}}
	if seen, _, _ := Observe("n", n); len(seen.Soft) != 1 || seen.Soft[0] != "b" {
		t.Errorf("sees %q", seen.Soft)
	}
}

func asAny(t *testing.T, v any) any {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var a any
	if err := json.Unmarshal(data, &a); err != nil {
		t.Fatal(err)
	}
	return a
}
