package drain

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

func TestBudgetName(t *testing.T) {
	for message, want := range map[string]string{ // the sentences of kube-apiserver 1.37
		"The disruption budget web-pdb needs 3 healthy pods and has 3 currently":                                           "web-pdb",
		"The disruption budget web.pdb is still being processed by the server.":                                            "web.pdb",
		"The disruption budget web does not allow evicting pods currently because it failed sync: found no controller ref": "web",
		"Some other sentence about a budget":                                                                               "",
		"":                                                                                                                 "",
	} {
		if got := budgetName(message); got != want {
			t.Errorf("%q: got %q, want %q", message, got, want)
		}
	}
}

func TestErrorNamesTheWorstFiveAndCountsTheRest(t *testing.T) {
	var all []Obstacle
	for i := range 4 {
		all = append(all,
			Obstacle{Namespace: "b", Pod: fmt.Sprintf("slow-%d", i), Reason: Terminating, Message: strings.Repeat("ü", 1000)},
			Obstacle{Namespace: "b", Pod: fmt.Sprintf("failed-%d", i), Reason: Failed, Message: "no"},
			Obstacle{Namespace: "a", Pod: fmt.Sprintf("blocked-%d", i), Reason: PDB, PDBs: []string{"p", "q"}, Message: "full"},
		)
	}
	slices.Reverse(all)
	sortObstacles(all)
	cause := errors.New("timeout")
	err := &Error{Node: "n1", Obstacles: all, Cause: cause}
	want := "drain of node n1: timeout; in the way: a/blocked-0 (PDB p, q): full; a/blocked-1 (PDB p, q): full; " +
		"a/blocked-2 (PDB p, q): full; a/blocked-3 (PDB p, q): full; b/failed-0: no; and 7 more"
	if err.Error() != want || !errors.Is(err, cause) {
		t.Errorf("got  %s\nwant %s", err, want)
	}
	if long := all[11].String(); len(long) > 310 || !strings.HasSuffix(long, "ü…") {
		t.Errorf("long message not cut at a letter: %q", long)
	}
	if got := (&Error{Node: "n1", Cause: cause}).Error(); got != "drain of node n1: timeout" {
		t.Errorf("without obstacles: %s", got)
	}
}

func TestPodsIsADryRun(t *testing.T) {
	proxy := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "proxy"}}
	label := func(p *corev1.Pod) { p.Labels = map[string]string{"tier": "web"} }
	client := fake.NewClientset(proxy, newPod("web", label), newPod("other"),
		newPod("proxy-a", ofDaemonSet("proxy"), label),
		newPod("bare", label, func(p *corev1.Pod) { p.OwnerReferences = nil }))
	log := logrus.New()
	log.SetOutput(io.Discard)

	pods, warnings, err := New(client, Options{NodeName: "n1", PodSelector: "tier=web"}, log).Pods(context.Background())
	var names []string
	for _, p := range pods {
		names = append(names, p.Name)
	}
	slices.Sort(names)
	if err != nil || !slices.Equal(names, []string{"bare", "web"}) {
		t.Errorf("got %v, %v", names, err)
	}
	for _, want := range []string{"deleting Pods that declare no controller: default/bare", "ignoring DaemonSet-managed Pods: kube-system/proxy-a"} {
		if !strings.Contains(warnings, want) {
			t.Errorf("warnings %q lack %q", warnings, want)
		}
	}
	for _, action := range client.Actions() {
		if verb := action.GetVerb(); verb != "list" && verb != "get" {
			t.Errorf("a dry run did %s", verb)
		}
	}
}
