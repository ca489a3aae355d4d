package cli

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"

	"github.com/rebootd/rebootd/pkg/node"
)

func TestUntil(t *testing.T) {
	for text, want := range map[string]string{
		"2h":                        "2026-11-23T14:00:00Z",
		"90m":                       "2026-11-23T13:30:00Z",
		"3d":                        "2026-11-26T12:00:00Z",
		"2026-12-24T18:00:00+01:00": "2026-12-24T17:00:00Z",
		"0":                         "is over", "-2h": "is over", "2026-01-01T00:00:00Z": "is over", "0d": "is over",
		"": "neither", "tomorrow": "neither", "2026-12-24": "neither", "-1d": "neither", "1.5d": "neither", "99999d": "neither",
	} {
		got, err := parseUntil(text, noon)
		if err != nil {
			got = err.Error()
			if !strings.HasPrefix(got, "--until: ") {
				t.Errorf("%q: the message doesn't name the flag: %s", text, got)
			}
		}
		if !strings.Contains(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func FuzzUntil(f *testing.F) {
	f.Add("2h")
	f.Add("3d")
	f.Add("2026-12-24T18:00:00+01:00")
	f.Add("9999-12-31T23:59:59-23:00")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseUntil(text, noon)
		if err != nil {
			return
		}
		if at, err := time.Parse(time.RFC3339, got); err != nil || !at.After(noon) {
			t.Errorf("%q became %q: %v", text, got, err)
		}
	})
}

func TestTexts(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{requestText("", "alice", noon), "by alice at 2026-11-23T12:00:00.000Z"},
		{requestText(" new\nfirmware ", "alice", noon.Add(5*time.Millisecond)), "new firmware (by alice at 2026-11-23T12:00:00.005Z)"},
		{holdText("", "alice"), "by alice"},
		{holdText("the index", "alice"), "the index (by alice)"},
	} {
		if tt.got != tt.want {
			t.Errorf("%q, want %q", tt.got, tt.want)
		}
	}
}

func (s *shell) annotations(t *testing.T, name string) map[string]string {
	t.Helper()
	n, err := s.kube.CoreV1().Nodes().Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return n.Annotations
}

// expect runs a command line, and checks its exit code and what it wrote.
func (s *shell) expect(t *testing.T, line string, code int, texts ...string) {
	t.Helper()
	got, out := s.run(t.Context(), words(line)...)
	for _, text := range texts {
		if !strings.Contains(out, text) {
			t.Errorf("%s: says nothing of %q:\n%s", line, text, out)
		}
	}
	if got != code || strings.Contains(out, "panic") {
		t.Errorf("%s: exit code %d, want %d:\n%s", line, got, code, out)
	}
}

func TestRequestsAndHolds(t *testing.T) {
	w := idleFleet()
	w.noPods = map[string]bool{"bare": true}
	w.bare("bare")
	w.nodes[1].Labels = map[string]string{"pool": "a"}
	w.nodes[2].Labels = map[string]string{"pool": "a"}
	s := newShell(w)
	s.expect(t, `node worker-1 --reason="new firmware"`, 0, "node/worker-1 reboot requested\n")
	if got := s.annotations(t, "worker-1"); got[node.RequestAnnotation] != "new firmware (by alice at 2026-11-23T12:00:00.000Z)" || got[node.RequestNowAnnotation] != "" {
		t.Errorf("%v", got)
	}
	s.expect(t, "node node/worker-1 worker-1 --now", 0, "node/worker-1 reboot requested, past windows and alerts\n") // the same one: nothing to confirm
	if got := s.annotations(t, "worker-1"); got[node.RequestNowAnnotation] != "by alice at 2026-11-23T12:00:00.000Z" {
		t.Errorf("%v", got)
	}
	s.expect(t, "cancel worker-1", 0, "node/worker-1 request cancelled")
	if got := s.annotations(t, "worker-1"); got[node.RequestNowAnnotation] != "" || got[node.RequestAnnotation] != "" || got[node.StateAnnotation] == "" {
		t.Errorf("%v", got)
	}
	s.expect(t, "cancel worker-1", 0, "Warning: worker-1: carries no request")

	s.expect(t, "node -l pool=a", 1, "2 nodes: worker-2, worker-3? [y/N]", "error: not confirmed")
	s.typed = "no\n"
	s.expect(t, "node -l pool=a", 1, "error: not confirmed")
	if got := s.annotations(t, "worker-2"); got[node.RequestAnnotation] != "" {
		t.Errorf("asked without a yes: %v", got)
	}
	s.typed = "YES\n"
	s.expect(t, "node -l pool=a", 0, "node/worker-2 reboot requested", "node/worker-3 reboot requested")
	s.typed = ""
	s.expect(t, "node -l pool=a --yes", 0, "node/worker-2 reboot requested", "node/worker-3 reboot requested")
	s.expect(t, "node bare", 0, "Warning: node bare has no agent", "node/bare reboot requested")

	s.expect(t, `hold worker-1 --reason="the index"`, 0, "node/worker-1 held")
	if got := s.annotations(t, "worker-1"); got[node.HoldAnnotation] != "the index (by alice)" {
		t.Errorf("%v", got)
	}
	s.expect(t, "node worker-1", 0, `Warning: node worker-1 is on hold ("the index (by alice)")`, "kubectl reboot unhold worker-1")
	s.expect(t, "unhold worker-1 worker-2", 0, "node/worker-1 let go", "Warning: worker-2: not on hold")
	s.expect(t, `hold worker-2`, 0)
	s.expect(t, `unhold -l pool=a`, 0, "node/worker-2 let go")
	if s.err.Len() > 0 {
		t.Errorf("a selector that matches more than is held: %s", &s.err)
	}
	s.expect(t, `unhold -l pool=a`, 0, "Warning: worker-2, worker-3: not on hold")
	if _, held := s.annotations(t, "worker-1")[node.HoldAnnotation]; held {
		t.Error("still held")
	}
}

func TestEachFailureIsNamed(t *testing.T) {
	s := newShell(idleFleet())
	s.expect(t, "node gone worker-1 away --yes", 1, `Error from server (NotFound): nodes "gone" not found`, `Error from server (NotFound): nodes "away" not found`, "node/worker-1 reboot requested")
	s.expect(t, "status gone worker-1", 1, `nodes "gone" not found`, "worker-1   Idle")
	s.expect(t, "explain gone", 1, `nodes "gone" not found`)
	s.expect(t, "history gone", 1, `nodes "gone" not found`)
	s.expect(t, "status --watch gone", 1, `nodes "gone" not found`)
	for line, text := range map[string]string{
		"node": "which nodes?", "node worker-1 -l a=b": "name cannot be provided when a selector is specified", "node -l a=(": "--selector",
		"node -l none=such":         `no node matches the selector "none=such"`,
		"worker-1":                  "kubectl reboot node worker-1",
		"status -o xml":             "unable to match a printer",
		"node worker-1 -o wide":     "unable to match a printer",
		"status --watch -o json":    "--watch can't be used with -o json",
		"pause --until=yesterday":   "--until",
		"node worker-1 --dry-run=x": "dry-run",
		"explain":                   "accepts 1 arg",
		"explain a b":               "accepts 1 arg",
		"release nothing":           `leases.coordination.k8s.io "nothing" not found`,
		"pause now":                 "unknown command",
	} {
		s.expect(t, line, 1, text)
	}
}

func TestDryRun(t *testing.T) {
	w := circuitOpen()
	w.configMap("rebootd-control", map[string]string{"paused": "true", "other": "stays"})
	s := newShell(w)
	for _, line := range []string{
		"node worker-4 worker-5", "hold worker-4", "pause", "resume", "release rebootd-default-0", "circuit reset",
	} {
		s.kube.ClearActions()
		s.expect(t, line+" --dry-run=client", 0, "(dry run)")
		for _, a := range s.kube.Actions() {
			if verb := a.GetVerb(); verb != "get" && verb != "list" && a.GetResource().Resource != "selfsubjectreviews" {
				t.Errorf("%s: %s %s", line, verb, a.GetResource().Resource)
			}
		}
		s.kube.ClearActions()
		code, out := s.run(t.Context(), append(words(line), "--dry-run=server")...)
		if code != 0 || !strings.Contains(out, "(server dry run)") {
			t.Errorf("%s: %d %s", line, code, out)
		}
		for _, a := range s.kube.Actions() {
			switch a := a.(type) {
			case clienttesting.PatchActionImpl:
				if len(a.PatchOptions.DryRun) != 1 {
					t.Errorf("%s really patches %s", line, a.Name)
				}
			case clienttesting.DeleteActionImpl:
				if len(a.DeleteOptions.DryRun) != 1 || a.DeleteOptions.Preconditions == nil || *a.DeleteOptions.Preconditions.UID == "" {
					t.Errorf("%s really deletes %s, or any of that name", line, a.Name)
				}
			}
		}
	}
}

func TestPauseAndResume(t *testing.T) {
	s := newShell(idleFleet())
	s.expect(t, "resume", 0, "Warning: reboots are not paused")
	s.expect(t, `pause --until=2h --reason="the sale"`, 0, "configmap/rebootd-control written: reboots are paused until 2026-11-23T14:00:00Z")
	data := func() map[string]string {
		m, err := s.kube.CoreV1().ConfigMaps("rebootd").Get(t.Context(), "rebootd-control", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return m.Data
	}
	if got := fmt.Sprint(data()); got != "map[paused:true reason:the sale (by alice) until:2026-11-23T14:00:00Z]" {
		t.Error(got)
	}
	s.expect(t, "status", 0, "Reboots are paused until 2026-11-23T14:00:00Z: the sale (by alice).")
	s.expect(t, "pause", 0, "reboots are paused\n")
	if got := fmt.Sprint(data()); got != "map[paused:true reason:by alice]" {
		t.Errorf("a pause kept what an earlier one said: %s", got)
	}
	s.expect(t, "resume", 0, "reboots are no longer paused")
	if len(data()) != 0 {
		t.Errorf("%v", data())
	}
	s.expect(t, "resume", 0, "Warning: reboots are not paused")
}

func TestRelease(t *testing.T) {
	s := newShell(orphanedSlot())
	s.expect(t, "release rebootd-default-0", 1, "held by node worker-9", "There is no Node worker-9", "not confirmed")
	s.typed = "y\n"
	s.expect(t, "release lease/rebootd-default-0", 0, "lease.coordination.k8s.io/rebootd-default-0 released")
	s.expect(t, "status", 0, "1 waiting")
	s.expect(t, "release rebootd-default-0", 1, "not found")
	w := idleFleet()
	l := w.slot("worker-1", 0, 1, time.Hour)
	l.Labels = nil
	s = newShell(w)
	s.expect(t, "release rebootd-default-0 --yes", 1, "is no slot of rebootd")
}

func TestCircuit(t *testing.T) {
	s := newShell(idleFleet())
	s.expect(t, "circuit", 0, "The circuit is closed")
	s.expect(t, "circuit reset", 0, "Warning: the circuit is closed")
	s = newShell(circuitOpen())
	s.expect(t, "circuit reset", 1, "worker-3 (RebootTimedOut)", "not confirmed")
	s.expect(t, "circuit reset -y", 0, "configmap/rebootd-circuit reset")
	s.expect(t, "circuit", 0, "The circuit is closed")
}

// Agents write the circuit's ConfigMap, and errors say what a server said: neither plays with the terminal.
func TestNoEscapes(t *testing.T) {
	s := newShell(circuitOpen())
	m, err := s.kube.CoreV1().ConfigMaps("rebootd").Get(t.Context(), "rebootd-circuit", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	m.Data["failures"] = "2026-11-23T10:20:00Z worker-3 \x1b]0;gone\x07Reboot\u009b31mTimedOut\n"
	if _, err := s.kube.CoreV1().ConfigMaps("rebootd").Update(t.Context(), m, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	s.kube.PrependReactor("patch", "nodes", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, errors.New("not\x1b[2J today\nnor tomorrow")
	})
	for line, want := range map[string]string{"circuit": "TimedOut", "circuit reset": "TimedOut", "hold worker-4": "today\nnor tomorrow"} {
		if _, out := s.run(t.Context(), words(line)...); strings.ContainsAny(out, "\x1b\x07\u009b") || !strings.Contains(out, want) {
			t.Errorf("%s: %q", line, out)
		}
	}
}
