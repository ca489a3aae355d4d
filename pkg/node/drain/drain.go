// Package drain empties one node: it evicts the pods that `kubectl drain` would evict and waits
// until they are gone.
//
// kubectl's own library (k8s.io/kubectl/pkg/drain) chooses the pods, set as kured sets it:
// DaemonSet and mirror pods stay, emptyDir data is lost, pods without a controller are evicted too,
// though nothing brings them back. Everything else is done here, because the library retries a
// refused eviction without a pause, sleeps past its context and asks for every pod once a second.
// Its EvictPod isn't used either: client-go would answer a Retry-After by up to ten hidden
// retries, and the eviction couldn't carry the pod's UID, so a late retry could hit a new pod of
// the same name on a healthy node.
//
// What a drain costs: a list and a watch of the node's pods, one request for each eviction tried and
// one for each DaemonSet that has a pod on the node, and one more list at the end.
//
// The client needs: list and watch pods, create pods/eviction (to delete: delete pods), get daemonsets.apps; and no limit of
// its own on requests (QPS -1), or a full node crawls. The node must be cordoned before: this
// package never looks at the Node.
package drain

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/sirupsen/logrus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
)

const (
	// defaultRetryAfter is what the kubectl command waits after a refused eviction.
	defaultRetryAfter = 5 * time.Second
	// slowRetry is the wait after an answer that only a person can change, and the longest wait
	// after a failure.
	slowRetry       = 30 * time.Second
	defaultParallel = 20
	// requestTimeout bounds one request, so that a server that doesn't answer can't keep a drain
	// from trying again. The server itself retries an eviction that conflicts for 10 s.
	requestTimeout = 30 * time.Second
)

// Options say what to drain and how.
type Options struct {
	// NodeName is the node to drain; it must not be empty.
	NodeName string
	// GracePeriodSeconds is how long each pod gets to end; negative means the pod's own
	// terminationGracePeriodSeconds. Danger: the zero value kills pods at once, as kured's
	// --drain-grace-period=0 does. -1 is the default one wants.
	GracePeriodSeconds int
	// PodSelector is a label selector: pods that it doesn't match stay. "" means all pods.
	PodSelector string
	// LastSelector is a label selector: pods that it matches are left alone until all others are gone. "" means none.
	LastSelector string
	// SkipWaitForDeleteSeconds, when above 0, treats as gone what should have ended more than so
	// many seconds ago and is still there (pods of a dead kubelet). It compares a pod's
	// deletionTimestamp with this machine's clock, as kubectl does.
	SkipWaitForDeleteSeconds int
	// Hold says why a pod must not be made to go; "" is that it may be. Such a pod is waited for. It isn't asked
	// about pods that have ended. nil: all may be.
	Hold func(pod metav1.Object) string
	// RetryAfter is the least wait between two evictions of one pod; 0 means 5 s. The server's
	// Retry-After is kept to when it is longer.
	RetryAfter time.Duration
	// Answered, if not nil, is called with what became of each eviction: evicted, gone, blocked, forbidden, terminating or error.
	Answered func(result string)
	// Chance, if not nil, is a random number from 0 up to 1: by this part of a quarter, an eviction is tried again later than RetryAfter says, so that
	// nodes that drain at the same time don't ask in step.
	Chance func() float64
	// Parallel is how many evictions may be under way at once; 0 means 20.
	Parallel int
}

// Way is how a pod is made to go.
type Way int

const (
	// Evict asks the API server, which keeps to the disruption budgets.
	Evict Way = iota
	// Delete asks nobody. The pods get their grace period all the same.
	Delete
)

// Client is what a drain needs of the API server. Its own limit on requests must be off.
type Client struct {
	// Core is the core group's, for evictions and deletions.
	Core rest.Interface
	// Pods are those of all namespaces.
	Pods Pods
	// DaemonSet reads one.
	DaemonSet func(ctx context.Context, namespace, name string) (*appsv1.DaemonSet, error)
	// Budgets lists those of a namespace, or with "" all.
	Budgets func(ctx context.Context, namespace string) (*policyv1.PodDisruptionBudgetList, error)
}

// Pods is the part of client-go's typed client that is needed.
type Pods interface {
	List(ctx context.Context, o metav1.ListOptions) (*corev1.PodList, error)
	Watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error)
}

// Drainer drains the node it was made for. It holds no state between calls, and its methods may run
// at the same time.
type Drainer struct {
	client Client
	opts   Options
	log    logrus.FieldLogger
}

// late is up to a quarter of a time, by chance.
func (o Options) late(d time.Duration) time.Duration { return time.Duration(o.Chance() * float64(d/4)) }

// New returns a Drainer. It sends no request. A bad PodSelector comes back from Drain.
func New(client Client, o Options, log logrus.FieldLogger) *Drainer {
	if o.RetryAfter <= 0 {
		o.RetryAfter = defaultRetryAfter
	}
	if o.Parallel <= 0 {
		o.Parallel = defaultParallel
	}
	if o.Hold == nil {
		o.Hold = func(metav1.Object) string { return "" }
	}
	if o.Answered == nil {
		o.Answered = func(string) {}
	}
	if o.Chance == nil {
		o.Chance = func() float64 { return 0 }
	}
	return &Drainer{client: client, opts: o, log: log.WithField("node", o.NodeName)}
}

// Drain evicts the node's pods, or deletes them, and returns nil once a consistent list shows none left to evict.
//
// It never gives up by itself: an eviction that a disruption budget, a missing permission or a
// failure holds up is tried again until ctx ends, so the caller decides how long a drain may take. So does a pod on hold.
// When ctx ends, Drain returns within moments an *Error that names what stood in the way. Any other
// error means that the options can't work.
//
// A pod is gone when its UID is gone; a pod of the same name is another pod. Pods that appear while
// Drain runs are evicted too, except those that tolerate the cordon: they would come back for ever.
// Those are left on the node, as `kubectl drain` leaves whatever comes after its only list.
//
// Pods that LastSelector matches make a second round: none of them is touched while any other one is there, however it is made to go.
//
// If report isn't nil, Drain calls it from its own goroutine whenever the progress has changed, up to
// a few times for each pod; report must not block.
func (d *Drainer) Drain(ctx context.Context, way Way, report func(Progress)) error {
	selector, err := d.selector()
	if err != nil {
		return err
	}
	last, err := d.lastSelector()
	if err != nil {
		return err
	}
	if report == nil {
		report = func(Progress) {}
	}
	ctx, stop := context.WithCancel(klog.NewContext(ctx, debugLogger(d.log)))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()

	watch := &podWatch{
		drainer:  d,
		selector: selector,
		changed:  make(chan struct{}, 1),
		byUID:    make(map[types.UID]*corev1.Pod),
	}
	wg.Go(func() { watch.run(ctx) })
	r := &run{
		Drainer: d,
		way:     way,
		last:    last,
		watch:   watch,
		filters: newFilters(ctx, d.client, d.opts),
		targets: make(map[types.UID]*target),
		stay:    make(map[types.UID]bool),
		results: make(chan result, d.opts.Parallel),
		spawn:   wg.Go,
	}
	return r.loop(ctx, report)
}

// selector checks the options. An empty node name would select the pods that have no node yet.
func (d *Drainer) selector() (labels.Selector, error) {
	if d.opts.NodeName == "" {
		return nil, errors.New("drain: no node name")
	}
	selector, err := labels.Parse(d.opts.PodSelector)
	if err != nil {
		return nil, fmt.Errorf("drain pod selector: %w", err)
	}
	return selector, nil
}

// lastSelector selects nothing if it isn't set.
func (d *Drainer) lastSelector() (labels.Selector, error) {
	if d.opts.LastSelector == "" {
		return labels.Nothing(), nil
	}
	selector, err := labels.Parse(d.opts.LastSelector)
	if err != nil {
		return nil, fmt.Errorf("drain last selector: %w", err)
	}
	return selector, nil
}

// list reads the node's pods, consistently.
func (d *Drainer) list(ctx context.Context, selector labels.Selector) (*corev1.PodList, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	pods, err := d.client.Pods.List(ctx, podsOf(d.opts.NodeName, selector))
	if err != nil {
		return nil, fmt.Errorf("list the node's pods: %w", err)
	}
	return pods, nil
}

// podsOf selects the pods of a node, as drain.Helper.GetPodsForDeletion does.
func podsOf(node string, selector labels.Selector) metav1.ListOptions {
	return metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("spec.nodeName", node).String(),
		LabelSelector: selector.String(),
	}
}

// debugLogger takes what client-go logs in a context, which else goes to stderr, to log at debug.
func debugLogger(log logrus.FieldLogger) klog.Logger {
	return funcr.New(func(_, args string) { log.Debug(args) }, funcr.Options{})
}
