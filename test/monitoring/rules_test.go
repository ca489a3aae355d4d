package monitoring

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/pkg/tell"
)

func alerts(t *testing.T) []Rule {
	t.Helper()
	all, _ := Rules(t)
	return all
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestRules(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"promtool", "check", "rules", "--lint=all", "--lint-fatal", files + "alerts.yaml"},
		{"promtool", "test", "rules", "testdata/alerts_test.yaml", "testdata/alerts_days_test.yaml"},
		{"amtool", "check-config", files + "inhibit.yaml"},
	} {
		if out, err := Tool(t, "", args[0], args[1:]...); err != nil {
			t.Errorf("%q: %v\n%s", args, err, out)
		}
	}
	tests := read(t, "testdata/alerts_test.yaml") + read(t, "testdata/alerts_days_test.yaml")
	for _, r := range alerts(t) {
		if !strings.Contains(tests, "alertname: "+r.Alert+"\n        exp_alerts") {
			t.Errorf("no test makes %s fire", r.Alert)
		}
	}
}

// A rule has a name that rebootd's own alert gate knows, says what is wrong, and leads to a section that there is.
func TestRulesLeadSomewhere(t *testing.T) {
	t.Parallel()
	sections := regexp.MustCompile(`(?m)^## (\w+)$`).FindAllStringSubmatch(read(t, "../../docs/runbooks.md"), -1)
	var described, named []string
	for _, s := range sections {
		described = append(described, s[1])
	}
	for _, r := range alerts(t) {
		named = append(named, r.Alert)
		if !strings.HasPrefix(r.Alert, "Rebootd") || !strings.HasSuffix(r.Annotations["runbook_url"], "/docs/runbooks.md#"+strings.ToLower(r.Alert)) {
			t.Errorf("%s: runbook %s", r.Alert, r.Annotations["runbook_url"])
		}
		if r.Annotations["summary"] == "" || r.Annotations["description"] == "" || r.Labels["severity"] == "" {
			t.Errorf("%s: %v %v", r.Alert, r.Annotations, r.Labels)
		}
		if !slices.Contains(described, r.Alert) {
			t.Errorf("docs/runbooks.md has no section %s", r.Alert)
		}
	}
	for _, d := range described {
		if !slices.Contains(named, d) {
			t.Errorf("docs/runbooks.md has a section %s, but there is no such alert", d)
		}
	}
	for _, name := range regexp.MustCompile(`Rebootd\w+`).FindAllString(read(t, files+"inhibit.yaml"), -1) {
		if !slices.Contains(named, name) {
			t.Errorf("inhibit.yaml names %s, but there is no such alert", name)
		}
	}
}

// Every reason leads to a section of the runbooks, or to the word that none is needed; it is in the docs' table,
// and the dashboard has words for it. And none of them knows a reason that there isn't.
func TestReasonsAreKnownEverywhere(t *testing.T) {
	t.Parallel()
	runbooks, docs := read(t, "../../docs/runbooks.md"), read(t, "../../docs/reasons.md")
	_, board := readDashboard(t)
	_, index, _ := strings.Cut(runbooks, "## From a reason to a section")
	word := regexp.MustCompile("`([A-Z]\\w+)`")
	var all []string
	for _, r := range plan.Reasons() {
		all = append(all, string(r))
		if strings.Count(docs, "| `"+string(r)+"` | ") != 1 {
			t.Errorf("docs/reasons.md has no row for %s", r)
		}
		if !strings.Contains(index, "`"+string(r)+"`") {
			t.Errorf("docs/runbooks.md leads nowhere from %s", r)
		}
		if strings.Count(board, `"`+string(r)+`": {`) != 2 {
			t.Errorf("the dashboard has no words for %s in both of its tables", r)
		}
	}
	for _, c := range regexp.MustCompile(`(?m)^\t(\w+) +Reason = "(\w+)"$`).FindAllStringSubmatch(read(t, "../../pkg/plan/reason.go"), -1) {
		if c[1] != c[2] || !slices.Contains(all, c[2]) {
			t.Errorf("the constant %s, %q, is not among plan.Reasons", c[1], c[2])
		}
	}
	for _, match := range word.FindAllStringSubmatch(index, -1) {
		if !slices.Contains(all, match[1]) {
			t.Errorf("docs/runbooks.md names %s, which is no reason", match[1])
		}
	}
	for _, line := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\|").FindAllStringSubmatch(docs, -1) {
		if !slices.Contains(all, line[1]) {
			t.Errorf("docs/reasons.md names %s, which is no reason", line[1])
		}
	}
	for _, row := range strings.Split(strings.TrimSpace(index), "\n")[2:] {
		cells := strings.Split(row, "|")
		section := regexp.MustCompile(`\[(\w+)\]\(#(\w+)\)`).FindStringSubmatch(cells[2])
		if section == nil {
			if strings.TrimSpace(cells[2]) != "none is needed" {
				t.Errorf("%s", row)
			}
			continue
		}
		text := regexp.MustCompile(`(?s)## ` + section[1] + `\n.*?\n## `).FindString(runbooks)
		for _, r := range word.FindAllStringSubmatch(cells[1], -1) {
			if !strings.Contains(text, "`"+r[1]+"`") {
				t.Errorf("the section %s says nothing of %s", section[1], r[1])
			}
		}
	}
	for _, r := range regexp.MustCompile(`reason=~?\\?"([^"\\]+)`).FindAllStringSubmatch(read(t, files+"alerts.yaml")+board, -1) {
		known := regexp.MustCompile("^(" + r[1] + ")$")
		if !slices.ContainsFunc(all, known.MatchString) {
			t.Errorf("a query asks for the reason %s, which there isn't", r[1])
		}
	}
}

// promtool's own lint, of all that an agent can serve.
func TestPromtoolLintsTheMetrics(t *testing.T) {
	t.Parallel()
	for _, m := range staged(t) {
		resp, err := http.Get("http://" + m.target)
		if err == nil {
			resp.Body.Close()
		}
		resp, err = http.Get("http://" + m.target + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		var text bytes.Buffer
		_, err = text.ReadFrom(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if out, err := Tool(t, text.String(), "promtool", "check", "metrics"); err != nil || out != "" {
			t.Errorf("%s: %v\n%s", m.node, err, out)
		}
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "bad_total"}))
	w := httptest.NewRecorder()
	tell.Handler(reg).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if out, err := Tool(t, w.Body.String(), "promtool", "check", "metrics"); err == nil {
		t.Errorf("promtool finds nothing wrong with a bad one: %s", out)
	}
}
