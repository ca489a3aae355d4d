package integration

import (
	"os"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/rebootd/rebootd/pkg/plan"
)

// user is somebody who may do all that an agent has to do, but nothing with Leases and ConfigMaps; grant gives such rights.
func (f *fleet) user(t *testing.T, namespace string) (g *gateway, grant func(resource string, verbs ...string)) {
	t.Helper()
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	api := f.client.RbacV1()
	who := []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: namespace}}
	meta := metav1.ObjectMeta{Name: namespace}
	must(api.ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"nodes", "nodes/status", "pods", "pods/eviction", "events"}, Verbs: []string{"*"}},
		{APIGroups: []string{"apps"}, Resources: []string{"daemonsets"}, Verbs: []string{"get", "list", "watch"}},
	}}, metav1.CreateOptions{}))
	must(api.ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: meta, Subjects: who, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: namespace},
	}, metav1.CreateOptions{}))
	grant = func(resource string, verbs ...string) {
		t.Helper()
		role := metav1.ObjectMeta{GenerateName: "grant-"}
		r, err := api.Roles(namespace).Create(t.Context(), &rbacv1.Role{ObjectMeta: role, Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{"", "coordination.k8s.io"}, Resources: []string{resource}, Verbs: verbs},
		}}, metav1.CreateOptions{})
		must(r, err)
		must(api.RoleBindings(namespace).Create(t.Context(), &rbacv1.RoleBinding{
			ObjectMeta: role, Subjects: who, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: r.Name},
		}, metav1.CreateOptions{}))
	}
	config, err := f.ClientCert(namespace)
	must(config, err)
	return f.gateway(t, config), grant
}

func TestNoRights(t *testing.T) {
	t.Parallel()
	f := shared(t)
	all := []string{"get", "list", "watch", "create", "patch", "delete"}
	for name, tt := range map[string]struct {
		leases, configMaps []string
		says               []string
	}{
		"to list Leases":      {nil, all, []string{"list Leases in namespace", "forbidden"}},
		"to create Leases":    {[]string{"get", "list", "watch"}, all, []string{"create Leases in namespace", "forbidden"}},
		"to watch ConfigMaps": {all, nil, []string{"list ConfigMap", "rebootd-circuit", "forbidden"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := f.namespace(t)
			m := f.machine(t, ns, "norights")
			g, grant := f.user(t, ns)
			if tt.leases != nil {
				grant("leases", tt.leases...)
			}
			if tt.configMaps != nil {
				grant("configmaps", tt.configMaps...)
			}
			m.require()
			putRight := untouched(t, m)
			p := m.power(func() *process { return m.agent(g.flag()) })
			m.says(plan.GateError, append(tt.says, ns)...)
			p.agent().logs("reason=GateError")
			putRight()
			grant("leases", all...)
			grant("configmaps", all...)
			m.back(1)
		})
	}
}

// The rights that the manifests give are enough for all there is to do, none of them is more than that needs, and the admission plugin that guards
// ownerReferences doesn't mind the slots'.
func TestManifestsRightsAreEnough(t *testing.T) {
	t.Parallel()
	f := shared(t)
	const ns = "rebootd"
	f.kubectl(t, "create", "namespace", ns)
	f.kubectl(t, "apply", "-f", "../../manifests/base/rbac.yaml")
	config, err := f.ClientCert("system:serviceaccount:rebootd:rebootd", "system:serviceaccounts", "system:serviceaccounts:rebootd", "system:authenticated")
	if err != nil {
		t.Fatal(err)
	}
	m, next := f.machine(t, ns, "rights"), f.machine(t, ns, "heir")
	before := f.fails(t, ns, config)
	o := observe(t, 1, m, next)
	m.app("web")
	m.daemon("daemon")
	kept, _ := m.attach()
	m.daemonWithVolume("keeper", kept)
	_, detach := m.attach()
	pod, free := m.stuck()
	busy := m.daemon("busy")
	f.kubectl(t, "annotate", "pod", "-n", ns, busy, "rebootd.io/hold=x")
	f.kubectl(t, "create", "configmap", "-n", ns, "rebootd-control", "--from-literal=paused=true")
	onlyReadsThePause(t, f, ns)
	var plugs []*plug
	gateways := []*gateway{before}
	for _, each := range []*machine{m, next} {
		g := f.gateway(t, config)
		gateways = append(gateways, g)
		each.require()
		plugs = append(plugs, each.power(func() *process { return each.agent(g.flag()) }))
		if each == m {
			m.says(plan.Paused)
			f.kubectl(t, "delete", "configmap", "-n", ns, "rebootd-control")
			m.says(plan.BlockedByPod, busy)
			// Once more the same, which is no new Event but one that is counted.
			f.kubectl(t, "create", "configmap", "-n", ns, "rebootd-control", "--from-literal=paused=true")
			m.says(plan.Paused)
			f.kubectl(t, "delete", "configmap", "-n", ns, "rebootd-control")
			m.says(plan.BlockedByPod, busy)
			f.kubectl(t, "annotate", "pod", "-n", ns, busy, "rebootd.io/hold-")
		}
		each.says(map[bool]plan.Reason{true: plan.BlockedByPDB, false: plan.WaitingForSlot}[each == m])
	}
	m.says(plan.BlockedByPDB, pod)
	m.event(plan.BlockedByPDB, pod)
	free()
	plugs[0].agent().logs("Still attached: pv-")
	detach()
	for i, each := range []*machine{m, next} {
		each.back(1)
		each.event(plan.RebootSucceeded)
		if log := plugs[i].agent().log(); strings.Contains(log, "forbidden") {
			t.Errorf("something is forbidden:\n%s", log)
		}
	}
	if most, _ := o.seen(); most != 1 {
		t.Errorf("%d were out at once", most)
	}
	var calls []call
	for _, g := range gateways {
		calls = append(calls, g.passed()...)
	}
	roles, err := os.ReadFile("../../manifests/base/rbac.yaml")
	if err != nil {
		t.Fatal(err)
	}
	allUsed(t, string(roles), calls)
}

// fails has a node that is counted as failed, and comes back later.
func (f *fleet) fails(t *testing.T, namespace string, as *rest.Config) *gateway {
	t.Helper()
	m := f.machine(t, namespace, "fails")
	g := f.gateway(t, as)
	m.require()
	a := m.agent(g.flag(), "--reboot-timeout=1s")
	until(t, "the failure is counted", func() bool {
		_, err := f.client.CoreV1().ConfigMaps(namespace).Get(t.Context(), "rebootd-circuit", metav1.GetOptions{})
		time.Sleep(50 * time.Millisecond)
		return err == nil
	})
	m.reboot(a)
	b := m.agent(g.flag())
	m.eventually("is back", func(n *corev1.Node) bool { return !n.Spec.Unschedulable && m.phase() == plan.Idle })
	until(t, m.name+": slot freed", func() bool { return !m.holds() })
	b.stop()
	return g
}

// onlyReadsThePause checks that an agent can see the ConfigMap that people pause with, can't change it, and sees no other.
func onlyReadsThePause(t *testing.T, f *fleet, ns string) {
	t.Helper()
	for _, tt := range []struct {
		verb, name string
		may        bool
	}{
		{"list", "rebootd-control", true}, {"watch", "rebootd-control", true},
		{"update", "rebootd-control", false}, {"patch", "rebootd-control", false}, {"delete", "rebootd-control", false},
		{"list", "", false}, {"get", "other", false},
	} {
		answer, err := f.client.AuthorizationV1().SubjectAccessReviews().Create(t.Context(), &authorizationv1.SubjectAccessReview{
			Spec: authorizationv1.SubjectAccessReviewSpec{User: "system:serviceaccount:rebootd:rebootd", ResourceAttributes: &authorizationv1.ResourceAttributes{
				Namespace: ns, Verb: tt.verb, Resource: "configmaps", Name: tt.name,
			}},
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if answer.Status.Allowed != tt.may {
			t.Errorf("may an agent %s ConfigMap %q: %v", tt.verb, tt.name, answer.Status.Allowed)
		}
	}
}

// What the manifests for --on-drain-timeout=delete give beyond the others' rights is needed, and enough.
func TestDeletePodsRights(t *testing.T) {
	t.Parallel()
	f := shared(t)
	ns := f.namespace(t)
	m := f.machine(t, ns, "deletes")
	pod, _ := m.stuck()
	g := f.limited(t, ns, "../../manifests/delete-pods")
	m.require()
	p := m.power(func() *process {
		return m.agent(g.flag(), "--on-drain-timeout=delete", "--drain-timeout=3s", "--ds-namespace="+ns)
	})
	m.back(1)
	if m.hasPod(pod) {
		t.Errorf("pod %s was never deleted", pod)
	}
	if log := p.agent().log(); strings.Contains(log, "forbidden") {
		t.Errorf("something is forbidden:\n%s", log)
	}
	f.usedBeyondBase(t, ns, "delete-pods", g.passed())
}

// usedBeyondBase fails the test for each right of these manifests that those of the base lack, and that none of the calls needed.
func (f *fleet) usedBeyondBase(t *testing.T, namespace, manifests string, calls []call) {
	t.Helper()
	base, all := rightsIn(t, f.kubectl(t, "kustomize", "../../manifests/base")), rightsIn(t, f.kubectl(t, "kustomize", "../../manifests/"+manifests))
	usedBeyond(t, in(namespace, base), in(namespace, all), calls)
}
