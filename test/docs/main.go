// Command docs writes the parts of docs/ that are made from the code: the options, the reasons, the metrics, and what the plugin's
// golden files show. With -check it writes nothing and fails if one is out of date.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/rebootd/rebootd/pkg/config"
	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/pkg/tell"
	bench "github.com/rebootd/rebootd/test/bench/page"
)

func main() {
	check := flag.Bool("check", false, "write nothing; fail if something is out of date")
	flag.Parse()
	if err := run(*check); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// written is a file.
type written struct{ file, text string }

func run(check bool) error {
	reasons, err := reasons()
	if err != nil {
		return err
	}
	metrics, err := metrics()
	if err != nil {
		return err
	}
	pages := []written{
		{"docs/configuration.md", "# Configuration\n\n" + config.Markdown()},
		{"docs/reasons.md", reasons},
		{"docs/metrics.md", metrics},
	}
	for i := range pages {
		pages[i].text = "<!-- Made from the code by `make docs`. -->\n\n" + pages[i].text
	}
	for _, name := range []string{"README.md", "docs/plugin.md"} {
		text, err := included(name)
		if err != nil {
			return err
		}
		pages = append(pages, written{name, text})
	}
	measured, err := performance()
	if err != nil {
		return err
	}
	pages = append(pages, measured...)
	for _, p := range pages {
		text := []byte(p.text)
		old, err := os.ReadFile(p.file)
		switch {
		case err == nil && bytes.Equal(old, text):
		case check:
			return fmt.Errorf("%s is out of date: run make docs", p.file)
		default:
			if err := os.WriteFile(p.file, text, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// performance is what the benchmark measured, and its pictures.
func performance() ([]written, error) {
	const measured = "test/bench/results.json"
	r, err := bench.Read(measured)
	if err != nil {
		return nil, err
	}
	plots, err := r.Plots()
	if err != nil {
		return nil, err
	}
	pages := []written{{"docs/performance.md", "<!-- Made from " + measured + " by `make docs`. -->\n\n" + r.Markdown()}}
	for name, svg := range plots {
		pages = append(pages, written{"docs/" + name, string(svg)})
	}
	return pages, nil
}

// included is a page with what stands between its marks taken anew from the files that they name.
func included(page string) (string, error) {
	text, err := os.ReadFile(page)
	if err != nil {
		return "", err
	}
	mark := regexp.MustCompile(`(?s)(<!-- from (\S+) -->\n).*?(<!-- end -->)`)
	var failed error
	out := mark.ReplaceAllStringFunc(string(text), func(part string) string {
		m := mark.FindStringSubmatch(part)
		content, err := os.ReadFile(m[2])
		if err != nil {
			failed = fmt.Errorf("%s: %w", page, err)
		}
		body := strings.TrimSpace(string(content))
		if !strings.HasSuffix(m[2], ".md") {
			body = "```console\n" + body + "\n```"
		}
		return m[1] + "\n" + body + "\n\n" + m[3]
	})
	return out, failed
}

// reasons lists the reasons, all of which the code must give, with the meaning that stands at each constant.
func reasons() (string, error) {
	meanings, err := meanings("pkg/plan/reason.go")
	if err != nil {
		return "", err
	}
	code, err := source()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("# Reasons\n\nThe same word says why in the log (`reason`), in the condition `RebootRequired` of the Node, in its Events " +
		"and in the metric `rebootd_blocked`.\n\n| reason | level | meaning |\n|---|---|---|\n")
	for _, r := range plan.Reasons() {
		if !regexp.MustCompile(`\b` + string(r) + `\b`).MatchString(code) {
			return "", fmt.Errorf("no code gives the reason %s", r)
		}
		level := "info"
		if tell.Warns(r) {
			level = "warning"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", r, level, meanings[string(r)])
	}
	return b.String(), nil
}

// meanings are the comments of the constants in a file.
func meanings(file string) (map[string]string, error) {
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	found := map[string]string{}
	ast.Inspect(f, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && v.Doc != nil {
			found[v.Names[0].Name] = strings.TrimPrefix(strings.Join(strings.Fields(v.Doc.Text()), " "), v.Names[0].Name+": ")
		}
		return true
	})
	return found, nil
}

// source is the product's code, without the tests and without the list of reasons itself.
func source() (string, error) {
	var b strings.Builder
	err := filepath.WalkDir("pkg", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") ||
			slices.Contains([]string{"pkg/plan/reason.go", "pkg/tell/tell.go"}, path) {
			return err
		}
		text, err := os.ReadFile(path)
		b.Write(text)
		return err
	})
	return b.String(), err
}

// metrics lists what an agent serves besides the Go runtime's and the process's own.
func metrics() (string, error) {
	families, err := sample()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("# Metrics\n\nServed on `/metrics` of port 8080 (`--metrics-port`), beside those of the Go runtime and the process. Every one has the label `node`. " +
		"How to scrape them, alert on them and look at them: [monitoring](monitoring.md).\n\n" +
		"| metric | type | labels | meaning |\n|---|---|---|---|\n")
	for _, f := range families {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.GetName(), strings.ToLower(f.GetType().String()), labels(f), f.GetHelp())
	}
	return b.String(), nil
}

// sample is every metric that there is: those of a node that is out and has everything that can be measured.
func sample() ([]*dto.MetricFamily, error) {
	reg := prometheus.NewRegistry()
	m := tell.NewMetrics(reg, "node", "version")
	now := time.Unix(1, 0)
	m.Windows(func(time.Time) tell.Opening { return tell.Opening{Opens: now, Closes: now} })
	m.Configured([]tell.Option{{Name: "concurrency", Value: "2", Source: "--concurrency"}})
	m.Looked(plan.Observation{
		Node: plan.Node{Exists: true}, Wanted: plan.Wanted{Answer: plan.Yes, By: []string{"file"}},
		Record: plan.Record{History: []plan.Reboot{{In: now}}, BackOff: &plan.BackOff{Reason: plan.DrainTimedOut}},
		Gates:  []plan.Verdict{{Gate: "hold", Reason: plan.GateError}},
	}, now)
	if resp, err := m.Requests(nowhere{}).RoundTrip(&http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/api/v1/nodes"}}); err == nil {
		resp.Body.Close()
	}
	(&tell.Teller{Metrics: m}).Measure(plan.Required, plan.WaitingForSlot)
	return reg.Gather()
}

type nowhere struct{}

func (nowhere) RoundTrip(*http.Request) (*http.Response, error) { return nil, errors.New("nowhere") }

func labels(f *dto.MetricFamily) string {
	var names []string
	for _, l := range f.GetMetric()[0].GetLabel() {
		if l.GetName() != "node" {
			names = append(names, "`"+l.GetName()+"`")
		}
	}
	return strings.Join(names, " ")
}
