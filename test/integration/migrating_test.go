package integration

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rebootd/rebootd/pkg/plan"
	peer "github.com/rebootd/rebootd/test/kured"
)

// lines are the commands under a heading of the page.
func lines(t *testing.T, heading string) []string {
	t.Helper()
	text, err := os.ReadFile("../../docs/migrating-from-kured.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "\n## "+heading+"\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var all []string
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(section, -1) {
		for line := range strings.Lines(block[1]) {
			if line = strings.TrimSpace(line); line != "" {
				all = append(all, line)
			}
		}
	}
	if !ok || len(all) == 0 {
		t.Fatalf("%q has no commands", heading)
	}
	return all
}

// The page for kured's users, command by command, from a cluster that kured runs to the end and back.
func TestMigratingFromKured(t *testing.T) {
	t.Parallel()
	o := newTakeOver(t)
	wants, left := o.linux("wants"), o.linux("left")
	o.installKured(1)
	o.cordons(left)
	o.returns(left)
	wants.require()
	var agent *plug
	for _, line := range lines(t, "In five minutes") {
		out := o.must(line)
		switch {
		case strings.HasPrefix(line, "kubectl rollout status"):
			agent = wants.power(func() *process { return wants.agent() })
			wants.says(plan.KuredPresent, "migrate-from-kured")
		case strings.Contains(line, "kubectl delete daemonset"):
			wants.back(1)
			o.eventuallyGone()
		case strings.HasSuffix(line, "values.yaml") && strings.Contains(line, "-o values"):
			text, err := os.ReadFile(filepath.Join(o.work, "rebootd-values.yaml"))
			if err != nil || !bytes.Contains(text, []byte("concurrency:")) {
				t.Errorf("%v\n%s", err, text)
			}
		case strings.Contains(line, "--apply"):
			if !strings.Contains(out, "node/"+left.name+" uncordoned") || o.live(left).Spec.Unschedulable {
				t.Errorf("%s", out)
			}
		}
	}
	for _, line := range lines(t, "Pool by pool") {
		o.must(line)
	}
	o.must("kubectl rollout status daemonset -n rebootd rebootd")
	if args := o.must("kubectl get daemonset -n rebootd rebootd -o jsonpath='{.spec.template.spec.containers[0].args}'"); !strings.Contains(args, "--kured-interlock=true") {
		t.Errorf("%s", args)
	}
	for _, line := range lines(t, "Going back") {
		if strings.Contains(line, "migrate-from-kured") {
			o.installKured(1)
			o.must("kubectl annotate daemonset -n kube-system kured '" + peer.Annotation + `={"nodeID":"rebootd/` + wants.name + `"}'`)
			until(t, "rebootd's pods are gone", func() bool {
				return strings.TrimSpace(o.must("kubectl get pods -n rebootd -o name")) == ""
			})
		}
		o.must(line)
		if strings.HasPrefix(line, "helm uninstall") {
			agent.pull()
			agent.agent().kill()
		}
	}
	if lock := o.kuredLock(t, "kube-system"); lock != "" {
		t.Errorf("kured waits for ever: %s", lock)
	}
	for _, m := range []*machine{wants, left} {
		n := o.live(m)
		if n.Spec.Unschedulable || len(n.Spec.Taints) > 0 || strings.Contains(fmt.Sprint(n.Annotations), "rebootd.io/state") {
			t.Errorf("%s: %+v %v", n.Name, n.Spec, n.Annotations)
		}
	}
}
