package monitoring

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// files is where the rules and the dashboard are, seen from a package of tests beside this one.
const files = "../../charts/rebootd/files/"

// Rule is one alerting rule.
type Rule struct {
	Alert, Expr, For    string
	Labels, Annotations map[string]string
}

// Rules are those that people get, and the text that they stand in.
func Rules(t testing.TB) ([]Rule, string) {
	t.Helper()
	text, err := os.ReadFile(files + "alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Groups []struct{ Rules []Rule } }
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	return file.Groups[0].Rules, string(text)
}

// Hurried are the rules with seconds for hours, and half a second for every "for".
func Hurried(t testing.TB) string {
	t.Helper()
	_, text := Rules(t)
	text = strings.NewReplacer("24 * 3600", "2", "2 * 3600", "2").Replace(text)
	return regexp.MustCompile(`for: \w+`).ReplaceAllString(text, "for: 500ms")
}

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

func readDashboard(t testing.TB) (dashboard, string) {
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

// Query is what one panel asks.
type Query struct{ Panel, Expr string }

// DashboardQueries are those of all panels, with something for each variable.
func DashboardQueries(t testing.TB) []Query {
	t.Helper()
	d, _ := readDashboard(t)
	fill := strings.NewReplacer("$node", ".*", "$__rate_interval", "5m", "$__range", "1h")
	var all []Query
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			q := Query{Panel: p.Title, Expr: fill.Replace(target.Expr)}
			if left := regexp.MustCompile(`\$\w+`).FindString(q.Expr); left != "" {
				t.Errorf("%s: the variable %s is none that the test knows", p.Title, left)
			}
			all = append(all, q)
		}
	}
	return all
}

// Sample is one series of an answer.
type Sample struct {
	Labels map[string]string
	Value  float64
}

// Ask asks a Prometheus for what is so now.
func (s *Server) Ask(query string) ([]Sample, error) {
	resp, err := http.Get(s.URL() + "/api/v1/query?query=" + url.QueryEscape(query)) //nolint:noctx // a test's
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var answer struct {
		Status, Error string
		Data          struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return nil, err
	}
	if answer.Status != "success" {
		return nil, fmt.Errorf("%s", answer.Error)
	}
	var all []Sample
	for _, r := range answer.Data.Result {
		v, err := strconv.ParseFloat(fmt.Sprint(r.Value[1]), 64)
		if err != nil {
			return nil, err
		}
		all = append(all, Sample{Labels: r.Metric, Value: v})
	}
	return all, nil
}
