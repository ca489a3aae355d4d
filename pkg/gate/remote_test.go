package gate

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/alertmanager/matcher/parse"
	"github.com/prometheus/alertmanager/pkg/labels"

	"github.com/rebootd/rebootd/pkg/plan"
)

// canned is a server that answers what it is told to.
type canned struct {
	status int
	// body is by the query, or else for "".
	body  map[string]string
	err   error
	asked []url.Values
}

func (c *canned) Get(_ context.Context, path string, query url.Values) (int, []byte, error) {
	c.asked = append(c.asked, query)
	body, ok := c.body[query.Get("query")]
	if !ok {
		body = c.body[path]
	}
	if c.status == 0 {
		c.status = http.StatusOK
	}
	return c.status, []byte(body), c.err
}

func (c *canned) String() string { return "http://canned" }

func vector(series ...string) string {
	return `{"status":"success","data":{"resultType":"vector","result":[` + strings.Join(series, ",") + `]}}`
}

func alertSeries(name, state string) string {
	return `{"metric":{"__name__":"ALERTS","alertname":"` + name + `","alertstate":"` + state + `"},"value":[1,"1"]}`
}

func must(t *testing.T, v plan.Verdict, reason plan.Reason, says ...string) {
	t.Helper()
	if v.Open != (reason == "") || v.Reason != reason || v.Gate == "" {
		t.Errorf("%+v, want reason %q", v, reason)
	}
	for _, s := range says {
		if !strings.Contains(v.Message, s) {
			t.Errorf("%q doesn't say %q", v.Message, s)
		}
	}
}

func TestAlerts(t *testing.T) {
	three := vector(alertSeries("Disk", "firing"), alertSeries("Disk", "pending"), alertSeries("Watchdog", "pending"))
	for _, tt := range []struct {
		name   string
		gate   Alerts
		body   string
		reason plan.Reason
		says   []string
	}{
		{"none", Alerts{}, vector(), "", nil},
		{"some", Alerts{}, three, plan.BlockedByAlert, []string{"3 alerts are active in Prometheus: Disk (2 times, since 2026-01-02T03:04:05Z), Watchdog (pending)."}},
		{"filtered", Alerts{Filter: regexp.MustCompile("isk")}, three, plan.BlockedByAlert, []string{"1 alert is active in Prometheus: Watchdog (pending)."}},
		{"all filtered", Alerts{Filter: regexp.MustCompile("Disk|^Watch")}, three, "", nil},
		{"only matches", Alerts{Filter: regexp.MustCompile("^Watchdog$"), MatchOnly: true}, three, plan.BlockedByAlert, []string{": Watchdog"}},
		{"only matches, none", Alerts{Filter: regexp.MustCompile("^Watch$"), MatchOnly: true}, three, "", nil},
		{"match only without a filter", Alerts{MatchOnly: true}, three, plan.BlockedByAlert, []string{"3 alerts"}},
		{"firing only", Alerts{FiringOnly: true}, three, plan.BlockedByAlert, []string{"1 alert is active in Prometheus: Disk (since"}},
		{"own", Alerts{}, vector(alertSeries("RebootdStuck", "firing"), alertSeries("RebootRequired", "firing")), "", nil},
		{"own only in part", Alerts{}, vector(alertSeries("MyRebootd", "firing"), alertSeries("RebootRequiredToo", "firing")), plan.BlockedByAlert, []string{"2 alerts"}},
		{"over", Alerts{}, vector(`{"metric":{"alertname":"a","alertstate":"firing"},"value":[1,"0"]}`, `{"metric":{},"value":[1,"1"]}`), "", nil},
		{"many", Alerts{}, vector(alertSeries("D", "firing"), alertSeries("C", "pending"), alertSeries("E", "firing"), alertSeries("A", "firing"), alertSeries("Disk", "pending")),
			plan.BlockedByAlert, []string{"5 alerts are active in Prometheus: A, D, E and 2 more names."}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.gate.Prometheus.Server = &canned{body: map[string]string{
				"ALERTS": tt.body,
				"min by (alertname) (ALERTS_FOR_STATE)": vector(`{"metric":{"alertname":"Disk"},"value":[1,"1767323045"]}`,
					`{"metric":{"alertname":"Watchdog"},"value":[1,"1"]}`),
			}}
			v := tt.gate.Ask(t.Context(), nil)
			must(t, v, tt.reason, tt.says...)
			if !v.Everyone || !v.Skippable {
				t.Errorf("%+v", v)
			}
		})
	}
	v := Alerts{Prometheus: Prometheus{&canned{body: map[string]string{"ALERTS": three}}}}.Ask(t.Context(), nil)
	must(t, v, plan.BlockedByAlert, "Disk (2 times), Watchdog (pending).") // since when can't be found out
}

// Both kinds of query with each kind of answer.
func TestQueries(t *testing.T) {
	one := func(value string) string { return vector(`{"metric":{"a":"b"},"value":[1.5,"` + value + `"]}`) }
	scalar := func(value string) string {
		return `{"status":"success","data":{"resultType":"scalar","result":[1.5,"` + value + `"]}}`
	}
	warned := func(w string) string {
		return `{"status":"success","warnings":["` + w + `"],"data":{"resultType":"vector","result":[]}}`
	}
	for _, tt := range []struct {
		name           string
		answer         canned
		block, healthy plan.Reason
		says           []string
	}{
		{"nothing", canned{body: map[string]string{"q": vector()}}, "", plan.Settling, nil},
		{"one", canned{body: map[string]string{"q": one("1")}}, plan.BlockedByQuery, "", []string{`{a="b"} is 1.`}},
		{"less than nothing", canned{body: map[string]string{"q": one("-0.5")}}, plan.BlockedByQuery, "", []string{`{a="b"} is -0.5`}},
		{"zero", canned{body: map[string]string{"q": one("0")}}, "", plan.Settling, []string{`{a="b"} is 0.`}},
		{"not a number", canned{body: map[string]string{"q": one("NaN")}}, plan.BlockedByQuery, plan.Settling, []string{`{a="b"} is NaN`}},
		{"infinite", canned{body: map[string]string{"q": one("+Inf")}}, plan.BlockedByQuery, "", []string{`{a="b"} is +Inf`}},
		{"mixed", canned{body: map[string]string{"q": vector(`{"metric":{},"value":[1,"0"]}`, `{"metric":{},"value":[1,"7"]}`)}}, plan.BlockedByQuery, plan.Settling, []string{"the value is "}},
		{"scalar", canned{body: map[string]string{"q": scalar("2")}}, plan.BlockedByQuery, "", []string{"the value is 2"}},
		{"scalar zero", canned{body: map[string]string{"q": scalar("0")}}, "", plan.Settling, []string{"the value is 0"}},
		{"text", canned{body: map[string]string{"q": `{"status":"success","data":{"resultType":"string","result":[1,"a"]}}`}}, plan.GateError, plan.GateError, []string{`a "string"`}},
		{"matrix", canned{body: map[string]string{"q": `{"status":"success","data":{"resultType":"matrix","result":[]}}`}}, plan.GateError, plan.GateError, []string{`a "matrix"`}},
		{"histogram", canned{body: map[string]string{"q": vector(`{"metric":{},"histogram":[1,{"count":"1","sum":"2"}]}`)}}, plan.GateError, plan.GateError, []string{"histograms"}},
		{"wrong", canned{status: 400, body: map[string]string{"q": `{"status":"error","errorType":"bad_data","error":"parse\n error"}`}},
			plan.GateError, plan.GateError, []string{"-query, q)", "400: parse error"}},
		{"error with success", canned{status: 503, body: map[string]string{"q": vector()}}, plan.GateError, plan.GateError, []string{"503"}},
		{"not JSON", canned{body: map[string]string{"q": "<html>log in"}}, plan.GateError, plan.GateError, []string{`"<html>log in"`}},
		{"other JSON", canned{body: map[string]string{"q": "{}"}}, plan.GateError, plan.GateError, []string{"200"}},
		{"forbidden", canned{status: 403, body: map[string]string{"q": ""}}, plan.GateError, plan.GateError, []string{"403: it wants other credentials"}},
		{"down", canned{err: errors.New("connection refused")}, plan.GateError, plan.GateError, []string{"connection refused"}},
		{"no result", canned{body: map[string]string{"q": `{"status":"success"}`}}, plan.GateError, plan.GateError, []string{`a ""`}},
		{"broken result", canned{body: map[string]string{"q": `{"status":"success","data":{"resultType":"vector","result":{}}}`}}, plan.GateError, plan.GateError, []string{"can't be read"}},
		{"broken scalar", canned{body: map[string]string{"q": scalar("a")}}, plan.GateError, plan.GateError, []string{"can't be read"}},
		{"partial", canned{body: map[string]string{"q": `{"status":"success","isPartial":true,"data":{"resultType":"vector","result":[]}}`}}, plan.GateError, plan.GateError, []string{"not complete"}},
		{"a store is missing", canned{body: map[string]string{"q": warned("store a: timeout")}}, plan.GateError, plan.GateError, []string{"store a: timeout"}},
		{"a word about the query", canned{body: map[string]string{"q": warned("PromQL info: is no counter")}}, "", plan.Settling, nil},
		{"many", canned{body: map[string]string{"q": vector(`{"metric":{"n":"d"},"value":[1,"1"]}`, `{"metric":{"n":"c"},"value":[1,"1"]}`,
			`{"metric":{"n":"b"},"value":[1,"1"]}`, `{"metric":{"n":"a"},"value":[1,"1"]}`)}}, plan.BlockedByQuery, "",
			[]string{`{n="a"} is 1, {n="b"} is 1, {n="c"} is 1 and 1 more series.`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := Prometheus{&tt.answer}
			block := Query{p, "ceph", "q"}.Ask(t.Context(), nil)
			healthy := Healthy{p, "ceph", "q"}.Ask(t.Context(), nil)
			if tt.block != "" {
				must(t, block, tt.block, slices.Concat(tt.says, []string{"The query ceph (--block-query"})...)
			} else {
				must(t, block, "")
			}
			if tt.healthy != "" {
				says := slices.Concat(tt.says, []string{"The query ceph (--healthy-query"})
				if tt.name == "nothing" {
					says = append(says, "it finds nothing")
				}
				must(t, healthy, tt.healthy, says...)
			} else {
				must(t, healthy, "")
			}
			if block.Skippable || !block.Everyone || block.Gate == healthy.Gate {
				t.Errorf("%+v, %+v", block, healthy)
			}
			for _, q := range tt.answer.asked {
				if q.Get("query") != "q" || q.Get("partial_response") != "false" || q.Get("timeout") != "8s" {
					t.Errorf("asked %v", q)
				}
			}
		})
	}
}

func matchers(t *testing.T, text string) labels.Matchers {
	t.Helper()
	m, err := parse.Matchers(text)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestAlertmanager(t *testing.T) {
	post := func(name, severity, status string) string {
		return `{"labels":{"alertname":"` + name + `","severity":"` + severity + `"},"startsAt":"2026-01-02T03:04:05.678Z","status":{` + status + `}}`
	}
	answers := func(alerts ...string) *canned {
		return &canned{body: map[string]string{"/api/v2/alerts": "[" + strings.Join(alerts, ",") + "]"}}
	}
	down := &canned{err: errors.New("connection refused")}
	disk, page := post("Disk", "warning", `"state":"active"`), post("Fire", "page", `"state":"active","silencedBy":[],"inhibitedBy":[]`)
	for _, tt := range []struct {
		name    string
		servers []Server
		match   []string
		reason  plan.Reason
		says    []string
	}{
		{"none", []Server{answers()}, nil, "", nil},
		{"some", []Server{answers(disk, page)}, nil, plan.BlockedByAlert,
			[]string{"2 alerts are active in Alertmanager: Disk (since 2026-01-02T03:04:05Z), Fire (since 2026-01-02T03:04:05Z)."}},
		{"silenced", []Server{answers(post("a", "b", `"silencedBy":["x"]`))}, nil, "", nil},
		{"inhibited", []Server{answers(post("a", "b", `"inhibitedBy":["x"]`))}, nil, "", nil},
		{"own", []Server{answers(post("RebootdOverdue", "page", ""))}, nil, "", nil},
		{"matched", []Server{answers(disk, page)}, []string{`severity=~"critical|page"`}, plan.BlockedByAlert, []string{"1 alert is active in Alertmanager: Fire"}},
		{"all of a list", []Server{answers(disk, page)}, []string{`severity="page",alertname="Disk"`}, "", nil},
		{"any list", []Server{answers(disk, page)}, []string{`severity="page",alertname="Disk"`, `severity="warning"`}, plan.BlockedByAlert, []string{": Disk"}},
		{"known twice", []Server{answers(disk), answers(disk)}, []string{`severity="warning"`, `alertname="Disk"`}, plan.BlockedByAlert, []string{"1 alert is"}},
		{"only one knows", []Server{answers(), answers(page)}, nil, plan.BlockedByAlert, []string{"Fire"}},
		{"one answers", []Server{down, answers()}, nil, "", nil},
		{"none answers", []Server{down, &canned{status: 500, body: map[string]string{"/api/v2/alerts": "oh\nno"}}}, nil, plan.GateError,
			[]string{"(--alertmanager-url) can't be evaluated: connection refused; http://canned answers with HTTP status 500, \"oh no\""}},
		{"not the API", []Server{&canned{status: 200, body: map[string]string{"/api/v2/alerts": "<html>"}}}, nil, plan.GateError, []string{"<html>"}},
		{"nothing at all", []Server{&canned{body: map[string]string{"/api/v2/alerts": "null"}}}, nil, plan.GateError, []string{"null"}},
		{"error with JSON", []Server{&canned{status: 400, body: map[string]string{"/api/v2/alerts": "[]"}}}, nil, plan.GateError, []string{"400"}},
		{"without a name", []Server{answers(`{"labels":{"job":"x"},"status":{}}`)}, nil, plan.BlockedByAlert, []string{`: {job="x"}.`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := Alertmanager{Servers: tt.servers}
			for _, m := range tt.match {
				g.Matchers = append(g.Matchers, matchers(t, m))
			}
			v := g.Ask(t.Context(), nil)
			must(t, v, tt.reason, tt.says...)
			if !v.Everyone || !v.Skippable {
				t.Errorf("%+v", v)
			}
		})
	}
	asked := answers()
	Alertmanager{Servers: []Server{asked}, Matchers: []labels.Matchers{matchers(t, `a="b c",d!~"e.*"`), matchers(t, "f=g")}}.Ask(t.Context(), nil)
	want := []string{"active=true&filter=a%3D%22b+c%22&filter=d%21~%22e.%2A%22&inhibited=false&silenced=false",
		"active=true&filter=f%3D%22g%22&inhibited=false&silenced=false"}
	if len(asked.asked) != 2 || asked.asked[0].Encode() != want[0] || asked.asked[1].Encode() != want[1] {
		t.Errorf("asked %v", asked.asked)
	}
}

// A gate says that a server is slow before the agent has stopped listening.
func TestPatience(t *testing.T) {
	ctx, cancel := patiently(t.Context())
	defer cancel()
	if _, ok := ctx.Deadline(); !ok || patience.Seconds() >= 10 {
		t.Errorf("patience is %s", patience)
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add(`{"status":"success","data":{"resultType":"vector","result":[{"metric":{"a":"b"},"value":[1,"1"]}]}}`, 200)
	f.Add(`[{"labels":{"a":"b"},"status":{}}]`, 200)
	f.Fuzz(func(t *testing.T, body string, status int) {
		s := &canned{status: status, body: map[string]string{"q": body, "ALERTS": body, "/api/v2/alerts": body}}
		for _, v := range []plan.Verdict{
			Alerts{Prometheus: Prometheus{s}}.Ask(t.Context(), nil), Query{Prometheus{s}, "a", "q"}.Ask(t.Context(), nil),
			Healthy{Prometheus{s}, "a", "q"}.Ask(t.Context(), nil), Alertmanager{Servers: []Server{s}}.Ask(t.Context(), nil),
		} {
			if v.Open && status != http.StatusOK || !v.Open && (v.Reason == "" || v.Message == "" || len(v.Message) > 3000) {
				t.Errorf("%+v", v)
			}
		}
	})
}
