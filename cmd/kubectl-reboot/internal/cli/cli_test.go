package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clienttesting "k8s.io/client-go/testing"

	"github.com/rebootd/rebootd/cmd/kubectl-reboot/internal/cluster"
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
	s.expect(t, "cancel worker-1", 0, "Warning: node worker-1 carries no request")

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
	s.expect(t, "unhold worker-1 worker-2", 0, "node/worker-1 let go", "Warning: node worker-2 is not on hold")
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
	s.expect(t, "close-circuit", 1, "worker-3 (RebootTimedOut)", "not confirmed")
	s.expect(t, "close-circuit -y", 0, "configmap/rebootd-circuit reset")
	s.expect(t, "circuit", 0, "The circuit is closed")
}

// forbid makes the fake API server refuse as a real one does.
func (s *shell) forbid(verb, resource string) {
	s.kube.PrependReactor(verb, resource, func(a clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: resource}, "", fmt.Errorf("User %q cannot %s resource %q", "alice", a.GetVerb(), resource))
	})
}

func TestWhatMayNotBeRead(t *testing.T) {
	s := newShell(midRoll())
	for _, r := range []string{"leases", "pods", "daemonsets", "events"} {
		s.forbid("list", r)
	}
	s.forbid("get", "configmaps")
	for _, line := range []string{"status", "plan", "explain worker-05"} {
		s.expect(t, line, 0,
			"Not shown: who holds a slot; you may not list leases.coordination.k8s.io in namespace rebootd.\n",
			"Not shown: whether the agents run; you may not list pods in namespace rebootd.\n",
			"Not shown: whether kured runs too; you may not list daemonsets.apps in all namespaces.\n",
			"Not shown: whether reboots are paused; you may not get configmaps in namespace rebootd.\n",
			"worker-05")
	}
	s.expect(t, "history", 0, "Not shown: what the Events tell; you may not list events in namespace default.\n", "Rebooted")
	s.expect(t, "circuit", 1, "error: you may not get configmaps in namespace rebootd\n")
	s.forbid("list", "nodes")
	s.expect(t, "status", 1, "error: you may not list nodes\n")
	s.forbid("patch", "nodes")
	s.expect(t, "node worker-01", 1, "error: you may not patch nodes (worker-01)\n")
}

func TestServerErrors(t *testing.T) {
	s := newShell(midRoll())
	s.kube.PrependReactor("list", "leases", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewInternalError(errors.New("etcd is away"))
	})
	s.expect(t, "status", 0, "Not shown: who holds a slot; Internal error occurred: etcd is away.")
	s.kube.PrependReactor("patch", "nodes", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "nodes"}, "worker-01", errors.New("admission webhook \"x\" denied the request: not today"))
	})
	s.expect(t, "hold worker-01", 1, "not today")
}

func TestNamespaceIsFound(t *testing.T) {
	w := idleFleet()
	s := newShell(w)
	c := &cluster.Client{Kube: s.kube, Now: time.Now}
	move := func(from, to string) {
		t.Helper()
		d, err := s.kube.AppsV1().DaemonSets(from).Get(t.Context(), "rebootd", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		d = d.DeepCopy()
		d.Namespace = to
		if _, err := s.kube.AppsV1().DaemonSets(to).Create(t.Context(), d, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	move("rebootd", "ops")
	if ns, err := c.FindNamespace(t.Context()); err == nil || !strings.Contains(err.Error(), "--namespace") {
		t.Errorf("%q, %v", ns, err)
	}
	s.expect(t, "status", 1, "several namespaces", "--namespace")
	s.expect(t, "status -n ops -o json", 0, `"namespace": "ops"`)
	if err := s.kube.AppsV1().DaemonSets("rebootd").Delete(t.Context(), "rebootd", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	s.expect(t, "status -o json", 0, `"namespace": "ops"`)
	if err := s.kube.AppsV1().DaemonSets("ops").Delete(t.Context(), "rebootd", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	s.expect(t, "status -o json", 0, `"namespace": "rebootd"`)
}

func TestOutputForMachines(t *testing.T) {
	s := newShell(midRoll())
	s.expect(t, "status -o json", 0)
	var v struct {
		Kind    string
		Summary struct{ Done, Out, Waiting int }
		Nodes   []struct {
			Name, State, Reason string
			Turn                int
			Packages            []string
		}
		Slots []struct{ Name, Holder string }
	}
	if err := json.Unmarshal(s.out.Bytes(), &v); err != nil {
		t.Fatal(err)
	}
	if v.Kind != "RebootStatus" || v.Summary.Done != 3 || v.Summary.Out != 1 || v.Summary.Waiting != 36 || len(v.Nodes) != 40 || v.Slots[0].Holder != "worker-04" {
		t.Errorf("%+v", v)
	}
	s.expect(t, "status -o yaml", 0, "kind: RebootStatus", "apiVersion: kubectl-reboot.rebootd.io/v1")
	s.expect(t, "status -o jsonpath={.nodes[0].state}", 0, "Draining")
	s.expect(t, "status -o go-template={{.summary.done}}", 0, "3")
	s.expect(t, "plan -o json", 0, `"kind": "RebootPlan"`)
	s.expect(t, "explain worker-40 -o yaml", 0, "kind: RebootExplanation", "failures: 2")
	s.expect(t, "history -o yaml", 0, "kind: RebootHistory", "took: 4m0s")
	s.expect(t, "hold worker-40 -o name", 0, "node/worker-40\n")
	s.expect(t, "hold worker-40 -o jsonpath={.metadata.annotations.rebootd\\.io/hold}", 0, "by alice")
	s.expect(t, "status --pending --no-headers worker-01 worker-40", 0, "worker-40   Required")
	if strings.Contains(s.out.String(), "worker-01") || strings.Contains(s.out.String(), "NODE") {
		t.Errorf("%s", &s.out)
	}
}

func TestCompletion(t *testing.T) {
	s := newShell(midRoll())
	s.expect(t, `__complete explain worker-4`, 0, "worker-40\n", ":4")
	s.expect(t, `__complete node worker-40 worker-4`, 0, "worker-39")
	if strings.Contains(s.out.String(), "worker-40\n") {
		t.Error("offers again what is given already")
	}
	s.expect(t, `__complete release reb`, 0, "rebootd-default-0\theld by worker-04")
	s.expect(t, `__complete status -o j`, 0, "json", "yaml")
	s.expect(t, `__complete pa`, 0, "pause\tPause")
	s.forbid("list", "nodes")
	s.expect(t, `__complete explain w`, 0, ":4")
}

// A person who interrupts gets the shell back, with the exit code that shells know.
func TestInterrupted(t *testing.T) {
	s := newShell(orphanedSlot())
	ctx, cancel := context.WithCancel(t.Context())
	s.kube.PrependReactor("get", "nodes", func(clienttesting.Action) (bool, runtime.Object, error) {
		cancel() // while it looks at the holder, so before the question
		return false, nil, nil
	})
	if code, out := s.run(ctx, "release", "rebootd-default-0"); code != exitInterrupted || !strings.Contains(out, "error: interrupted") {
		t.Errorf("%d %s", code, out)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	code, out := s.run(ctx, "status", "--watch")
	if code != 0 || !strings.Contains(out, "1 waiting") {
		t.Errorf("%d %s", code, out)
	}
}

// A node that is deleted and created again while one thinks about it isn't written to: the patch carries the UID.
func TestAnotherNodeOfThatName(t *testing.T) {
	s := newShell(idleFleet())
	c := &cluster.Client{Kube: s.kube, Now: time.Now}
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "worker-1", UID: "earlier"}}
	if _, err := c.Annotate(t.Context(), n, map[string]any{"a": "b"}, cluster.Write); err != nil {
		t.Fatal(err)
	}
	for _, a := range s.kube.Actions() {
		if p, ok := a.(clienttesting.PatchActionImpl); ok && !strings.Contains(string(p.Patch), `"uid":"earlier"`) {
			t.Errorf("%s", p.Patch)
		}
	}
}

// 5,000 nodes come in pages, and are computed and shown in no time.
func TestManyNodes(t *testing.T) {
	w := &world{noPods: map[string]bool{}}
	const many = 5000
	for i := range many {
		w.waits(fmt.Sprintf("node-%04d", i), time.Duration(i)*time.Second, "WaitingForSlot", slotTaken)
		w.noPods[fmt.Sprintf("node-%04d", i)] = true
	}
	all := w.nodes
	w.nodes = nil
	s := newShell(w)
	pages := 0
	s.kube.PrependReactor("list", "nodes", func(a clienttesting.Action) (bool, runtime.Object, error) {
		list, ok := a.(clienttesting.ListActionImpl)
		if !ok || list.ListOptions.Limit == 0 {
			return true, nil, errors.New("asked for all at once")
		}
		pages++
		from := 0
		_, _ = fmt.Sscan(list.ListOptions.Continue, &from)
		to := min(from+int(list.ListOptions.Limit), many)
		page := &corev1.NodeList{}
		for _, n := range all[from:to] {
			page.Items = append(page.Items, *n)
		}
		if to < many {
			page.Continue = fmt.Sprint(to)
		}
		return true, page, nil
	})
	begin := time.Now()
	s.expect(t, "status", 0, "0 of 5000 done, 0 out, 5000 waiting", "node-0000")
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("took %s", took)
	}
	if pages != 10 || strings.Count(s.out.String(), "\n") < many {
		t.Errorf("%d pages, %d lines", pages, strings.Count(s.out.String(), "\n"))
	}
}
