//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/rebootd/rebootd/test/monitoring"
)

// serve lets nodes and their pods reach a handler until the test ends. It returns the URL.
func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	listener, err := lab.Listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(h)
	if err := s.Listener.Close(); err != nil {
		t.Fatal(err)
	}
	s.Listener = listener
	s.Start()
	t.Cleanup(s.Close)
	return s.URL
}

// probed answers probes: 200 while it is well.
type probed struct{ well atomic.Bool }

func (p *probed) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	if !p.well.Load() {
		http.Error(w, "the test says no", http.StatusServiceUnavailable)
	}
}

// alarm is a Prometheus with one alert, which is active while something is broken.
type alarm struct {
	t      *testing.T
	broken atomic.Bool
	url    string // where agents reach the Prometheus
	here   string // where the test does
}

const (
	alarmName   = "E2EBroken"
	alarmConfig = `
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [rules.yml]
scrape_configs:
- job_name: e2e
  static_configs: [{targets: [%q]}]
`
	alarmRules = `
groups:
- name: e2e
  rules:
  - {alert: ` + alarmName + `, expr: e2e_broken == 1, labels: {severity: page}}
`
)

func newAlarm(t *testing.T) *alarm {
	t.Helper()
	a := &alarm{t: t}
	exporter := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		value := 0
		if a.broken.Load() {
			value = 1
		}
		_, _ = fmt.Fprintf(w, "e2e_broken %d\n", value)
	}))
	t.Cleanup(exporter.Close)
	config := fmt.Sprintf(alarmConfig, strings.TrimPrefix(exporter.URL, "http://"))
	a.here = monitoring.Prometheus(t, config, map[string]string{"rules.yml": alarmRules}, nil).URL()
	// Of its own it would only be reached from this machine.
	to, err := url.Parse(a.here)
	if err != nil {
		t.Fatal(err)
	}
	a.url = serve(t, httputil.NewSingleHostReverseProxy(to))
	return a
}

// goes breaks or mends, and waits until the alert follows.
func (a *alarm) goes(broken bool) {
	a.t.Helper()
	a.broken.Store(broken)
	eventually(a.t, quick, fmt.Sprintf("alert %s is active: %t", alarmName, broken), func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.here+"/api/v1/alerts", nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close() //nolint:errcheck // only read
		body, err := io.ReadAll(resp.Body)
		if err == nil && strings.Contains(string(body), alarmName) != broken {
			err = fmt.Errorf("Prometheus says %s", body)
		}
		return err
	})
}
