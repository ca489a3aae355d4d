package cleanup

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rebootd/rebootd/pkg/plan"
)

func record(r plan.Record) map[string]string {
	r.BootID = "b"
	return map[string]string{"rebootd.io/state": r.String()}
}

// What becomes of a Node, as the patch's annotations, labels and spec.
func TestTidy(t *testing.T) {
	t.Parallel()
	soft := func(keys ...string) []corev1.Taint {
		taints := []corev1.Taint{{Key: "dedicated", Effect: corev1.TaintEffectNoSchedule}}
		for _, key := range keys {
			taints = append(taints, corev1.Taint{Key: key, Effect: corev1.TaintEffectPreferNoSchedule})
		}
		return taints
	}
	was := "before"
	for name, tt := range map[string]struct {
		annotations, labels map[string]string
		spec                corev1.NodeSpec
		want, says          string
		fails               string
	}{
		"never touched":            {},
		"a person's cordon":        {spec: corev1.NodeSpec{Unschedulable: true}},
		"idle":                     {annotations: record(plan.Record{Phase: plan.Idle}), want: `{"annotations":{"rebootd.io/state":null}}`},
		"waits":                    {annotations: record(plan.Record{Phase: plan.Required}), labels: map[string]string{"rebootd.io/reboot-required": "true", "pool": "a"}, want: `{"annotations":{"rebootd.io/state":null},"labels":{"rebootd.io/reboot-required":null}}`},
		"drains":                   {annotations: record(plan.Record{Phase: plan.Drain, Cordon: plan.CordonOurs}), spec: corev1.NodeSpec{Unschedulable: true}, want: `{"annotations":{"rebootd.io/state":null},"spec":{"unschedulable":null}}`, says: "uncordoned (it was Draining)"},
		"drains a cordoned":        {annotations: record(plan.Record{Phase: plan.Drain, Cordon: plan.CordonAdmin}), spec: corev1.NodeSpec{Unschedulable: true}, want: `{"annotations":{"rebootd.io/state":null}}`, says: "it stays cordoned"},
		"reboots":                  {annotations: record(plan.Record{Phase: plan.Rebooting, Cordon: plan.CordonOurs}), spec: corev1.NodeSpec{Unschedulable: true}, want: `{"annotations":{"rebootd.io/state":null},"spec":{"unschedulable":null}}`, says: "it may still go down"},
		"recovers":                 {annotations: record(plan.Record{Phase: plan.Recovering, Cordon: plan.CordonOurs}), spec: corev1.NodeSpec{Unschedulable: true}, want: `{"annotations":{"rebootd.io/state":null},"spec":{"unschedulable":null}}`},
		"gives up":                 {annotations: record(plan.Record{Phase: plan.Aborting, Cordon: plan.CordonOurs}), spec: corev1.NodeSpec{Unschedulable: true}, want: `{"annotations":{"rebootd.io/state":null},"spec":{"unschedulable":null}}`},
		"settles":                  {annotations: record(plan.Record{Phase: plan.Settle}), want: `{"annotations":{"rebootd.io/state":null}}`},
		"settles, cordoned since":  {annotations: record(plan.Record{Phase: plan.Settle}), spec: corev1.NodeSpec{Unschedulable: true}, want: `{"annotations":{"rebootd.io/state":null}}`, says: "it stays cordoned"},
		"unreadable":               {annotations: map[string]string{"rebootd.io/state": "{"}, want: `{"annotations":{"rebootd.io/state":null}}`},
		"unreadable, out":          {annotations: map[string]string{"rebootd.io/state": "{"}, spec: corev1.NodeSpec{Unschedulable: true}, fails: "kubectl uncordon n, or not; then kubectl annotate node n rebootd.io/state-"},
		"its agents":               {annotations: map[string]string{"rebootd.io/agent": "a", "rebootd.io/agent-call": "b", "mine": "c"}, want: `{"annotations":{"rebootd.io/agent":null,"rebootd.io/agent-call":null}}`},
		"people's":                 {annotations: map[string]string{"rebootd.io/hold": "x", "rebootd.io/priority": "5", "rebootd.io/request": "y"}},
		"requests":                 {annotations: merge(record(plan.Record{Phase: plan.Idle, Honoured: []plan.Request{{Text: "old"}}}), map[string]string{"rebootd.io/request": "old", "rebootd.io/request-now": "old"}), want: `{"annotations":{"rebootd.io/request":null,"rebootd.io/state":null}}`, says: `a person's rebootd.io/request-now="old" stays`},
		"taints":                   {annotations: record(plan.Record{Phase: plan.Required, Taint: "earlier"}), spec: corev1.NodeSpec{Taints: soft("earlier", "configured", "rebootd.io/reboot-required", "somebodys")}, want: `{"annotations":{"rebootd.io/state":null},"spec":{"taints":[{"effect":"NoSchedule","key":"dedicated"},{"effect":"PreferNoSchedule","key":"somebodys"}]}}`},
		"the only taint":           {spec: corev1.NodeSpec{Taints: []corev1.Taint{{Key: "configured", Effect: corev1.TaintEffectPreferNoSchedule}}}, want: `{"spec":{"taints":[]}}`},
		"a hard taint of that key": {spec: corev1.NodeSpec{Taints: []corev1.Taint{{Key: "configured", Effect: corev1.TaintEffectNoSchedule}}}},
		"marks": {
			annotations: merge(record(plan.Record{Phase: plan.Drain, Cordon: plan.CordonOurs, Marks: []plan.Mark{
				{Kind: plan.Annotation, Key: "a", Value: "true"}, {Kind: plan.Annotation, Key: "b", Value: "true", Was: &was}, {Kind: plan.Annotation, Key: "c", Value: "true"},
			}}), map[string]string{"a": "true", "b": "true", "c": "changed since"}),
			want: `{"annotations":{"a":null,"b":"before","rebootd.io/state":null}}`,
		},
		"a mark whose record is gone": {labels: map[string]string{"node.kubernetes.io/exclude-from-external-load-balancers": "rebootd"}, want: `{"labels":{"node.kubernetes.io/exclude-from-external-load-balancers":null}}`},
		"a person's mark":             {labels: map[string]string{"node.kubernetes.io/exclude-from-external-load-balancers": "true"}},
		"kured's annotations":         {annotations: map[string]string{"weave.works/kured-reboot-in-progress": "x", "weave.works/kured-most-recent-reboot-needed": "x"}, want: `{"annotations":{"weave.works/kured-reboot-in-progress":null}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", UID: "u", ResourceVersion: "7", Annotations: tt.annotations, Labels: tt.labels}, Spec: tt.spec}
			o := Options{Taints: []string{"configured"}, Annotations: []string{"weave.works/kured-reboot-in-progress"}}
			got, err := o.tidy(n)
			if tt.fails != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fails) {
					t.Fatalf("error %v, want %s", err, tt.fails)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if text := strings.Join(append(got.did, got.notes...), "; "); !strings.Contains(text, tt.says) {
				t.Errorf("it says %q, want %q", text, tt.says)
			}
			if text := short(t, got.patch); text != tt.want {
				t.Errorf("got  %s\nwant %s", text, tt.want)
			}
		})
	}
}

// short is the patch without what ties it to the object, which must be there.
func short(t *testing.T, patch map[string]any) string {
	t.Helper()
	if patch == nil {
		return ""
	}
	text, err := json.Marshal(patch)
	if err != nil {
		t.Fatal(err)
	}
	var all struct {
		Metadata struct {
			UID, ResourceVersion string
			Annotations          map[string]*string
			Labels               map[string]*string
		}
		Spec map[string]any
	}
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	if all.Metadata.UID != "u" || all.Metadata.ResourceVersion != "7" {
		t.Errorf("it is good for any version: %s", text)
	}
	out, err := json.Marshal(struct {
		Annotations map[string]*string `json:"annotations,omitempty"`
		Labels      map[string]*string `json:"labels,omitempty"`
		Spec        map[string]any     `json:"spec,omitempty"`
	}{all.Metadata.Annotations, all.Metadata.Labels, all.Spec})
	if err != nil {
		t.Fatal(err)
	}

	return string(out)
}

func merge(sets ...map[string]string) map[string]string {
	all := map[string]string{}
	for _, m := range sets {
		maps.Copy(all, m)
	}
	return all
}
