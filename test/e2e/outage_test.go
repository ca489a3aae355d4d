//go:build e2e

package e2e

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/pkg/plan"
)

// TestOutage: the API server goes away for longer than requests last while a node that has just rebooted waits to be uncordoned.
// Its agent neither exits nor forgets. All nodes are taken, because nothing else works meanwhile.
func TestOutage(t *testing.T) {
	s := begin(t, machines, "--steady-time=15s")
	n := s.nodes[0]
	before := n.bootID()
	n.require()
	n.reaches(plan.Recovering, reboot)
	agent := n.now().Annotations[agentAnnotation]

	lab.StopAPIServer()
	began := time.Now()
	outage := time.NewTimer(40 * time.Second) // longer than any request may take
	defer outage.Stop()
	<-outage.C
	ended := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := lab.StartAPIServer(ctx); err != nil {
		t.Fatalf("the API server doesn't start again: %v", err)
	}
	if last := n.rebootedOnce(before); !last.Ours || last.In.Before(ended) {
		t.Errorf("the history has %+v, but the API server was away until %s", last, ended)
	}
	t.Logf("%s is back in service %s after the outage", n.Name(), time.Since(ended).Round(time.Second))
	for _, each := range s.nodes {
		var pod *corev1.Pod
		// The control plane calls pods unready with their node, and kubelets come back at their own pace.
		eventually(t, 2*quick, "the agent is ready", func(ctx context.Context) (err error) {
			pod, err = lab.agentPod(ctx, s.name, each.Name())
			return err
		})
		started := pod.Status.ContainerStatuses[0].State.Running.StartedAt
		if started.After(began) {
			t.Errorf("the agent on %s exited: it runs since %s, and the outage began at %s", each.Name(), started, began)
		}
	}
	if now := n.now().Annotations[agentAnnotation]; now != agent {
		t.Errorf("%s has agent %q, before the outage it had %q", n.Name(), now, agent)
	}
}
