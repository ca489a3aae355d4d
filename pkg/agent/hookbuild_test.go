package agent

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"
	logs "github.com/sirupsen/logrus/hooks/test"

	"github.com/rebootd/rebootd/pkg/config"
	"github.com/rebootd/rebootd/pkg/hook"
	"github.com/rebootd/rebootd/pkg/host"
	"github.com/rebootd/rebootd/pkg/plan"
)

// configured are the hooks that come of these flags. Commands run beside the test, never in the host's namespaces.
func configured(t *testing.T, log logrus.FieldLogger, flags ...string) (Hooks, func() error) {
	t.Helper()
	c, err := config.Parse(append([]string{"--node-name=n", "--namespace=ns", "--command-namespace=own"}, flags...), nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	h, check, err := hooks(c, host.New(host.Options{Namespace: host.NamespaceOwn}), "1", log)
	if err != nil {
		t.Fatal(err)
	}
	return h, check
}

func TestConfiguredHooks(t *testing.T) {
	log, _ := logs.NewNullLogger()
	h, check := configured(t, log, "--hook-before-drain=sh -c 'echo $REBOOTD_NODE SECRET >&2; exit 3'", "--hook-before-drain=warn:true",
		"--hook-after-reboot=https://u:SECRET@127.0.0.1:1/SECRET")
	if err := check(); err != nil {
		t.Error(err)
	}
	if points := h.points(); len(points) != 2 || points[0] != plan.BeforeDrain || points[1] != plan.AfterReboot || h.Namespace != "ns" {
		t.Errorf("%+v", h)
	}
	first, second, post := h.At[plan.BeforeDrain][0], h.At[plan.BeforeDrain][1], h.At[plan.AfterReboot][0]
	if first.Name != "Hook 1 of --hook-before-drain (sh …)" || second.Name != "Hook 2 of --hook-before-drain (true)" ||
		post.Name != "Hook 1 of --hook-after-reboot (POST https://127.0.0.1:1/…)" || !first.Hold || second.Hold || !post.Hold {
		t.Errorf("%+v %+v %+v", first, second, post)
	}
	// What a command says itself is its own affair; its arguments aren't told.
	if err := first.Run(t.Context(), hook.Facts{Node: "n"}); err == nil || err.Error() != "exited with 3; it said: n SECRET" {
		t.Errorf("%v", err)
	}
	if err := second.Run(t.Context(), hook.Facts{}); err != nil {
		t.Error(err)
	}
	if err := post.Run(t.Context(), hook.Facts{}); err == nil || strings.Contains(err.Error(), "SECRET") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := second.Run(ctx, hook.Facts{}); err == nil {
		t.Error("it ran though it was to end")
	}
}

// A command that the node would wait for must be there before the cordon; one that only warns need not.
func TestHookCommandIsMissing(t *testing.T) {
	log, said := logs.NewNullLogger()
	file := filepath.Join(t.TempDir(), "http.yaml")
	if err := os.WriteFile(file, []byte("follow_redirects: false\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, check := configured(t, log, "--hook-after-reboot=no-such-command x", "--hook-http-config="+file)
	if err := check(); err == nil || !strings.Contains(err.Error(), "--hook-after-reboot: command no-such-command") {
		t.Errorf("%v", err)
	}
	if e := said.LastEntry(); e == nil || !strings.Contains(e.Message, "--hook-http-config has no effect") {
		t.Errorf("%+v", e)
	}
	if _, check := configured(t, log, "--hook-after-reboot=warn:no-such-command"); check() != nil {
		t.Error(check())
	}
}

// The file says how requests are made: here with a header, and without following redirects.
func TestHookHTTPConfig(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, p, ok := r.BasicAuth(); !ok || u != "rebootd" || p != "pass" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer s.Close()
	dir := t.TempDir()
	for name, text := range map[string]string{"http.yaml": "basic_auth:\n  username: rebootd\n  password_file: pass\n", "pass": "pass\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	log, _ := logs.NewNullLogger()
	with, _ := configured(t, log, "--hook-before-reboot="+s.URL, "--hook-http-config="+filepath.Join(dir, "http.yaml"))
	if err := with.At[plan.BeforeReboot][0].Run(t.Context(), hook.Facts{}); err != nil {
		t.Error(err)
	}
	without, _ := configured(t, log, "--hook-before-reboot="+s.URL)
	if err := without.At[plan.BeforeReboot][0].Run(t.Context(), hook.Facts{}); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("%v", err)
	}
}
