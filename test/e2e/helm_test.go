//go:build e2e

package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/test/chart/helm"
)

// TestHelm: installed with a privileged container, upgraded in mid-drain to one that has no capability but CAP_KILL, rolled back, and uninstalled in
// mid-drain. The drain goes on where it was, both reboot, and in the end nothing is left.
func TestHelm(t *testing.T) {
	t.Parallel()
	s := begin(t, 1, swift...)
	n := s.nodes[0]
	s.confined(n)
	const all, onlyKill = "000001ffffffffff", "0000000000000020"
	s.mayDo(n, all)
	w := s.workload(1, 0, n.Name())
	before := n.bootID()
	n.require()
	n.says(plan.BlockedByPDB)
	drain := n.reaches(plan.Drain, quick)
	n.replaced(func() { s.upgrade("--set=configuration.rebootMethod=signal") })
	s.mayDo(n, onlyKill)
	if now := n.reaches(plan.Drain, quick); !now.Since.Equal(drain.Since) || now.LeaseUID != drain.LeaseUID || now.Cordon != plan.CordonOurs {
		t.Errorf("the drain didn't go on: %s, then %s", drain, now)
	}
	w.allow(1)
	if last := n.rebootedOnce(before); !last.Ours || !last.Cleared {
		t.Errorf("by a signal: the history has %+v", last)
	}

	n.anotherAgent(func() { s.must(s.helm(t.Context(), "rollback", "1")) })
	s.mayDo(n, all)
	before = n.bootID()
	n.require()
	if last := n.rebootedOnce(before); !last.Ours || !last.Cleared {
		t.Errorf("by a command: the history has %+v", last)
	}

	w.allow(0)
	w.runs(1)
	n.require()
	n.says(plan.BlockedByPDB)
	said, hook, err := helm.Outputs(t.Context(), "uninstall", s.name, "--wait", "--namespace="+s.name, "--kubeconfig="+lab.Kubeconfig())
	t.Logf("helm uninstall in mid-drain:\n%s%s", said, hook)
	if err != nil || !strings.Contains(hook, "Node "+n.Name()+": uncordoned (it was Draining)") {
		t.Fatal(err)
	}
	n.bare()
	s.bare()
	n.insist("rm -f " + sentinel)
}

// upgrade changes values.
func (s *scene) upgrade(values ...string) {
	s.t.Helper()
	s.must(s.helm(s.t.Context(), "upgrade", append([]string{chart, "--reuse-values"}, values...)...))
}

func (s *scene) must(out string, err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("%v\n%s", err, out)
	}
}

// mayDo checks the capabilities of the agent.
func (s *scene) mayDo(n *node, want string) {
	s.t.Helper()
	if caps := n.run("sed -n 's/^CapBnd:[[:space:]]*//p' /proc/$(pgrep -x rebootd)/status"); caps != want {
		s.t.Errorf("the agent may have the capabilities %s, want %s", caps, want)
	}
}

// confined checks that the token on the machine names its node, and that who steals it can't change another Node.
func (s *scene) confined(n *node) {
	s.t.Helper()
	pod, err := lab.agentPod(s.t.Context(), s.name, n.Name())
	if err != nil {
		s.t.Fatal(err)
	}
	token := n.insist("cat /var/lib/kubelet/pods/" + string(pod.UID) + "/volumes/kubernetes.io~projected/kube-api-access-*/token")
	var claims struct {
		Kubernetes struct {
			Node struct{ Name string } `json:"node"`
		} `json:"kubernetes.io"`
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		s.t.Fatalf("the token has %d parts", len(parts))
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil {
		err = json.Unmarshal(text, &claims)
	}
	if err != nil || claims.Kubernetes.Node.Name != n.Name() {
		s.t.Errorf("the token names node %q, want %s: %v", claims.Kubernetes.Node.Name, n.Name(), err)
	}
	config := rest.AnonymousClientConfig(lab.Config())
	config.BearerToken = token
	thief, err := kubernetes.NewForConfig(config)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, other := range lab.Machines.Names() {
		_, err := thief.CoreV1().Nodes().Patch(s.t.Context(), other, types.MergePatchType, []byte(`{"spec":{"unschedulable":true}}`),
			metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
		want := fmt.Sprintf("The agent of node %s may not change Node %s.", n.Name(), other)
		if other != n.Name() && (err == nil || !strings.Contains(err.Error(), want)) || other == n.Name() && err != nil {
			s.t.Errorf("with the token of %s, a cordon of %s: %v", n.Name(), other, err)
		}
	}
}

// bare checks that nothing of rebootd's is left on the Node.
func (n *node) bare() {
	n.t.Helper()
	seen := n.now()
	for _, set := range []map[string]string{seen.Annotations, seen.Labels} {
		for key := range set {
			if strings.HasPrefix(key, "rebootd.io/") || strings.Contains(key, "scale-down-disabled") || strings.Contains(key, "do-not-disrupt") {
				n.t.Errorf("%s has %s", n.Name(), key)
			}
		}
	}
	if seen.Spec.Unschedulable || len(seen.Spec.Taints) > 0 || condition(seen, conditionType).Type != "" ||
		condition(seen, corev1.NodeReady).Status != corev1.ConditionTrue {
		n.t.Errorf("%s isn't as it was: taints %v, %s", n.Name(), seen.Spec.Taints, summary(seen))
	}
}

// bare checks that nothing of the release is left.
func (s *scene) bare() {
	s.t.Helper()
	left := s.kubectl("get", "daemonsets,jobs,pods,leases,secrets,roles,rolebindings", "-n", s.name, "-o", "name")
	wide := s.kubectl("get", "clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings", "-o", "name")
	for line := range strings.Lines(wide) {
		if strings.Contains(line, s.name+"-rebootd") {
			left += line
		}
	}
	if left != "" {
		s.t.Errorf("there is left:\n%s", left)
	}
}

// anotherAgent does something that ends the agent, and waits until another one works for the node and is ready.
func (n *node) anotherAgent(end func()) {
	n.t.Helper()
	old := n.now().Annotations[agentAnnotation]
	end()
	seen := n.eventually(quick, "has another agent", func(seen *corev1.Node) error {
		if now := seen.Annotations[agentAnnotation]; now == "" || now == old {
			return fmt.Errorf("its agent is %q, as before", now)
		}
		return nil
	})
	n.t.Logf("%s: agent %s follows %s", n.Name(), seen.Annotations[agentAnnotation], old)
}
