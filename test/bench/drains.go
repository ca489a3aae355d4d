package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	"github.com/rebootd/rebootd/test/bench/page"
	"github.com/rebootd/rebootd/test/cluster/lab"
)

// daemonSets is how many DaemonSets have a pod on every node.
const daemonSets = 5

// podsOf are pods on one node, and when they went.
type podsOf struct {
	mu   sync.Mutex
	left int
	at   time.Time
	stop context.CancelFunc
}

// pods makes pods on a node, and returns when all of them run. They have no controller, so that nothing comes after them.
func (w *world) pods(ctx context.Context, node string, n int, labels map[string]string) (*podsOf, error) {
	watching, stop := context.WithCancel(ctx)
	p := &podsOf{stop: stop, left: n}
	grace := int64(1)
	err := lab.InParallel(n, func(int) error {
		_, err := w.client.CoreV1().Pods("default").Create(ctx, &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "app-", Labels: labels},
			Spec: corev1.PodSpec{NodeName: node, TerminationGracePeriodSeconds: &grace, Containers: []corev1.Container{{Name: "c", Image: "none"}},
				AutomountServiceAccountToken: new(bool)},
		}, metav1.CreateOptions{})
		return err
	})
	if err != nil {
		return p, err
	}
	factory := informers.NewSharedInformerFactoryWithOptions(w.client, 0, informers.WithNamespace("default"), informers.WithTweakListOptions(func(o *metav1.ListOptions) {
		o.FieldSelector = fields.OneTermEqualSelector("spec.nodeName", node).String()
	}))
	pods := factory.Core().V1().Pods().Informer()
	_, err = pods.AddEventHandler(cache.ResourceEventHandlerFuncs{DeleteFunc: func(any) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.left, p.at = p.left-1, time.Now()
	}})
	if err != nil {
		return p, err
	}
	factory.StartWithContext(watching)
	return p, until(ctx, 2*time.Minute, "the pods run", func() (bool, error) {
		running := 0
		for _, obj := range pods.GetStore().List() {
			if pod, ok := obj.(*corev1.Pod); ok && pod.Status.Phase == corev1.PodRunning {
				running++
			}
		}
		return running == n, nil
	})
}

// last is when the last one went; zero: one is left.
func (p *podsOf) last() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left > 0 {
		return time.Time{}
	}
	return p.at
}

// drains compares with kubectl: the same cluster, the same pods, in the same run.
func (b *bench) drains(ctx context.Context) error {
	w, err := b.world(ctx, 5*time.Minute)
	if err != nil {
		return err
	}
	defer b.end(w)
	all, err := w.machines(ctx, 3, 2*time.Second, "--wait-for-daemonsets=false") // nothing here starts their containers anew
	if err != nil {
		return err
	}
	for i := range daemonSets {
		if err := w.daemonSet(ctx, fmt.Sprintf("ds-%d", i)); err != nil {
			return err
		}
	}
	err = until(ctx, time.Minute, "the DaemonSets' pods", func() (bool, error) {
		list, err := w.client.CoreV1().Pods("kube-system").List(ctx, metav1.ListOptions{FieldSelector: "status.phase=Running"})
		return err == nil && len(list.Items) == daemonSets*len(all), err
	})
	if err != nil {
		return err
	}
	kubectl, err := w.kubectlConfig(w.dir)
	if err != nil {
		return err
	}
	for _, n := range []int{110, 250} {
		if err := b.drain(ctx, w, all[0], all[1], kubectl, n); err != nil {
			return err
		}
	}
	if err := w.complete(ctx); err != nil {
		return err
	}
	n := slices.Max(b.turn)
	b.row(page.Row{ID: "requests-pods", What: "requests of a node with 110 and 250 pods from its take to its freed slot, drain excluded", Target: "< 40", Count: true,
		Measured: fmt.Sprintf("%d, up to %d of them for writes that collided (%d from the sentinel on)", n, slices.Max(b.again), slices.Max(b.whole)), Met: n < 40,
		Note: "A write collides when Kubernetes' node controller, which puts a taint on a cordoned node and takes it off again, writes in the same moment; it is repeated. From the sentinel on it also begins its watches, which it does once however long it waits. After a drain that takes longer than a second, the gates are asked once more."})
	return errors.Join(b.blocked(ctx, w, all[2]), w.complete(ctx))
}

func (w *world) daemonSet(ctx context.Context, name string) error {
	labels := map[string]string{"ds": name}
	_, err := w.client.AppsV1().DaemonSets("kube-system").Create(ctx, &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DaemonSetSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: labels},
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "none"}}, Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
				AutomountServiceAccountToken: new(bool)},
		}},
	}, metav1.CreateOptions{})
	return err
}

func (b *bench) drain(ctx context.Context, w *world, agent, other *machine, kubeconfig string, n int) error {
	ours, requests, err := b.ourDrain(ctx, w, agent, n)
	if err != nil {
		return err
	}
	pods, err := w.pods(ctx, other.name, n, nil)
	if err != nil {
		return err
	}
	defer pods.stop()
	begin := time.Now()
	cmd := exec.CommandContext(ctx, filepath.Join(w.Bin(), "kubectl"), "--kubeconfig="+kubeconfig, "drain", other.name, "--force", "--ignore-daemonsets", "--delete-emptydir-data")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("kubectl drain: %w\n%s", err, out)
	}
	if err := until(ctx, time.Minute, "the pods go", func() (bool, error) { return !pods.last().IsZero(), nil }); err != nil {
		return err
	}
	theirs := pods.last().Sub(begin)
	time.Sleep(time.Second)
	all, err := w.audit.read()
	if err != nil {
		return err
	}
	their := 0
	for _, r := range since(all, begin) {
		if r.node == "" {
			their++
		}
	}
	if _, err := w.kubectl(ctx, "uncordon", other.name); err != nil {
		return err
	}
	share := ours.Seconds() / theirs.Seconds()
	b.row(page.Row{ID: fmt.Sprintf("drain-%d", n), What: fmt.Sprintf("drain of %d pods (grace 1 s, no PDB), cordon to last pod gone", n), Target: "≤ 0.2 of kubectl drain's time",
		Measured: fmt.Sprintf("%.2f s, %.2f of the %.1f s of kubectl drain", ours.Seconds(), share, theirs.Seconds()), Met: share <= 0.2})
	most := n + daemonSets + 20
	b.row(page.Row{ID: fmt.Sprintf("drain-requests-%d", n), What: fmt.Sprintf("requests of that drain of %d pods and %d DaemonSet pods", n, daemonSets), Target: fmt.Sprintf("≤ %d", most), Count: true,
		Measured: fmt.Sprintf("%d (kubectl drain: %d)", requests, their), Met: requests <= most,
		Note: "All requests of the agent from the cordon to the last pod gone, Events and what the Node says included."})
	return nil
}

// ourDrain lets an agent drain its node, and reboot it.
func (b *bench) ourDrain(ctx context.Context, w *world, m *machine, n int) (took time.Duration, requests int, err error) {
	pods, err := w.pods(ctx, m.name, n, nil)
	if err != nil {
		return 0, 0, err
	}
	defer pods.stop()
	w.seen.begin()
	if err := m.start(ctx); err != nil {
		return 0, 0, err
	}
	defer m.halt()
	time.Sleep(3 * time.Second) // it has looked, and has nothing to do
	begin := time.Now()
	if err := m.require(); err != nil {
		return 0, 0, err
	}
	err = until(ctx, 2*time.Minute, "the reboot", func() (bool, error) {
		trips, _ := w.seen.saw()
		return len(trips) == 1, nil
	})
	if err != nil {
		return 0, 0, err
	}
	trips, _ := w.seen.saw()
	time.Sleep(time.Second)
	all, err := w.audit.read()
	if err != nil {
		return 0, 0, err
	}
	some := between(all, trips[0].cordoned, pods.last())
	b.say("drain of %d pods: %v", n, kinds(some))
	var others []request
	gone := pods.last().Add(100 * time.Millisecond) // then the drain has looked once more
	for _, r := range between(all, begin, trips[0].end.Add(time.Second)) {
		ofDrain := strings.HasPrefix(r.resource, "pods") || r.verb == "get" && r.resource == "daemonsets"
		ofDrain = ofDrain && r.came.After(trips[0].cordoned) && r.came.Before(gone)
		if r.node == m.name && !ofDrain {
			others = append(others, r)
		}
	}
	turn := since(others, trips[0].taken.Add(-100*time.Millisecond))
	again := 0
	for _, r := range turn {
		if r.resource == "nodes/status" && r.code == http.StatusConflict {
			again += 2 // itself, and the look at what has changed
		}
	}
	b.whole = append(b.whole, len(others))
	b.turn, b.again = append(b.turn, len(turn)), append(b.again, again)
	b.say("the rest: %v", kinds(others))
	return pods.last().Sub(trips[0].cordoned), len(some), nil
}

// blocked counts the evictions that a budget refuses.
func (b *bench) blocked(ctx context.Context, w *world, m *machine) error {
	const n, long = 10, 40 * time.Second
	labels := map[string]string{"app": "guarded"}
	pods, err := w.pods(ctx, m.name, n, labels)
	if err != nil {
		return err
	}
	defer pods.stop()
	none := intstr.FromInt32(n)
	_, err = w.client.PolicyV1().PodDisruptionBudgets("default").Create(ctx, &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Name: "guard"},
		Spec:       policyv1.PodDisruptionBudgetSpec{MinAvailable: &none, Selector: &metav1.LabelSelector{MatchLabels: labels}},
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	if err := m.require(); err != nil {
		return err
	}
	if err := m.start(ctx); err != nil {
		return err
	}
	defer m.halt()
	err = until(ctx, time.Minute, "the cordon", func() (bool, error) { return w.seen.count(cordoned) > 0, nil })
	if err != nil {
		return err
	}
	time.Sleep(2 * time.Second)
	from := time.Now()
	time.Sleep(long + time.Second)
	all, err := w.audit.read()
	tried := 0
	for _, r := range between(all, from, from.Add(long)) {
		if r.resource == "pods/eviction" {
			tried++
		}
	}
	per := float64(tried) / n / (long.Seconds() / 5)
	b.row(page.Row{ID: "pdb", What: "PDB-blocked drain, evictions tried", Target: "≤ 1 per pod per 5 s", Count: true, Measured: fmt.Sprintf("%.2f per pod per 5 s (%d in %s)", per, tried, long), Met: per <= 1})
	return err
}
