package integration

import (
	"testing"
	"time"

	"github.com/rebootd/rebootd/pkg/plan"
)

const another = "Another rebootd works for this node"

// Of two agents for one node the later one waits, and takes over at once when the first leaves.
func TestSecondAgentTakesOverWhenTheFirstStops(t *testing.T) {
	t.Parallel()
	f := shared(t)
	m := f.machine(t, f.namespace(t), "twice")
	_, free := m.stuck()
	a := m.agent()
	m.says(plan.NotRequired)
	b := m.agent()
	b.logs(another)
	m.require()
	m.says(plan.BlockedByPDB)
	b.answers("/readyz", 200) // or an update would wait for ever
	always(t, 2*time.Second, "the first one drains", func() bool { return a.running() && m.phase() == plan.Drain })
	a.stop()
	free()
	within(t, 10*time.Second, "the second one orders the reboot", func() bool { return m.orders() == 1 })
	b.logs("reason=RebootIssued")
	m.reboot(b)
	m.agent()
	m.back(1)
	if m.orders() != 1 {
		t.Errorf("ordered %d times", m.orders())
	}
}

// When the first one just vanishes, the second asks, and isn't answered.
func TestSecondAgentTakesOverWhenTheFirstVanishes(t *testing.T) {
	t.Parallel()
	f := shared(t)
	m := f.machine(t, f.namespace(t), "vanished")
	_, free := m.stuck()
	m.require()
	a := m.agent()
	m.says(plan.BlockedByPDB)
	b := m.agent()
	b.logs(another)
	b.answers("/readyz", 200) // it has been answered
	a.kill()
	free()
	begin := time.Now()
	// It asks each half minute and waits 5 s for the answer.
	within(t, 80*time.Second, "the second one orders the reboot", func() bool { return m.orders() == 1 })
	t.Logf("taken over after %s", time.Since(begin).Round(100*time.Millisecond))
	m.reboot(b)
	m.agent()
	m.back(1)
	if m.orders() != 1 {
		t.Errorf("ordered %d times", m.orders())
	}
}

// Two that start in the same moment don't both reboot the machine.
func TestTwoAgentsStartAtOnce(t *testing.T) {
	t.Parallel()
	f := shared(t)
	m := f.machine(t, f.namespace(t), "twins")
	m.require()
	a, b := m.agent(), m.agent()
	until(t, "the reboot is ordered", func() bool { return m.orders() > 0 })
	always(t, 3*time.Second, "ordered once", func() bool { return m.orders() == 1 })
	a.kill()
	m.reboot(b)
	m.agent()
	m.back(1)
}
