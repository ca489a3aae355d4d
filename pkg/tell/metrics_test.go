package tell

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"

	"github.com/rebootd/rebootd/pkg/plan"
)

// series are the lines of these metrics, without what every line repeats.
func (s *scene) series(t *testing.T, names ...string) []string {
	t.Helper()
	families, err := s.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, f := range families {
		if slices.Contains(names, f.GetName()) {
			if _, err := expfmt.MetricFamilyToText(&text, f); err != nil {
				t.Fatal(err)
			}
		}
	}
	var lines []string
	for line := range strings.Lines(text.String()) {
		if !strings.HasPrefix(line, "#") && !strings.Contains(line, "_bucket") {
			line = strings.NewReplacer(`,node="n"`, "", `node="n",`, "", `{node="n"}`, "").Replace(line)
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

func (s *scene) has(t *testing.T, what string, metric string, want ...string) {
	t.Helper()
	if got := s.series(t, metric); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func (s *scene) look(o plan.Observation) {
	o.Node.Exists = true
	s.Metrics.Looked(o, s.now)
}

func TestMetricsOfALook(t *testing.T) {
	s := newScene()
	at := func(sec int64) time.Time { return time.Unix(sec, 0) }
	s.has(t, "before the first look", "rebootd_phase")
	o := plan.Observation{
		Wanted: plan.Wanted{Answer: plan.Yes, At: at(400), By: []string{"file /run/a", "file /run/b", `request "x"`}},
		Record: plan.Record{
			Phase: plan.Drain, RequiredSince: at(500), OutSince: at(600),
			BackOff: &plan.BackOff{Failures: 3, Reason: plan.DrainTimedOut},
			History: []plan.Reboot{{Out: at(100), Drained: at(120), Up: at(160), In: at(170), Ours: true}, {Out: at(200), In: at(230)}},
		},
		Slot: plan.Slot{Held: true, HeldSince: at(590), Taken: at(580)},
		Gates: []plan.Verdict{
			{Gate: "hold", Open: true}, {Gate: "window", Reason: plan.OutsideWindow}, {Gate: "window", Reason: plan.OutsideWindow}, {Gate: "alerts", Reason: plan.GateError},
		},
	}
	s.look(o)
	s.look(o)
	s.Measure(plan.Drain, plan.BlockedByPDB)
	s.Metrics.Orphans(2)
	for metric, want := range map[string][]string{
		"rebootd_reboot_required":               {"rebootd_reboot_required 1"},
		"kured_reboot_required":                 {"kured_reboot_required 1"},
		"rebootd_reboot_required_since_seconds": {"rebootd_reboot_required_since_seconds 500"},
		"rebootd_asked":                         {`rebootd_asked{by="file"} 1`, `rebootd_asked{by="request"} 1`},
		"rebootd_reason":                        {`rebootd_reason{reason="BlockedByPDB"} 1`},
		"rebootd_blocked":                       {`rebootd_blocked{reason="BlockedByPDB"} 1`},
		"rebootd_gate_closed":                   {`rebootd_gate_closed{gate="alerts",reason="GateError"} 1`, `rebootd_gate_closed{gate="window",reason="OutsideWindow"} 1`},
		"rebootd_gate_errors_total":             {`rebootd_gate_errors_total{gate="alerts"} 1`, `rebootd_gate_errors_total{gate="hold"} 0`, `rebootd_gate_errors_total{gate="window"} 0`},
		"rebootd_attempts_given_up":             {`rebootd_attempts_given_up{reason="DrainTimedOut"} 3`},
		"rebootd_slot_held":                     {"rebootd_slot_held 1"},
		"rebootd_slot_held_since_seconds":       {"rebootd_slot_held_since_seconds 580"},
		"rebootd_out_of_service_since_seconds":  {"rebootd_out_of_service_since_seconds 600"},
		"rebootd_orphaned_slots":                {"rebootd_orphaned_slots 2"},
		"rebootd_last_check_seconds":            {"rebootd_last_check_seconds 400"},
		"rebootd_last_reboot_seconds":           {"rebootd_last_reboot_seconds 230"},
		"rebootd_out_of_service_seconds":        {"rebootd_out_of_service_seconds_sum 100", "rebootd_out_of_service_seconds_count 2"},
		"rebootd_drain_duration_seconds":        {"rebootd_drain_duration_seconds_sum 20", "rebootd_drain_duration_seconds_count 1"},
		"rebootd_reboot_duration_seconds":       {"rebootd_reboot_duration_seconds_sum 40", "rebootd_reboot_duration_seconds_count 1"},
	} {
		s.has(t, "out", metric, want...)
	}
	if got := s.series(t, "rebootd_phase"); len(got) != len(plan.Phases()) || !strings.Contains(strings.Join(got, ";"), `{phase="Draining"} 1`) {
		t.Errorf("phases %q", got)
	}

	s.look(plan.Observation{Record: plan.Record{Phase: plan.Idle}})
	s.Measure(plan.Idle, plan.SentinelUnknown)
	s.has(t, "unknown is neither 0 nor 1", "rebootd_reboot_required")
	s.has(t, "an idle node is blocked by nothing", "rebootd_blocked")
	s.has(t, "but says why", "rebootd_reason", `rebootd_reason{reason="SentinelUnknown"} 1`)
	s.has(t, "nothing given up", "rebootd_attempts_given_up")
	s.has(t, "no slot", "rebootd_slot_held_since_seconds", "rebootd_slot_held_since_seconds 0")
	s.has(t, "no answer of its own time", "rebootd_last_check_seconds", "rebootd_last_check_seconds 1000")
}

func TestMetricsOfTheWay(t *testing.T) {
	at := func(sec int64) time.Time { return time.Unix(sec, 0) }
	drain := plan.Record{Phase: plan.Drain}
	for name, tt := range map[string]struct {
		o     plan.Observation
		after plan.Record
		want  string
	}{
		"drained":       {plan.Observation{Record: drain, Pods: plan.DrainState{Work: plan.Done}}, plan.Record{Phase: plan.Rebooting}, `rebootd_drains_total{result="drained"} 1`},
		"forced":        {plan.Observation{Record: drain, Pods: plan.DrainState{Work: plan.Running}}, plan.Record{Phase: plan.Rebooting}, `rebootd_drains_total{result="forced"} 1`},
		"timed out":     {plan.Observation{Record: drain}, plan.Record{Phase: plan.Aborting, Reason: plan.DrainTimedOut}, `rebootd_drains_total{result="timed_out"} 1`},
		"aborted":       {plan.Observation{Record: drain}, plan.Record{Phase: plan.Aborting, Reason: plan.BlockedByAlert}, `rebootd_drains_total{result="aborted"} 1`},
		"power cut":     {plan.Observation{Record: drain}, plan.Record{Phase: plan.Recovering}, `rebootd_drains_total{result="interrupted"} 1`},
		"told anew":     {plan.Observation{Record: drain}, drain, ""},
		"didn't reboot": {plan.Observation{Record: plan.Record{Phase: plan.Rebooting}}, plan.Record{Phase: plan.Rebooting, Failed: true}, `rebootd_reboots_total{result="timed_out"} 1`},
		"counted once":  {plan.Observation{Record: plan.Record{Phase: plan.Rebooting, Failed: true}}, plan.Record{Phase: plan.Rebooting, Failed: true}, ""},
		"not Ready":     {plan.Observation{Record: plan.Record{Phase: plan.Recovering}}, plan.Record{Phase: plan.Recovering, Failed: true}, `rebootd_reboots_total{result="not_ready"} 1`},
		"back": {
			plan.Observation{Record: plan.Record{Phase: plan.Settle}},
			plan.Record{Phase: plan.Idle, History: []plan.Reboot{{Ours: true, Out: at(1), In: at(2)}}}, `rebootd_reboots_total{result="succeeded"} 1`,
		},
	} {
		s := newScene()
		s.look(tt.o)
		s.Metrics.Moved(tt.o, tt.after)
		got := ""
		for _, line := range s.series(t, "rebootd_drains_total", "rebootd_reboots_total") {
			if !strings.HasSuffix(line, " 0") {
				got += line
			}
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

// One process, from the drain to the end, and another that begins with what the record remembers, count the same.
func TestMetricsAcrossARestart(t *testing.T) {
	at := func(sec int64) time.Time { return time.Unix(sec, 0) }
	done := plan.Record{Phase: plan.Idle, History: []plan.Reboot{{Ours: true, Out: at(100), Drained: at(130), Up: at(190), In: at(200)}}}
	first, second := newScene(), newScene()
	o := plan.Observation{Record: plan.Record{Phase: plan.Drain}, Pods: plan.DrainState{Work: plan.Done}}
	first.look(o)
	first.Metrics.Moved(o, plan.Record{Phase: plan.Rebooting})
	first.Metrics.Moved(plan.Observation{Record: plan.Record{Phase: plan.Settle}}, done)
	second.look(plan.Observation{Record: done})
	names := []string{"rebootd_drains_total", "rebootd_reboots_total", "rebootd_drain_duration_seconds", "rebootd_reboot_duration_seconds", "rebootd_out_of_service_seconds"}
	a, b := strings.Join(first.series(t, names...), "\n"), strings.Join(second.series(t, names...), "\n")
	if a != b || !strings.Contains(a, `rebootd_drains_total{result="drained"} 1`) || !strings.Contains(a, "rebootd_reboot_duration_seconds_sum 60") {
		t.Errorf("one process:\n%s\nanother:\n%s", a, b)
	}
}

func TestMetricsOfWindows(t *testing.T) {
	s := newScene()
	asked := 0
	s.Metrics.Windows(func(now time.Time) Opening {
		asked++
		return Opening{Open: asked > 1, Opens: now.Add(10 * time.Minute), Closes: now.Add(20 * time.Minute)}
	})
	for range 10 {
		s.look(plan.Observation{})
		s.now = s.now.Add(time.Minute)
	}
	s.has(t, "closed", "rebootd_window_open", "rebootd_window_open 0")
	s.has(t, "closed", "rebootd_window_opens_seconds", "rebootd_window_opens_seconds 1600")
	s.look(plan.Observation{})
	s.has(t, "open", "rebootd_window_open", "rebootd_window_open 1")
	s.has(t, "open", "rebootd_window_closes_seconds", "rebootd_window_closes_seconds 2800")
	if asked != 2 {
		t.Errorf("asked %d times", asked)
	}
}

func TestMetricsOfTheConfiguration(t *testing.T) {
	hash := func(options ...Option) string {
		s := newScene()
		s.Metrics.Configured(options, "node-name")
		return strings.Join(s.series(t, "rebootd_config_info"), "")
	}
	a, b := Option{"concurrency", "1", "default"}, Option{"node-name", "a", "--node-name"}
	if hash(a, b) != hash(a, Option{"node-name", "b", "--node-name"}) || hash(a) == hash(Option{"concurrency", "2", "--concurrency"}) {
		t.Error("the hash tells nodes from another, or configurations not")
	}
	s := newScene()
	s.Metrics.Configured([]Option{a, {"window", strings.Repeat("x", 1000), "REBOOTD_WINDOW"}})
	if got := s.series(t, "rebootd_option_info"); len(got) != 1 || !strings.Contains(got[0], `option="window",source="REBOOTD_WINDOW"`) || len(got[0]) > 300 {
		t.Errorf("%q", got)
	}
}

type answering struct {
	code int
	err  error
}

func (a answering) RoundTrip(*http.Request) (*http.Response, error) {
	if a.err != nil {
		return nil, a.err
	}
	return &http.Response{StatusCode: a.code, Body: http.NoBody}, nil
}

func TestRequests(t *testing.T) {
	for _, tt := range []struct {
		method, path string
		next         answering
		want         string
	}{
		{"GET", "/api/v1/nodes/n", answering{code: 200}, `{code="200",resource="nodes",verb="get"}`},
		{"GET", "/api/v1/nodes?watch=true&fieldSelector=x", answering{code: 200}, `{code="200",resource="nodes",verb="watch"}`},
		{"GET", "/api/v1/nodes?limit=5", answering{code: 403}, `{code="403",resource="nodes",verb="list"}`},
		{"PATCH", "/api/v1/nodes/n/status", answering{code: 409}, `{code="409",resource="nodes/status",verb="patch"}`},
		{"POST", "/api/v1/namespaces/a/pods/p/eviction", answering{code: 429}, `{code="429",resource="pods/eviction",verb="create"}`},
		{"DELETE", "/apis/coordination.k8s.io/v1/namespaces/rebootd/leases/l", answering{code: 200}, `{code="200",resource="leases",verb="delete"}`},
		{"PUT", "/api/v1/namespaces/rebootd/configmaps/c", answering{err: errors.New("refused")}, `{code="error",resource="configmaps",verb="update"}`},
		{"GET", "/apis/example.com/v1/somethings/name-of-a-person", answering{code: 404}, `{code="404",resource="other",verb="get"}`},
		{"GET", "/version", answering{code: 200}, `{code="200",resource="other",verb="list"}`},
		{"BREW", "/", answering{code: 200}, `{code="200",resource="other",verb="other"}`},
	} {
		s := newScene()
		resp, err := s.Metrics.Requests(tt.next).RoundTrip(httptest.NewRequest(tt.method, tt.path, nil))
		if err == nil {
			resp.Body.Close()
		}
		s.has(t, tt.method+" "+tt.path, "rebootd_api_requests_total", "rebootd_api_requests_total"+tt.want+" 1")
	}
}
