package integration

import (
	"testing"
	"time"

	"github.com/rebootd/rebootd/pkg/plan"
)

// A restarted pod is no reboot: the drain goes on.
func TestKilledInMidDrain(t *testing.T) {
	t.Parallel()
	f := shared(t)
	m := f.machine(t, f.namespace(t), "killed")
	_, free := m.stuck()
	m.require()
	a := m.agent()
	m.says(plan.BlockedByPDB)
	lease := m.record().LeaseUID
	a.kill()
	p := m.power(func() *process { return m.agent() })
	always(t, 8*time.Second, "drained on, under the same slot", func() bool {
		r := m.record()
		return m.cordoned() && r.Phase == plan.Drain && r.LeaseUID == lease && m.holds() && m.orders() == 0
	})
	free()
	m.back(1)
	p.agent().logs("reason=RebootSucceeded")
}

func TestStoppedInMidDrain(t *testing.T) {
	t.Parallel()
	f := shared(t)
	m := f.machine(t, f.namespace(t), "stopped")
	_, free := m.stuck()
	m.require()
	a := m.agent()
	m.says(plan.BlockedByPDB)
	if took := a.stop(); took > 2*time.Second {
		t.Errorf("SIGTERM took %s", took)
	}
	if code := a.exits(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	a.logs("Nothing was given up")
	if !m.cordoned() || m.phase() != plan.Drain || !m.holds() {
		t.Errorf("cordoned %v, phase %s, slot held %v", m.cordoned(), m.phase(), m.holds())
	}
	free()
	m.power(func() *process { return m.agent() })
	m.back(1)
}

// The command was given, but the machine is slow, and the agent is restarted meanwhile.
func TestKilledAfterTheOrder(t *testing.T) {
	t.Parallel()
	f := shared(t)
	m := f.machine(t, f.namespace(t), "ordered")
	m.require()
	a := m.agent("--reboot-timeout=3s", "--reboot-attempts=2")
	until(t, "the reboot is ordered", func() bool { return m.orders() > 0 })
	a.kill()
	b := m.agent("--reboot-timeout=3s", "--reboot-attempts=2")
	stays := func() bool {
		r := m.record()
		return m.cordoned() && r.Phase == plan.Rebooting && len(r.History) == 0 && m.holds()
	}
	always(t, 8*time.Second, "out of service, slot held", stays)
	m.says(plan.RebootTimedOut, "Reboot the machine by hand")
	m.event(plan.RebootTimedOut)
	b.kill()
	c := m.agent("--reboot-timeout=3s", "--reboot-attempts=2")
	always(t, 7*time.Second, "out of service, slot held", stays)
	if n := m.orders(); n > 2 {
		t.Errorf("%d orders with --reboot-attempts=2", n)
	}
	m.reboot(c)
	m.agent()
	m.back(1)
}

func TestKilledOnTheWayBack(t *testing.T) {
	t.Parallel()
	f := shared(t)
	t.Run("recovering", func(t *testing.T) {
		t.Parallel()
		m := f.machine(t, f.namespace(t), "recovering")
		m.require()
		a := m.agent()
		until(t, "the reboot is ordered", func() bool { return m.orders() == 1 })
		m.silence()
		m.reboot(a)
		m.kubelet(false)
		b := m.agent()
		m.says(plan.NotReadyAfterReboot, "set by the test")
		b.kill()
		m.agent()
		always(t, 7*time.Second, "waits for the kubelet", func() bool { return m.cordoned() && m.phase() == plan.Recovering && m.holds() })
		m.kubelet(true)
		m.back(1)
	})
	t.Run("settling", func(t *testing.T) {
		t.Parallel()
		m := f.machine(t, f.namespace(t), "settling")
		m.require()
		a := m.agent()
		until(t, "the reboot is ordered", func() bool { return m.orders() == 1 })
		m.reboot(a)
		b := m.agent("--settle-time=8s")
		m.reaches(plan.Settle)
		begun := m.record().Since
		b.kill()
		m.agent("--settle-time=8s")
		always(t, time.Second, "settles", func() bool { return !m.cordoned() && m.phase() == plan.Settle && m.holds() })
		m.back(1)
		if took := time.Since(begun); took < 8*time.Second {
			t.Errorf("settled in %s", took)
		}
	})
	t.Run("before the slot is freed", func(t *testing.T) {
		t.Parallel()
		m := f.machine(t, f.namespace(t), "idle")
		g := f.gateway(t, nil)
		m.require()
		a := m.agent()
		until(t, "the reboot is ordered", func() bool { return m.orders() == 1 })
		m.reboot(a)
		tried := make(chan struct{}, 100)
		g.decide(func(c call) fate {
			if c.verb == "delete" {
				tried <- struct{}{}
				return neverArrives
			}
			return served
		})
		b := m.agent(g.flag())
		<-tried
		b.kill()
		if m.phase() != plan.Idle || !m.holds() {
			t.Errorf("phase %s, slot held %v", m.phase(), m.holds())
		}
		m.agent()
		m.back(1)
	})
}
