package monitoring

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/matcher/parse"
	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/pkg/gate"
	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/pkg/remote"
)

func server(t *testing.T, address, config string) *remote.Server {
	t.Helper()
	s, err := remote.New(address, config, "rebootd/test")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// becomes waits until a gate answers so.
func becomes(t *testing.T, g gateAsked, reason plan.Reason, says ...string) {
	t.Helper()
	var v plan.Verdict
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		v = g.Ask(t.Context(), nil)
		right := v.Open == (reason == "") && v.Reason == reason
		for _, s := range says {
			right = right && strings.Contains(v.Message, s)
		}
		if right {
			return
		}
	}
	t.Errorf("%+v, want reason %q saying %q", v, reason, says)
}

const rules = `
groups:
- name: test
  interval: 200ms
  rules:
  - {alert: Fires, expr: 'vector(1)', labels: {severity: page}}
  - {alert: WaitsStill, expr: 'up == 1', for: 1h}
  - {alert: RebootdOverdue, expr: 'vector(1)'}
  - {alert: Quiet, expr: 'vector(0) > 1'}
`

const quick = `
global: {scrape_interval: 200ms, evaluation_interval: 200ms}
rule_files: [rules.yml]
scrape_configs:
- job_name: self
  static_configs: [{targets: [%q]}]
`

func exporter(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func TestPrometheusAlertsAndQueries(t *testing.T) {
	t.Parallel()
	target := exporter(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "some{a=\"b\"} 7\nnone 0\nnan NaN\n")
	})
	s := Prometheus(t, fmt.Sprintf(quick, target), map[string]string{"rules.yml": rules}, nil)
	p := gate.Prometheus{Server: server(t, s.URL(), "")}
	since := regexp.MustCompile(`Fires \(since 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ\), WaitsStill \(pending, since 20`)
	becomes(t, gate.Alerts{Prometheus: p}, plan.BlockedByAlert, "2 alerts are active in Prometheus: Fires (since 2", "WaitsStill (pending, since 2")
	if v := (gate.Alerts{Prometheus: p}).Ask(t.Context(), nil); !since.MatchString(v.Message) || strings.Contains(v.Message, "Rebootd") {
		t.Errorf("%q", v.Message)
	}
	becomes(t, gate.Alerts{Prometheus: p, FiringOnly: true}, plan.BlockedByAlert, "1 alert is active in Prometheus: Fires")
	becomes(t, gate.Alerts{Prometheus: p, FiringOnly: true, Filter: regexp.MustCompile("^Fire")}, "")
	becomes(t, gate.Alerts{Prometheus: p, MatchOnly: true, Filter: regexp.MustCompile("^(Rebootd.*|Quiet)$")}, "")
	for promQL, want := range map[string]plan.Reason{
		"some": plan.BlockedByQuery, "some > 7": "", "none": "", "nan": plan.BlockedByQuery, "scalar(none)": "", "scalar(some)": plan.BlockedByQuery,
		`"text"`: plan.GateError, "some[5m]": plan.GateError, "some >": plan.GateError, "absent(other)": plan.BlockedByQuery, "up == bool 0": "",
	} {
		v := gate.Query{Prometheus: p, Name: "a", PromQL: promQL}.Ask(t.Context(), nil)
		if v.Open != (want == "") || v.Reason != want {
			t.Errorf("%s: %+v, want %q", promQL, v, want)
		}
	}
	becomes(t, gate.Query{Prometheus: p, Name: "a", PromQL: "some > 1"}, plan.BlockedByQuery, `a="b"`, "is 7.")
	becomes(t, gate.Query{Prometheus: p, Name: "a", PromQL: "some >"}, plan.GateError, "some >", "400", "parse error")
	becomes(t, gate.Healthy{Prometheus: p, Name: "a", PromQL: "some == bool 7"}, "")
	becomes(t, gate.Healthy{Prometheus: p, Name: "a", PromQL: "some == bool 8"}, plan.Settling, "is 0.")
	becomes(t, gate.Healthy{Prometheus: p, Name: "a", PromQL: "some == 8"}, plan.Settling, "finds nothing")
	s.Stop()
	for _, g := range []gateAsked{gate.Alerts{Prometheus: p}, gate.Query{Prometheus: p, Name: "a", PromQL: "some"}} {
		becomes(t, g, plan.GateError, "connection refused")
	}
}

// TLS, basic authentication and a path prefix of Prometheus' own, and a bearer token of a proxy before it.
func TestSecurePrometheus(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	keep := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cert, key := certificate(t)
	keep("ca.pem", cert)
	keep("password", "geheim\n")
	right := keep("right.yaml", "basic_auth: {username: me, password_file: password}\ntls_config: {ca_file: ca.pem, server_name: prometheus.test}\n")
	target := exporter(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "some 7\n") })
	s := Prometheus(t, fmt.Sprintf(quick, target), map[string]string{
		"rules.yml": rules, "cert.pem": cert, "key.pem": key,
		"web.yml": "tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n" +
			"basic_auth_users: {me: '$2a$04$tTCeaRY8Vj3br0zM.WjFGOnXx/0RFeiFaPyRJJpIOEBN3QGC31CdG'}\n",
	}, func(address string) error {
		c, err := net.Dial("tcp", address)
		if err == nil {
			_ = c.Close()
		}
		return err
	})
	address := "https://" + s.Address
	ask := func(s *remote.Server) gateAsked {
		return gate.Query{Prometheus: gate.Prometheus{Server: s}, Name: "a", PromQL: "some"}
	}
	becomes(t, ask(server(t, address, right)), plan.BlockedByQuery)
	becomes(t, ask(server(t, address, "")), plan.GateError, "certificate")
	becomes(t, ask(server(t, address, keep("nobody.yaml", "tls_config: {insecure_skip_verify: true}\n"))), plan.GateError, "401", "credentials")
	becomes(t, ask(server(t, strings.Replace(address, "://", "://me:geheim@", 1), keep("tls.yaml", "tls_config: {insecure_skip_verify: true}\n"))), plan.BlockedByQuery)
	keep("password", "wrong-geheim")
	becomes(t, ask(server(t, address, right)), plan.GateError, "401")
	keep("password", "geheim")

	to, err := url.Parse("https://me:geheim@" + s.Address)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.Out.URL.Path = strings.TrimPrefix(r.Out.URL.Path, "/some/prefix")
		r.Out.SetBasicAuth("me", "geheim")
	}, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer token-7" || r.Header.Get("X-Scope-OrgID") != "team" {
			http.Error(w, "who are you?", http.StatusForbidden)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(gateway.Close)
	keep("token", "token-7")
	config := keep("bearer.yaml", "authorization: {credentials_file: token}\nhttp_headers: {X-Scope-OrgID: {values: [team]}}\n")
	becomes(t, ask(server(t, gateway.URL+"/some/prefix/", config)), plan.BlockedByQuery)
	becomes(t, ask(server(t, gateway.URL+"/some/prefix", "")), plan.GateError, "403", "who are you?")
	becomes(t, ask(server(t, gateway.URL, config)), plan.BlockedByQuery)
}

const inhibits = `
route: {receiver: none, group_wait: 1s}
receivers: [{name: none}]
inhibit_rules:
- {source_matchers: [alertname="Fire"], target_matchers: [severity="warning"], equal: [node]}
`

func TestAlertmanager(t *testing.T) {
	t.Parallel()
	s := Alertmanager(t, inhibits)
	dead := Alertmanager(t, inhibits)
	dead.Stop()
	ask := func(servers []string, lists ...string) gateAsked {
		g := gate.Alertmanager{}
		for _, address := range servers {
			g.Servers = append(g.Servers, server(t, address, ""))
		}
		for _, text := range lists {
			list, err := parse.Matchers(text)
			if err != nil {
				t.Fatal(err)
			}
			g.Matchers = append(g.Matchers, list)
		}
		return g
	}
	all := ask([]string{s.URL()})
	becomes(t, all, "")
	alert := func(pairs ...string) {
		one := map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			one[pairs[i]] = pairs[i+1]
		}
		post(t, s.URL()+"/api/v2/alerts", []any{map[string]any{"labels": one}})
	}
	alert("alertname", "RebootdOverdue", "severity", "critical")
	alert("alertname", "Disk", "severity", "warning", "node", "a")
	becomes(t, all, plan.BlockedByAlert, "1 alert is active in Alertmanager: Disk (since 20")
	becomes(t, ask([]string{s.URL()}, `severity=~"critical|page"`), "")
	becomes(t, ask([]string{s.URL()}, `severity=~"critical|page"`, `node="a"`), plan.BlockedByAlert, "Disk")
	becomes(t, ask([]string{s.URL()}, `severity="warning",node!="a"`), "")
	becomes(t, ask([]string{dead.URL(), s.URL()}), plan.BlockedByAlert, "Disk")
	becomes(t, ask([]string{dead.URL()}), plan.GateError, "connection refused")

	alert("alertname", "Fire", "severity", "critical", "node", "a") // which inhibits the other
	becomes(t, all, plan.BlockedByAlert, "1 alert is active in Alertmanager: Fire")
	post(t, s.URL()+"/api/v2/silences", map[string]any{
		"matchers": []any{map[string]any{"name": "alertname", "value": "Fire", "isRegex": false}},
		"startsAt": time.Now().UTC().Format(time.RFC3339), "endsAt": time.Now().Add(time.Hour).UTC().Format(time.RFC3339), "createdBy": "a test", "comment": "c",
	})
	becomes(t, all, "")
	becomes(t, ask([]string{s.URL(), dead.URL()}), "")
	alert("alertname", "Disk", "severity", "warning", "node", "b")
	becomes(t, all, plan.BlockedByAlert, "Disk")
}

type gateAsked interface {
	Ask(ctx context.Context, n *corev1.Node) plan.Verdict
}

func post(t *testing.T, address string, content any) {
	t.Helper()
	text, err := json.Marshal(content)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(address, "application/json", bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s\n%s", address, resp.Status, body)
	}
}

// certificate is one for prometheus.test, signed by itself.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "prometheus.test"}, DNSNames: []string{"prometheus.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}
