package integration

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/test/chart/helm"
)

// cleanup is the job that goes before `helm uninstall`: its rights are in the cluster, and run does what it does, with them.
type cleanup struct {
	t       *testing.T
	gateway *gateway
	binary  string
	args    []string
	rights  string // YAML
}

// cleanup renders the job for a release, as which it is installed with the same values.
func (f *fleet) cleanup(t *testing.T, namespace, release string, values ...string) *cleanup {
	t.Helper()
	text, err := helm.Run(t.Context(), append([]string{
		"template", release, "../../charts/rebootd", "--namespace=" + namespace, helm.KubeVersion, "--show-only=templates/cleanup.yaml",
		"--set=cleanup.enabled=true",
	}, values...)...)
	if err != nil {
		t.Fatal(err)
	}
	rights, job, found := strings.Cut(text, "---\n# Source: rebootd/templates/cleanup.yaml\napiVersion: batch/v1\n")
	var j batchv1.Job
	if err := yaml.UnmarshalStrict([]byte("apiVersion: batch/v1\n"+job), &j); err != nil || !found {
		t.Fatalf("%v in\n%s", err, text)
	}
	file := filepath.Join(t.TempDir(), "rights.yaml")
	if err := os.WriteFile(file, []byte(rights), 0o600); err != nil {
		t.Fatal(err)
	}
	f.kubectl(t, "apply", "-f", file)
	t.Cleanup(func() {
		_, _ = exec.Command(filepath.Join(f.Bin(), "kubectl"), "--kubeconfig="+f.Kubeconfig(), "delete", "-f", file).Output()
	})
	spec := j.Spec.Template.Spec
	admin := f.Config()
	g := f.gateway(t, &rest.Config{
		Host: admin.Host, TLSClientConfig: rest.TLSClientConfig{CAData: admin.CAData},
		BearerToken: strings.TrimSpace(f.kubectl(t, "create", "token", "-n", namespace, spec.ServiceAccountName)),
	})
	return &cleanup{t: t, gateway: g, binary: f.binary, rights: rights, args: append(spec.Containers[0].Args, "--agents-timeout=20s", g.flag(),
		// Other tests have agents on theirs, and no DaemonSets.
		fmt.Sprintf("--node-selector=%s in (%s,%s-b)", groupLabel, namespace, namespace))}
}

// run runs it, and returns what it says.
func (c *cleanup) run() (string, error) {
	c.t.Helper()
	command := exec.CommandContext(c.t.Context(), c.binary, c.args...)
	command.Env = []string{"PATH=/usr/bin:/bin"}
	out, err := command.CombinedOutput()
	return string(out), err
}

func (c *cleanup) succeeds() string {
	c.t.Helper()
	out, err := c.run()
	if err != nil || strings.Contains(out, "forbidden") {
		c.t.Fatalf("%v:\n%s", err, out)
	}
	return out
}

// state puts a record on the Node, with what goes with it, and a slot.
func (m *machine) state(r plan.Record, cordoned bool) {
	m.t.Helper()
	r.BootID = m.read("boot-id")
	wanted := corev1.NodeCondition{Type: "RebootRequired", Status: corev1.ConditionTrue, Reason: string(plan.Draining), Message: "set by the test"}
	m.patch(map[string]any{"metadata": map[string]any{
		"annotations": map[string]any{"rebootd.io/state": r.String(), "rebootd.io/agent": "dead"}, "labels": map[string]any{"rebootd.io/reboot-required": "true"},
	}, "status": map[string]any{"conditions": []corev1.NodeCondition{wanted}}}, "status")
	m.patch(map[string]any{"spec": map[string]any{"unschedulable": cordoned, "taints": []corev1.Taint{
		{Key: "rebootd.io/reboot-required", Effect: corev1.TaintEffectPreferNoSchedule}, {Key: "example.com/soft", Effect: corev1.TaintEffectPreferNoSchedule},
		{Key: "dedicated", Value: "x", Effect: corev1.TaintEffectNoSchedule},
	}}})
	a := attacks{t: m.t, f: m.f, ns: m.namespace}
	l := a.lease("rebootd-"+m.name+"-0", m, m)
	_, err := m.f.client.CoordinationV1().Leases(m.namespace).Create(m.t.Context(), l, metav1.CreateOptions{})
	a.must(err)
}

// bare fails the test unless nothing of rebootd's is left on the Node, and its slot is free.
func (m *machine) bare(cordoned bool) {
	m.t.Helper()
	n, err := m.f.client.CoreV1().Nodes().Get(m.t.Context(), m.name, metav1.GetOptions{})
	if err != nil {
		m.t.Fatal(err)
	}
	for _, set := range []map[string]string{n.Annotations, n.Labels} {
		for key := range set {
			if strings.HasPrefix(key, "rebootd.io/") {
				m.t.Errorf("%s has %s", m.name, key)
			}
		}
	}
	for _, taint := range n.Spec.Taints {
		if taint.Effect == corev1.TaintEffectPreferNoSchedule {
			m.t.Errorf("%s has taint %s", m.name, taint.Key)
		}
	}
	if condition(n).Type != "" || !ready(n) || n.Spec.Unschedulable != cordoned {
		m.t.Errorf("%s: condition %+v, ready %t, cordoned %t, want %t", m.name, condition(n), ready(n), n.Spec.Unschedulable, cordoned)
	}
	list, err := m.f.client.CoordinationV1().Leases(m.namespace).List(m.t.Context(), metav1.ListOptions{})
	if err != nil {
		m.t.Fatal(err)
	}
	for _, l := range list.Items {
		if l.Spec.HolderIdentity != nil && *l.Spec.HolderIdentity == m.name {
			m.t.Errorf("%s still holds %s", m.name, l.Name)
		}
	}
}

// Whatever the nodes are at, nothing of ours is left: with the rights of the job and no others, and twice. What is another installation's, or a
// person's, stays until that goes.
func TestCleanupLeavesNothing(t *testing.T) {
	t.Parallel()
	f := shared(t)
	ns := f.namespace(t)
	values := []string{"--set=configuration.preferNoScheduleTaint=example.com/soft,configuration.kuredInterlock=true,configuration.dsNamespace=" + ns}
	gone := f.machine(t, ns, "gone")
	f.orphan(t, gone)
	f.installed(t, ns, values...)
	second := ns + "-b"
	theirs := f.machine(t, ns, "theirs")
	theirs.patch(map[string]any{"metadata": map[string]any{"labels": map[string]any{groupLabel: second}}})
	f.released(t, ns, second, second, values...)

	machines := map[plan.Phase]*machine{}
	for _, phase := range plan.Phases() {
		m := f.machine(t, ns, strings.ToLower(string(phase)))
		machines[phase] = m
		r := plan.Record{Phase: phase}
		if r.Out() {
			r.Cordon = plan.CordonOurs
		}
		m.state(r, r.Out())
	}
	admins := f.machine(t, ns, "admins")
	admins.state(plan.Record{Phase: plan.Drain, Cordon: plan.CordonAdmin}, true)
	theirs.state(plan.Record{Phase: plan.Drain, Cordon: plan.CordonOurs}, true)
	for _, name := range []string{"rebootd-circuit", "rebootd-control"} {
		f.kubectl(t, "create", "configmap", "-n", ns, name, "--from-literal=paused=false")
	}
	elected := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "elected"}}
	if _, err := f.client.CoordinationV1().Leases(ns).Create(t.Context(), elected, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	m := machines[plan.Drain]
	f.kuredHeldBy(t, ns, m.name, theirs.name)
	until(t, "there is an agent's pod", func() bool { return m.agentPod() != nil })

	c := f.cleanup(t, ns, ns, values...)
	out := c.succeeds()
	t.Log(out)
	for phase, m := range machines {
		m.bare(false)
		if !strings.Contains(out, "Node "+m.name+": ") {
			t.Errorf("it doesn't say what it did to %s, %s", m.name, phase)
		}
	}
	admins.bare(true)
	if n := theirs.node(); n.Annotations["rebootd.io/state"] == "" || !n.Spec.Unschedulable || !theirs.holds() || condition(n).Type == "" {
		t.Errorf("it touched another installation's node: %+v", n)
	}
	f.has(t, ns, "daemonset/"+ns, false)
	f.has(t, ns, "daemonset/"+second, true)
	f.has(t, ns, "configmap/rebootd-circuit", true)
	f.has(t, ns, "configmap/rebootd-control", true)
	f.has(t, ns, "lease/elected", true)
	f.has(t, ns, "lease/rebootd-"+gone.name+"-0", false)
	if out := c.succeeds(); strings.TrimSpace(out) != "All is cleaned up." {
		t.Errorf("the second time it says %q", out)
	}

	if lock := f.kubectl(t, "get", "daemonset", "-n", ns, "kured", "-o", "jsonpath={.metadata.annotations}"); strings.Contains(lock, m.name) || !strings.Contains(lock, theirs.name) {
		t.Errorf("kured's lock is held by %s", lock)
	}

	last := f.cleanup(t, ns, second, values...)
	last.succeeds()
	allUsed(t, c.rights, append(c.gateway.passed(), last.gateway.passed()...))
	if lock := f.kubectl(t, "get", "daemonset", "-n", ns, "kured", "-o", "jsonpath={.metadata.annotations}"); strings.Contains(lock, "rebootd/") {
		t.Errorf("kured's lock is held by %s", lock)
	}
	theirs.bare(false)
	f.has(t, ns, "configmap/rebootd-circuit", false)
	f.has(t, ns, "configmap/rebootd-control", true)
	f.has(t, ns, "lease/elected", true)
}

// In mid-drain of a real agent, while the control plane changes the Node, too; and what can't be known is left to people.
func TestCleanupInMidDrain(t *testing.T) {
	t.Parallel()
	f := shared(t)
	ns := f.namespace(t)
	m, odd := f.machine(t, ns, "drains"), f.machine(t, ns, "odd")
	f.installed(t, ns)
	m.stuck()
	m.require()
	a := m.agent()
	m.says(plan.BlockedByPDB)
	odd.annotate("rebootd.io/state", "{")
	odd.cordon(true)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go func() {
		for i := 0; ctx.Err() == nil; i++ {
			m.annotate("example.com/busy", fmt.Sprint(i))
			time.Sleep(50 * time.Millisecond)
		}
	}()
	a.stop()
	c := f.cleanup(t, ns, ns)
	out, err := c.run()
	if err == nil || !strings.Contains(out, "kubectl uncordon "+odd.name) {
		t.Errorf("of a record that can't be read it says %v:\n%s", err, out)
	}
	if !odd.node().Spec.Unschedulable {
		t.Error("it took off a cordon that it knows nothing of")
	}
	f.kubectl(t, "annotate", "node", odd.name, "rebootd.io/state-")
	c.succeeds()
	stop()
	m.bare(false)
	odd.bare(true)
}

// kuredHeldBy makes a kured whose lock these nodes of rebootd hold. It has no pods.
func (f *fleet) kuredHeldBy(t *testing.T, namespace string, nodes ...string) {
	t.Helper()
	locks := make([]string, 0, len(nodes))
	for _, n := range nodes {
		locks = append(locks, fmt.Sprintf(`{"nodeID":"rebootd/%s","metadata":{},"created":"2026-01-01T00:00:00Z","TTL":0}`, n))
	}
	labels := map[string]string{"app": "kured"}
	_, err := f.client.AppsV1().DaemonSets(namespace).Create(t.Context(), &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Name: "kured", Annotations: map[string]string{"weave.works/kured-node-lock": `{"maxOwners":2,"locks":[` + strings.Join(locks, ",") + `]}`}},
		Spec: appsv1.DaemonSetSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: labels},
			Spec:       corev1.PodSpec{NodeSelector: map[string]string{"no": "where"}, Containers: []corev1.Container{{Name: "kured", Image: "kured", Args: []string{"--concurrency=2"}}}},
		}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

func (f *fleet) has(t *testing.T, namespace, object string, want bool) {
	t.Helper()
	if out := f.kubectl(t, "get", "-n", namespace, object, "--ignore-not-found", "-o", "name"); (out != "") != want {
		t.Errorf("%s is there: %t", object, !want)
	}
}

// orphan leaves a slot whose holder is gone, and which doesn't go with it.
func (f *fleet) orphan(t *testing.T, m *machine) {
	t.Helper()
	a := attacks{t: t, f: f, ns: m.namespace}
	l := a.lease("rebootd-"+m.name+"-0", m, m)
	l.OwnerReferences = nil
	_, err := f.client.CoordinationV1().Leases(m.namespace).Create(t.Context(), l, metav1.CreateOptions{})
	a.must(err)
	m.deleteNode()
	until(t, m.name+" is gone", func() bool {
		_, err := f.client.CoreV1().Nodes().Get(t.Context(), m.name, metav1.GetOptions{})
		time.Sleep(50 * time.Millisecond)
		return apierrors.IsNotFound(err)
	})
}
