package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/kubectl/pkg/drain"

	"github.com/rebootd/rebootd/test/chart/helm"
	peer "github.com/rebootd/rebootd/test/kured"
)

// takeOver is a cluster of its own, for kured is there or isn't for the whole of one.
type takeOver struct {
	*testing.T
	*fleet

	// tools is a folder with kubectl, helm and kubectl-reboot; work is where the chart and manifests are as in the repository.
	tools, work string
	// kured is a client that the API server knows as kured.
	kured kubernetes.Interface
}

func newTakeOver(t *testing.T) *takeOver {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a control plane")
	}
	f, err := newFleet()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.stop(); err != nil {
			t.Error(err)
		}
	})
	o := &takeOver{T: t, fleet: f, tools: t.TempDir(), work: t.TempDir()}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(o.tools, "kubectl-reboot"), "../../cmd/kubectl-reboot")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	chart, err := helm.Binary(t.Context())
	root, err2 := filepath.Abs("../..")
	for link, to := range map[string]string{
		filepath.Join(o.tools, "helm"): chart, filepath.Join(o.tools, "kubectl"): filepath.Join(f.Bin(), "kubectl"),
		filepath.Join(o.work, "charts"): filepath.Join(root, "charts"), filepath.Join(o.work, "manifests"): filepath.Join(root, "manifests"),
	} {
		if err3 := os.Symlink(to, link); err != nil || err2 != nil || err3 != nil {
			t.Fatal(err, err2, err3)
		}
	}
	config := f.Config()
	config.UserAgent = "kured/v0.0.0 (linux/amd64) kubernetes/$Format" // client-go's own for a binary of that name
	if o.kured, err = kubernetes.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	return o
}

// sh runs a line in a shell, as a person would who answers every question with this.
func (o *takeOver) sh(line, answer string) (code int, out string) {
	o.Helper()
	cmd := exec.CommandContext(o.Context(), "bash", "-c", line)
	cmd.Dir, cmd.Stdin = o.work, strings.NewReader(answer)
	cmd.Env = []string{"PATH=" + o.tools + ":/usr/bin:/bin", "HOME=" + o.work, "KUBECONFIG=" + o.Kubeconfig()}
	text, _ := cmd.CombinedOutput()
	return cmd.ProcessState.ExitCode(), string(text)
}

func (o *takeOver) must(line string) string {
	o.Helper()
	code, out := o.sh(line, "y\n")
	if code != 0 {
		o.Fatalf("%s\nexit code %d\n%s", line, code, out)
	}
	return out
}

// kuredsRights are what kured's manifest has besides its DaemonSet.
const kuredsRights = `
apiVersion: v1
kind: ServiceAccount
metadata: {name: kured, namespace: kube-system}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: kured}
rules:
  - {apiGroups: [""], resources: [nodes], verbs: [get, patch]}
  - {apiGroups: [""], resources: [pods], verbs: [list, delete, get]}
  - {apiGroups: [apps], resources: [daemonsets], verbs: [get]}
  - {apiGroups: [""], resources: [pods/eviction], verbs: [create]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: kured}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: kured}
subjects: [{kind: ServiceAccount, name: kured, namespace: kube-system}]
`

func (o *takeOver) installKured(concurrency int) {
	o.Helper()
	o.apply(o.T, kuredsRights)
	o.fleet.kured(o.T, "kube-system", concurrency)
}

func (o *takeOver) removeKured() {
	o.Helper()
	o.must("kubectl delete daemonset -n kube-system kured --ignore-not-found")
}

// linux makes a machine on which the chart's pods run.
func (o *takeOver) linux(name string) *machine {
	o.Helper()
	m := o.machine(o.T, "rebootd", name)
	m.patch(map[string]any{"metadata": map[string]any{"labels": map[string]any{"kubernetes.io/os": "linux", "example.com/kured": "yes"}}})
	return m
}

// cordons has kured cordon a node and say so, as it does at work.
func (o *takeOver) cordons(m *machine) {
	o.Helper()
	h := &drain.Helper{Ctx: o.Context(), Client: o.kured, Out: io.Discard, ErrOut: io.Discard}
	if err := drain.RunCordonOrUncordon(h, o.live(m), true); err != nil {
		o.Fatal(err)
	}
	now := time.Now().UTC().Format(time.RFC3339)
	patch, _ := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]any{
		"weave.works/kured-reboot-in-progress": now, "weave.works/kured-most-recent-reboot-needed": now,
	}}})
	if _, err := o.kured.CoreV1().Nodes().Patch(o.Context(), m.name, "application/merge-patch+json", patch, metav1.PatchOptions{}); err != nil {
		o.Fatal(err)
	}
}

// live is the Node of this instant; a machine's own is of a moment ago.
func (o *takeOver) live(m *machine) *corev1.Node {
	o.Helper()
	n, err := o.client.CoreV1().Nodes().Get(o.Context(), m.name, metav1.GetOptions{})
	if err != nil {
		o.Fatal(err)
	}
	return n
}

// returns has a machine come back from a reboot; the times in objects are whole seconds.
func (o *takeOver) returns(m *machine) {
	o.Helper()
	time.Sleep(1100 * time.Millisecond)
	m.silence() // kwok would make it Ready with times of its own
	m.kubelet(false)
	m.eventually("it isn't Ready", func(n *corev1.Node) bool { return !ready(n) })
	m.kubelet(true)
	m.patch(map[string]any{"metadata": map[string]any{"labels": map[string]any{"type": "kwok"}}})
	m.eventually("it is Ready", func(n *corev1.Node) bool {
		return ready(n) && !strings.Contains(fmt.Sprint(n.Spec.Taints), corev1.TaintNodeNotReady)
	})
}

// looks is all of the Nodes but for their status, and the taints that follow from it.
func (o *takeOver) looks() string {
	o.Helper()
	list, err := o.client.CoreV1().Nodes().List(o.Context(), metav1.ListOptions{})
	if err != nil {
		o.Fatal(err)
	}
	var b strings.Builder
	for _, n := range list.Items {
		fmt.Fprintf(&b, "%s %v %v %v", n.Name, n.Spec.Unschedulable, n.Annotations, n.Labels)
		for _, t := range n.Spec.Taints {
			if !strings.HasPrefix(t.Key, "node.kubernetes.io/") {
				b.WriteString(" " + t.ToString())
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

// says runs the plugin, and looks for what it says.
func (o *takeOver) says(args string, code int, texts ...string) string {
	o.Helper()
	got, out := o.sh("kubectl reboot migrate-from-kured "+args, "y\n")
	for _, text := range texts {
		if !strings.Contains(out, text) {
			o.Errorf("%s: nothing of %q:\n%s", args, text, out)
		}
	}
	if got != code {
		o.Errorf("%s: exit code %d, want %d:\n%s", args, got, code, out)
	}
	return out
}

// What kured leaves behind is told from what people do, changed only when asked, and not while kured is there.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	o := newTakeOver(t)
	for name, test := range map[string]func(*takeOver){
		"to the end": (*takeOver).toTheEnd, "races": (*takeOver).races, "rights": (*takeOver).rights,
	} {
		if !t.Run(name, func(t *testing.T) { part := *o; part.T = t; test(&part) }) {
			return // the cluster isn't as the others expect it
		}
	}
}

func (o *takeOver) toTheEnd() {
	back, stuck, persons, fine := o.linux("back"), o.linux("stuck"), o.linux("persons"), o.linux("fine")
	o.installKured(1)
	for _, m := range []*machine{back, stuck} {
		o.cordons(m)
	}
	o.cordons(fine)
	fine.cordon(false)
	o.must("kubectl cordon " + persons.name + " && kubectl taint node " + persons.name + " weave.works/kured-node-reboot:PreferNoSchedule example.com/other:PreferNoSchedule")
	o.returns(back)
	o.must(fmt.Sprintf(`kubectl annotate daemonset -n kube-system kured '%s={"nodeID":"%s","created":"2026-01-01T00:00:00Z","TTL":0}'`, peer.Annotation, stuck.name))
	before := o.looks()
	o.says("", 0, "its lock is held by "+stuck.name, "Node "+back.name+": cordoned by kured, which doesn't hold its lock", "Node "+stuck.name+": cordoned by kured, which is at work",
		persons.name+": cordoned by kubectl, so not by kured", "Wait until no node holds")
	o.says("--apply --yes", 1, "kured is still installed")
	if now := o.looks(); now != before || !strings.Contains(o.kuredLock(o.T, "kube-system"), stuck.name) {
		o.Errorf("kured was there:\n%s\n%s", before, now)
	}
	o.removeKured()
	o.eventuallyGone()
	before = o.looks()
	o.says("", 0, "node/"+back.name+": uncordoned", "kubectl uncordon "+stuck.name, "kured isn't installed")
	if code, out := o.sh("kubectl reboot migrate-from-kured --apply", "n\n"); code != 1 || !strings.Contains(out, "not confirmed") {
		o.Errorf("%d %s", code, out)
	}
	if now := o.looks(); now != before {
		o.Errorf("a look has changed something:\n%s\n%s", before, now)
	}
	o.says("--apply", 0, "Put that right in 3 objects?", "node/"+back.name+" uncordoned, kured's annotations removed")
	for _, tt := range []struct {
		m                *machine
		cordoned, marked bool
	}{{back, false, false}, {stuck, true, true}, {persons, true, false}, {fine, false, false}} {
		n := o.live(tt.m)
		_, marked := n.Annotations["weave.works/kured-reboot-in-progress"]
		if n.Spec.Unschedulable != tt.cordoned || marked != tt.marked || strings.Contains(fmt.Sprint(n.Spec.Taints), "kured") {
			o.Errorf("%s: %+v %v", n.Name, n.Spec, n.Annotations)
		}
	}
	if taints := fmt.Sprint(o.live(persons).Spec.Taints); !strings.Contains(taints, "example.com/other") || !strings.Contains(taints, corev1.TaintNodeUnschedulable) {
		o.Errorf("other taints: %s", taints)
	}
	o.must("kubectl uncordon " + stuck.name)
	o.says("--apply", 0, "node/"+stuck.name+" kured's annotations removed")
	o.says("", 0, "Nothing of kured's is left")
}

func (o *takeOver) eventuallyGone() {
	o.Helper()
	until(o.T, "kured's pods are gone", func() bool {
		return strings.TrimSpace(o.must("kubectl get pods -A -l app.kubernetes.io/name=kured -o name")) == ""
	})
}

// between runs the plugin with --apply, and has something happen once between its look and its first write to such an object.
func (o *takeOver) between(resource string, happens func(), args string) (code int, out string) {
	o.Helper()
	g := o.gateway(o.T, nil)
	done := false
	g.decide(func(c call) fate {
		if c.verb == "patch" && c.resource == resource && !done {
			done = true
			happens()
		}
		return served
	})
	code, out = o.sh("kubectl-reboot "+g.flag()+" migrate-from-kured --apply --yes "+args, "")
	if !done {
		o.Errorf("nothing was written to %s:\n%s", resource, out)
	}
	return code, out
}

func (o *takeOver) races() {
	// Kured takes its lock between the look and the write.
	o.installKured(2)
	sets := o.client.AppsV1().DaemonSets("kube-system")
	o.must("kubectl annotate daemonset -n kube-system kured '" + peer.Annotation + `={"maxOwners":2,"locks":[{"nodeID":"ghost"}]}'`)
	m := o.linux("racer")
	p := &player{Node: peer.Node{ID: m.name, Concurrency: 2, Now: time.Now}, m: &machine{t: o.T, f: o.fleet, namespace: "kube-system"}}
	code, out := o.between("daemonsets", func() {
		p.update(context.Background(), func(text string, there bool) (string, bool, bool) {
			next, write, ok, err := p.Acquire(text, there)
			if err != nil || !ok {
				o.Errorf("kured doesn't get its lock %q: %v", text, err)
			}
			return next, write, true
		})
	}, "")
	lock := o.kuredLock(o.T, "kube-system")
	if code != 1 || !strings.Contains(out, "has changed since it was shown") || !strings.Contains(lock, m.name) || !strings.Contains(lock, "ghost") {
		o.Errorf("%d %s\n%s", code, out, lock)
	}
	o.says("--apply", 0, "stale entries of kured's lock removed", `no Node "ghost"`)
	if lock := o.kuredLock(o.T, "kube-system"); !strings.Contains(lock, m.name) || strings.Contains(lock, "ghost") {
		o.Error(lock)
	}
	// A kubelet's report in between changes nothing about what is right.
	o.removeKured()
	o.eventuallyGone()
	o.cordons(m)
	o.returns(m)
	code, out = o.between("nodes", func() { m.annotate("example.com/x", "y") }, "")
	if code != 0 || o.live(m).Spec.Unschedulable || o.live(m).Annotations["example.com/x"] != "y" {
		o.Errorf("%d %s", code, out)
	}
	// A person's cordon in between stays.
	o.cordons(m)
	o.returns(m)
	code, out = o.between("nodes", func() {
		m.cordon(false)
		o.must("kubectl cordon " + m.name)
	}, "")
	if code != 1 || !o.live(m).Spec.Unschedulable || !strings.Contains(out, "has changed since it was shown") {
		o.Errorf("%d %s", code, out)
	}
	m.cordon(false)
	// A node of that name that is another one.
	o.cordons(m)
	o.returns(m)
	code, out = o.between("nodes", func() { m.deleteNode(); m.createNode(); m.cordon(true) }, "")
	if code != 1 || !o.live(m).Spec.Unschedulable {
		o.Errorf("%d %s", code, out)
	}
	m.cordon(false)
	// Kured is installed while one thinks.
	o.cordons(m)
	o.returns(m)
	cmd := exec.CommandContext(o.Context(), filepath.Join(o.tools, "kubectl-reboot"), "--kubeconfig="+o.Kubeconfig(), "migrate-from-kured", "--apply")
	in, err := cmd.StdinPipe()
	if err != nil {
		o.Fatal(err)
	}
	var said output
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		o.Fatal(err)
	}
	until(o.T, "it asks", func() bool { return strings.Contains(said.String(), "[y/N]") })
	o.installKured(1)
	_, _ = io.WriteString(in, "y\n")
	_ = cmd.Wait()
	if cmd.ProcessState.ExitCode() != 1 || !o.live(m).Spec.Unschedulable || !strings.Contains(said.String(), "has changed since it was shown") {
		o.Errorf("%s", said.String())
	}
	if err := sets.Delete(o.Context(), "kured", metav1.DeleteOptions{}); err != nil {
		o.Error(err)
	}
	o.eventuallyGone()
	o.says("--apply", 0, "node/"+m.name+" uncordoned")
}

// Who may only read sees it all, and what is missing is named.
func (o *takeOver) rights() {
	rule := func(group, resource string, verbs ...string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: []string{resource}, Verbs: verbs}
	}
	m := o.linux("seen")
	o.cordons(m)
	o.returns(m)
	looks := o.reader(o.T, "looks", rule("", "nodes", "list"), rule("", "pods", "list"), rule("apps", "daemonsets", "list"))
	o.says(looks, 0, "node/"+m.name+": uncordoned", "Warning: for --apply, you may not patch nodes")
	o.says(looks+" --apply", 1, "error: you may not patch nodes ("+m.name+")")
	blind := o.reader(o.T, "blind", rule("", "nodes", "list"))
	o.says(blind, 1, "you may not get daemonsets.apps in namespace kube-system")
	some := o.reader(o.T, "some", rule("", "nodes", "list", "patch"), rule("apps", "daemonsets", "get"))
	o.says(some, 0, "whether kured runs anywhere else; you may not list daemonsets.apps in all namespaces", "whether pods of kured still run; you may not list pods")
	o.says(some+" --apply", 1, "can't be known")
	if !o.live(m).Spec.Unschedulable {
		o.Error("it was uncordoned though kured may be there")
	}
	nodes := o.reader(o.T, "no-nodes", rule("", "pods", "list"), rule("apps", "daemonsets", "list"))
	o.says(nodes, 0, "what kured left on nodes; you may not list nodes")
	o.says("--apply", 0, "uncordoned")
}
