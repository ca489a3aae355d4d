package integration

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/pkg/plan"
)

func TestAgent(t *testing.T) {
	f := newFleet(t)
	t.Run("the whole way", func(t *testing.T) { wholeWay(t, f) })
}

// wholeWay is the plain case: sentinel, slot, cordon, drain, command, another boot, uncordon, slot freed.
func wholeWay(t *testing.T, f *fleet) {
	m := f.machine(t, f.namespace(t), "plain")
	a := m.agent()
	m.says(plan.NotRequired)
	m.require()
	until(t, "the reboot is ordered", func() bool { return m.orders() == 1 })
	n := m.node()
	if !n.Spec.Unschedulable || m.phase() != plan.Rebooting || len(m.leases()) != 1 {
		t.Errorf("at the reboot: unschedulable %v, phase %s, %d Leases", n.Spec.Unschedulable, m.phase(), len(m.leases()))
	}
	m.reboot(a)
	a = m.agent()
	m.eventually("uncordoned", func(n *corev1.Node) bool { return !n.Spec.Unschedulable })
	m.reaches(plan.Idle)
	m.says(plan.RebootSucceeded)
	until(t, "the slot is freed", func() bool { return len(m.leases()) == 0 })
	if r := m.record(); len(r.History) != 1 || !r.History[0].Ours || !r.History[0].Cleared {
		t.Errorf("history: %+v", r.History)
	}
	if n := m.node(); n.Labels["rebootd.io/reboot-required"] != "" || condition(n).Status != corev1.ConditionFalse {
		t.Errorf("labels %v, condition %+v", n.Labels, condition(n))
	}
	t.Logf("\n%s", a.log())
}
