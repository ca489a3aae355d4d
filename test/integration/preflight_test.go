package integration

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/rest"

	"github.com/rebootd/rebootd/pkg/agent"
	"github.com/rebootd/rebootd/pkg/kube"
	"github.com/rebootd/rebootd/pkg/node/drain"
	"github.com/rebootd/rebootd/pkg/plan"
)

// preflightOf asks what would be refused, and returns it with the number of requests.
func (d *drainTest) preflightOf(node string) ([]drain.Obstacle, int) {
	d.Helper()
	config := rest.CopyConfig(d.config)
	w := &wire{}
	config.Wrap(func(rt http.RoundTripper) http.RoundTripper {
		w.next = rt
		return w
	})
	client, err := kube.New(config)
	d.must(err)
	log := logrus.New()
	log.SetOutput(io.Discard)
	found, err := drain.New(agent.DrainClient(client), drain.Options{NodeName: node, GracePeriodSeconds: -1}, log).Preflight(d.Context())
	d.must(err)
	return found, w.requests("")
}

// guard makes a budget and waits until it counts.
func (d *drainTest) guard(name string, spec policyv1.PodDisruptionBudgetSpec, pods int32) {
	d.Helper()
	if spec.Selector == nil {
		spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
	}
	pdbs := d.client.PolicyV1().PodDisruptionBudgets(d.ns)
	_, err := pdbs.Create(d.Context(), &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}, metav1.CreateOptions{})
	d.must(err)
	d.until("the budget counts its pods", func() bool {
		b, err := pdbs.Get(d.Context(), name, metav1.GetOptions{})
		return err == nil && b.Status.ObservedGeneration == b.Generation && b.Status.ExpectedPods == pods
	})
}

// preflight: one budget that allows nothing is named with its pod, nothing is evicted, and what it can't hold costs no dry run.
func preflight(d *drainTest) {
	for i := range 3 {
		d.pod("fake-0", fmt.Sprintf("web-%d", i))
	}
	d.pod("fake-0", "free", func(p *corev1.Pod) { p.Labels = map[string]string{"app": "other"} })
	if found, n := d.preflightOf("fake-0"); len(found) > 0 || n > 8 {
		d.Errorf("without a budget: %v, %d requests", found, n)
	}
	d.budget("all", 3)
	found, n := d.preflightOf("fake-0")
	if len(found) != 3 || n > 11 {
		d.Fatalf("%v, %d requests", found, n)
	}
	for i, o := range found {
		if o.Reason != drain.PDB || o.Pod != fmt.Sprintf("web-%d", i) || len(o.PDBs) != 1 || o.PDBs[0] != "all" ||
			!strings.Contains(o.Message, "wants all of its 3 pods healthy") {
			d.Errorf("%+v", o)
		}
	}
	if p := d.get("web-0"); p.DeletionTimestamp != nil {
		d.Error("a dry run has evicted it")
	}
	two := intstr.FromInt32(2)
	d.must(d.client.PolicyV1().PodDisruptionBudgets(d.ns).Delete(d.Context(), "all", metav1.DeleteOptions{}))
	d.guard("one", policyv1.PodDisruptionBudgetSpec{MinAvailable: &two}, 3)
	d.until("a budget that allows one holds nobody", func() bool { found, _ := d.preflightOf("fake-0"); return len(found) == 0 })
}

// preflightTwo: a pod of two budgets can never be evicted, whatever they allow.
func preflightTwo(d *drainTest) {
	d.pod("fake-0", "web")
	for _, name := range []string{"b", "a"} {
		none := intstr.FromInt32(0)
		d.guard(name, policyv1.PodDisruptionBudgetSpec{MinAvailable: &none}, 1)
	}
	found, _ := d.preflightOf("fake-0")
	if len(found) != 1 || found[0].Reason != drain.PDB || strings.Join(found[0].PDBs, ",") != "a,b" || !strings.Contains(found[0].Message, "change their selectors") {
		d.Errorf("%+v", found)
	}
}

// preflightUnhealthy: pods that run but aren't Ready are held by a budget that isn't fulfilled, unless it says AlwaysAllow. On the node
// "silent" nobody but the test says how they are.
func preflightUnhealthy(d *drainTest) {
	labels := map[string]string{"app": "web"}
	two := int32(2)
	_, err := d.client.AppsV1().ReplicaSets(d.ns).Create(d.Context(), &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: appsv1.ReplicaSetSpec{Replicas: &two, Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: labels},
			Spec:       corev1.PodSpec{NodeName: "silent", Containers: []corev1.Container{{Name: "c", Image: "none"}}},
		}},
	}, metav1.CreateOptions{})
	d.must(err)
	defer func() { d.must(d.client.AppsV1().ReplicaSets(d.ns).Delete(d.Context(), "web", metav1.DeleteOptions{})) }()
	pods := d.client.CoreV1().Pods(d.ns)
	d.until("both run, not Ready", func() bool {
		list, err := pods.List(d.Context(), metav1.ListOptions{})
		if err != nil || len(list.Items) != 2 {
			return false
		}
		for i := range list.Items {
			p := &list.Items[i]
			p.Status.Phase = corev1.PodRunning
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse}}
			if _, err := pods.UpdateStatus(d.Context(), p, metav1.UpdateOptions{}); err != nil {
				return false
			}
		}
		return true
	})
	half := intstr.FromInt32(1)
	d.guard("web", policyv1.PodDisruptionBudgetSpec{MinAvailable: &half}, 2)
	found, _ := d.preflightOf("silent")
	if len(found) != 2 || !strings.Contains(found[0].String(), "PDB web") || !strings.Contains(found[0].String(), "unhealthyPodEvictionPolicy: AlwaysAllow") {
		d.Errorf("%v", found)
	}
	d.must(d.client.PolicyV1().PodDisruptionBudgets(d.ns).Delete(d.Context(), "web", metav1.DeleteOptions{}))
	always := policyv1.AlwaysAllow
	d.guard("lenient", policyv1.PodDisruptionBudgetSpec{MinAvailable: &half, UnhealthyPodEvictionPolicy: &always}, 2)
	if found, _ := d.preflightOf("silent"); len(found) > 0 {
		d.Errorf("though AlwaysAllow: %v", found)
	}
}

// preflightMany: of a full node under one closed budget no more is asked than twenty dry runs.
func preflightMany(d *drainTest) {
	for i := range 60 {
		d.pod("fake-0", fmt.Sprintf("web-%d", i))
	}
	d.budget("all", 60)
	if found, n := d.preflightOf("fake-0"); len(found) != 20 || n > 28 {
		d.Errorf("%d obstacles, %d requests", len(found), n)
	}
}

// The agent says before the cordon what would stand in its way, and goes on; or holds, if it is told to, and lets others go.
func TestPDBPreflight(t *testing.T) {
	t.Parallel()
	f := shared(t)
	ns := f.namespace(t)
	m, next := f.machine(t, ns, "held"), f.machine(t, ns, "other")
	pod, free := m.stuck()
	m.require()
	p := m.power(func() *process {
		return m.agent("--pdb-preflight=hold", "--back-off=10s", "--back-off-max=10s")
	})
	m.says(plan.BackingOff, ns+"/"+pod, "PDB web-held-budget", "never lets one go")
	next.require()
	next.power(func() *process { return next.agent() })
	next.back(1)
	if m.cordoned() || strings.Contains(p.agent().log(), "Cordoned") || !m.hasPod(pod) {
		t.Errorf("it has been cordoned:\n%s", p.agent().log())
	}
	p.agent().logs("reason=BlockedByPDB")
	free()
	m.back(1)
}

func TestPDBPreflightExplains(t *testing.T) {
	t.Parallel()
	f := shared(t)
	m := f.machine(t, f.namespace(t), "explained")
	pod, free := m.stuck()
	m.require()
	p := m.power(func() *process { return m.agent() })
	p.agent().logs("Cordoned; evicting the pods. PodDisruptionBudgets would refuse evictions now: " + m.namespace + "/" + pod + " (PDB web-explained-budget)")
	m.says(plan.BlockedByPDB)
	free()
	m.back(1)
}

// A kubelet that comes back newer than the API server serves, but keeps the others from following it.
func TestVersionSkewStopsTheRoll(t *testing.T) {
	t.Parallel()
	f := shared(t)
	ns := f.namespace(t)
	m, next := f.machine(t, ns, "newer"), f.machine(t, ns, "waits")
	m.file("kubelet-version", "v1.99.0-vendor.1") // which it reports only after the reboot
	m.require()
	m.power(func() *process { return m.agent() })
	m.says(plan.BlockedByVersionSkew, "The kubelet is v1.99.0-vendor.1, newer than the API server, which is "+f.version)
	if m.cordoned() || m.phase() != plan.Settle {
		t.Errorf("record %+v", m.record())
	}
	next.require()
	next.power(func() *process { return next.agent() })
	next.says(plan.WaitingForSlot)
	m.file("kubelet-version", f.version)
	m.kubelet(true)
	m.back(1)
	next.back(1)

	m.file("kubelet-version", "v1.2.3")
	m.kubelet(true)
	m.require()
	m.says(plan.BackingOff, "more than 3 minor versions older")
	if m.cordoned() {
		t.Error("cordoned, though its kubelet is too old")
	}
}
