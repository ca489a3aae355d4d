//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rebootd/rebootd/pkg/plan"
)

// swift are arguments that only save time.
var swift = []string{"--steady-time=3s"}

// TestAgentDiesInDrain: neither a crash of the agent nor the end of its pod is taken for a reboot. The drain goes on
// where it was.
func TestAgentDiesInDrain(t *testing.T) {
	t.Parallel()
	s := begin(t, 1, swift...)
	n := s.nodes[0]
	w := s.workload(1, 0, n.Name())
	before := n.bootID()
	n.require()
	n.says(plan.BlockedByPDB)
	lease, err := n.lease(t.Context(), s.name)
	if err != nil {
		t.Fatal(err)
	}
	began := n.reaches(plan.Drain, quick).Since

	n.replaced(func() { n.run("pkill -KILL -x rebootd") })
	n.replaced(func() {
		// It speaks on its Node before its readiness is probed.
		var pod *corev1.Pod
		eventually(t, quick, "the agent is ready after its crash", func(ctx context.Context) (err error) {
			pod, err = lab.agentPod(ctx, s.name, n.Name())
			return err
		})
		if err := lab.client.CoreV1().Pods(s.name).Delete(t.Context(), pod.Name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	})
	r := n.reaches(plan.Drain, quick)
	if !r.Since.Equal(began) || r.Cordon != plan.CordonOurs || r.LeaseUID != string(lease.UID) {
		t.Errorf("the drain that began at %s didn't go on; the record is %s", began, r)
	}
	if now, err := n.lease(t.Context(), s.name); err != nil || now.UID != lease.UID {
		t.Errorf("the slot changed: %v", err)
	}
	if now := n.bootID(); now != before {
		t.Errorf("rebooted before it was drained")
	}
	w.allow(1)
	if last := n.rebootedOnce(before); !last.Ours {
		t.Errorf("the history has %+v", last)
	}
}

// replaced is anotherAgent in a drain that a budget holds up.
func (n *node) replaced(end func()) {
	n.t.Helper()
	n.anotherAgent(end)
	n.says(plan.BlockedByPDB)
}

// TestPowerCutInDrain: the power fails in mid-drain. That is a reboot too, though not ours: the node comes back into
// service, and isn't rebooted again.
func TestPowerCutInDrain(t *testing.T) {
	t.Parallel()
	s := begin(t, 1, swift...)
	n := s.nodes[0]
	s.workload(1, 0, n.Name())
	before := n.bootID()
	n.require()
	n.says(plan.BlockedByPDB)
	n.powerFails()
	if last := n.rebootedOnce(before); last.Ours || !last.Cleared {
		t.Errorf("the history has %+v, want a reboot that wasn't ours", last)
	}
}

// TestPowerCutInReboot: the power fails just when the reboot command was given.
func TestPowerCutInReboot(t *testing.T) {
	t.Parallel()
	s := begin(t, 1, swift...)
	n := s.nodes[0]
	before := n.bootID()
	n.require()
	n.reaches(plan.Rebooting, quick)
	n.powerFails()
	if last := n.rebootedOnce(before); !last.Ours {
		t.Errorf("the history has %+v", last)
	}
}

// powerFails cuts the power, and gives it back.
func (n *node) powerFails() {
	n.t.Helper()
	if err := n.PowerCut(); err != nil {
		n.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(n.t.Context(), reboot)
	defer cancel()
	if err := n.PowerOn(ctx); err != nil {
		n.t.Fatal(err)
	}
}

// TestAdminsCordon: a node that a person had cordoned is rebooted, and stays cordoned.
func TestAdminsCordon(t *testing.T) {
	t.Parallel()
	s := begin(t, 1, swift...)
	n := s.nodes[0]
	before := n.bootID()
	n.cordon(true)
	n.require()
	n.rebootedOnce(before)
	eventually(t, quick, "the slot is free", func(ctx context.Context) error {
		if _, err := n.lease(ctx, s.name); err == nil {
			return errors.New(n.Name() + " holds it")
		}
		return nil
	})
	if seen := n.now(); !seen.Spec.Unschedulable {
		t.Errorf("the cordon is gone: %s", summary(seen))
	}
	n.cordon(false)
}

// TestNodeDeleted: somebody deletes the Node while its machine reboots. Its slot doesn't wait for it, and it comes back
// as a Node of which nothing is known.
func TestNodeDeleted(t *testing.T) {
	t.Parallel()
	s := begin(t, 1, swift...)
	n := s.nodes[0]
	before := n.bootID()
	if err := n.NextBoot(15*time.Second, false); err != nil {
		t.Fatal(err)
	}
	n.require()
	n.reaches(plan.Rebooting, quick)
	n.goesDown()
	old := n.now()
	if err := lab.client.CoreV1().Nodes().Delete(t.Context(), n.Name(), metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, quick, "the slot of a Node that is gone is freed", func(ctx context.Context) error {
		if _, err := n.lease(ctx, s.name); err == nil {
			return errors.New(n.Name() + " still holds it")
		}
		return nil
	})
	if _, err := n.get(t.Context()); !apierrors.IsNotFound(err) {
		t.Errorf("the Node came back before its slot was free: %v", err)
	}
	fresh := n.eventually(reboot, "is there again, idle", func(seen *corev1.Node) error {
		r, err := recordOf(seen)
		switch {
		case err != nil:
			return err
		case seen.UID == old.UID || r.Phase != plan.Idle || condition(seen, corev1.NodeReady).Status != corev1.ConditionTrue:
			return errors.New(summary(seen))
		}
		return nil
	})
	if r, err := recordOf(fresh); err != nil || len(r.History) != 0 || fresh.Spec.Unschedulable {
		t.Errorf("it doesn't begin afresh: %s, %v", summary(fresh), err)
	}
	if n.bootID() == before {
		t.Error("the machine did not reboot")
	}
}

// goesDown waits until the kernel has ended. Its console says so.
func (n *node) goesDown() {
	n.t.Helper()
	eventually(n.t, quick, n.Name()+" goes down", func(context.Context) error {
		if end := tail(n.ConsolePath(), 3); !strings.Contains(end, "reboot: ") {
			return fmt.Errorf("its console ends with %q", end)
		}
		return nil
	})
}
