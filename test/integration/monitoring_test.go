package integration

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/test/monitoring"
)

// metrics are what a Prometheus scrapes.
type metrics struct {
	mu   sync.Mutex
	text string
}

func (m *metrics) set(lines ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.text = strings.Join(lines, "\n") + "\n"
}

func (m *metrics) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, _ = io.WriteString(w, m.text)
}

// An alert, then a query, then a server that is gone keep a node in service under its slot, and a query keeps the slot after the reboot;
// a request-now goes past the alert.
func TestPrometheusHoldsBack(t *testing.T) {
	t.Parallel()
	f := shared(t)
	m := f.machine(t, f.namespace(t), "alerted")
	told := &metrics{}
	told.set("fire 1", "ceph_health_status 1")
	exporter := httptest.NewServer(told)
	t.Cleanup(exporter.Close)
	s := monitoring.Prometheus(t, fmt.Sprintf("global: {scrape_interval: 200ms, evaluation_interval: 200ms}\nrule_files: [rules.yml]\n"+
		"scrape_configs: [{job_name: a, static_configs: [{targets: [%q]}]}]\n", strings.TrimPrefix(exporter.URL, "http://")),
		map[string]string{"rules.yml": "groups:\n- name: a\n  rules:\n  - {alert: Fire, expr: 'fire == 1'}\n  - {alert: RebootdOverdue, expr: 'vector(1)'}\n"}, nil)
	until(t, "Prometheus knows of the alert", func() bool {
		resp, err := http.Get(s.URL() + "/api/v1/alerts")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return strings.Contains(string(body), "Fire")
	})
	m.file("http.yaml", "http_headers: {X-Scope-OrgID: {values: [geheim]}}\n")
	o := observe(t, 0, m)
	p := m.power(func() *process {
		return m.agent("--prometheus-url=http://me:geheim@"+s.Address, "--prometheus-http-config="+m.path("http.yaml"), "--block-query=ceph=ceph_health_status > 0",
			"--healthy-query=ready=ready_again", "--gate-grace=1s", "--settle-time=1s")
	})
	m.says(plan.NotRequired)
	m.require()
	m.says(plan.BlockedByAlert, "1 alert is active in Prometheus: Fire (since 20")
	if !m.holds() {
		t.Error("a gate that would hold every node: it keeps its turn")
	}
	told.set("fire 0", "ceph_health_status 1")
	m.says(plan.BlockedByQuery, "The query ceph", "is 1.")
	told.set("fire 1", "ceph_health_status 1")
	m.says(plan.BlockedByAlert, "Fire")
	m.annotate("rebootd.io/request-now", "past the alert, not past the query")
	m.says(plan.BlockedByQuery, "The query ceph")
	o.allow(1)
	told.set("fire 1", "ceph_health_status 0", "ready_again 0")
	m.says(plan.Settling, "The query ready (--healthy-query, ready_again) isn't true yet", "is 0.", "delete the Lease")
	if m.orders() != 1 || m.cordoned() || !m.holds() {
		t.Errorf("%d orders, cordoned %t, slot held %t", m.orders(), m.cordoned(), m.holds())
	}
	p.restart(func() *process {
		return m.agent("--prometheus-url=http://127.0.0.1:1", "--healthy-query=ready=ready_again")
	})
	m.says(plan.GateError, "The query ready (--healthy-query, ready_again) can't be evaluated: GET http://127.0.0.1:1/api/v1/query", "connection refused")
	p.restart(func() *process { return m.agent("--prometheus-url="+s.URL(), "--healthy-query=ready=ready_again") })
	told.set("ready_again 1")
	m.back(1)
	if strings.Contains(p.agent().log(), "geheim") {
		t.Error("a password is in the log")
	}
}

// Neither an alert that is silenced nor one that no matcher matches counts, and secrets stay secret.
func TestAlertmanagerHoldsBack(t *testing.T) {
	t.Parallel()
	f := shared(t)
	m := f.machine(t, f.namespace(t), "silenced")
	s := monitoring.Alertmanager(t, "route: {receiver: none}\nreceivers: [{name: none}]\n")
	post := func(path, text string) {
		t.Helper()
		resp, err := http.Post(s.URL()+path, "application/json", strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", resp.Status, body)
		}
	}
	post("/api/v2/alerts", `[{"labels":{"alertname":"Fire","severity":"critical"}},{"labels":{"alertname":"Smoke","severity":"warning"}}]`)
	m.require()
	m.power(func() *process {
		return m.agent("--alertmanager-url=http://127.0.0.1:1,"+s.URL(), `--alert-matcher=severity=~"critical|page"`)
	})
	m.says(plan.BlockedByAlert, "1 alert is active in Alertmanager: Fire (since")
	if m.orders() != 0 || m.cordoned() {
		t.Errorf("%d orders, cordoned %t", m.orders(), m.cordoned())
	}
	now := time.Now().UTC()
	post("/api/v2/silences", fmt.Sprintf(`{"matchers":[{"name":"alertname","value":"Fire","isRegex":false}],"createdBy":"a","comment":"b","startsAt":%q,"endsAt":%q}`,
		now.Format(time.RFC3339), now.Add(time.Hour).Format(time.RFC3339)))
	m.back(1)
}

// What is configured wrongly is refused at start, without the secrets in it.
func TestRemoteConfigRefused(t *testing.T) {
	t.Parallel()
	f := shared(t)
	m := f.machineWithoutNode(t, f.namespace(t), "refused")
	m.file("http.yaml", "basic_auth: geheim\n")
	p := m.agent("--prometheus-url=me:geheim@p:9090", "--prometheus-http-config="+m.path("http.yaml"), "--block-query=up == 0")
	p.logs("--prometheus-url", "--prometheus-http-config", "--block-query", "3 options are wrong")
	if strings.Contains(p.log(), "geheim") {
		t.Errorf("a secret is in the log: %s", p.log())
	}
}
