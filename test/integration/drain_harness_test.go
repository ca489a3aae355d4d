package integration

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/rebootd/rebootd/pkg/agent"
	"github.com/rebootd/rebootd/pkg/kube"
	"github.com/rebootd/rebootd/pkg/node/drain"
	"github.com/rebootd/rebootd/test/cluster/lab"
)

// drainTest is one part of TestDrain, with a namespace of its own.
type drainTest struct {
	*testing.T
	lab    *lab.Cluster
	client kubernetes.Interface // the test's own, not counted
	config *rest.Config         // the drain's
	ns     string
	wire   *wire
}

// fast is how the agent makes its client.
func fast(c *rest.Config) *rest.Config {
	c.QPS = -1
	c.ContentType = runtime.ContentTypeProtobuf
	c.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	return c
}

// wire sees the requests of a drain.
type wire struct {
	next   http.RoundTripper
	before func(*http.Request) *http.Request // runs before an eviction is sent; may be nil

	mu   sync.Mutex
	seen []string // "POST /api/v1/…/eviction 201": method, path and answer
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	if w.before != nil && strings.HasSuffix(r.URL.Path, "/eviction") {
		r = w.before(r)
	}
	answer := "failed"
	resp, err := w.next.RoundTrip(r)
	if err == nil {
		answer = strconv.Itoa(resp.StatusCode)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, r.Method+" "+r.URL.Path+" "+answer)
	return resp, err
}

func (w *wire) requests(match string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, r := range w.seen {
		if strings.Contains(r, match) {
			n++
		}
	}
	return n
}

// drained is a drain under way.
type drained struct {
	t    *drainTest
	stop context.CancelFunc
	err  chan error

	mu   sync.Mutex
	last drain.Progress
}

func (d *drainTest) drain(node string, way drain.Way, edit ...func(*drain.Options)) *drained {
	config := rest.CopyConfig(d.config)
	config.Wrap(func(rt http.RoundTripper) http.RoundTripper {
		d.wire.next = rt
		return d.wire
	})
	client, err := kube.New(config)
	d.must(err)
	log := logrus.New()
	log.SetOutput(io.Discard)
	options := drain.Options{NodeName: node, GracePeriodSeconds: -1}
	for _, e := range edit {
		e(&options)
	}
	drainer := drain.New(agent.DrainClient(client), options, log)
	ctx, stop := context.WithCancel(d.Context())
	r := &drained{t: d, stop: stop, err: make(chan error, 1)}
	go func() {
		r.err <- drainer.Drain(ctx, way, func(p drain.Progress) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.last = p
		})
	}()
	return r
}

func (r *drained) progress() drain.Progress {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

// done waits for the drain's success.
func (r *drained) done(within time.Duration) {
	r.t.Helper()
	select {
	case err := <-r.err:
		r.t.must(err)
	case <-time.After(within):
		r.stop()
		r.t.Fatalf("not drained after %v: %v", within, <-r.err)
	}
}

// cancel ends the drain early and returns what it says of that; it must do so within a second.
func (r *drained) cancel() *drain.Error {
	r.t.Helper()
	start := time.Now()
	r.stop()
	err := <-r.err
	if took := time.Since(start); took > time.Second {
		r.t.Errorf("a cancelled drain returned after %v", took)
	}
	var why *drain.Error
	if !errors.As(err, &why) || !errors.Is(err, context.Canceled) {
		r.t.Fatalf("a cancelled drain returned %v", err)
	}
	return why
}

func (r *drained) until(what string, ok func(drain.Progress) bool) {
	r.t.Helper()
	r.t.until(what, func() bool { return ok(r.progress()) })
}

func (d *drainTest) pod(node, name string, edit ...func(*corev1.Pod)) *corev1.Pod {
	d.Helper()
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: d.ns, Name: name, Labels: map[string]string{"app": "web"}},
		Spec:       corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "c", Image: "none"}}},
	}
	for _, e := range edit {
		e(p)
	}
	p, err := d.client.CoreV1().Pods(d.ns).Create(d.Context(), p, metav1.CreateOptions{})
	d.must(err)
	return p
}

func (d *drainTest) get(name string) *corev1.Pod {
	d.Helper()
	p, err := d.client.CoreV1().Pods(d.ns).Get(d.Context(), name, metav1.GetOptions{})
	d.must(err)
	return p
}

// kill removes a pod at once, as a kubelet does when its containers have ended.
func (d *drainTest) kill(name string) {
	d.Helper()
	now := int64(0)
	d.must(d.client.CoreV1().Pods(d.ns).Delete(d.Context(), name, metav1.DeleteOptions{GracePeriodSeconds: &now}))
}

// clear removes the pods, and waits for that, so that the next part finds empty nodes.
func (d *drainTest) clear() {
	now := int64(0)
	pods := d.client.CoreV1().Pods(d.ns)
	d.until("pods are removed", func() bool {
		_ = pods.DeleteCollection(d.Context(), metav1.DeleteOptions{GracePeriodSeconds: &now}, metav1.ListOptions{})
		list, err := pods.List(d.Context(), metav1.ListOptions{})
		return err == nil && len(list.Items) == 0
	})
}

// budget makes a PodDisruptionBudget that allows nothing and waits until it is in force.
func (d *drainTest) budget(name string, pods int32) {
	d.Helper()
	least := intstr.FromInt32(pods)
	pdbs := d.client.PolicyV1().PodDisruptionBudgets(d.ns)
	_, err := pdbs.Create(d.Context(), &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       policyv1.PodDisruptionBudgetSpec{MinAvailable: &least, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}},
	}, metav1.CreateOptions{})
	d.must(err)
	d.until("the budget counts its pods", func() bool {
		pdb, err := pdbs.Get(d.Context(), name, metav1.GetOptions{})
		return err == nil && pdb.Status.ObservedGeneration == pdb.Generation && pdb.Status.CurrentHealthy == pods
	})
}

func (d *drainTest) must(err error) {
	d.Helper()
	if err != nil {
		d.Fatal(err)
	}
}

func (d *drainTest) until(what string, ok func() bool) {
	d.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			d.Fatalf("not within 30 s: %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
