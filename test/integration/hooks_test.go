package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rebootd/rebootd/pkg/hook"
	"github.com/rebootd/rebootd/pkg/plan"
)

// receiver takes the requests of hooks that bring the right token.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	got    []hook.Facts
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{status: http.StatusOK}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		var f hook.Facts
		if err := json.NewDecoder(req.Body).Decode(&f); err != nil || req.Header.Get("Authorization") != "Bearer token-from-a-file" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.got = append(r.got, f)
		w.WriteHeader(r.status)
		_, _ = fmt.Fprintln(w, "the balancer is busy")
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) answers(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = status
}

func (r *receiver) facts() []hook.Facts {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

// Commands and requests are run on the way, held by one that fails, and run again when the agent was killed while they ran.
func TestHooks(t *testing.T) {
	t.Parallel()
	f := shared(t)
	m := f.machine(t, f.namespace(t), "hooked")
	pod := m.app("web")
	r := newReceiver(t)
	m.file("token", "token-from-a-file\n")
	m.file("http.yaml", "authorization:\n  credentials_file: token\n")
	note := func(point string) string {
		return fmt.Sprintf("--hook-%s=sh -c 'echo $REBOOTD_HOOK $REBOOTD_OUTCOME $REBOOTD_NODE >> %s; while [ -e %s ]; do sleep 0.05; done'",
			point, m.path("hooks"), m.path("slow-"+point))
	}
	m.file("slow-before-drain", "")
	r.answers(http.StatusServiceUnavailable)
	m.require()
	start := func() *process {
		return m.agent(note("before-drain"), note("before-reboot"), note("after-reboot"),
			"--hook-before-drain="+r.URL+"/SECRET", "--hook-after-reboot="+r.URL+"/SECRET", "--hook-http-config="+m.path("http.yaml"), "--hook-timeout=20s")
	}
	p := m.power(start)
	runs := func() []string { return strings.Fields(m.read("hooks")) }
	until(t, "the first hook runs", func() bool { return len(runs()) == 2 })
	if r := m.record(); !m.cordoned() || !r.Hooked || !m.hasPod(pod) {
		t.Errorf("while it runs: record %+v", r)
	}
	p.restart(start)
	until(t, "it runs again", func() bool { return len(runs()) == 4 })
	m.remove("slow-before-drain")
	m.says(plan.BlockedByHook, "Hook 2 of --hook-before-drain (POST "+r.URL+"/…) failed: the answer was 503 Service Unavailable; it said: the balancer is busy.")
	if !m.hasPod(pod) {
		t.Error("drained though a hook fails")
	}
	m.event(plan.HookFailed, "the balancer is busy")
	r.answers(http.StatusNoContent)
	m.back(1)
	want := strings.Fields(strings.NewReplacer("NODE", m.name).Replace(
		"before-drain NODE before-drain NODE before-reboot NODE after-reboot rebooted NODE"))
	if got := runs(); !slices.Equal(got, want) {
		t.Errorf("ran %q, want %q", got, want)
	}
	facts := r.facts()
	last := facts[len(facts)-1]
	if last.Hook != "after-reboot" || last.Outcome != hook.Rebooted || last.Node != m.name || last.Namespace != m.namespace || last.FromBootID == last.BootID {
		t.Errorf("the last request: %+v", last)
	}
	if log := p.agent().log(); strings.Contains(log, "SECRET") {
		t.Errorf("a secret in the log:\n%s", log)
	}
}

// A hook that fails for good before the drain: nothing is evicted, what was done is undone, and the node is back in service.
func TestHookGivesUp(t *testing.T) {
	t.Parallel()
	f := shared(t)
	m := f.machine(t, f.namespace(t), "refused")
	pod := m.app("web")
	m.require()
	m.power(func() *process {
		return m.agent("--hook-before-drain=sh -c 'echo no quorum; exit 3'", "--hook-after-reboot=sh -c 'echo $REBOOTD_OUTCOME $REBOOTD_REASON >> "+m.path("undone")+"'",
			"--gate-grace=5s", "--back-off=1m", "--back-off-max=1m")
	})
	m.says(plan.BlockedByHook, "(sh …) failed: exited with 3; it said: no quorum.")
	m.says(plan.BackingOff, "did not succeed within 5s", "no quorum")
	until(t, "the slot is free", func() bool { return !m.holds() })
	if m.cordoned() || !m.hasPod(pod) || m.orders() > 0 || m.read("undone") != "aborted HookFailed" {
		t.Errorf("afterwards: cordoned %v, pod %v, undone %q", m.cordoned(), m.hasPod(pod), m.read("undone"))
	}
}
