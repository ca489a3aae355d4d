package monitoring

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/pkg/tell"
)

// member is one synthetic agent: metrics as an agent makes them, of a node that stands somewhere.
type member struct {
	node    string
	metrics *tell.Metrics
	target  string
}

// staged is a fleet that has all that can be measured somewhere.
func staged(t *testing.T) []member {
	t.Helper()
	now := time.Now()
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	history := []plan.Reboot{{Ours: true, Out: ago(3 * time.Hour), Drained: ago(179 * time.Minute), Up: ago(178 * time.Minute), In: ago(177 * time.Minute)}}
	wanted := plan.Wanted{Answer: plan.Yes, By: []string{"file /run/reboot-required"}}
	return []member{
		stage(t, "idle", plan.NotRequired, plan.Observation{Wanted: plan.Wanted{Answer: plan.No}, Record: plan.Record{Phase: plan.Idle, History: history}}),
		stage(t, "waits", plan.BlockedByAlert, plan.Observation{
			Wanted: wanted, Record: plan.Record{Phase: plan.Required, RequiredSince: ago(30 * time.Hour), BackOff: &plan.BackOff{Failures: 4, Reason: plan.DrainTimedOut}},
			Gates: []plan.Verdict{{Gate: "alerts", Reason: plan.BlockedByAlert}},
		}),
		stage(t, "out", plan.Draining, plan.Observation{
			Wanted: wanted, Record: plan.Record{Phase: plan.Drain, RequiredSince: ago(time.Hour), OutSince: ago(time.Minute)},
			Slot: plan.Slot{Held: true, HeldSince: ago(2 * time.Minute)},
		}),
		stage(t, "unsure", plan.GateError, plan.Observation{
			Wanted: wanted, Record: plan.Record{Phase: plan.Required, RequiredSince: ago(time.Hour)}, Gates: []plan.Verdict{{Gate: "alerts", Reason: plan.GateError}},
		}),
	}
}

func stage(t *testing.T, node string, reason plan.Reason, o plan.Observation) member {
	t.Helper()
	reg := prometheus.NewRegistry()
	m := tell.NewMetrics(reg, node, "v1")
	m.Configured([]tell.Option{{Name: "concurrency", Value: "2", Source: "--concurrency"}, {Name: "node-name", Value: node, Source: "--node-name"}}, "node-name")
	m.Windows(func(now time.Time) tell.Opening {
		return tell.Opening{Open: true, Opens: now.Add(time.Hour), Closes: now.Add(time.Minute)}
	})
	o.Node.Name, o.Node.Exists = node, true
	m.Looked(o, time.Now())
	(&tell.Teller{Metrics: m}).Measure(o.Record.Phase, reason)
	request := m.Requests(refuses{})
	ask := func() {
		if resp, err := request.RoundTrip(&http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/api/v1/nodes/" + node}}); err == nil {
			resp.Body.Close()
		}
	}
	ask()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ask()
		tell.Handler(reg).ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return member{node: node, metrics: m, target: strings.TrimPrefix(s.URL, "http://")}
}

type refuses struct{}

func (refuses) RoundTrip(*http.Request) (*http.Response, error) { return nil, errors.New("refused") }
