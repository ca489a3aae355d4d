package integration

import (
	"strings"
	"testing"
	"time"

	"github.com/rebootd/rebootd/pkg/plan"
)

// A command asks in the place of the file: yes, no, and what is neither.
func TestCommandAsks(t *testing.T) {
	t.Parallel()
	f := shared(t)
	m := f.machine(t, f.namespace(t), "asked")
	m.file("code", "1")
	ask := "--reboot-sentinel-command=sh -c 'exit $(cat " + m.path("code") + ")'"
	m.require() // which says nothing here
	p := m.power(func() *process {
		return m.agent(ask, "--sentinel-command-yes=102", "--sentinel-command-no=0,1")
	})
	m.says(plan.NotRequired, "looked at: command sh -c 'exit")
	p.agent().logs("--reboot-sentinel is ignored")
	m.file("code", "7")
	m.says(plan.SentinelUnknown, "exit code 7", "--sentinel-command-yes")
	if _, metrics := p.agent().get("/metrics"); strings.Contains(metrics, "rebootd_reboot_required{") {
		t.Error("a metric says whether a reboot is required, though that isn't known")
	}
	m.file("code", "139")
	m.says(plan.SentinelUnknown, "exit code 139")
	if m.orders() > 0 || m.record().Phase != plan.Idle {
		t.Errorf("ordered %d times, record %s", m.orders(), m.record())
	}
	// The machine's reboot ends what the command asks for.
	p.restart(func() *process {
		return m.agent("--reboot-sentinel-command=sh -c '! test -e "+m.sentinel()+" || exit 102'", "--sentinel-command-yes=102")
	})
	m.back(1)
	if by := strings.Join(m.record().History[0].By, "; "); !strings.HasPrefix(by, "command sh -c '! test") {
		t.Errorf("asked by %q", by)
	}
	p.restart(func() *process { return m.agent("--reboot-sentinel-command=needs-nothing -r") })
	m.says(plan.SentinelUnknown, "needs-nothing", "not found")
}

// People ask: each text is honoured once, and says so.
func TestRequests(t *testing.T) {
	t.Parallel()
	f := shared(t)
	m := f.machine(t, f.namespace(t), "requested")
	p := m.power(func() *process {
		return m.agent("--reboot-sentinel="+m.path("run/other"), "--reboot-sentinel="+m.sentinel())
	})
	m.says(plan.NotRequired, "run/other; file")
	m.annotate("rebootd.io/request", "new firmware, says Ann")
	m.back(1)
	m.event(plan.RebootRequested, `rebootd.io/request="new firmware, says Ann"`)
	always(t, 3*time.Second, "honoured", func() bool {
		return m.orders() == 1 && !m.cordoned() && m.node().Annotations["rebootd.io/request"] != "" && p.agent().running()
	})
	m.annotate("rebootd.io/hold", "wait")
	m.annotate("rebootd.io/request-now", "at once")
	m.says(plan.Held, "wait")
	m.annotate("rebootd.io/request-now", nil)
	m.says(plan.NotRequired)
	m.annotate("rebootd.io/request-now", "at once")
	m.annotate("rebootd.io/hold", nil)
	m.back(2)
	if r := m.record(); len(r.Honoured) != 2 || r.History[1].By[0] != `request-now "at once"` {
		t.Errorf("record %s", r)
	}
}
