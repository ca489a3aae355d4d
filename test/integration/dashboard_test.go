package integration

import (
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rebootd/rebootd/pkg/lock"
	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/test/monitoring"
)

// watchedFleet is a fleet in which everything that the dashboard and the alerts know of is going on somewhere.
type watchedFleet struct {
	t       *testing.T
	f       *fleet
	targets []string
	nodes   []string
	agents  []*plug
}

// member starts a machine whose reboot is wanted, with an agent on a port that stays the same.
func (w *watchedFleet) member(namespace, name string, before func(*machine), flags ...string) *machine {
	w.t.Helper()
	m := w.f.machine(w.t, namespace, name)
	port := freePort(w.t)
	w.nodes = append(w.nodes, m.name)
	w.targets = append(w.targets, fmt.Sprintf("127.0.0.1:%d", port))
	m.require()
	if before != nil {
		before(m)
	}
	for i := range flags {
		flags[i] = strings.ReplaceAll(flags[i], "DIR", m.dir)
	}
	w.agents = append(w.agents, m.power(func() *process { return m.agent(append(flags, fmt.Sprintf("--metrics-port=%d", port))...) }))
	return m
}

// alone starts one in a namespace of its own.
func (w *watchedFleet) alone(name string, before func(*machine), flags ...string) *machine {
	w.t.Helper()
	return w.member(w.f.namespace(w.t), name, before, flags...)
}

// Every query of the dashboard finds something, and every alert fires for the node that it is about, in a real Prometheus that scrapes real
// agents, each of which has a trouble of its own.
func TestDashboardAndAlertsOfAFleet(t *testing.T) {
	t.Parallel()
	f := shared(t)
	w := &watchedFleet{t: t, f: f}
	missing := f.machine(t, f.namespace(t), "without-agent")
	w.nodes = append(w.nodes, missing.name)
	nodes := &metrics{} // as kube-state-metrics tells of them
	exporter := httptest.NewServer(nodes)
	t.Cleanup(exporter.Close)
	w.targets = append(w.targets, strings.TrimPrefix(exporter.URL, "http://"))

	about := map[string]*machine{"RebootdAgentMissing": missing} // the alerts, and whom each must be about
	done := w.alone("done", func(m *machine) { m.app("web"); m.downFor = time.Second })
	w.alone("idle", func(m *machine) { m.remove("run/reboot-required") }, "--window=sun 03:00-04:00")
	about["RebootdRebootPending"] = w.alone("held", func(m *machine) { m.annotate("rebootd.io/hold", "a test looks on") })
	about["RebootdBlocked"] = w.alone("blocked", func(m *machine) { m.app("busy") }, "--blocking-pod-selector=app=busy")
	stuck := w.alone("stuck", func(m *machine) { m.stuck() })
	about["RebootdSlotHeldLong"], about["RebootdNodeOut"] = stuck, stuck
	about["RebootdSentinelUnknown"] = w.alone("unknown", nil, "--reboot-sentinel-command=needs-nothing")
	about["RebootdGateError"] = w.alone("unsure", nil, "--prometheus-url=http://127.0.0.1:1", "--block-query=ceph=up > 0")
	about["RebootdRebootFailing"] = w.alone("failing", nil, "--reboot-command=false", "--reboot-attempts=1", "--failure-threshold=0")
	about["RebootdDrainFailing"] = w.alone("undrainable", func(m *machine) { m.stuck() }, "--drain-timeout=1s")
	about["RebootdRebootLoop"] = w.alone("loops", func(m *machine) { m.file("always", "") }, "--reboot-sentinel=DIR/always", "--max-reboots=1")
	ns := f.namespace(t)
	about["RebootdNodeNotBack"] = w.member(ns, "not-back", nil, "--reboot-command=true", "--reboot-timeout=1s", "--failure-threshold=1")
	about["RebootdNodeNotBack"].says(plan.RebootTimedOut)
	w.member(ns, "stopped", nil, "--failure-threshold=1", "--concurrency=2")
	w.alone("paused", func(m *machine) {
		f.kubectl(t, "create", "configmap", "-n", m.namespace, "rebootd-control", "--from-literal=paused=true")
	})
	w.alone("orphaned", func(m *machine) { orphan(t, m) })

	var info []string
	for _, n := range w.nodes {
		info = append(info, fmt.Sprintf("kube_node_info{node=%q,os_image=\"Debian\"} 1", n))
	}
	nodes.set(info...)
	s := monitoring.Prometheus(t, fmt.Sprintf("global: {scrape_interval: 500ms, evaluation_interval: 500ms}\nrule_files: [alerts.yaml]\n"+
		"scrape_configs: [{job_name: rebootd, honor_labels: true, static_configs: [{targets: ['%s']}]}]\n", strings.Join(w.targets, "', '")),
		map[string]string{"alerts.yaml": monitoring.Hurried(t)}, nil)
	done.back(1)
	for _, q := range monitoring.DashboardQueries(t) {
		finds(t, s, q)
	}
	rules, _ := monitoring.Rules(t)
	for _, r := range rules {
		m := about[r.Alert]
		switch r.Alert {
		case "RebootdCircuitOpen", "RebootdPausedLong", "RebootdOrphanedSlots":
			fires(t, s, r, "")
		case "RebootdAgentsAbsent":
			if got, err := s.Ask(alertQuery(r)); err != nil || got != nil {
				t.Errorf("while there are agents: %s %v, %v", r.Alert, got, err)
			}
		default:
			if m == nil {
				t.Errorf("nobody here is in the state that %s is about", r.Alert)
				continue
			}
			fires(t, s, r, m.name)
		}
	}
	quietAbout(t, s, done.name)
	for _, address := range w.targets[1:] {
		if out, err := monitoring.Tool(t, scraped(t, address), "promtool", "check", "metrics"); err != nil || out != "" {
			t.Errorf("promtool finds fault with the metrics on %s: %v\n%s", address, err, out)
		}
	}
	w.allEnd(s)
}

// scraped are an agent's metrics, without those of the Go runtime, which aren't ours to mend.
func scraped(t *testing.T, address string) string {
	t.Helper()
	resp, err := http.Get("http://" + address + "/metrics") //nolint:noctx // a test's
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var own strings.Builder
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, "rebootd_") || strings.Contains(line, "kured_") {
			own.WriteString(line)
		}
	}
	if !strings.Contains(own.String(), "rebootd_reason{") {
		t.Errorf("%s serves only\n%s", address, text)
	}
	return own.String()
}

// alertQuery asks for a rule's alert that fires, by its severity too: two rules may share a name.
func alertQuery(r monitoring.Rule) string {
	return fmt.Sprintf("ALERTS{alertname=%q,alertstate=\"firing\",severity=%q}", r.Alert, r.Labels["severity"])
}

// finds waits until a query finds something that isn't nothing.
func finds(t *testing.T, s *monitoring.Server, q monitoring.Query) {
	t.Helper()
	var got []monitoring.Sample
	var err error
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		got, err = s.Ask(q.Expr)
		if err != nil || slices.ContainsFunc(got, func(s monitoring.Sample) bool { return s.Value != 0 && !math.IsNaN(s.Value) }) {
			break
		}
		err = fmt.Errorf("only %v", got)
	}
	if err != nil {
		t.Errorf("%s: %s finds %v", q.Panel, q.Expr, err)
	}
}

// fires waits for an alert, of this node if one is named.
func fires(t *testing.T, s *monitoring.Server, r monitoring.Rule, node string) {
	t.Helper()
	within(t, time.Minute, fmt.Sprintf("%s (%s) fires for %q", r.Alert, r.Labels["severity"], node), func() bool {
		got, err := s.Ask(alertQuery(r))
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(got, func(s monitoring.Sample) bool { return s.Labels["node"] == node })
	})
}

// quietAbout: nothing fires about a node that is well.
func quietAbout(t *testing.T, s *monitoring.Server, node string) {
	t.Helper()
	until(t, "nothing fires about "+node, func() bool {
		got, err := s.Ask(fmt.Sprintf("ALERTS{alertstate=\"firing\",node=%q}", node))
		return err == nil && len(got) == 0
	})
}

// allEnd kills every agent: what each said last still counts, and that there is none is told.
func (w *watchedFleet) allEnd(s *monitoring.Server) {
	w.t.Helper()
	for _, p := range w.agents {
		p.pull()
		p.agent().kill()
	}
	rules, _ := monitoring.Rules(w.t)
	for _, r := range rules {
		switch r.Alert {
		case "RebootdAgentsAbsent":
			fires(w.t, s, r, "")
		case "RebootdSlotHeldLong", "RebootdNodeNotBack", "RebootdNodeOut":
			for _, name := range w.nodes {
				if strings.HasPrefix(name, "stuck") {
					fires(w.t, s, r, name)
				}
			}
		}
	}
}

// orphan makes a slot in the machine's namespace whose owner is gone.
func orphan(t *testing.T, m *machine) {
	t.Helper()
	holder, group := "gone", lock.GroupName(m.namespace, "")
	m.created(m.f.client.CoordinationV1().Leases(m.namespace).Create(t.Context(), &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: lock.Name(group, 0), Labels: map[string]string{lock.GroupLabel: group}}, Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder},
	}, metav1.CreateOptions{}))
}
