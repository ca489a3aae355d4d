package integration

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/pkg/plan"
)

func TestIdleAgentAsksNothing(t *testing.T) {
	t.Parallel()
	f := shared(t)
	m := f.machine(t, f.namespace(t), "quiet")
	g := f.gateway(t, nil)
	a := m.agent(g.flag())
	m.says(plan.NotRequired)
	a.answers("/readyz", 200)
	time.Sleep(time.Second) // what follows from that is done
	g.quiet(t, waits)
	if !a.running() {
		t.Error("the agent has ended")
	}
}

func TestDryRunWritesNothing(t *testing.T) {
	t.Parallel()
	f := shared(t)
	m := f.machine(t, f.namespace(t), "dry")
	pod := m.app("web")
	g := f.gateway(t, nil)
	m.require()
	a := m.agent(g.flag(), "--dry-run")
	a.logs("Dry run: Would now take a slot")
	always(t, 4*time.Second, "nothing happens", func() bool {
		return !m.cordoned() && !m.holds() && m.orders() == 0 && a.running()
	})
	for _, c := range g.passed() {
		if c.writes() || c.resource == "events" {
			t.Errorf("dry run sent %s", c)
		}
	}
	n := m.node()
	if c := condition(n); c.Type != "" || n.Annotations["rebootd.io/state"] != "" || n.Labels["rebootd.io/reboot-required"] != "" || !m.hasPod(pod) {
		t.Errorf("annotations %v, labels %v, condition %+v, pod there: %v", n.Annotations, n.Labels, c, m.hasPod(pod))
	}
}

// outage cuts the agents of a gateway off from the API server; the end of that is what it returns.
func (g *gateway) outage() (over func()) {
	g.decide(func(call) fate { return neverArrives })
	g.server.CloseClientConnections()
	return func() { g.decide(nil) }
}

func TestOutageWhileDraining(t *testing.T) {
	t.Parallel()
	f := shared(t)
	m := f.machine(t, f.namespace(t), "cutoff")
	_, free := m.stuck()
	g := f.gateway(t, nil)
	m.require()
	p := m.power(func() *process { return m.agent(g.flag()) })
	m.says(plan.BlockedByPDB)
	lease := m.record().LeaseUID
	over := g.outage()
	free()
	a := p.agent()
	always(t, 6*time.Second, "out of service, slot held, not rebooted", func() bool {
		return m.cordoned() && m.holds() && m.orders() == 0 && a.running()
	})
	a.answers("/healthz", 200)
	over()
	if r := m.record(); r.LeaseUID != lease || r.Phase != plan.Drain {
		t.Errorf("after the outage: %+v", r)
	}
	m.back(1)
	if m.orders() != 1 {
		t.Errorf("ordered %d times", m.orders())
	}
}

func TestOutageWhileRecovering(t *testing.T) {
	t.Parallel()
	f := shared(t)
	m := f.machine(t, f.namespace(t), "cutback")
	g := f.gateway(t, nil)
	m.require()
	a := m.agent()
	until(t, "the reboot is ordered", func() bool { return m.orders() == 1 })
	m.silence()
	m.reboot(a)
	m.kubelet(false)
	b := m.agent(g.flag())
	m.says(plan.NotReadyAfterReboot, "set by the test")
	over := g.outage()
	m.kubelet(true)
	always(t, 5*time.Second, "waits, out of service", func() bool {
		return m.cordoned() && m.holds() && m.phase() == plan.Recovering && b.running()
	})
	over()
	m.back(1)
	if m.orders() != 1 {
		t.Errorf("ordered %d times", m.orders())
	}
}

// An agent that starts while there is no API server waits for it.
func TestStartInAnOutage(t *testing.T) {
	t.Parallel()
	f := shared(t)
	m := f.machine(t, f.namespace(t), "early")
	g := f.gateway(t, nil)
	over := g.outage()
	m.require()
	p := m.power(func() *process { return m.agent(g.flag()) })
	p.agent().logs("This step failed and is tried again", "no answer from the API server")
	p.agent().answers("/healthz", 200)
	if code, why := p.agent().get("/readyz"); code == 200 || !strings.Contains(why, "API server") {
		t.Errorf("/readyz without an API server: %d %s", code, why)
	}
	over()
	m.back(1)
	p.agent().answers("/readyz", 200)
}

func TestNodeIsReplacedInMidDrain(t *testing.T) {
	t.Parallel()
	f := shared(t)
	m := f.machine(t, f.namespace(t), "replaced")
	_, free := m.stuck()
	m.require()
	p := m.power(func() *process { return m.agent() })
	m.says(plan.BlockedByPDB)
	old, lease := m.node().UID, m.record().LeaseUID
	m.deleteNode()
	until(t, "the slot goes with its Node", func() bool { return !m.holds() })
	p.agent().logs("There is no Node " + m.name)
	free()
	m.createNode()
	m.event(plan.NodeRecreated)
	m.eventually("starts afresh", func(n *corev1.Node) bool {
		return n.UID != old && m.record().LeaseUID != lease
	})
	m.back(1)
	if m.orders() != 1 {
		t.Errorf("ordered %d times", m.orders())
	}
}
