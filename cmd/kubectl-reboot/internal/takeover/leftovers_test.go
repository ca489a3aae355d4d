package takeover

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rebootd/rebootd/pkg/config"
	"github.com/rebootd/rebootd/pkg/kured"
	"github.com/rebootd/rebootd/pkg/node"
	"github.com/rebootd/rebootd/pkg/plan"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// some is a Node that is Ready since the morning.
func some(change ...func(*corev1.Node)) corev1.Node {
	n := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", UID: "u", Annotations: map[string]string{}}}
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(noon.Add(-6 * time.Hour))}}
	for _, c := range change {
		c(&n)
	}
	return n
}

func cordonedBy(managers ...string) func(*corev1.Node) {
	return func(n *corev1.Node) {
		n.Spec.Unschedulable = true
		for _, m := range managers {
			n.ManagedFields = append(n.ManagedFields, metav1.ManagedFieldsEntry{
				Manager: m, Time: &metav1.Time{Time: noon.Add(-time.Hour)}, FieldsV1: metav1.NewFieldsV1(`{"f:metadata":{},"f:spec":{"f:unschedulable":{}}}`),
			})
		}
		n.ManagedFields = append(n.ManagedFields,
			metav1.ManagedFieldsEntry{Manager: "kube-controller-manager", FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:taints":{}}}`)},
			metav1.ManagedFieldsEntry{Manager: "kubelet", Subresource: "status", FieldsV1: metav1.NewFieldsV1(`{"f:status":{}}`)})
	}
}

func readySince(ago time.Duration, status corev1.ConditionStatus) func(*corev1.Node) {
	return func(n *corev1.Node) {
		n.Status.Conditions[0].Status, n.Status.Conditions[0].LastTransitionTime = status, metav1.NewTime(noon.Add(-ago))
	}
}

func wants(ago time.Duration, status corev1.ConditionStatus, reason plan.Reason) func(*corev1.Node) {
	return func(n *corev1.Node) {
		n.Status.Conditions = append(n.Status.Conditions,
			corev1.NodeCondition{Type: node.ConditionType, Status: status, Reason: string(reason), LastTransitionTime: metav1.NewTime(noon.Add(-ago))})
	}
}

func annotated(n *corev1.Node) {
	n.Annotations[plan.KuredInProgress], n.Annotations[plan.KuredMostRecent] = "2026-11-23T11:00:00Z", "2026-11-23T11:00:00Z"
}

func tainted(key string) func(*corev1.Node) {
	return func(n *corev1.Node) {
		n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: "other", Effect: corev1.TaintEffectPreferNoSchedule},
			corev1.Taint{Key: key, Effect: corev1.TaintEffectNoSchedule}, corev1.Taint{Key: key, Effect: corev1.TaintEffectPreferNoSchedule})
	}
}

func labelled(n *corev1.Node) {
	n.Labels = map[string]string{"a": "on", "b": "x", "c": "on", "d": "on"}
}

func recorded(phase plan.Phase) func(*corev1.Node) {
	return func(n *corev1.Node) {
		n.Annotations[node.StateAnnotation] = plan.Record{Phase: phase, BootID: "b"}.String()
	}
}

func set(name, lock string, args ...string) appsv1.DaemonSet {
	d := appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "kube-system", UID: "d", Annotations: map[string]string{}}}
	if lock != "" {
		d.Annotations[kured.LockAnnotation] = lock
	}
	d.Spec.Template.Spec.Containers = []corev1.Container{{Image: name, Args: args}}
	return d
}

// told is what would be done and said.
func told(l Leftovers) string {
	var all []string
	for _, f := range l.Fixes {
		is := "fix " + f.Name() + ": " + f.What
		if f.Lock != "" {
			is += " but " + f.Lock
		}
		all = append(all, is)
	}
	for _, b := range l.Busy {
		all = append(all, "busy "+b)
	}
	for _, s := range l.Steps {
		all = append(all, "left "+s.Text+" "+s.Command)
	}
	for _, o := range l.Others {
		all = append(all, "other "+o)
	}
	return strings.Join(all, "\n")
}

func TestNodesLeftBehind(t *testing.T) {
	rebootd := func(args ...string) func(*Facts) {
		return func(f *Facts) { f.Rebootds = append(f.Rebootds, set("rebootd", "", args...)) }
	}
	there := func(f *Facts) { f.Kureds = append(f.Kureds, set("kured", "")) }
	for name, tt := range map[string]struct {
		node  corev1.Node
		facts func(*Facts)
		want  string // empty: nothing is said
	}{
		"nothing":                          {node: some()},
		"it came back":                     {node: some(cordonedBy("kured"), readySince(time.Minute, "True")), want: "fix node/n: uncordoned"},
		"no reboot is wanted any more":     {node: some(cordonedBy("kured"), wants(time.Minute, "False", plan.NotRequired)), want: "fix node/n: uncordoned"},
		"none was wanted before":           {node: some(cordonedBy("kured"), wants(2*time.Hour, "False", plan.NotRequired)), want: "left Node n is cordoned by kured since 2026-11-23T11:00:00Z, and nothing shows"},
		"one is still wanted":              {node: some(cordonedBy("kured"), wants(time.Minute, "True", plan.KuredPresent)), want: "left Node n is cordoned by kured since"},
		"nothing shows that it rebooted":   {node: some(cordonedBy("kured"), annotated), want: "left Node n is cordoned by kured since"},
		"it isn't Ready":                   {node: some(cordonedBy("kured"), readySince(time.Minute, "Unknown")), want: "left Node n is cordoned by kured and not Ready"},
		"a person's":                       {node: some(cordonedBy("kubectl-cordon"), readySince(time.Minute, "True")), want: "other n (by kubectl-cordon)"},
		"a person's too":                   {node: some(cordonedBy("kured", "kubectl"), readySince(time.Minute, "True")), want: "other n (by kured and kubectl)"},
		"nobody knows whose":               {node: some(cordonedBy(), readySince(time.Minute, "True")), want: "other n (by somebody whom the API server didn't note)"},
		"a person's, with kured's marks":   {node: some(cordonedBy("kubectl-cordon"), annotated), want: "fix node/n: kured's annotations removed\nleft Node n is cordoned by kubectl-cordon, so not by kured"},
		"rebootd's":                        {node: some(cordonedBy("rebootd"), annotated, recorded(plan.Drain)), want: "busy Node n: rebootd is at work there"},
		"a record that can't be read":      {node: some(annotated, func(n *corev1.Node) { n.Annotations[node.StateAnnotation] = "{" }), want: "busy Node n: rebootd is at work there"},
		"marks":                            {node: some(annotated, tainted(kured.Taint), recorded(plan.Idle)), want: "fix node/n: kured's annotations removed, taint weave.works/kured-node-reboot removed"},
		"everything":                       {node: some(cordonedBy("kured"), readySince(time.Minute, "True"), annotated, tainted(kured.Taint)), want: "fix node/n: uncordoned, kured's annotations removed, taint weave.works/kured-node-reboot removed"},
		"another taint":                    {node: some(tainted("example.com/t"))},
		"another taint that one names":     {node: some(tainted("example.com/t")), facts: func(f *Facts) { f.Taints = []string{"example.com/t"} }, want: "fix node/n: taint example.com/t removed"},
		"a taint that rebootd keeps":       {node: some(tainted(kured.Taint)), facts: rebootd("--prefer-no-schedule-taint=" + kured.Taint)},
		"annotations that rebootd keeps":   {node: some(annotated), facts: rebootd("--annotate-nodes")},
		"annotations that it doesn't keep": {node: some(annotated), facts: rebootd("--annotate-nodes=false"), want: "fix node/n: kured's annotations removed"},
		"kured is there":                   {node: some(cordonedBy("kured"), readySince(time.Minute, "True"), annotated), facts: there, want: "busy Node n: cordoned by kured, which doesn't hold its lock for it any more"},
		"kured is there, and a person":     {node: some(cordonedBy("kubectl")), facts: there, want: "other n (by kubectl)"},
		"kured is at work":                 {node: some(cordonedBy("kured")), facts: func(f *Facts) { f.Kureds = append(f.Kureds, set("kured", `{"nodeID":"n"}`)) }, want: "busy Node n: cordoned by kured, which is at work there"},
		"kured's taint while kured is there": {node: some(tainted("example.com/t")), facts: func(f *Facts) {
			f.Kureds = append(f.Kureds, set("kured", "", "--prefer-no-schedule-taint", "example.com/t"))
		}, want: "busy Node n: taint example.com/t."},
		"labels of a reboot": {node: some(labelled), facts: func(f *Facts) {
			f.Kureds = append(f.Kureds, set("kured", "", "--pre-reboot-node-labels=a=on,b=on", "--pre-reboot-node-labels", "c=on,d=on", "--post-reboot-node-labels=a=off,d=on"))
		}, want: "left Node n carries a=on, c=on of --pre-reboot-node-labels, but is in no reboot. If nobody else put that there, change it. kubectl label node n --overwrite a=off c-"},
		"labels of a reboot that goes on": {node: some(labelled), facts: func(f *Facts) {
			f.Kureds = append(f.Kureds, set("kured", `{"nodeID":"n"}`, "--pre-reboot-node-labels=a=on"))
		}},
		"labels of rebootd's":    {node: some(labelled), facts: rebootd("--pre-reboot-node-labels=a=on"), want: "left Node n carries a=on"},
		"labels at work":         {node: some(labelled, recorded(plan.Drain)), facts: rebootd("--pre-reboot-node-labels=a=on")},
		"a pod of kured is left": {node: some(annotated), facts: func(f *Facts) { f.KuredPods = make([]corev1.Pod, 1) }, want: "busy Node n: weave.works"},
		"who knows":              {node: some(annotated), facts: func(f *Facts) { f.Blind = "you may not list pods" }, want: "busy Node n: weave.works"},
	} {
		t.Run(name, func(t *testing.T) {
			f := Facts{Now: noon, Nodes: []corev1.Node{tt.node}}
			if tt.facts != nil {
				tt.facts(&f)
			}
			l := NewLeftovers(f)
			got := told(l)
			if (got == "") != (tt.want == "") {
				t.Errorf("%s", got)
			}
			for i, line := range strings.Split(tt.want, "\n") {
				if said := strings.Split(got, "\n"); len(said) != strings.Count(tt.want, "\n")+1 || !strings.HasPrefix(said[i], line) || strings.HasPrefix(line, "fix") && said[i] != line {
					t.Errorf("%s\nwant\n%s", got, tt.want)
				}
			}
			for _, fix := range l.Fixes {
				for _, left := range fix.TaintsLeft() {
					if left.Effect == corev1.TaintEffectPreferNoSchedule && left.Key != "other" && len(fix.Taints) > 0 {
						t.Errorf("taints left: %v", fix.TaintsLeft())
					}
				}
				if n := len(fix.TaintsLeft()); len(tt.node.Spec.Taints) > 0 && len(fix.Taints) > 0 && n != 2 {
					t.Errorf("%d taints left", n)
				}
			}
		})
	}
}

func TestLocksLeftBehind(t *testing.T) {
	rebootd := func(f *Facts) { f.Rebootds = append(f.Rebootds, set("rebootd", "")) }
	for name, tt := range map[string]struct {
		lock  string
		node  corev1.Node
		facts func(*Facts)
		want  string
	}{
		"none":                       {},
		"a node's that is there":     {lock: `{"nodeID":"n"}`},
		"a node's that is gone":      {lock: `{"nodeID":"gone"}`, want: "fix daemonset.apps/kured: kured's stale lock removed"},
		"one of two":                 {lock: `{"maxOwners":2,"locks":[{"nodeID":"gone"},{"nodeID":"n"}]}`, want: `fix daemonset.apps/kured: stale entries of kured's lock removed but {"maxOwners":2,"locks":[{"nodeID":"n"}]}`},
		"a person's":                 {lock: `{"nodeID":"manual"}`, want: "left A person holds kured's lock in DaemonSet kube-system/kured by the name manual, so it stays. When reboots may go on, take it off. kubectl annotate daemonset -n kube-system kured weave.works/kured-node-lock-"},
		"unreadable":                 {lock: `{`, want: "left The lock of kured in DaemonSet kube-system/kured can't be read"},
		"K1":                         {lock: `{"maxOwners":2,"locks":[]}`, want: "fix daemonset.apps/kured: kured's stale lock removed"},
		"rebootd's":                  {lock: `{"nodeID":"rebootd/n"}`, facts: rebootd},
		"rebootd's, which is gone":   {lock: `{"nodeID":"rebootd/n"}`, want: "fix daemonset.apps/kured: kured's stale lock removed"},
		"rebootd's, perhaps gone":    {lock: `{"nodeID":"rebootd/n"}`, facts: func(f *Facts) { f.Blind = "you may not" }},
		"rebootd's, pods left":       {lock: `{"nodeID":"rebootd/n"}`, facts: func(f *Facts) { f.RebootdPods = make([]corev1.Pod, 1) }},
		"rebootd's that is out":      {lock: `{"nodeID":"rebootd/n"}`, node: some(recorded(plan.Drain))},
		"rebootd's, its Node gone":   {lock: `{"nodeID":"rebootd/gone"}`, facts: rebootd, want: "fix daemonset.apps/kured: kured's stale lock removed"},
		"places that rebootd filled": {lock: `{"maxOwners":2,"locks":[{"nodeID":"n"},{"nodeID":"rebootd"}]}`, want: `fix daemonset.apps/kured: stale entries of kured's lock removed but {"maxOwners":2,"locks":[{"nodeID":"n"}]}`},
		"places that are filled":     {lock: `{"maxOwners":2,"locks":[{"nodeID":"n"},{"nodeID":"rebootd"}]}`, facts: rebootd},
		"no Nodes are seen":          {lock: `{"nodeID":"gone"}`, facts: func(f *Facts) { f.Nodes = nil }},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.node.Name == "" {
				tt.node = some()
			}
			f := Facts{Now: noon, Nodes: []corev1.Node{tt.node}, Kureds: []appsv1.DaemonSet{set("kured", tt.lock)}}
			if tt.facts != nil {
				tt.facts(&f)
			}
			got := told(NewLeftovers(f))
			if (got == "") != (tt.want == "") || !strings.HasPrefix(got, tt.want) || strings.Contains(got, "\n") {
				t.Errorf("%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

// A DaemonSet that ran kured and runs rebootd now.
func TestLockOnRebootd(t *testing.T) {
	d := set("kured", `{"nodeID":"n"}`)
	d.Spec.Template.Spec.Containers[0] = corev1.Container{Image: "rebootd", Env: []corev1.EnvVar{{Name: "REBOOTD_NODE_NAME"}}}
	f := Facts{Now: noon, Rebootds: []appsv1.DaemonSet{d}}
	if got := told(NewLeftovers(f)); got != "fix daemonset.apps/kured: kured's stale lock removed" {
		t.Error(got)
	}
	f.KuredPods = make([]corev1.Pod, 1)
	if got := told(NewLeftovers(f)); !strings.HasPrefix(got, "busy DaemonSet kube-system/kured runs rebootd") {
		t.Error(got)
	}
}

// What is said to differ is what the page says, word by word, and every row of it is known here.
func TestDifferencesAreTheDocs(t *testing.T) {
	text, err := os.ReadFile("../../../../docs/migrating-from-kured.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile(`(?m)^\| K\d+ \|.*$`).FindAllString(string(text), -1)
	var ours []string
	known := map[string]bool{}
	for _, s := range config.Describe() {
		for _, o := range s.Options {
			known[o.Name] = true
		}
	}
	for _, d := range differences() {
		ours = append(ours, fmt.Sprintf("| %s | %s | %s |", d.id, d.kured, d.rebootd))
		for _, f := range d.flags {
			if !known[f] {
				t.Errorf("%s is about --%s, which there isn't", d.id, f)
			}
		}
	}
	if !slices.Equal(rows, ours) {
		t.Errorf("the page:\n%s\nhere:\n%s", strings.Join(rows, "\n"), strings.Join(ours, "\n"))
	}
	for flag := range more() {
		if !known[flag] || !strings.Contains(string(text), "- `--"+flag+"`") {
			t.Errorf("the page says nothing of --%s", flag)
		}
	}
}

func TestDiffers(t *testing.T) {
	v := NewValues(readKured(t, "chart-6"), "rebootd")
	got := strings.Join(v.Differs(), "\n")
	for _, want := range []string{"--lock-ttl (K3)", "--concurrency (K1)", "K17: kured: nothing looks", "--force-reboot: It is", "docs/windows.md", "--period (K23)"} {
		if !strings.Contains(got, want) {
			t.Errorf("nothing of %q:\n%s", want, got)
		}
	}
	for _, no := range []string{"K18", "isn't set", "`", "]("} {
		if strings.Contains(got, no) {
			t.Errorf("%q:\n%s", no, got)
		}
	}
}

// What a person has to see to is said, with the command.
func TestSteps(t *testing.T) {
	d := set("kured", "", "--reboot-days=", "--period=never", "--pre-reboot-node-labels=x", "--lock-ttl=1s", "--v=2")
	d.Spec.Template.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "more"}}}}
	for name, tt := range map[string]struct {
		d    *appsv1.DaemonSet
		want []string
	}{
		"refused": {&d, []string{`"--v=2" is no option`, "refuses to start with this", "--period", "--pre-reboot-node-labels", "--lock-ttl", "ConfigMap more must be in", "envFrom"}},
		"secrets": {readKured(t, "environment"), []string{"Secret slack must be in rebootd's namespace", "kubectl get secret -n kube-system slack", "ConfigMap reboots"}},
		"slack":   {readKured(t, "chart-5-strings"), []string{"--slack-channel changes nothing", "--force-reboot changes nothing", "ConfigMap ca"}},
	} {
		text := ""
		for _, s := range NewValues(tt.d, "rebootd").Steps {
			text += s.Text + "\n" + s.Command + "\n"
		}
		for _, want := range tt.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s: nothing of %q:\n%s", name, want, text)
			}
		}
	}
}
