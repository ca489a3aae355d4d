package integration

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/test/chart/helm"
)

// installed is the chart as a release with the namespace's name, for the machines of that namespace.
func (f *fleet) installed(t *testing.T, namespace string, args ...string) {
	t.Helper()
	f.released(t, namespace, namespace, namespace, args...)
}

// released is the chart as a release, for the machines of a group. What kwok makes of a job is no clean-up, so there is none. It says
// where kured is, for other tests have theirs elsewhere.
func (f *fleet) released(t *testing.T, namespace, release, group string, args ...string) {
	t.Helper()
	run := func(ctx context.Context, args ...string) {
		t.Helper()
		if _, err := helm.Run(ctx, append(args, "--namespace="+namespace, "--kubeconfig="+f.Kubeconfig())...); err != nil {
			t.Fatal(err)
		}
	}
	label := strings.ReplaceAll(groupLabel, ".", `\.`)
	run(t.Context(), append([]string{"install", release, "../../charts/rebootd", "--set=nodeSelector." + label + "=" + group,
		`--set=nodeSelector.kubernetes\.io/os=null`, "--set=cleanup.enabled=false", "--set=configuration.dsNamespace=kube-system"}, args...)...)
	t.Cleanup(func() { run(context.Background(), "uninstall", release, "--wait") })
}

// token authenticates as the agent in this pod; without one, as nobody in particular.
func (f *fleet) token(t *testing.T, namespace string, pod *corev1.Pod) *rest.Config {
	t.Helper()
	request := &authenticationv1.TokenRequest{}
	if pod != nil {
		request.Spec.BoundObjectRef = &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: pod.Name, UID: pod.UID}
	}
	made, err := f.client.CoreV1().ServiceAccounts(namespace).CreateToken(t.Context(), namespace, request, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	admin := f.Config()
	return &rest.Config{Host: admin.Host, BearerToken: made.Status.Token, TLSClientConfig: rest.TLSClientConfig{CAData: admin.CAData}, QPS: -1}
}

// agentPod is the pod of the release's DaemonSet on this machine.
func (m *machine) agentPod() *corev1.Pod {
	m.t.Helper()
	var found *corev1.Pod
	until(m.t, "there is an agent's pod on "+m.name, func() bool {
		pods, err := m.f.client.CoreV1().Pods(m.namespace).List(context.Background(), metav1.ListOptions{
			LabelSelector: "app.kubernetes.io/name=rebootd", FieldSelector: "spec.nodeName=" + m.name,
		})
		if err != nil || len(pods.Items) == 0 {
			return false
		}
		found = &pods.Items[0]
		return true
	})
	return found
}

// confined waits until the policies are in force.
func (f *fleet) confined(t *testing.T, as kubernetes.Interface) {
	t.Helper()
	until(t, "the policies are in force", func() bool {
		probe := func(create func(o metav1.CreateOptions) error) bool {
			err := create(metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
			return err != nil && strings.Contains(err.Error(), "ValidatingAdmissionPolicy")
		}
		event := &corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: "probe", Namespace: "default"}, InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: "default"}}
		return probe(func(o metav1.CreateOptions) error {
			_, err := as.CoreV1().Events("default").Create(t.Context(), event, o)
			return err
		})
	})
	time.Sleep(2 * time.Second) // all of them were made together
}

// Under the admission policy a whole reboot passes, handing over included; every agent has its own pod's token.
func TestPolicyLetsAgentsWork(t *testing.T) {
	t.Parallel()
	f := shared(t)
	ns := f.namespace(t)
	m, next := f.machine(t, ns, "confined"), f.machine(t, ns, "heir")
	f.installed(t, ns)
	o := observe(t, 1, m, next)
	m.app("web")
	pod, free := m.stuck()
	plugs := map[*machine]*plug{}
	for _, each := range []*machine{m, next} {
		config := f.token(t, ns, each.agentPod())
		f.confined(t, clientOf(t, config))
		g := f.gateway(t, config)
		each.require()
		plugs[each] = each.power(func() *process { return each.agent(g.flag(), "--lock-ttl=1m") })
		each.says(map[bool]plan.Reason{true: plan.BlockedByPDB, false: plan.WaitingForSlot}[each == m])
	}
	m.says(plan.BlockedByPDB, pod)
	renewed := func() bool {
		return slices.ContainsFunc(m.leases(), func(l *coordinationv1.Lease) bool { return l.Spec.RenewTime != nil })
	}
	until(t, "the slot is renewed", renewed)
	free()
	for _, each := range []*machine{m, next} {
		each.back(1)
		each.event(plan.RebootSucceeded)
		if log := plugs[each].agent().log(); strings.Contains(log, "forbidden") || strings.Contains(log, "denied") {
			t.Errorf("something is forbidden:\n%s", log)
		}
	}
	if most, _ := o.seen(); most != 1 {
		t.Errorf("%d were out at once", most)
	}
}

func clientOf(t *testing.T, config *rest.Config) kubernetes.Interface {
	t.Helper()
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// What policies say is checked by the API server when they are made; a field it doesn't know is a warning there.
func TestPolicyIsUnderstood(t *testing.T) {
	t.Parallel()
	f := shared(t)
	ns := f.namespace(t)
	f.installed(t, ns, "--set=configuration.lockTtl=1h")
	for _, kind := range []string{"nodes", "leases", "configmaps", "pods", "events"} {
		until(t, "the policy for "+kind+" is checked", func() bool {
			p, err := f.client.AdmissionregistrationV1().ValidatingAdmissionPolicies().Get(t.Context(), ns+"-"+kind, metav1.GetOptions{})
			if err != nil || p.Status.ObservedGeneration == 0 {
				return false
			}
			if p.Status.TypeChecking != nil {
				text, _ := json.Marshal(p.Status.TypeChecking.ExpressionWarnings) //nolint:errchkjson // it came as JSON
				if len(p.Status.TypeChecking.ExpressionWarnings) > 0 {
					t.Errorf("%s: %s", kind, text)
				}
			}
			return true
		})
	}
}

// An agent that only tries needs no right to write.
func TestDryRunNeedsNoRightToWrite(t *testing.T) {
	t.Parallel()
	f := shared(t)
	ns := f.namespace(t)
	m := f.machine(t, ns, "tries")
	f.installed(t, ns, "--set=configuration.dryRun=true")
	m.app("web")
	g := f.gateway(t, f.token(t, ns, m.agentPod()))
	m.require()
	a := m.agent(g.flag(), "--dry-run")
	a.logs("Dry run: Would now take a slot")
	a.answers("/readyz", 200)
	if log := a.log(); strings.Contains(log, "forbidden") {
		t.Errorf("something is forbidden:\n%s", log)
	}
	roles, err := helm.Run(t.Context(), "template", ns, "../../charts/rebootd", "--namespace="+ns, helm.KubeVersion, "--set=configuration.dryRun=true",
		"--show-only=templates/rbac.yaml")
	if err != nil {
		t.Fatal(err)
	}
	calls := g.passed()
	for _, c := range g.passed() {
		if c.verb == "watch" { // where the API server streams no lists, that is a list and a watch
			c.verb = "list"
			calls = append(calls, c)
		}
	}
	allUsed(t, roles, calls)
}
