package remote

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// echo answers with what it was asked.
func echo(w http.ResponseWriter, r *http.Request) {
	user, password, _ := r.BasicAuth()
	_, _ = fmt.Fprintf(w, "%s %s?%s user=%s:%s auth=%s tenant=%s agent=%s", r.Method, r.URL.Path, r.URL.RawQuery, user, password,
		r.Header.Get("Authorization"), r.Header.Get("X-Scope-OrgID"), r.UserAgent())
}

func started(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func file(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func made(t *testing.T, address, file string) *Server {
	t.Helper()
	s, err := New(address, file, "rebootd/test")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func get(t *testing.T, s *Server, want string) {
	t.Helper()
	_, body, err := s.Get(t.Context(), "/api/x", url.Values{"query": {"a b"}})
	if err != nil || !strings.Contains(string(body), want) {
		t.Errorf("%q, %v: want %q", body, err, want)
	}
}

const late = "no answer in time"

func fails(t *testing.T, s *Server, want string) {
	t.Helper()
	patience := 30 * time.Second
	if want == late {
		patience = time.Second / 2
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, _, err := s.Get(ctx, "/api/x", nil)
	if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "geheim") || strings.Contains(err.Error(), "\n") {
		t.Errorf("error %v, want %q", err, want)
	}
}

func TestGet(t *testing.T) {
	server := started(t, echo)
	get(t, made(t, server.URL, ""), "GET /api/x?query=a+b user=: auth= tenant= agent=rebootd/test")
	get(t, made(t, server.URL+"/", ""), "GET /api/x?")
	get(t, made(t, server.URL+"/some/prefix/", ""), "GET /some/prefix/api/x?")
	s := made(t, strings.Replace(server.URL, "://", "://me:geheim@", 1), "")
	get(t, s, "user=me:geheim")
	if strings.Contains(s.String(), "me") {
		t.Errorf("shown as %s", s)
	}
	status, body, err := s.Do(t.Context(), http.MethodPost, "/y", nil, []byte(`{}`))
	if err != nil || status != http.StatusOK || !strings.HasPrefix(string(body), "POST /y?") {
		t.Errorf("%d, %q, %v", status, body, err)
	}
}

// Each way to authenticate, and that its files and the configuration itself may change.
func TestConfig(t *testing.T) {
	dir := t.TempDir()
	server := started(t, echo)
	config := file(t, dir, "http.yaml", "authorization: {credentials_file: token}\nhttp_headers: {X-Scope-OrgID: {values: [team-a]}}\n")
	file(t, dir, "token", "one")
	s := made(t, server.URL, config)
	get(t, s, "auth=Bearer one tenant=team-a agent=rebootd/test")
	file(t, dir, "token", "two")
	get(t, s, "auth=Bearer two")
	file(t, dir, "http.yaml", "basic_auth: {username: me, password_file: password}\n")
	file(t, dir, "password", "geheim-1\n")
	get(t, s, "user=me:geheim-1 ")
	file(t, dir, "password", "geheim-2")
	get(t, s, "user=me:geheim-2 ")
	file(t, dir, "http.yaml", "basic_auth: geheim-3\n")
	fails(t, s, "is wrong: yaml: unmarshal errors: line 1: cannot unmarshal !!str a value")
	file(t, dir, "http.yaml", `proxy_url: "http://me:geheim@a b/"`)
	fails(t, s, "is wrong")
	file(t, dir, "http.yaml", "")
	get(t, s, "auth= ")
	if err := os.Remove(config); err != nil {
		t.Fatal(err)
	}
	fails(t, s, "can't be read")
	file(t, dir, "http.yaml", "bearer_token_file: none\n")
	fails(t, s, "none: no such file")
}

func TestProxyAndOAuth2(t *testing.T) {
	proxy := started(t, func(w http.ResponseWriter, r *http.Request) { _, _ = fmt.Fprintf(w, "for %s", r.URL) })
	s := made(t, "http://prometheus.invalid:9090", file(t, t.TempDir(), "http.yaml", "proxy_url: "+proxy.URL+"\n"))
	get(t, s, "for http://prometheus.invalid:9090/api/x?query=a+b")

	tokens := started(t, func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"access_token":"for-%s-%s","token_type":"Bearer","expires_in":3600}`, user, password)
	})
	server := started(t, echo)
	oauth := "oauth2: {client_id: me, client_secret: geheim, token_url: %q}\n"
	get(t, made(t, server.URL, file(t, t.TempDir(), "http.yaml", fmt.Sprintf(oauth, tokens.URL))), "auth=Bearer for-me-geheim")
	refuses := started(t, func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no\nsuch client", http.StatusUnauthorized)
	})
	fails(t, made(t, server.URL, file(t, t.TempDir(), "http.yaml", fmt.Sprintf(oauth, refuses.URL))), "no such client")
	hangs := hanging(t)
	begun := time.Now()
	fails(t, made(t, server.URL, file(t, t.TempDir(), "http.yaml", fmt.Sprintf(oauth, hangs.URL))), late)
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("took %s", took)
	}
}

// hanging is a server that never answers.
func hanging(t *testing.T) *httptest.Server {
	t.Helper()
	over := make(chan struct{})
	s := started(t, func(http.ResponseWriter, *http.Request) { <-over })
	t.Cleanup(func() { close(over) })
	return s
}

func TestTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(echo))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	dir := t.TempDir()
	file(t, dir, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	get(t, made(t, server.URL, file(t, dir, "ca.yaml", "tls_config: {ca_file: ca.pem}\n")), "GET /api/x")
	get(t, made(t, server.URL, file(t, dir, "any.yaml", "tls_config: {insecure_skip_verify: true}\n")), "GET /api/x")
	fails(t, made(t, server.URL, ""), "certificate signed by unknown authority")
	fails(t, made(t, server.URL, file(t, dir, "name.yaml", "tls_config: {ca_file: ca.pem, server_name: other.invalid}\n")), "other.invalid")
	for _, text := range []string{"tls_config: {ca_file: none.pem}\n", "tls_config: {ca_file: wrong.yaml}\n", "tls_config: {cert_file: a}\n", "nonsense: 1\n"} {
		if err := CheckConfig(file(t, dir, "wrong.yaml", text)); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

func TestTrouble(t *testing.T) {
	fails(t, made(t, hanging(t).URL, ""), late)
	closed := started(t, echo)
	closed.Close()
	fails(t, made(t, strings.Replace(closed.URL, "://", "://me:geheim@", 1), ""), "connection refused")
	large := started(t, func(w http.ResponseWriter, _ *http.Request) {
		for range Limit/1024 + 1 {
			_, _ = w.Write(make([]byte, 1024))
		}
	})
	fails(t, made(t, large.URL, ""), "the answer is larger than 8 MiB")
	cut := started(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = w.Write([]byte("{"))
	})
	fails(t, made(t, cut.URL, ""), "unexpected EOF")
	trickle := started(t, func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			_, _ = w.Write([]byte(" "))
			_ = http.NewResponseController(w).Flush()
			time.Sleep(10 * time.Millisecond)
		}
	})
	fails(t, made(t, trickle.URL, ""), late)
}

// A redirect is followed on the same host, with the credentials, and nowhere else.
func TestRedirects(t *testing.T) {
	var seen string
	other := started(t, func(_ http.ResponseWriter, r *http.Request) { seen = r.Header.Get("Authorization") })
	to := ""
	server := started(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/there" {
			echo(w, r)
			return
		}
		http.Redirect(w, r, to, http.StatusFound)
	})
	dir := t.TempDir()
	config := file(t, dir, "http.yaml", "basic_auth: {username: me, password: geheim}\n")
	to = "/there"
	get(t, made(t, server.URL, config), "user=me:geheim")
	get(t, made(t, strings.Replace(server.URL, "://", "://me:geheim@", 1), ""), "user=me:geheim")
	to = "/again"
	fails(t, made(t, server.URL, config), "redirects more than 5 times")
	to = strings.Replace(other.URL, "127.0.0.1", "localhost", 1)
	fails(t, made(t, server.URL, config), "redirects to another host, http://localhost")
	never := file(t, dir, "never.yaml", "follow_redirects: false\n")
	if status, _, err := made(t, server.URL, never).Get(t.Context(), "/x", nil); err != nil || status != http.StatusFound {
		t.Errorf("%d, %v", status, err)
	}
	if seen != "" {
		t.Error("another host got the credentials")
	}
	secure := httptest.NewTLSServer(http.RedirectHandler(server.URL+"/there", http.StatusFound))
	t.Cleanup(secure.Close)
	fails(t, made(t, secure.URL, file(t, dir, "any.yaml", "tls_config: {insecure_skip_verify: true}\n")), "from https to http")
}

func TestMaskURL(t *testing.T) {
	for in, want := range map[string]string{
		"http://p:9090/x":      "http://p:9090/x",
		"http://me:pw@p/x":     "http://***@p/x",
		"me:pw@p":              "***@p",
		"http://a:p/w@d@host/": "http://***@host/",
		"me@a://b":             "***@a://b",
		"":                     "",
	} {
		if got := MaskURL(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func FuzzURL(f *testing.F) {
	f.Add("http://user:pw@host:1/x")
	f.Fuzz(func(t *testing.T, address string) {
		err := CheckURL(address)
		if err == nil {
			if _, err := New(address, "", ""); err != nil {
				t.Errorf("%q passes the check, but: %v", address, err)
			}
		}
		if strings.Contains(address, "geheim@") && strings.Contains(MaskURL(address), "geheim@") {
			t.Errorf("%q is shown as %q", address, MaskURL(address))
		}
	})
}
