package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clienttesting "k8s.io/client-go/testing"

	"github.com/rebootd/rebootd/cmd/kubectl-reboot/internal/cluster"
)

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
	s.expect(t, "status", 0, "Not shown: how the agents are configured; you may not list daemonsets.apps in namespace rebootd.\n")
	s.expect(t, "history", 0, "Not shown: what the Events tell; you may not list events in namespace default.\n", "Rebooted")
	s.expect(t, "circuit", 1, "error: you may not get configmaps in namespace rebootd\n")
	s.forbid("list", "nodes")
	s.expect(t, "status", 1, "error: you may not list nodes\n")
	s.forbid("patch", "nodes")
	s.expect(t, "node worker-01", 1, "error: you may not patch nodes (worker-01)\n")
}

// Who may list DaemonSets only in the agents' namespace learns all but whether kured runs elsewhere.
func TestDaemonSetsOfOneNamespace(t *testing.T) {
	s := newShell(twoGroups())
	s.kube.PrependReactor("list", "daemonsets", func(a clienttesting.Action) (bool, runtime.Object, error) {
		return a.GetNamespace() == "", nil, apierrors.NewForbidden(schema.GroupResource{Resource: "daemonsets"}, "", errors.New("User \"alice\" cannot list resource \"daemonsets\""))
	})
	s.expect(t, "plan", 0, "Lock group b, 1 slot", "Not shown: whether kured runs too; you may not list daemonsets.apps in all namespaces.\n")
	if strings.Contains(s.out.String(), "configured") {
		t.Errorf("%s", &s.out)
	}
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

// In another namespace than the agents' nothing is paused, and nobody is there: that is said, and that they are elsewhere.
func TestAnotherNamespaceThanTheAgents(t *testing.T) {
	s := newShell(idleFleet())
	const elsewhere = "Warning: rebootd's agents are not in namespace ops, but in rebootd\n"
	for _, command := range []string{"status", "pause"} {
		s.expect(t, command+" -n ops", 0, elsewhere)
		if s.expect(t, command+" -n rebootd", 0); strings.Contains(s.err.String(), "Warning") {
			t.Errorf("%s in the agents' own namespace: %s", command, &s.err)
		}
	}
}

// A server that can't be reached is all that there is to say.
func TestUnreachableServer(t *testing.T) {
	s := newShell(idleFleet())
	s.kube.PrependReactor("*", "*", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, &url.Error{Op: "Get", URL: "https://127.0.0.1:1/", Err: syscall.ECONNREFUSED}
	})
	for _, command := range []string{"status", "pause"} {
		s.expect(t, command, 1, "The connection to the server 127.0.0.1:1 was refused")
		if strings.Contains(s.err.String(), "Warning") {
			t.Errorf("%s: %s", command, &s.err)
		}
	}
}

// The chart's nameOverride changes the label that everything has.
func TestAgentsOfAnotherName(t *testing.T) {
	w := idleFleet()
	s := newShell(w)
	sets := s.kube.AppsV1().DaemonSets("rebootd")
	d, err := sets.Get(t.Context(), "rebootd", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	labels := map[string]string{"app.kubernetes.io/name": "boots"}
	d.Labels, d.Spec.Template.Labels, d.Spec.Selector = labels, labels, &metav1.LabelSelector{MatchLabels: labels}
	if _, err := sets.Update(t.Context(), d, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	pods, err := s.kube.CoreV1().Pods("rebootd").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pods.Items {
		p.Labels = labels
		if _, err := s.kube.CoreV1().Pods("rebootd").Update(t.Context(), &p, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	s.expect(t, "status -o wide", 0, "ready")
	if strings.Contains(s.out.String(), "no agent") {
		t.Errorf("%s", &s.out)
	}
}

// Who may not look for the agents is told that their namespace is a guess: in a wrong one, everything seems to be well.
func TestNamespaceIsGuessed(t *testing.T) {
	s := newShell(idleFleet())
	s.kube.PrependReactor("list", "daemonsets", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(schema.GroupResource{Group: "apps", Resource: "daemonsets"}, "",
			errors.New(`User "u" cannot list resource "daemonsets" in API group "apps" at the cluster scope`))
	})
	const guess = "Warning: you may not list daemonsets.apps in all namespaces, so the agents are taken to be in namespace rebootd; if they are in another: --namespace\n"
	for _, command := range []string{"status", "circuit", "resume", "pause", "history"} {
		s.expect(t, command, 0, guess)
	}
	s.expect(t, "__complete release x", 0)
	if strings.Contains(s.err.String(), "namespace rebootd") {
		t.Errorf("a completion warns: %s", &s.err)
	}
	s.expect(t, "status -n rebootd", 0)
	if strings.Contains(s.err.String(), "Warning") {
		t.Errorf("the namespace was said: %s", &s.err)
	}
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
