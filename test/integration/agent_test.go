package integration

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/pkg/plan"
)

// The plain case: sentinel, slot, cordon, drain, command, another boot, uncordon, slot freed.
func TestTheWholeWay(t *testing.T) {
	t.Parallel()
	f := shared(t)
	m := f.machine(t, f.namespace(t), "plain")
	a := m.agent()
	m.says(plan.NotRequired)
	m.require()
	until(t, "the reboot is ordered", func() bool { return m.orders() == 1 })
	m.reaches(plan.Rebooting)
	if !m.cordoned() || len(m.leases()) != 1 {
		t.Errorf("at the reboot: unschedulable %v, %d Leases", m.cordoned(), len(m.leases()))
	}
	m.reboot(a)
	m.agent()
	m.back(1)
	m.says(plan.RebootSucceeded)
	if n := m.node(); n.Labels["rebootd.io/reboot-required"] != "" || condition(n).Status != corev1.ConditionFalse {
		t.Errorf("labels %v, condition %+v", n.Labels, condition(n))
	}
}
