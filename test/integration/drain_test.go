package integration

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/rebootd/rebootd/pkg/node/drain"
	"github.com/rebootd/rebootd/test/cluster/lab"
)

// TestDrain drains nodes of a real control plane. Pods end at once on the nodes that kwok simulates; on the
// node "silent", which has no kubelet at all, they stay until the test removes them.
func TestDrain(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a control plane")
	}
	c, err := lab.Start(t.Context(), lab.Options{Tier: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err := c.AddFakeNodes(t.Context(), 2, nil); err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(fast(c.Config()))
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "silent"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []struct {
		name string
		run  func(*drainTest)
	}{
		{"110 pods", manyPods},
		{"disruption budget", budget},
		{"two disruption budgets", twoBudgets},
		{"past the disruption budgets", pastBudgets},
		{"preflight", preflight},
		{"preflight of two budgets", preflightTwo},
		{"preflight of unhealthy pods", preflightUnhealthy},
		{"preflight of a full node", preflightMany},
		{"slow pods", slowPods},
		{"in two rounds", twoRounds},
		{"replaced pod", replacedPod},
		{"replaced pod on another node", replacedElsewhere},
		{"terminating namespace", terminatingNamespace},
		{"permissions", permissions},
		{"API server restart", serverRestart},
	} {
		t.Run(part.name, func(t *testing.T) {
			ns, err := client.CoreV1().Namespaces().Create(t.Context(),
				&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "drain-"}}, metav1.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			d := &drainTest{T: t, lab: c, client: client, ns: ns.Name, wire: &wire{}, config: fast(c.Config())}
			defer d.clear()
			part.run(d)
		})
	}
}

// manyPods: a full node is empty in seconds, for about one request a pod; its DaemonSet pod stays.
func manyPods(d *drainTest) {
	labels := map[string]string{"app": "proxy"}
	_, err := d.client.AppsV1().DaemonSets(d.ns).Create(d.Context(), &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Name: "proxy"},
		Spec: appsv1.DaemonSetSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: labels},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "none"}}},
		}},
	}, metav1.CreateOptions{})
	d.must(err)
	defer func() {
		d.must(d.client.AppsV1().DaemonSets(d.ns).Delete(d.Context(), "proxy", metav1.DeleteOptions{}))
	}()
	onNode := metav1.ListOptions{FieldSelector: "spec.nodeName=fake-0"}
	for i := range 110 {
		d.pod("fake-0", fmt.Sprintf("web-%d", i))
	}
	d.until("the DaemonSet's pod runs", func() bool {
		list, err := d.client.CoreV1().Pods(d.ns).List(d.Context(), onNode)
		return err == nil && len(list.Items) == 111
	})
	start := time.Now()
	r := d.drain("fake-0", drain.Evict)
	r.done(time.Minute)
	list, err := d.client.CoreV1().Pods(d.ns).List(d.Context(), onNode)
	d.must(err)
	if len(list.Items) != 1 || list.Items[0].DeletionTimestamp != nil {
		d.Errorf("left on the node: %d pods, want the DaemonSet's alone", len(list.Items))
	}
	all := d.wire.requests("")
	d.Logf("110 pods in %v with %d requests", time.Since(start).Round(time.Millisecond), all)
	if all > 110+1+20 || d.wire.requests("/eviction") != 110 {
		d.Errorf("%d requests, %d of them evictions", all, d.wire.requests("/eviction"))
	}
	if p := r.progress(); p.Total != 110 || p.Evicted != 110 || p.Gone != 110 || len(p.Obstacles) != 0 {
		d.Errorf("last report: %+v", p)
	}
}

// budget: a drain that a PodDisruptionBudget blocks names it, asks every 5 s, and goes on when it may.
func budget(d *drainTest) {
	for i := range 3 {
		d.pod("fake-0", fmt.Sprintf("web-%d", i))
	}
	d.budget("web-pdb", 3)
	r := d.drain("fake-0", drain.Evict)
	blocked := func(p drain.Progress) bool {
		return p.Blocked == 3 && !slices.ContainsFunc(p.Obstacles, func(o drain.Obstacle) bool {
			return o.Reason != drain.PDB || !slices.Equal(o.PDBs, []string{"web-pdb"})
		})
	}
	r.until("blocked", blocked)
	time.Sleep(6 * time.Second)
	if n := d.wire.requests("/eviction"); n != 6 {
		d.Errorf("%d evictions of 3 pods in 6 s, want 6", n)
	}
	if err := r.cancel(); !strings.Contains(err.Error(), d.ns+"/web-0 (PDB web-pdb): The disruption budget web-pdb needs 3 healthy pods") {
		d.Errorf("got %v", err)
	}
	r = d.drain("fake-0", drain.Evict)
	r.until("blocked", blocked)
	d.must(d.client.PolicyV1().PodDisruptionBudgets(d.ns).Delete(d.Context(), "web-pdb", metav1.DeleteOptions{}))
	r.done(10 * time.Second)
}

// twoBudgets: with two budgets over one pod the API server refuses for good, and says so by a 500.
func twoBudgets(d *drainTest) {
	d.pod("fake-0", "web")
	d.budget("a", 1)
	d.budget("b", 1)
	r := d.drain("fake-0", drain.Evict)
	r.until("blocked", func(p drain.Progress) bool { return p.Blocked == 1 })
	if err := r.cancel(); err.Obstacles[0].Reason != drain.Failed || !strings.Contains(err.Error(), "more than one PodDisruptionBudget") {
		d.Errorf("got %v", err)
	}
}

// pastBudgets: a deletion asks no budget, and is of this very pod.
func pastBudgets(d *drainTest) {
	d.pod("fake-0", "web")
	d.pod("silent", "elsewhere")
	d.budget("a", 1)
	r := d.drain("fake-0", drain.Evict)
	r.until("blocked", func(p drain.Progress) bool { return p.Blocked == 1 })
	_ = r.cancel()
	r = d.drain("fake-0", drain.Delete)
	r.done(30 * time.Second)
	if n := d.wire.requests("DELETE"); n != 1 {
		d.Errorf("%d deletions, want one", n)
	}
	if pod := d.get("elsewhere"); pod == nil || pod.DeletionTimestamp != nil {
		d.Error("a pod of another node went too")
	}
}

// slowPods: waiting costs nothing, whoever waits is told for what, and the end is seen at once.
func slowPods(d *drainTest) {
	d.pod("silent", "a")
	d.pod("silent", "b")
	r := d.drain("silent", drain.Evict)
	r.until("evicted", func(p drain.Progress) bool { return p.Evicted == 2 })
	before := d.wire.requests("")
	time.Sleep(5 * time.Second)
	if n := d.wire.requests("") - before; n > 0 {
		d.Errorf("%d requests while nothing happened", n)
	}
	d.kill("a")
	r.until("one is gone", func(p drain.Progress) bool { return p.Gone == 1 })
	err := r.cancel()
	if len(err.Obstacles) != 1 || err.Obstacles[0].Reason != drain.Terminating || !strings.Contains(err.Error(), d.ns+"/b: still terminating, due to end by 2") {
		d.Errorf("got %v", err)
	}
	r = d.drain("silent", drain.Evict)
	r.until("seen", func(p drain.Progress) bool { return p.Total == 1 })
	d.kill("b")
	r.done(2 * time.Second)
}

// replacedPod: a pod of the same name that comes to the cordoned node by its toleration isn't waited for.
// Whichever way the pods go, the storage's go when the others are gone.
func twoRounds(d *drainTest) {
	for _, way := range []drain.Way{drain.Evict, drain.Delete} {
		web := d.pod("silent", fmt.Sprintf("web-%d", way))
		disk := d.pod("silent", fmt.Sprintf("disk-%d", way), func(p *corev1.Pod) { p.Labels = map[string]string{"role": "storage"} })
		r := d.drain("silent", way, func(o *drain.Options) { o.LastSelector = "role=storage" })
		r.until("the first round", func(p drain.Progress) bool { return p.Evicted == 1 && p.Round == 1 && p.Last == 1 })
		time.Sleep(time.Second)
		if d.get(web.Name).DeletionTimestamp == nil || d.get(disk.Name).DeletionTimestamp != nil {
			d.Errorf("in the first round web-%d stays or disk-%d goes", way, way)
		}
		d.kill(web.Name)
		r.until("the second round", func(p drain.Progress) bool { return p.Evicted == 2 && p.Round == 2 })
		d.kill(disk.Name)
		r.done(10 * time.Second)
	}
}

func replacedPod(d *drainTest) {
	tolerant := func(p *corev1.Pod) { p.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}} }
	d.pod("silent", "db-0", tolerant)
	d.pod("silent", "other")
	r := d.drain("silent", drain.Evict)
	r.until("evicted", func(p drain.Progress) bool { return p.Evicted == 2 })
	d.kill("db-0")
	second := d.pod("silent", "db-0", tolerant)
	d.kill("other")
	r.done(10 * time.Second)
	if p := d.get("db-0"); p.UID != second.UID || p.DeletionTimestamp != nil {
		d.Error("the second pod was evicted")
	}
}

// replacedElsewhere: an eviction that arrives late doesn't hit the pod's successor on another node.
func replacedElsewhere(d *drainTest) {
	d.pod("silent", "db-0")
	var second *corev1.Pod
	d.wire.before = func(r *http.Request) *http.Request {
		d.kill("db-0")
		second = d.pod("fake-1", "db-0")
		// The drain sees that the first is gone, is content and breaks the eviction off; but it's under way.
		return r.WithContext(d.Context())
	}
	r := d.drain("silent", drain.Evict)
	r.done(30 * time.Second)
	if d.wire.requests("/eviction 409") != 1 {
		d.Errorf("requests: %v", d.wire.seen)
	}
	if p := d.get("db-0"); p.UID != second.UID || p.DeletionTimestamp != nil {
		d.Error("a pod on another node was evicted")
	}
}

// terminatingNamespace: evictions are refused there, but the pods go all the same.
func terminatingNamespace(d *drainTest) {
	d.pod("silent", "web")
	d.wire.before = func(r *http.Request) *http.Request {
		_ = d.client.CoreV1().Namespaces().Delete(d.Context(), d.ns, metav1.DeleteOptions{})
		return r
	}
	r := d.drain("silent", drain.Evict)
	r.until("terminating", func(p drain.Progress) bool {
		return len(p.Obstacles) == 1 && p.Obstacles[0].Reason == drain.Terminating && p.Blocked == 0
	})
	d.until("the namespace's pods are being deleted", func() bool { return d.get("web").DeletionTimestamp != nil })
	d.kill("web")
	r.done(10 * time.Second)
	if refused := d.wire.requests("/eviction 403"); refused == 0 || refused != d.wire.requests("/eviction") {
		d.Errorf("requests: %v", d.wire.seen)
	}
}

// permissions: the package's comment lists them all, and one that lacks is named.
func permissions(d *drainTest) {
	config, err := d.lab.ClientCert("drainer")
	d.must(err)
	d.config = fast(config)
	rules := []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"list", "watch"}},
		{APIGroups: []string{"apps"}, Resources: []string{"daemonsets"}, Verbs: []string{"get"}},
	}
	roles := d.client.RbacV1().ClusterRoles()
	role, err := roles.Create(d.Context(), &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "drainer"}, Rules: rules}, metav1.CreateOptions{})
	d.must(err)
	_, err = d.client.RbacV1().ClusterRoleBindings().Create(d.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "drainer"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "drainer"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "drainer"}},
	}, metav1.CreateOptions{})
	d.must(err)
	d.pod("fake-0", "web")
	r := d.drain("fake-0", drain.Evict)
	// Until the role is seen, the list is forbidden.
	r.until("blocked", func(p drain.Progress) bool { return p.Blocked == 1 && p.Obstacles[0].Pod == "web" })
	if err := r.cancel(); err.Obstacles[0].Reason != drain.Forbidden || !strings.Contains(err.Error(), `cannot create resource "pods/eviction"`) {
		d.Errorf("got %v", err)
	}
	role.Rules = append(role.Rules, rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods/eviction"}, Verbs: []string{"create"}})
	_, err = roles.Update(d.Context(), role, metav1.UpdateOptions{})
	d.must(err)
	time.Sleep(time.Second) // for the authorizer to see it
	d.drain("fake-0", drain.Evict).done(10 * time.Second)
}

// serverRestart: the drain survives an outage, and hears of it what has changed meanwhile.
func serverRestart(d *drainTest) {
	d.pod("silent", "web")
	r := d.drain("silent", drain.Evict)
	r.until("evicted", func(p drain.Progress) bool { return p.Evicted == 1 })
	d.lab.StopAPIServer()
	r.until("told", func(p drain.Progress) bool {
		return slices.ContainsFunc(p.Obstacles, func(o drain.Obstacle) bool { return o.Pod == "" && o.Reason == drain.Failed })
	})
	d.must(d.lab.StartAPIServer(d.Context()))
	d.until("the pod is removed", func() bool {
		now := int64(0)
		err := d.client.CoreV1().Pods(d.ns).Delete(d.Context(), "web", metav1.DeleteOptions{GracePeriodSeconds: &now})
		return err == nil || apierrors.IsNotFound(err)
	})
	r.done(15 * time.Second)
}
