//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rebootd/rebootd/pkg/plan"
)

// TestHeldBack: a window, a pause and a pod each hold a real node back, say so where `kubectl describe node` shows it, and let it go. It runs
// alone, because a pause is for the whole cluster.
func TestHeldBack(t *testing.T) {
	opens := time.Now().UTC().Add(4 * time.Minute).Truncate(time.Minute)
	window := fmt.Sprintf("--window=%s %s-%s", strings.ToLower(opens.Format("Mon")), opens.Format("15:04"), opens.Add(time.Hour).Format("15:04"))
	s := begin(t, 1, "", append([]string{window}, swift...)...)
	n := s.nodes[0]
	s.workload(1, 1, n.Name())
	pod := s.workloadPod()
	kubectl := func(args ...string) string {
		t.Helper()
		out, err := lab.kubectl(t.Context(), nil, args...)
		if err != nil {
			t.Fatalf("kubectl %v: %v\n%s", args, err, out)
		}
		return out
	}
	described := func(reason plan.Reason, texts ...string) {
		t.Helper()
		n.says(reason)
		eventually(t, quick, fmt.Sprintf("kubectl describe node shows %s %q", reason, texts), func(context.Context) error {
			shown := kubectl("describe", "node", n.Name())
			for _, text := range append(texts, string(reason)) {
				if !strings.Contains(shown, text) {
					return fmt.Errorf("%q is missing in\n%s", text, shown)
				}
			}
			return nil
		})
	}
	before := n.bootID()
	n.require()
	described(plan.OutsideWindow, "the next one opens at "+opens.Format(time.RFC3339))

	kubectl("create", "configmap", "-n", namespace, "rebootd-control", "--from-literal=paused=true", "--from-literal=reason=black friday")
	s.later(func(ctx context.Context) error {
		_, err := lab.kubectl(ctx, nil, "delete", "configmap", "-n", namespace, "rebootd-control", "--ignore-not-found")
		return err
	})
	described(plan.Paused, "black friday", "kubectl delete configmap -n "+namespace+" rebootd-control")
	kubectl("annotate", "pod", "-n", "default", pod, "rebootd.io/hold=rebalancing")
	kubectl("delete", "configmap", "-n", namespace, "rebootd-control")
	if time.Now().Before(opens.Add(-10 * time.Second)) {
		described(plan.OutsideWindow)
	}
	n.staysUntil(opens.Add(5 * time.Second))
	described(plan.BlockedByPod, "default/"+pod, `rebootd.io/hold="rebalancing"`)
	n.staysUntil(time.Now().Add(5 * time.Second))

	kubectl("annotate", "pod", "-n", "default", pod, "rebootd.io/hold-")
	if last := n.rebootedOnce(before); !last.Ours || last.Out.Before(opens) {
		t.Errorf("the window opened at %s, and the history has %+v", opens, last)
	}
}

// workloadPod is the one pod of the scene's workload.
func (s *scene) workloadPod() string {
	s.t.Helper()
	pods, err := lab.client.CoreV1().Pods(metav1.NamespaceDefault).List(s.t.Context(), metav1.ListOptions{LabelSelector: sceneLabel + "=" + s.name})
	if err != nil || len(pods.Items) != 1 {
		s.t.Fatalf("the workload's pods: %v, %v", pods, err)
	}
	return pods.Items[0].Name
}

// staysUntil checks that the node is neither cordoned nor holds a slot until then.
func (n *node) staysUntil(end time.Time) {
	n.t.Helper()
	for ; time.Now().Before(end); time.Sleep(pollEvery) {
		if seen := n.now(); seen.Spec.Unschedulable {
			n.t.Fatalf("%s does not wait: %s", n.Name(), summary(seen))
		}
	}
}
