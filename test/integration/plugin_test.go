package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rebootd/rebootd/pkg/plan"
)

// thePlugin is built once, by the first test that wants it.
var thePlugin struct { //nolint:gochecknoglobals // as theFleet
	once sync.Once
	err  error
}

// plugin is the folder with kubectl-reboot and its completion.
func (f *fleet) plugin(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(f.dir, "plugin")
	thePlugin.once.Do(func() {
		build := exec.Command("go", "build", "-o", filepath.Join(dir, "kubectl-reboot"), "../../cmd/kubectl-reboot")
		if out, err := build.CombinedOutput(); err != nil {
			thePlugin.err = fmt.Errorf("building the plugin: %w\n%s", err, out)
			return
		}
		script, err := os.ReadFile("../../cmd/kubectl-reboot/kubectl_complete-reboot")
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "kubectl_complete-reboot"), script, 0o755)
		}
		thePlugin.err = err
	})
	if thePlugin.err != nil {
		t.Fatal(thePlugin.err)
	}
	return dir
}

// reboot is `kubectl reboot`, as an administrator unless the arguments say otherwise, about the agents of a namespace.
func (f *fleet) reboot(t *testing.T, namespace string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := f.rebootCommand(t.Context(), t, namespace, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit := (&exec.ExitError{}); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

func (f *fleet) rebootCommand(ctx context.Context, t *testing.T, namespace string, args ...string) *exec.Cmd {
	t.Helper()
	return exec.CommandContext(ctx, filepath.Join(f.plugin(t), "kubectl-reboot"),
		append([]string{"--kubeconfig=" + f.Kubeconfig(), "--namespace=" + namespace}, args...)...)
}

// reader is a user who may do these things and nothing else. kubectl's --as makes the API server judge as for the user.
func (f *fleet) reader(t *testing.T, name string, rules ...rbacv1.PolicyRule) string {
	t.Helper()
	meta := metav1.ObjectMeta{Name: name}
	_, err := f.client.RbacV1().ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{ObjectMeta: meta, Rules: rules}, metav1.CreateOptions{})
	if err == nil {
		_, err = f.client.RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
			ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: name}},
		}, metav1.CreateOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
	return "--as=" + name
}

func TestPluginForThoseWhoMayOnlyRead(t *testing.T) {
	t.Parallel()
	f := shared(t)
	ns := f.namespace(t)
	m := f.machine(t, ns, "seen")
	m.annotate("rebootd.io/state", plan.Record{Phase: plan.Required, Reason: plan.Held, BootID: "b", RequiredSince: time.Now()}.String())
	rule := func(group, resource string, verbs ...string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: []string{resource}, Verbs: verbs}
	}
	nobody := f.reader(t, ns+"-nobody")
	nodes := f.reader(t, ns+"-nodes", rule("", "nodes", "get", "list"))
	all := f.reader(t, ns+"-all", rule("", "nodes", "get", "list"), rule("", "pods", "list"), rule("", "configmaps", "get"), rule("", "events", "list"),
		rule("coordination.k8s.io", "leases", "get", "list"), rule("apps", "daemonsets", "list"))
	lease := heldBy(m, ns, "rebootd-default-0")
	if _, err := f.client.CoordinationV1().Leases(ns).Create(t.Context(), lease, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.client.CoreV1().ConfigMaps(ns).Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "rebootd-circuit"}, Data: map[string]string{"open": "2026-01-01T00:00:00Z"},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args   []string
		code   int
		stderr string
	}{
		{[]string{nobody, "status"}, 1, "error: you may not list nodes\n"},
		{[]string{nobody, "node", m.name}, 1, "error: you may not get nodes (" + m.name + ")\n"},
		{[]string{nobody, "release", "rebootd-default-0"}, 1, "error: you may not get leases.coordination.k8s.io in namespace " + ns + "\n"},
		{[]string{nobody, "circuit"}, 1, "error: you may not get configmaps in namespace " + ns + "\n"},
		{[]string{nobody, "resume"}, 1, "error: you may not get configmaps in namespace " + ns + "\n"},
		{[]string{nodes, "status", m.name}, 0, ""},
		{[]string{nodes, "hold", m.name}, 1, "error: you may not patch nodes (" + m.name + ")\n"},
		{[]string{all, "pause"}, 1, "error: you may not patch configmaps in namespace " + ns + "\n"},
		{[]string{all, "release", "rebootd-default-0", "--yes"}, 1, "error: you may not delete leases.coordination.k8s.io in namespace " + ns + "\n"},
		{[]string{all, "circuit", "reset", "--yes"}, 1, "error: you may not delete configmaps in namespace " + ns + "\n"},
		{[]string{all, "explain", m.name}, 0, ""},
		{[]string{all, "history", m.name}, 0, ""},
	} {
		code, out, errs := f.reboot(t, ns, tt.args...)
		if line, rest, _ := strings.Cut(errs, "\n"); strings.HasPrefix(line, "Warning: rebootd's agents are not in namespace "+ns) {
			errs = rest // those of other tests are elsewhere
		}
		if code != tt.code || errs != tt.stderr {
			t.Errorf("%q: exit code %d, %s\n%s", tt.args, code, errs, out)
		}
	}
	_, out, _ := f.reboot(t, ns, nodes, "status", m.name)
	for _, want := range []string{
		"Not shown: how the agents are configured; you may not list daemonsets.apps in namespace " + ns + ".\n",
		"Not shown: who holds a slot; you may not list leases.coordination.k8s.io in namespace " + ns + ".\n",
		"Not shown: whether kured runs too; you may not list daemonsets.apps in all namespaces.\n",
		"Not shown: whether reboots are paused; you may not get configmaps in namespace " + ns + ".\n",
		"Not shown: whether the agents run; you may not list pods in namespace " + ns + ".\n",
		"Not shown: whether the circuit is open; you may not get configmaps in namespace " + ns + ".\n",
		m.name + "   Required",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("it doesn't say %q:\n%s", want, out)
		}
	}
	if _, out, _ := f.reboot(t, ns, all, "status", m.name); strings.Contains(out, "Not shown") || !strings.Contains(out, "The circuit is open since 2026-01-01T00:00:00Z") {
		t.Errorf("who may read everything sees:\n%s", out)
	}
}

// heldBy is a slot's Lease, as an agent would make it.
func heldBy(m *machine, ns, name string) *coordinationv1.Lease {
	return &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: ns, Labels: map[string]string{"rebootd.io/lock-group": "default"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: m.name, UID: m.node().UID}},
		},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: &m.name},
	}
}

// A person asks, the agent follows, and everybody can read who asked.
func TestPluginAsksTheAgent(t *testing.T) {
	t.Parallel()
	f := shared(t)
	ns := f.namespace(t)
	m := f.machine(t, ns, "asked")
	m.power(func() *process { return m.agent() })
	m.says(plan.NotRequired)
	ok := func(args ...string) string {
		t.Helper()
		code, out, errs := f.reboot(t, ns, args...)
		if code != 0 {
			t.Fatalf("%q: exit code %d\n%s%s", args, code, out, errs)
		}
		return out
	}
	ok("hold", m.name, "--reason=not yet")
	if out := ok("node", m.name, "--reason=new firmware", "--dry-run=server"); !strings.Contains(out, "reboot requested (server dry run)") || m.node().Annotations["rebootd.io/request"] != "" {
		t.Errorf("dry run: %s", out)
	}
	ok("node", m.name, "--reason=new firmware")
	m.says(plan.Held, "not yet")
	if out := ok("explain", m.name); !strings.Contains(out, "kubectl reboot unhold "+m.name) || !strings.Contains(out, `request "new firmware (by `) {
		t.Errorf("explain:\n%s", out)
	}
	ok("cancel", m.name)
	m.says(plan.NotRequired)
	ok("node", m.name, "--reason=new firmware", "--now")
	m.says(plan.Held)
	ok("unhold", m.name)
	m.back(1)
	if by := m.record().History[0].By; len(by) != 1 || !strings.Contains(by[0], "new firmware (by ") {
		t.Errorf("asked by %q", by)
	}
	if out := ok("history", m.name); !strings.Contains(out, "Rebooted") || !strings.Contains(out, "request-now") {
		t.Errorf("history:\n%s", out)
	}
	ok("node", m.name) // a new value is a new request
	m.back(2)
}

// talk runs a command that asks, does something before the answer, and returns how it ended.
func (f *fleet) talk(t *testing.T, ns string, before func(), args ...string) (code int, said string) {
	t.Helper()
	cmd := f.rebootCommand(t.Context(), t, ns, args...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out output
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, "it asks", func() bool { return strings.Contains(out.String(), "[y/N]") })
	before()
	if _, err := io.WriteString(in, "y\n"); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait()
	return cmd.ProcessState.ExitCode(), out.String()
}

// Only the slot that was shown is released, not one that was taken since.
func TestPluginReleasesWhatItShowed(t *testing.T) {
	t.Parallel()
	f := shared(t)
	ns := f.namespace(t)
	m, next := f.machine(t, ns, "holder"), f.machine(t, ns, "next")
	m.annotate("rebootd.io/state", plan.Record{Phase: plan.Drain, Reason: plan.Draining, BootID: "b", Since: time.Now()}.String())
	leases := f.client.CoordinationV1().Leases(ns)
	create := func(l *coordinationv1.Lease) {
		if _, err := leases.Create(context.Background(), l, metav1.CreateOptions{}); err != nil {
			t.Error(err)
		}
	}
	create(heldBy(m, ns, "rebootd-default-0"))
	code, said := f.talk(t, ns, func() {
		if err := leases.Delete(context.Background(), "rebootd-default-0", metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
		create(heldBy(next, ns, "rebootd-default-0"))
	}, "release", "rebootd-default-0")
	if code != 1 || !strings.Contains(said, "is Draining") || !strings.Contains(said, "two nodes may be out at once") || !strings.Contains(said, "not the one any more") {
		t.Errorf("exit code %d\n%s", code, said)
	}
	if l, err := leases.Get(t.Context(), "rebootd-default-0", metav1.GetOptions{}); err != nil || *l.Spec.HolderIdentity != next.name {
		t.Fatalf("the other's slot: %v, %v", l, err)
	}
	if code, out, errs := f.reboot(t, ns, "release", "rebootd-default-0", "--yes", "--dry-run=server"); code != 0 || !strings.Contains(out, "released (server dry run)") {
		t.Errorf("dry run: %d %s%s", code, out, errs)
	}
	code, said = f.talk(t, ns, func() {}, "release", "rebootd-default-0")
	if _, err := leases.Get(t.Context(), "rebootd-default-0", metav1.GetOptions{}); code != 0 || !apierrors.IsNotFound(err) {
		t.Errorf("exit code %d, %v\n%s", code, err, said)
	}
}

func TestPluginPausesAndResets(t *testing.T) {
	t.Parallel()
	f := shared(t)
	ns := f.namespace(t)
	maps := f.client.CoreV1().ConfigMaps(ns)
	for _, tt := range []struct{ args, want string }{
		{"pause --until=2h", "reboots are paused until"},
		{"pause --reason=again", "reboots are paused\n"},
		{"status --pending", "Reboots are paused: again (by "},
		{"resume --dry-run=server", "(server dry run)"},
		{"resume", "no longer paused"},
		{"circuit", "The circuit is closed"},
	} {
		if code, out, errs := f.reboot(t, ns, strings.Fields(tt.args)...); code != 0 || !strings.Contains(out, tt.want) {
			t.Errorf("%s: %d %s%s", tt.args, code, out, errs)
		}
	}
	m, err := maps.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "rebootd-circuit"}, Data: map[string]string{
		"open": "2026-01-01T00:00:00Z", "failures": "2026-01-01T00:00:00Z n1 RebootTimedOut\n",
	}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	code, said := f.talk(t, ns, func() {
		m.Data["failures"] += "2026-01-01T01:00:00Z n2 RebootTimedOut\n"
		if m, err = maps.Update(context.Background(), m, metav1.UpdateOptions{}); err != nil {
			t.Error(err)
		}
	}, "circuit", "reset")
	if code != 1 || !strings.Contains(said, "has changed since it was shown") {
		t.Errorf("exit code %d\n%s", code, said)
	}
	if code, said = f.talk(t, ns, func() {}, "circuit", "reset"); code != 0 || !strings.Contains(said, "n2 (RebootTimedOut)") {
		t.Errorf("exit code %d\n%s", code, said)
	}
	if _, err := maps.Get(t.Context(), "rebootd-circuit", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the circuit is still there: %v", err)
	}
}

// kubectl finds the plugin and its completion, and an interrupt ends a watch cleanly.
func TestPluginInKubectl(t *testing.T) {
	t.Parallel()
	f := shared(t)
	ns := f.namespace(t)
	m := f.machine(t, ns, "plugged")
	kubectl := func(args ...string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), filepath.Join(f.Bin(), "kubectl"), args...)
		cmd.Env = append(os.Environ(), "PATH="+f.plugin(t)+":"+f.Bin()+":/usr/bin:/bin", "KUBECONFIG="+f.Kubeconfig())
		return cmd
	}
	out, err := kubectl("reboot", "status", m.name, "-n", ns).CombinedOutput()
	if err != nil || !strings.Contains(string(out), m.name+"   NoAgent") {
		t.Errorf("%v\n%s", err, out)
	}
	out, err = kubectl("__complete", "reboot", "explain", m.name[:len(m.name)-2]).CombinedOutput()
	if err != nil || !strings.Contains(string(out), m.name+"\n") {
		t.Errorf("completion: %v\n%s", err, out)
	}
	var watched output
	watch := f.rebootCommand(t.Context(), t, ns, "status", "--watch", m.name)
	watch.Stdout, watch.Stderr = &watched, &watched
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, "the watch shows the node", func() bool { return strings.Contains(watched.String(), "NoAgent") })
	m.annotate("rebootd.io/state", plan.Record{Phase: plan.Required, Reason: plan.Held, BootID: "b", RequiredSince: time.Now()}.String())
	until(t, "the watch shows the change", func() bool { return strings.Contains(watched.String(), "Required") })
	if err := watch.Process.Signal(os.Interrupt); err != nil {
		t.Error(err)
	}
	if err := watch.Wait(); err != nil || strings.Contains(watched.String(), "panic") {
		t.Errorf("interrupted: %v\n%s", err, watched.String())
	}
}
