package cleanup

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/rebootd/rebootd/pkg/plan"
)

const ns = "rebootd"

func cleaner(out *strings.Builder, objects ...runtime.Object) (*Cleaner, *fake.Clientset) {
	client := fake.NewClientset(objects...)
	return &Cleaner{
		Options: Options{DaemonSets: []types.NamespacedName{{Namespace: ns, Name: "mine"}}, Namespace: ns, AgentsTimeout: 90 * time.Second},
		Nodes:   client.CoreV1().Nodes(), Leases: client.CoordinationV1().Leases(ns), ConfigMaps: client.CoreV1().ConfigMaps(ns),
		DaemonSets: func(namespace string) DaemonSets { return client.AppsV1().DaemonSets(namespace) },
		Pods:       func(namespace string) Pods { return client.CoreV1().Pods(namespace) },
		Out:        out, Now: time.Now,
	}, client
}

func agent(name string, selector map[string]string, args ...string) *appsv1.DaemonSet {
	return &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, Labels: map[string]string{"rebootd.io/agents": "true"}},
		Spec: appsv1.DaemonSetSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			NodeSelector: selector, Containers: []corev1.Container{{Args: args}},
		}}},
	}
}

func nodeOf(name string, labels map[string]string) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels, Annotations: record(plan.Record{Phase: plan.Idle})}}
}

// Nodes that another installation would run on are its own, whether or not its agent is there just now.
func TestOthersNodesAreLeft(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		other *appsv1.DaemonSet
		left  bool
	}{
		"one for this pool":    {agent("other", map[string]string{"pool": "a"}), true},
		"one for all":          {agent("other", nil), true},
		"one for another pool": {agent("other", map[string]string{"pool": "b"}), false},
		"one that only tries":  {agent("other", nil, "--dry-run=true"), false},
		"one of ours":          {agent("mine", nil), false},
		"no agents": {func() *appsv1.DaemonSet {
			d := agent("other", nil)
			d.Labels = nil
			return d
		}(), false},
		"one that can't be understood": {func() *appsv1.DaemonSet {
			d := agent("other", nil)
			d.Spec.Template.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
				NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "pool", Operator: "Resembles"}}}},
			}}}
			return d
		}(), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			c, client := cleaner(&out, nodeOf("n", map[string]string{"pool": "a"}), tt.other)
			if err := c.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			n, err := client.CoreV1().Nodes().Get(t.Context(), "n", metav1.GetOptions{})
			if _, left := n.Annotations["rebootd.io/state"]; err != nil || left != tt.left {
				t.Errorf("left alone: %t, want %t; %v\n%s", left, tt.left, err, out.String())
			}
		})
	}
}

// Who changes the Node meanwhile is heard: the agent that was just stopped had uncordoned it, and a person cordoned it.
func TestConflictIsLookedAtAnew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		n := nodeOf("n", nil)
		n.Annotations = record(plan.Record{Phase: plan.Drain, Cordon: plan.CordonOurs})
		n.Spec.Unschedulable = true
		c, client := cleaner(&out, n)
		conflicts := 0
		client.PrependReactor("patch", "nodes", func(clienttesting.Action) (bool, runtime.Object, error) {
			if conflicts++; conflicts > 1 {
				return false, nil, nil
			}
			n := n.DeepCopy()
			n.Annotations = record(plan.Record{Phase: plan.Idle})
			err := client.Tracker().Update(corev1.SchemeGroupVersion.WithResource("nodes"), n, "")
			return true, nil, errors.Join(err, apierrors.NewConflict(corev1.Resource("nodes"), "n", nil))
		})
		if err := c.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		after, err := client.CoreV1().Nodes().Get(t.Context(), "n", metav1.GetOptions{})
		if err != nil || !after.Spec.Unschedulable || len(after.Annotations) > 0 || conflicts < 2 {
			t.Errorf("%+v, %v\n%s", after, err, out.String())
		}
	})
}

// An agent that doesn't end is waited for, but not for ever, and nothing is written before.
func TestAgentsAreWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		yes := true
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "p", OwnerReferences: []metav1.OwnerReference{{Kind: "DaemonSet", Name: "mine", Controller: &yes}}},
			Spec:       corev1.PodSpec{NodeName: "n"},
		}
		c, client := cleaner(&out, nodeOf("n", nil), agent("mine", nil), pod)
		began := time.Now()
		var wrote time.Duration
		client.PrependReactor("patch", "nodes", func(clienttesting.Action) (bool, runtime.Object, error) {
			wrote = time.Since(began)
			return false, nil, nil
		})
		if err := c.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if wrote < 90*time.Second || wrote > 100*time.Second || !strings.Contains(out.String(), "pod p on node n") {
			t.Errorf("wrote after %v:\n%s", wrote, out.String())
		}
		if _, err := client.AppsV1().DaemonSets(ns).Get(t.Context(), "mine", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			t.Errorf("the DaemonSet: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := c.Run(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "pod p on node n") {
			t.Errorf("when there is no more time: %v", err)
		}
	})
}

// What failed on one node keeps no other from being put right, and its slot is kept.
func TestOneBadNodeDoesntStopTheOthers(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	bad := nodeOf("bad", nil)
	bad.Annotations = map[string]string{"rebootd.io/state": "{"}
	bad.Spec.Unschedulable = true
	slot := func(node string) *coordinationv1.Lease {
		return &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "rebootd-" + node + "-0", Labels: map[string]string{"rebootd.io/lock-group": node}}, Spec: coordinationv1.LeaseSpec{HolderIdentity: &node}}
	}
	c, client := cleaner(&out, bad, nodeOf("good", nil), slot("bad"), slot("good"))
	if err := c.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "node bad: its record can't be read") {
		t.Errorf("error %v", err)
	}
	n, err := client.CoreV1().Nodes().Get(t.Context(), "good", metav1.GetOptions{})
	if err != nil || len(n.Annotations) > 0 {
		t.Errorf("%+v, %v", n, err)
	}
	held, err := client.CoordinationV1().Leases(ns).List(t.Context(), metav1.ListOptions{})
	if err != nil || len(held.Items) != 1 || *held.Items[0].Spec.HolderIdentity != "bad" {
		t.Errorf("slots are held: %+v, %v", held, err)
	}
}
