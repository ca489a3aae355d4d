package config

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/alertmanager/pkg/labels"
)

type urlCase struct {
	args []string // the first is what is tested
	want func(*Config)
}

func written(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "http.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func matcher(t *testing.T, kind labels.MatchType, name, value string) *labels.Matcher {
	t.Helper()
	m, err := labels.NewMatcher(kind, name, value)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func withURL(t *testing.T) []urlCase {
	t.Helper()
	file := written(t, "authorization: {credentials_file: /token}\nhttp_headers: {X-Scope-OrgID: {values: [a]}}\n")
	prometheus, alertmanager := "--prometheus-url=http://p", "--alertmanager-url=http://a"
	critical := labels.Matchers{matcher(t, labels.MatchRegexp, "severity", "critical|page")}
	return []urlCase{
		{[]string{"--prometheus-http-config=" + file, prometheus}, func(c *Config) { c.PrometheusHTTPConfig = file }},
		{[]string{"--alertmanager-http-config=" + file, alertmanager}, func(c *Config) { c.AlertmanagerHTTPConfig = file }},
		{[]string{`--alert-matcher=severity=~"critical|page"`, alertmanager}, func(c *Config) { c.AlertMatchers = []labels.Matchers{critical} }},
		{[]string{"--alert-matcher=severity=~critical|page", alertmanager}, func(c *Config) { c.AlertMatchers = []labels.Matchers{critical} }},
		{[]string{`--alert-matcher={severity=~"critical|page", team!=dev}`, `--alert-matcher=a="b"`, alertmanager}, func(c *Config) {
			c.AlertMatchers = []labels.Matchers{
				append(critical[:1:1], matcher(t, labels.MatchNotEqual, "team", "dev")), {matcher(t, labels.MatchEqual, "a", "b")},
			}
		}},
		{[]string{"--silence-alerts", alertmanager}, func(c *Config) { c.SilenceAlerts = true }},
		{[]string{"--silence-linger=0", alertmanager}, func(c *Config) { c.SilenceLinger = 0 }},
		{[]string{`--silence-matcher=node="{{.Node}}",cluster="a"`, "--silence-matcher=instance=~\"{{.IP}}:.*\"\nalertname=\"A\"", "--silence-alerts", alertmanager}, func(c *Config) {
			c.SilenceAlerts = true
			c.SilenceMatchers = []labels.Matchers{
				{matcher(t, labels.MatchEqual, "node", "{{.Node}}"), matcher(t, labels.MatchEqual, "cluster", "a")},
				{matcher(t, labels.MatchRegexp, "instance", "{{.IP}}:.*")}, {matcher(t, labels.MatchEqual, "alertname", "A")},
			}
		}},
		{[]string{`--block-query=ceph=ceph_health_status{a="b",c=~"d"} > 0`, prometheus}, func(c *Config) {
			c.BlockQueries = []Query{{"ceph", `ceph_health_status{a="b",c=~"d"} > 0`}}
		}},
		{[]string{"--block-query=a = x == bool 0\nb.c-9=1", prometheus}, func(c *Config) {
			c.BlockQueries = []Query{{"a", "x == bool 0"}, {"b.c-9", "1"}}
		}},
		{[]string{"--block-query=a=count(x == 0) > 1", prometheus}, func(c *Config) { c.BlockQueries = []Query{{"a", "count(x == 0) > 1"}} }},
		{[]string{"--block-query=a=x unless y == 0", prometheus}, func(c *Config) { c.BlockQueries = []Query{{"a", "x unless y == 0"}} }},
		{[]string{"--healthy-query=a=x == bool 0", "--healthy-query=b=y", prometheus}, func(c *Config) {
			c.HealthyQueries = []Query{{"a", "x == bool 0"}, {"b", "y"}}
		}},
	}
}

func TestAcceptedWithURL(t *testing.T) {
	for _, tt := range withURL(t) {
		t.Run(tt.args[0], func(t *testing.T) {
			want := baseline()
			tt.want(&want)
			got, err := Parse(withBaseline(tt.args...), nil, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			want.PrometheusURL, want.AlertmanagerURLs = got.PrometheusURL, got.AlertmanagerURLs
			wantConfig(t, got, want)
		})
	}
}

func TestRefusedOfRemote(t *testing.T) {
	url := "a URL such as http://prometheus.monitoring:9090"
	for _, tt := range []struct{ arg, want string }{
		{"--prometheus-url=prometheus:9090", `--prometheus-url: "prometheus:9090" is not allowed: ` + url},
		{"--prometheus-url=ftp://p", `--prometheus-url: "ftp://p" is not allowed: ` + url},
		{"--prometheus-url=http://:9090", `--prometheus-url: "http://:9090" is not allowed: ` + url},
		{"--prometheus-url=http://p/?a=b", `--prometheus-url: "http://p/?a=b" is not allowed: ` + url},
		{"--prometheus-url=user:geheim@p", `--prometheus-url: "***@p" is not allowed: ` + url},
		{"--prometheus-url=http://user:ge%zzheim@p", `--prometheus-url: "http://***@p" is not allowed: ` + url},
		{"--alertmanager-url=", `--alertmanager-url: "" is not allowed: ` + url},
		{"--alertmanager-url=http://a,b", `--alertmanager-url: "http://a,b" is not allowed: ` + url},
		{"--alertmanager-url=http://u:ge,heim@a", `--alertmanager-url: "http://***@a" is not allowed: ` + url},
		{"--alert-filter-regexp=(", `--alert-filter-regexp: "(" is not allowed: a regular expression`},
		{"--prometheus-http-config=options.go", `--prometheus-http-config: "options.go" is not allowed: a file in the format of Prometheus' http_config`},
		{"--prometheus-http-config=/none", "--prometheus-http-config: \"/none\" is not allowed: a file in the format of Prometheus' http_config: open /none"},
		{`--alert-matcher=severity`, `--alert-matcher: "severity" is not allowed: matchers as in Alertmanager`},
		{`--alert-matcher={}`, `--alert-matcher: "{}" is not allowed: matchers as in Alertmanager`},
		{`--alert-matcher=a=~"("`, `--alert-matcher: "a=~\"(\"" is not allowed: matchers as in Alertmanager`},
		{`--alert-matcher=a=b`, "--alert-matcher: needs --alertmanager-url"},
		{"--silence-alerts", "--silence-alerts: needs --alertmanager-url"},
		{`--silence-matcher=a="b"`, "--silence-matcher: needs --silence-alerts"},
		{`--silence-matcher=node="{{.Name}}"`, `--silence-matcher: "node=\"{{.Name}}\"" is not allowed: matchers such as node="{{.Node}}" (placeholders are {{.Node}} and {{.IP}}`},
		{`--silence-matcher=node=`, `--silence-matcher: "node=" is not allowed: matchers such as node="{{.Node}}" (at least one matcher that doesn't match an absent label`},
		{`--silence-matcher=node={{.Node}}`, `--silence-matcher: "node={{.Node}}" is not allowed: matchers such as node="{{.Node}}"`},
		{`--silence-matcher=node=~"{{.Node}}("`, `--silence-matcher: "node=~\"{{.Node}}(\"" is not allowed: matchers as in Alertmanager`},
		{"--silence-linger=-1s", `--silence-linger: "-1s" is not allowed: 0 or a duration`},
		{"--block-query=a=b", "--block-query: needs --prometheus-url"},
		{"--healthy-query=a=b", "--healthy-query: needs --prometheus-url"},
		{"--block-query=ceph_health_status > 0", `--block-query: "ceph_health_status > 0" is not allowed: a name, = and PromQL`},
		{"--block-query=up==0", `--block-query: "up==0" is not allowed: a name, = and PromQL`},
		{`--block-query=up{job="a"} == 0`, `--block-query: "up{job=\"a\"} == 0" is not allowed: a name, = and PromQL`},
		{"--block-query=a=", `--block-query: "a=" is not allowed: a name, = and PromQL`},
		{"--block-query==b", `--block-query: "=b" is not allowed: a name, = and PromQL`},
		{`--block-query=down=up{job="a"} == 0`, `--block-query: "down=up{job=\"a\"} == 0" is not allowed: PromQL with a value that tells`},
		{"--healthy-query=ceph=ceph_health_status ==0.0", `--healthy-query: "ceph=ceph_health_status ==0.0" is not allowed: PromQL with a value`},
	} {
		t.Run(tt.arg, func(t *testing.T) {
			_, err := Parse(withBaseline(tt.arg), nil, io.Discard)
			wantProblems(t, err, tt.want)
		})
	}
	file := written(t, "basic_auth: geheim-1\n")
	_, err := Parse(withBaseline("--prometheus-url=http://p", "--prometheus-http-config="+file), nil, io.Discard)
	if err == nil || strings.Contains(err.Error(), "geheim") || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("error %v", err)
	}
	_, err = Parse(withBaseline("--prometheus-url=http://p", "--block-query=a=1", "--block-query=a=2"), nil, io.Discard)
	wantProblems(t, err, "--block-query: two queries are named a")
}

func TestPasswordsAreMasked(t *testing.T) {
	c, err := Parse(withBaseline("--prometheus-url=http://me:geheim@p/x", "--alertmanager-url=http://a,http://me:geheim@b",
		"--alertmanager-url=https://me:geheim@c"), nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, kv := range c.Effective() {
		if strings.Contains(kv.Value, "geheim") {
			t.Errorf("%s=%s", kv.Name, kv.Value)
		}
		if strings.Contains(kv.Value, "***@") {
			found++
		}
	}
	if found != 2 {
		t.Errorf("%d values are masked, want 2", found)
	}
}

func FuzzQuery(f *testing.F) {
	f.Add("ceph=ceph_health_status > 0")
	f.Add(`up{job="a"} == 0`)
	f.Fuzz(func(t *testing.T, text string) {
		q, err := parseQuery(text)
		if err != nil {
			return
		}
		again, err := parseQuery(q.Name + "=" + q.PromQL)
		if err != nil || again != q {
			t.Errorf("%q: %+v, then %+v, %v", text, q, again, err)
		}
	})
}

func FuzzMatchers(f *testing.F) {
	f.Add(`severity=~"critical|page",team!=dev`)
	f.Add(`{a="b"}`)
	f.Fuzz(func(t *testing.T, text string) {
		list, err := parseMatchers(text)
		if err != nil {
			return
		}
		for _, m := range list { // as it is sent
			if _, err := labels.ParseMatcher(m.String()); err != nil && labelName(m.Name) {
				t.Errorf("%q: %s can't be read: %v", text, m, err)
			}
		}
	})
}

func labelName(s string) bool {
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz_") == ""
}
