package integration

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rebootd/rebootd/pkg/lock"
	"github.com/rebootd/rebootd/test/docs/page"
)

// Every command with kubectl in the documentation is one that a real API server takes, if what it names is there. Those that change
// something are tried without effect.
func TestDocumentedCommandsWork(t *testing.T) {
	t.Parallel()
	f := shared(t)
	m := f.machine(t, f.namespace(t), "documented")
	pod := m.app("app")
	_, all, err := page.Read("../..")
	if err != nil {
		t.Fatal(err)
	}
	// What these have is not there, or is somebody else's: kubelets, kured, another test's namespace. The manifests have a test of their own.
	elsewhere := []string{"logs", "rollout", "completion", "-k", "--raw", "kured", "namespace", "TAINT:PreferNoSchedule-", "--cascade=orphan", "reboot", "job/rebootd-cleanup", page.Unknown}
	var creating, others [][]string
	for _, c := range all {
		ours := c.Words[0] == "kubectl" && !slices.ContainsFunc(c.Words, func(w string) bool {
			return slices.Contains(elsewhere, w) || strings.Contains(w, "weave.works")
		})
		switch {
		case !ours:
		case c.Words[1] == "create":
			creating = append(creating, c.Words[1:])
		default:
			others = append(others, c.Words[1:])
		}
	}
	if len(creating) < 1 || len(others) < 50 {
		t.Fatalf("only %d and %d commands were found", len(creating), len(others))
	}
	here := map[string]string{"NODE": m.name, "NAMESPACE": m.namespace, "POD": pod, "LEASE": "rebootd-default-0", "NAME": "rebootd-default-0", "--all": m.name}
	run := func(commands [][]string) {
		done := map[string]bool{}
		for _, words := range commands {
			args := m.documented(words, here)
			line := strings.Join(args, " ")
			if done[line] {
				continue
			}
			done[line] = true
			cmd := exec.CommandContext(t.Context(), filepath.Join(f.Bin(), "kubectl"), append([]string{"--kubeconfig=" + f.Kubeconfig()}, args...)...)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("kubectl %s: %v\n%s", strings.Join(words, " "), err, out)
			}
		}
	}
	run(creating)
	for _, name := range []string{"rebootd-circuit", "rebootd-control"} {
		f.kubectl(t, "create", "configmap", "-n", m.namespace, name)
	}
	m.daemon("rebootd")
	slot := (&attacks{}).lease("rebootd-default-0", m, m)
	slot.Labels[lock.GroupLabel] = "default"
	if _, err := f.client.CoordinationV1().Leases(m.namespace).Create(t.Context(), slot, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	run(others)
}

// documented is a command with what is there in the place of what a page names, and without its effect.
func (m *machine) documented(words []string, here map[string]string) []string {
	var args []string
	for i, w := range words {
		name, value, _ := strings.Cut(w, "=")
		switch {
		case here[w] != "":
			w = here[w]
		case value == "NODE":
			w = name + "=" + m.name
		case i > 0 && words[i-1] == "-n" && w == "rebootd":
			w = m.namespace
		}
		if key, field, ok := strings.Cut(w, "=spec.nodeName="); ok && field == "NODE" {
			w = key + "=spec.nodeName=" + m.name
		}
		args = append(args, w)
	}
	if slices.Contains([]string{"annotate", "create", "delete", "label", "patch", "taint", "uncordon"}, words[0]) {
		args = append(args, "--dry-run=server")
	}
	return args
}
