package tell

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/exporter-toolkit/web"

	"github.com/rebootd/rebootd/pkg/plan"
)

// secured writes a web configuration with TLS and a login (me, geheim), and what it needs beside it.
func secured(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, text []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "agent"}, NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write("cert.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}))
	write("key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	return write("web.yaml", []byte("tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n"+
		"basic_auth_users: {me: '$2a$04$tTCeaRY8Vj3br0zM.WjFGOnXx/0RFeiFaPyRJJpIOEBN3QGC31CdG'}\n"))
}

func TestServe(t *testing.T) {
	file := secured(t)
	if err := web.Validate(file); err != nil {
		t.Fatal(err)
	}
	s := newScene()
	s.look(plan.Observation{})
	log, _ := logged()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	for name, tt := range map[string]struct {
		file, scheme, user, password string
		want                         int
	}{
		"in the clear":           {"", "http", "", "", 200},
		"TLS and login":          {file, "https", "me", "geheim", 200},
		"without a login":        {file, "https", "", "", 401},
		"with the wrong one":     {file, "https", "me", "falsch", 401},
		"TLS asked in the clear": {file, "http", "me", "geheim", 400},
	} {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- Serve(ctx, l, Handler(s.reg), tt.file, Library(log, time.Now)) }()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, tt.scheme+"://"+l.Addr().String()+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		if tt.user != "" {
			req.SetBasicAuth(tt.user, tt.password)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != tt.want || strings.Contains(string(body), "rebootd_slot_held") != (tt.want == 200) {
			t.Errorf("%s: %s %.80s", name, resp.Status, body)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	if err := Serve(t.Context(), l, Handler(s.reg), filepath.Join(t.TempDir(), "none"), Library(log, time.Now)); err == nil {
		t.Error("serves without its configuration")
	}
}
