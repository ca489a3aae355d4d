package drain

import (
	"context"
	"errors"
	"io"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	appsclient "k8s.io/client-go/kubernetes/typed/apps/v1"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/klog/v2"
	kubectl "k8s.io/kubectl/pkg/drain"
)

// filters asks kubectl's filters about pods that are already at hand: the library has them only
// behind a list of its own, so it gets a client whose list of pods is ours and that remembers
// DaemonSets. It is for one goroutine.
type filters struct {
	client  Client
	helper  kubectl.Helper
	pods    []corev1.Pod
	sets    map[types.NamespacedName]daemonSet
	setsErr error // the last failure to read a DaemonSet, but not NotFound: kubectl knows that one
	retry   time.Duration
}

// daemonSet is an answer to a get. One that was found is kept: were it deleted while its pods stay,
// they would lose the owner that makes kubectl ask. A failure is kept until then.
type daemonSet struct {
	set  *appsv1.DaemonSet
	err  error
	then time.Time
}

func newFilters(ctx context.Context, client Client, o Options) *filters {
	f := &filters{client: client, sets: make(map[types.NamespacedName]daemonSet), retry: o.RetryAfter}
	f.helper = kubectl.Helper{
		Ctx:                             ctx,
		Client:                          clientView{filters: f},
		Force:                           true,
		IgnoreAllDaemonSets:             true,
		DeleteEmptyDirData:              true,
		GracePeriodSeconds:              o.GracePeriodSeconds,
		SkipWaitForDeleteTimeoutSeconds: o.SkipWaitForDeleteSeconds,
		Out:                             io.Discard, // choosing prints nothing
		ErrOut:                          io.Discard,
	}
	return f
}

// choose returns those of pods that are to be evicted. With an error, the pods that it is about aren't among them.
func (f *filters) choose(pods ...corev1.Pod) ([]corev1.Pod, error) {
	f.pods, f.setsErr = pods, nil
	list, errs := f.helper.GetPodsForDeletion("")
	err := f.setsErr // as it came; kubectl makes it a string
	if err == nil {
		err = errors.Join(errs...)
	}
	if list == nil {
		return nil, err
	}
	return list.Pods(), err
}

// getDaemonSet reads a DaemonSet, at most once for each that is found.
func (f *filters) getDaemonSet(ctx context.Context, k types.NamespacedName) (*appsv1.DaemonSet, error) {
	s, known := f.sets[k]
	if !known || s.err != nil && !time.Now().Before(s.then) {
		ctx, cancel := context.WithTimeout(ctx, requestTimeout)
		defer cancel()
		s.set, s.err = f.client.DaemonSet(ctx, k.Namespace, k.Name)
		s.then = time.Now().Add(retryDelay(s.err, f.retry, 0))
		f.sets[k] = s
	}
	if s.err != nil && !apierrors.IsNotFound(s.err) {
		f.setsErr = s.err
	}
	return s.set, s.err
}

// toleratesCordon says whether the scheduler may put the pod on a cordoned node: the
// NodeUnschedulable plugin asks just this.
func toleratesCordon(pod *corev1.Pod) bool {
	cordon := corev1.Taint{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule}
	for i := range pod.Spec.Tolerations {
		if pod.Spec.Tolerations[i].ToleratesTaint(klog.Background(), &cordon, false) {
			return true
		}
	}
	return false
}

// clientView is the client that kubectl's filters see: every pod list is filters.pods, and
// DaemonSets are remembered. They ask for nothing else; it would be a nil pointer.
type clientView struct {
	kubernetes.Interface
	filters *filters
}

func (c clientView) CoreV1() coreclient.CoreV1Interface { return coreView{filters: c.filters} }

func (c clientView) AppsV1() appsclient.AppsV1Interface { return appsView{filters: c.filters} }

type coreView struct {
	coreclient.CoreV1Interface
	filters *filters
}

func (c coreView) Pods(string) coreclient.PodInterface { return podView{filters: c.filters} }

type podView struct {
	coreclient.PodInterface
	filters *filters
}

func (p podView) List(context.Context, metav1.ListOptions) (*corev1.PodList, error) {
	return &corev1.PodList{Items: p.filters.pods}, nil
}

type appsView struct {
	appsclient.AppsV1Interface
	filters *filters
}

func (a appsView) DaemonSets(namespace string) appsclient.DaemonSetInterface {
	return setView{filters: a.filters, namespace: namespace}
}

type setView struct {
	appsclient.DaemonSetInterface
	filters   *filters
	namespace string
}

func (s setView) Get(ctx context.Context, name string, _ metav1.GetOptions) (*appsv1.DaemonSet, error) {
	return s.filters.getDaemonSet(ctx, types.NamespacedName{Namespace: s.namespace, Name: name})
}
