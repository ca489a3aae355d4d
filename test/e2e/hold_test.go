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

// TestHeldBack: a window, a pause, a pod and an alert each hold a real node back, say so where `kubectl describe node` shows it, and let it go.
func TestHeldBack(t *testing.T) {
	t.Parallel()
	alarm := newAlarm(t)
	names := lab.pool.take(1, long[t.Name()])
	opens := time.Now().UTC().Add(100 * time.Second).Truncate(time.Second) // by kured's flags, for a window of ours begins with a minute
	s := beginOn(t, names, append([]string{
		"--start-time=" + opens.Format(time.TimeOnly), "--end-time=" + opens.Add(time.Hour).Format(time.TimeOnly), "--prometheus-url=" + alarm.url, "--period=10s",
	}, swift...)...)
	n := s.nodes[0]
	s.workload(1, 1, n.Name())
	pod := s.workloadPod()
	before := n.bootID()
	n.require()
	n.described(plan.OutsideWindow, "the next one opens at "+opens.Format(time.RFC3339))

	s.kubectl("create", "configmap", "-n", s.name, "rebootd-control", "--from-literal=paused=true", "--from-literal=reason=black friday")
	s.later(func(ctx context.Context) error {
		_, err := lab.kubectl(ctx, nil, "delete", "configmap", "-n", s.name, "rebootd-control", "--ignore-not-found")
		return err
	})
	n.described(plan.Paused, "black friday", "kubectl delete configmap -n "+s.name+" rebootd-control")
	s.kubectl("annotate", "pod", "-n", "default", pod, "rebootd.io/hold=rebalancing")
	s.kubectl("delete", "configmap", "-n", s.name, "rebootd-control")
	if time.Now().Before(opens.Add(-10 * time.Second)) {
		n.described(plan.OutsideWindow)
	}
	n.staysUntil(opens.Add(5 * time.Second))
	n.described(plan.BlockedByPod, "default/"+pod, `rebootd.io/hold="rebalancing"`)
	n.staysUntil(time.Now().Add(5 * time.Second))

	alarm.goes(true)
	s.kubectl("annotate", "pod", "-n", "default", pod, "rebootd.io/hold-")
	n.described(plan.BlockedByAlert, "1 alert is active in Prometheus: "+alarmName)
	n.staysUntil(time.Now().Add(15 * time.Second)) // it asks again meanwhile
	n.described(plan.BlockedByAlert, "1 alert is active in Prometheus: "+alarmName)
	if _, err := n.lease(t.Context(), s.name); err != nil {
		t.Errorf("an alert holds everyone, so the turn is kept: %v", err)
	}
	ends := time.Now()
	alarm.goes(false)
	if last := n.rebootedOnce(before); !last.Ours || last.Out.Before(ends) {
		t.Errorf("the alert ended at %s, and the history has %+v", ends, last)
	}
}

// kubectl does what an administrator does, and it must succeed.
func (s *scene) kubectl(args ...string) string {
	s.t.Helper()
	out, err := lab.kubectl(s.t.Context(), nil, args...)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// described waits until `kubectl describe node` shows the condition with this reason, and with these texts in its message.
func (n *node) described(reason plan.Reason, texts ...string) {
	n.t.Helper()
	texts = append(texts, string(reason))
	eventually(n.t, quick, fmt.Sprintf("kubectl describe node %s shows %q", n.Name(), texts), func(ctx context.Context) error {
		all, err := lab.kubectl(ctx, nil, "describe", "node", n.Name())
		if err != nil {
			return err
		}
		shown := "no condition"
		for line := range strings.Lines(all) {
			if strings.HasPrefix(strings.TrimSpace(line), string(conditionType)) {
				shown = line
				break
			}
		}
		for _, text := range texts {
			if !strings.Contains(shown, text) {
				return fmt.Errorf("%q is missing in %q", text, shown)
			}
		}
		return nil
	})
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

// staysUntil checks that the node is not cordoned until then.
func (n *node) staysUntil(end time.Time) {
	n.t.Helper()
	for ; time.Now().Before(end); time.Sleep(pollEvery) {
		if seen := n.now(); seen.Spec.Unschedulable {
			n.t.Fatalf("%s does not wait: %s", n.Name(), summary(seen))
		}
	}
}
