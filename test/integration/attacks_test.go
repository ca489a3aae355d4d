package integration

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// attempt is one request, and who is to refuse it: "" if it is to pass.
type attempt struct {
	what, refusedBy string
	do              func() error
}

const (
	byPolicy = "ValidatingAdmissionPolicy"
	byRights = "cannot " // RBAC's words: User "…" cannot update resource …
	// byAny: in these tests the API server also has a plugin for it, which is asked first.
	byAny = "forbidden"
)

// What a stolen agent's token can't do, and what an agent must be able to.
func TestPolicyRefusesAttacks(t *testing.T) {
	t.Parallel()
	f := shared(t)
	ns := f.namespace(t)
	mine, other := f.machine(t, ns, "stolen"), f.machine(t, ns, "victim")
	f.installed(t, ns, "--set=configuration.onDrainTimeout=delete")
	pods := map[*machine]string{mine: mine.app("app-mine"), other: other.app("app-other")}
	mine.patch(map[string]any{
		"metadata": map[string]any{"annotations": map[string]any{"rebootd.io/hold": "by an admin", "rebootd.io/priority": "5"}, "labels": map[string]any{"pool": "a"}},
		"spec":     map[string]any{"taints": []corev1.Taint{{Key: "dedicated", Value: "x", Effect: corev1.TaintEffectNoSchedule}}},
	})
	as := clientOf(t, f.token(t, ns, mine.agentPod()))
	f.confined(t, as)
	a := attacks{
		t: t, f: f, ns: ns, mine: mine, other: other, as: as,
		othersAgent: clientOf(t, f.token(t, ns, other.agentPod())), unbound: clientOf(t, f.token(t, ns, nil)),
		pods: pods,
	}
	a.prepare()
	var table strings.Builder
	for _, try := range slices.Concat(a.allowed(), a.onNodes(), a.onLeases(), a.onRest()) {
		err := try.do()
		result := "passes"
		switch {
		case err == nil && try.refusedBy != "":
			t.Errorf("%s: passes", try.what)
		case err != nil && (try.refusedBy == "" || !strings.Contains(err.Error(), try.refusedBy)):
			t.Errorf("%s: %v", try.what, err)
		}
		if err != nil {
			_, text, _ := strings.Cut(err.Error(), " denied request: ")
			if text == "" {
				text = "no such right"
			}
			result = "refused: " + text
		}
		fmt.Fprintf(&table, "  %-62s %s\n", try.what, result)
	}
	t.Logf("the agent of one node tries:\n%s", table.String())
}

type attacks struct {
	t                        *testing.T
	f                        *fleet
	ns                       string
	mine, other              *machine
	as, othersAgent, unbound kubernetes.Interface
	pods                     map[*machine]string
}

func (a *attacks) prepare() {
	a.t.Helper()
	admin := a.f.client
	for _, m := range []metav1.ObjectMeta{{Name: "rebootd-control"}, {Name: "somebodys"}} {
		_, err := admin.CoreV1().ConfigMaps(a.ns).Create(a.t.Context(), &corev1.ConfigMap{ObjectMeta: m}, metav1.CreateOptions{})
		a.must(err)
	}
	_, err := a.othersAgent.CoordinationV1().Leases(a.ns).Create(a.t.Context(), a.lease("rebootd-attack-1", a.other, a.other), metav1.CreateOptions{})
	a.must(err)
	_, err = admin.CoordinationV1().Leases(a.ns).Create(a.t.Context(), &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "elected"}}, metav1.CreateOptions{})
	a.must(err)
}

func (a *attacks) must(err error) {
	a.t.Helper()
	if err != nil {
		a.t.Fatal(err)
	}
}

// lease is a slot that says it is this machine's, and is owned by that one's Node.
func (a *attacks) lease(name string, holder, owner *machine) *coordinationv1.Lease {
	return &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"rebootd.io/lock-group": "attack"}, OwnerReferences: []metav1.OwnerReference{
			{APIVersion: "v1", Kind: "Node", Name: owner.name, UID: owner.node().UID},
		}},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder.name},
	}
}

func (a *attacks) node(as kubernetes.Interface, m *machine, patch string, subresources ...string) func() error {
	return func() error {
		_, err := as.CoreV1().Nodes().Patch(a.t.Context(), m.name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}, subresources...)
		return err
	}
}

// taint adds a taint to those that there are, as agents do: on the version that was read, for the control plane has taints of its own
// to put on and take off.
func (a *attacks) taint(effect corev1.TaintEffect) func() error {
	return func() error { return a.addTaint(effect) }
}

func (a *attacks) addTaint(effect corev1.TaintEffect) error {
	var err error
	for range 20 {
		var n *corev1.Node
		if n, err = a.as.CoreV1().Nodes().Get(a.t.Context(), a.mine.name, metav1.GetOptions{}); err != nil {
			return err
		}
		taints := append(slices.Clone(n.Spec.Taints), corev1.Taint{Key: "rebootd.io/reboot-required", Effect: effect})
		patch, _ := json.Marshal(map[string]any{
			"metadata": map[string]any{"resourceVersion": n.ResourceVersion}, "spec": map[string]any{"taints": taints},
		})
		if err = a.node(a.as, a.mine, string(patch))(); err == nil || !apierrors.IsConflict(err) {
			return err
		}
	}
	return err
}

func (a *attacks) take(as kubernetes.Interface, l *coordinationv1.Lease) func() error {
	return func() error {
		_, err := as.CoordinationV1().Leases(a.ns).Create(a.t.Context(), l, metav1.CreateOptions{})
		return err
	}
}

func (a *attacks) change(lease, patch string) func() error {
	return func() error {
		_, err := a.as.CoordinationV1().Leases(a.ns).Patch(a.t.Context(), lease, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
		return err
	}
}

func (a *attacks) free(lease string) func() error {
	return func() error {
		return a.as.CoordinationV1().Leases(a.ns).Delete(a.t.Context(), lease, metav1.DeleteOptions{})
	}
}

func (a *attacks) configMap(name string, update bool) func() error {
	return func() error {
		m, api := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, a.as.CoreV1().ConfigMaps(a.ns)
		if update {
			_, err := api.Update(a.t.Context(), m, metav1.UpdateOptions{})
			return err
		}
		_, err := api.Create(a.t.Context(), m, metav1.CreateOptions{})
		return err
	}
}

func (a *attacks) evict(as kubernetes.Interface, pod string) func() error {
	return func() error {
		return as.CoreV1().Pods(a.ns).EvictV1(a.t.Context(), &policyv1.Eviction{
			ObjectMeta: metav1.ObjectMeta{Name: pod, Namespace: a.ns}, DeleteOptions: &metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}},
		})
	}
}

func (a *attacks) deletePod(pod string) func() error {
	return func() error {
		return a.as.CoreV1().Pods(a.ns).Delete(a.t.Context(), pod, metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}})
	}
}

func (a *attacks) event(m *machine) func() error {
	return func() error {
		e := &corev1.Event{
			ObjectMeta:     metav1.ObjectMeta{GenerateName: "attack-", Namespace: "default"},
			InvolvedObject: corev1.ObjectReference{Kind: "Node", APIVersion: "v1", Name: m.name, UID: m.node().UID},
		}
		_, err := a.as.CoreV1().Events("default").Create(a.t.Context(), e, metav1.CreateOptions{})
		return err
	}
}

// allowed is what agents do.
func (a *attacks) allowed() []attempt {
	passes := func(what string, do func() error) attempt { return attempt{what, "", do} }
	return []attempt{
		passes("cordon its own node, with its record", a.node(a.as, a.mine, `{"metadata": {"annotations": {"rebootd.io/state": "{}"}}, "spec": {"unschedulable": true}}`)),
		passes("uncordon it", a.node(a.as, a.mine, `{"spec": {"unschedulable": null}}`)),
		passes("label it, with its condition", a.node(a.as, a.mine, `{"metadata": {"labels": {"rebootd.io/reboot-required": "true"}},
			"status": {"conditions": [{"type": "RebootRequired", "status": "True"}]}}`, "status")),
		passes("take its label off", a.node(a.as, a.mine, `{"metadata": {"labels": {"rebootd.io/reboot-required": null}}}`, "status")),
		passes("claim it", a.node(a.as, a.mine, `{"metadata": {"annotations": {"rebootd.io/agent": "me", "rebootd.io/agent-call": null}}}`)),
		passes("put its own taint on it", a.taint(corev1.TaintEffectPreferNoSchedule)),
		passes("take a slot", a.take(a.as, a.lease("rebootd-attack-0", a.mine, a.mine))),
		passes("hand it over", a.change("rebootd-attack-0", `{"metadata": {"annotations": {"rebootd.io/next": "n", "rebootd.io/waiting": "1"}}}`)),
		passes("renew it", a.change("rebootd-attack-0", `{"spec": {"renewTime": "2026-01-01T00:00:00.000000Z"}}`)),
		passes("free it", a.free("rebootd-attack-0")),
		passes("take it again", a.take(a.as, a.lease("rebootd-attack-0", a.mine, a.mine))),
		passes("count a failure, first", a.configMap("rebootd-circuit", false)),
		passes("count a failure, then", a.configMap("rebootd-circuit", true)),
		passes("evict a pod of its node", a.evict(a.as, a.pods[a.mine])),
		passes("delete a pod of its node", a.deletePod(a.pods[a.mine])),
		passes("tell an Event of its node", a.event(a.mine)),
	}
}

func (a *attacks) onNodes() []attempt {
	var all []attempt
	refused := func(what string, do func() error) { all = append(all, attempt{what, byPolicy, do}) }
	refused("cordon another node", a.node(a.as, a.other, `{"spec": {"unschedulable": true}}`))
	refused("touch another node by its status", a.node(a.as, a.other, `{"metadata": {"annotations": {"rebootd.io/state": "{}"}}}`, "status"))
	refused("say that another node needs a reboot", a.node(a.as, a.other, `{"status": {"conditions": [{"type": "RebootRequired", "status": "True"}]}}`, "status"))
	refused("ask for a reboot of another node", a.node(a.as, a.other, `{"metadata": {"annotations": {"rebootd.io/request-now": "x"}}}`))
	refused("use a token of no pod on its own node", a.node(a.unbound, a.mine, `{"spec": {"unschedulable": true}}`))
	for _, way := range []struct {
		name         string
		subresources []string
	}{{"", nil}, {", by its status", []string{"status"}}} {
		own := func(what, patch string) { refused(what+way.name, a.node(a.as, a.mine, patch, way.subresources...)) }
		own("label its node so that pods are drawn to it", `{"metadata": {"labels": {"node-role.kubernetes.io/control-plane": ""}}}`)
		own("change a label of its node", `{"metadata": {"labels": {"pool": "b"}}}`)
		own("remove a label of its node", `{"metadata": {"labels": {"pool": null}}}`)
		own("remove a person's hold", `{"metadata": {"annotations": {"rebootd.io/hold": null}}}`)
		own("change a person's hold", `{"metadata": {"annotations": {"rebootd.io/hold": "x"}}}`)
		own("ask for a reboot in a person's place", `{"metadata": {"annotations": {"rebootd.io/request": "x"}}}`)
		own("push itself forward", `{"metadata": {"annotations": {"rebootd.io/priority": "9"}}}`)
		own("annotate its node with something else", `{"metadata": {"annotations": {"example.com/x": "y"}}}`)
		own("hold its node's deletion up", `{"metadata": {"finalizers": ["example.com/x"]}}`)
		all = append(all, attempt{"give its node an owner" + way.name, byAny, a.node(a.as, a.mine,
			`{"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "x", "uid": "x"}]}}`, way.subresources...)})
	}
	refused("strip a taint", a.node(a.as, a.mine, `{"spec": {"taints": []}}`))
	refused("make its own taint one that evicts", a.taint(corev1.TaintEffectNoExecute))
	refused("add a taint", a.node(a.as, a.mine, `{"spec": {"taints": [{"key": "x", "effect": "NoExecute"}]}}`))
	refused("name another machine as its node's", a.node(a.as, a.mine, `{"spec": {"providerID": "x://y"}}`))
	refused("say that its node is not ready", a.node(a.as, a.mine, `{"status": {"conditions": [{"type": "Ready", "status": "False"}]}}`, "status"))
	refused("add another condition", a.node(a.as, a.mine, `{"status": {"conditions": [{"type": "DiskPressure2", "status": "True"}]}}`, "status"))
	refused("say that its node has more room", a.node(a.as, a.mine, `{"status": {"capacity": {"pods": "9999"}, "allocatable": {"pods": "9999"}}}`, "status"))
	refused("say that its node has another address", a.node(a.as, a.mine, `{"status": {"addresses": [{"type": "InternalIP", "address": "10.1.2.3"}]}}`, "status"))
	refused("say that its node runs another kubelet", a.node(a.as, a.mine, `{"status": {"nodeInfo": {"kubeletVersion": "v9"}}}`, "status"))
	return all
}

func (a *attacks) onLeases() []attempt {
	var all []attempt
	refused := func(what string, do func() error) { all = append(all, attempt{what, byPolicy, do}) }
	with := func(change func(*coordinationv1.Lease)) func() error {
		l := a.lease("rebootd-attack-2", a.mine, a.mine)
		change(l)
		return a.take(a.as, l)
	}
	owners := func(change func(*metav1.OwnerReference)) func() error {
		return with(func(l *coordinationv1.Lease) { change(&l.OwnerReferences[0]) })
	}
	yes := true
	refused("take a slot in another's name", a.take(a.as, a.lease("rebootd-attack-2", a.other, a.other)))
	refused("take a slot that goes with another's Node", a.take(a.as, a.lease("rebootd-attack-2", a.mine, a.other)))
	refused("take a slot in nobody's name", with(func(l *coordinationv1.Lease) { l.Spec.HolderIdentity = nil }))
	refused("take a slot that goes with no Node", with(func(l *coordinationv1.Lease) { l.OwnerReferences = nil }))
	refused("take a slot that goes with a pod", owners(func(o *metav1.OwnerReference) { o.Kind = "Pod" }))
	all = append(all, attempt{"take a slot that holds its Node's deletion up", byAny, owners(func(o *metav1.OwnerReference) { o.BlockOwnerDeletion = &yes })})
	refused("take a slot that can't be deleted", with(func(l *coordinationv1.Lease) { l.Finalizers = []string{"example.com/x"} }))
	refused("take a slot that goes with its Node and another's", with(func(l *coordinationv1.Lease) {
		l.OwnerReferences = append(l.OwnerReferences, a.lease("", a.other, a.other).OwnerReferences...)
	}))
	refused("take a Lease that is no slot", with(func(l *coordinationv1.Lease) { l.Name = "kube-scheduler" }))
	refused("take a slot with a token of no pod", a.take(a.unbound, a.lease("rebootd-attack-2", a.mine, a.mine)))
	refused("free another's slot", a.free("rebootd-attack-1"))
	refused("delete a Lease that is no slot", a.free("elected"))
	refused("say in another's slot who comes next", a.change("rebootd-attack-1", `{"metadata": {"annotations": {"rebootd.io/next": "n"}}}`))
	refused("give its slot to another", a.change("rebootd-attack-0", `{"spec": {"holderIdentity": "`+a.other.name+`"}}`))
	refused("take another's slot over", a.change("rebootd-attack-1", `{"spec": {"holderIdentity": "`+a.mine.name+`"}}`))
	refused("make its slot outlive its Node", a.change("rebootd-attack-0", `{"metadata": {"ownerReferences": null}}`))
	refused("make its slot undeletable", a.change("rebootd-attack-0", `{"metadata": {"finalizers": ["example.com/x"]}}`))
	refused("take its slot out of its group", a.change("rebootd-attack-0", `{"metadata": {"labels": {"rebootd.io/lock-group": "x"}}}`))
	return all
}

func (a *attacks) onRest() []attempt {
	var all []attempt
	refused := func(what string, do func() error) { all = append(all, attempt{what, byPolicy, do}) }
	refused("make another ConfigMap", a.configMap("other", false))
	all = append(all,
		attempt{"edit rebootd-control", byRights, a.configMap("rebootd-control", true)},
		attempt{"edit another ConfigMap", byRights, a.configMap("somebodys", true)},
		attempt{"delete a node", byRights, func() error { return a.as.CoreV1().Nodes().Delete(a.t.Context(), a.other.name, metav1.DeleteOptions{}) }},
	)
	refused("delete another node's pod", a.deletePod(a.pods[a.other]))
	refused("evict with a token of no pod", a.evict(a.unbound, a.pods[a.mine]))
	refused("tell an Event of another node", a.event(a.other))
	control := a.f.client.CoreV1().ConfigMaps(a.ns)
	refused("make rebootd-control where there is none", func() error {
		a.must(control.Delete(a.t.Context(), "rebootd-control", metav1.DeleteOptions{}))
		return a.configMap("rebootd-control", false)()
	})
	return all
}
