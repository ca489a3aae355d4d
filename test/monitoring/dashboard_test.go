package monitoring

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rebootd/rebootd/pkg/plan"
)

const files = "../../charts/rebootd/files/"

type dashboard struct {
	Panels []struct {
		Title   string
		Targets []struct{ Expr string }
		GridPos struct{ X, Y, W, H int }
	}
	Templating struct {
		List []struct{ Name, Type, Definition string }
	}
}

func readDashboard(t *testing.T) (dashboard, string) {
	t.Helper()
	text, err := os.ReadFile(files + "dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return d, string(text)
}

// Every query of the dashboard is one that a real Prometheus understands, and finds something in a fleet that has everything.
func TestDashboardQueries(t *testing.T) {
	t.Parallel()
	d, _ := readDashboard(t)
	s := Prometheus(t, scraping(targets(staged(t)), ""), nil, nil)
	fill := strings.NewReplacer("$node", ".*", "$__rate_interval", "10s", "$__range", "1h")
	seen := 0
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			seen++
			query := fill.Replace(target.Expr)
			if left := regexp.MustCompile(`\$\w+`).FindString(query); left != "" {
				t.Errorf("%s: the variable %s is none that the test knows", p.Title, left)
			}
			var n int
			var err error
			for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
				if n, err = results(s, query); err != nil || n > 0 {
					break
				}
			}
			if err != nil || n == 0 {
				t.Errorf("%s: %s finds %d series, %v", p.Title, target.Expr, n, err)
			}
		}
	}
	if seen < 20 {
		t.Errorf("only %d queries", seen)
	}
	if n, err := results(s, "rebootd_no_such_metric"); err != nil || n != 0 {
		t.Errorf("%d, %v", n, err)
	}
}

func results(s *Server, query string) (int, error) {
	resp, err := http.Get(s.URL() + "/api/v1/query?query=" + url.QueryEscape(query))
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var answer struct {
		Status, Error string
		Data          struct{ Result []any }
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return 0, err
	}
	if answer.Status != "success" {
		return 0, fmt.Errorf("%s", answer.Error)
	}
	return len(answer.Data.Result), nil
}

// Every metric that a query, a rule or the manual names is one that agents serve.
func TestMetricsAreServed(t *testing.T) {
	t.Parallel()
	served, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{files + "dashboard.json", files + "alerts.yaml", "../../docs/runbooks.md", "../../docs/monitoring.md", "../../docs/operations.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile(`\b(rebootd|kured)_[a-z_]+\b`).FindAllString(string(text), -1) {
			name = strings.TrimSuffix(name, "_bucket")
			if !strings.Contains(string(served), "| `"+name+"` |") {
				t.Errorf("%s names %s, which no agent serves", file, name)
			}
		}
	}
}

func TestDashboardNamesEveryPhase(t *testing.T) {
	t.Parallel()
	_, text := readDashboard(t)
	for i, p := range plan.Phases() {
		if !strings.Contains(text, fmt.Sprintf(`phase=\"%s\"} == 1) * %d`, p, i)) || !strings.Contains(text, fmt.Sprintf(`"text": %q`, p)) {
			t.Errorf("phase %s", p)
		}
	}
}
