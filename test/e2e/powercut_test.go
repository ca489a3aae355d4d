//go:build e2e

package e2e

import (
	"context"
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/pkg/plan"
)

// TestPowerCutOnTheWayBack: the power fails once more while the node waits to be healthy after its reboot, and, in the next
// reboot, when it is back in service and still holds its slot.
func TestPowerCutOnTheWayBack(t *testing.T) {
	t.Parallel()
	s := begin(t, 1, "--steady-time=10s", "--settle-time=30s")
	n := s.nodes[0]
	before := n.reboots()
	for i, phase := range []plan.Phase{plan.Recovering, plan.Settle} {
		n.require()
		n.reaches(phase, reboot)
		n.powerFails()
		n.rests(s, before+i+1)
	}
}

// TestPowerCutBeforeTheCordon: the power fails when the node holds its slot already, and is still in service. Nothing wants a
// reboot any more when it is back, so it takes none.
func TestPowerCutBeforeTheCordon(t *testing.T) {
	t.Parallel()
	s := begin(t, 1, append(swift, "--drain-delay=1m")...)
	n := s.nodes[0]
	before := n.reboots()
	n.require()
	eventually(t, quick, "the slot is held", func(ctx context.Context) error {
		_, err := n.lease(ctx, s.name)
		return err
	})
	n.powerFails()
	n.rests(s, before)
}

// reboots is how many reboots the Node remembers, of this test and of earlier ones.
func (n *node) reboots() int {
	n.t.Helper()
	r, err := recordOf(n.now())
	if err != nil {
		n.t.Fatal(err)
	}
	return len(r.History)
}

// rests waits until the node is in service and idle, without a slot, and remembers so many reboots.
func (n *node) rests(s *scene, reboots int) {
	n.t.Helper()
	n.eventually(reboot, "is back in service, without a slot", func(seen *corev1.Node) error {
		r, err := recordOf(seen)
		if err != nil {
			return err
		}
		ready := condition(seen, corev1.NodeReady).Status == corev1.ConditionTrue
		if _, err := n.lease(n.t.Context(), s.name); err == nil || !ready || r.Phase != plan.Idle || r.BootID != n.bootID() || seen.Spec.Unschedulable {
			return errors.New(summary(seen))
		}
		if len(r.History) != reboots {
			return errors.New("history of " + r.String())
		}
		return nil
	})
}
