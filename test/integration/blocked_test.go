package integration

import (
	"strings"
	"testing"

	"github.com/rebootd/rebootd/pkg/plan"
)

// A node that can't be drained says why, goes back into service at once, backs off, and the next one gets its turn.
func TestBlockedDrainGivesUp(t *testing.T) {
	t.Parallel()
	f := shared(t)
	ns := f.namespace(t)
	m, next := f.machine(t, ns, "blocked"), f.machine(t, ns, "next")
	pod, free := m.stuck()
	g := f.gateway(t, nil)
	m.require()
	p := m.power(func() *process {
		return m.agent(g.flag(), "--drain-timeout=8s", "--back-off=20s", "--back-off-max=20s")
	})
	m.says(plan.BlockedByPDB, ns+"/"+pod, "PDB web-blocked-budget")
	next.require()
	next.power(func() *process { return next.agent() })
	next.says(plan.WaitingForSlot, "kubectl get leases -n "+ns)
	m.event(plan.DrainTimedOut, "8s", pod, "web-blocked-budget")
	p.agent().logs("reason=DrainTimedOut", pod)
	m.says(plan.BackingOff, "did not end within 8s", pod)
	if m.cordoned() {
		t.Error("still cordoned while it backs off")
	}
	next.back(1)
	if r := m.record(); r.Phase != plan.Required || r.BackOff == nil || r.BackOff.Failures != 1 {
		t.Errorf("while the other had its turn: %+v", r)
	}
	uncordonedBeforeFreed(t, g.passed())
	free()
	m.back(1)
	if n := m.event(plan.DrainTimedOut); n != 1 {
		t.Errorf("%d Events DrainTimedOut, want 1", n)
	}
}

// uncordonedBeforeFreed checks the order in which a failed attempt is taken back.
func uncordonedBeforeFreed(t *testing.T, calls []call) {
	t.Helper()
	var order []string
	for _, c := range calls {
		if c.verb == "patch" && strings.HasPrefix(c.resource, "nodes") || c.resource == "leases" && c.writes() {
			order = append(order, c.verb+" "+c.resource)
		}
	}
	got := strings.Join(order, ", ")
	if !strings.Contains(got, "create leases, patch nodes,") || !strings.Contains(got, "patch nodes/status, patch nodes, patch leases, delete leases") {
		t.Errorf("writes: %s", got)
	}
}

func TestDrainLeavesDaemonSetAndMirrorPods(t *testing.T) {
	t.Parallel()
	f := shared(t)
	m := f.machine(t, f.namespace(t), "mixed")
	daemon, mirror, plain := m.daemon("daemon"), m.mirror("mirror"), m.app("plain")
	m.require()
	p := m.agent()
	until(t, "the reboot is ordered", func() bool { return m.orders() == 1 })
	if m.hasPod(plain) || !m.hasPod(daemon) || !m.hasPod(mirror) {
		t.Errorf("at the reboot: plain %v, daemon %v, mirror %v", m.hasPod(plain), m.hasPod(daemon), m.hasPod(mirror))
	}
	m.reboot(p)
	m.agent()
	m.back(1)
}

func TestAdminsCordonIsKept(t *testing.T) {
	t.Parallel()
	f := shared(t)
	t.Run("through a reboot", func(t *testing.T) {
		t.Parallel()
		m := f.machine(t, f.namespace(t), "kept")
		m.cordon(true)
		m.require()
		p := m.power(func() *process { return m.agent() })
		until(t, "rebooted", func() bool { return m.phase() == plan.Idle && len(m.record().History) == 1 })
		if !m.cordoned() {
			t.Error("the administrator's cordon is gone")
		}
		p.agent().logs("stays cordoned")
	})
	t.Run("through a failed drain", func(t *testing.T) {
		t.Parallel()
		m := f.machine(t, f.namespace(t), "failed")
		m.stuck()
		m.cordon(true)
		m.require()
		a := m.agent("--drain-timeout=1s", "--back-off=1h", "--back-off-max=1h")
		m.says(plan.BackingOff)
		until(t, "slot freed", func() bool { return !m.holds() })
		if !m.cordoned() || m.record().Cordon != plan.CordonNone {
			t.Errorf("cordoned %v, record %+v", m.cordoned(), m.record())
		}
		a.logs("stays cordoned, as it was before")
	})
	t.Run("an uncordon in mid-drain", func(t *testing.T) {
		t.Parallel()
		m := f.machine(t, f.namespace(t), "undone")
		_, free := m.stuck()
		m.cordon(true)
		m.require()
		m.power(func() *process { return m.agent() })
		m.says(plan.BlockedByPDB)
		if c := m.record().Cordon; c != plan.CordonAdmin {
			t.Errorf("the cordon is %q, want the administrator's", c)
		}
		m.cordon(false)
		until(t, "cordoned again, by rebootd", func() bool { return m.cordoned() && m.record().Cordon == plan.CordonOurs })
		free()
		m.back(1)
	})
}
