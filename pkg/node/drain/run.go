package drain

import (
	"cmp"
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
)

// run is one drain. The loop's goroutine alone touches it; evictions run in goroutines of their own
// and come back as results.
type run struct {
	*Drainer
	way     Way
	last    labels.Selector // pods that come when all others are gone
	watch   *podWatch
	filters *filters
	results chan result // has room for every eviction under way
	spawn   func(func())

	began     bool                  // the first look is done: what appears now is late
	targets   map[types.UID]*target // pods to evict that are still there
	stay      map[types.UID]bool    // late pods that are left alone
	undecided []Obstacle            // pods that kubectl's filters couldn't tell about at the last look
	unlisted  error                 // why the end couldn't be confirmed
	inFlight  int                   // evictions under way
	rounds    int                   // 2 when there is, or was, a pod that comes last
	count     struct{ total, evicted, gone int }
}

// target is a pod that is to be evicted.
type target struct {
	pod      *corev1.Pod // as last seen; shared with the watch, read only
	last     bool        // it waits until all that aren't last are gone
	inFlight bool
	accepted bool      // the server took the eviction, or says that there is no such pod
	failures int       // in a row
	due      time.Time // when to try (again)
	problem  *Obstacle // the last refusal or failure
}

type result struct {
	uid types.UID
	err error
}

// loop looks, starts what is due and waits for something to happen, until nothing is left.
func (r *run) loop(ctx context.Context, report func(Progress)) error {
	var told Progress
	var confirm time.Time // when the end may be confirmed (again)
	for {
		r.look(ctx)
		if ctx.Err() != nil {
			return &Error{Node: r.opts.NodeName, Obstacles: r.progress().Obstacles, Cause: context.Cause(ctx)}
		}
		wake := r.start(ctx)
		if p := r.progress(); !reflect.DeepEqual(p, told) {
			told = p
			report(p)
		}
		if r.began && len(r.targets)+len(r.undecided) == 0 {
			if now := time.Now(); !now.Before(confirm) {
				if r.empty(ctx) {
					return nil
				}
				confirm = now.Add(r.opts.RetryAfter)
			}
			wake = earlier(wake, confirm)
		}
		timer := time.NewTimer(time.Until(wake))
		select {
		case <-ctx.Done():
		case <-r.watch.changed:
		case <-timer.C:
		case res := <-r.results:
			if ctx.Err() == nil { // else it may say no more than that
				r.settle(res)
			}
		}
		timer.Stop()
	}
}

// look brings the targets up to date with the watch.
func (r *run) look(ctx context.Context) {
	pods, listed := r.watch.pods()
	if !listed {
		return
	}
	here := make(map[types.UID]*target)
	var undecided []Obstacle
	for _, pod := range pods {
		t := r.targets[pod.UID]
		switch chosen, err := r.wants(pod); {
		case ctx.Err() != nil:
			return // err may be no more than that: keep what we know
		case t == nil && err != nil:
			undecided = append(undecided, podObstacle(pod, err))
			continue
		case err == nil && !chosen:
			continue
		case t == nil:
			t = &target{}
			if r.began { // whatever puts pods here after the cordon isn't fought in a tight loop
				t.due = time.Now().Add(r.opts.RetryAfter)
			}
			r.count.total++
		}
		t.pod, t.last = pod, r.last.Matches(labels.Set(pod.Labels))
		if t.last {
			r.rounds = 2
		}
		here[pod.UID] = t
	}
	for uid := range r.targets {
		if here[uid] == nil {
			r.count.gone++
		}
	}
	r.targets, r.undecided = here, undecided
	r.began = r.began || len(undecided) == 0
}

// wants says whether the pod is to be evicted.
func (r *run) wants(pod *corev1.Pod) (bool, error) {
	if r.stay[pod.UID] {
		return false, nil
	}
	chosen, err := r.filters.choose(*pod)
	if len(chosen) == 0 {
		return false, err
	}
	if r.began && r.targets[pod.UID] == nil && toleratesCordon(pod) {
		r.stay[pod.UID] = true
		r.podLog(pod).Info("Pod came to the node during the drain and tolerates the cordon: it stays")
		return false, nil
	}
	return true, err
}

// start begins the evictions that are due, the longest due first, and returns when to look again.
func (r *run) start(ctx context.Context) time.Time {
	now := time.Now()
	wake := now.Add(slowRetry)
	if len(r.undecided) > 0 {
		wake = now.Add(r.opts.RetryAfter)
	}
	round := r.round()
	var todo []*target
	for _, t := range r.targets {
		if end := t.pod.DeletionTimestamp; end != nil && r.opts.SkipWaitForDeleteSeconds > 0 {
			// kubectl cuts the age to whole seconds and wants more than this many.
			skipped := end.Add(time.Duration(r.opts.SkipWaitForDeleteSeconds+1) * time.Second)
			wake = earlier(wake, later(skipped, now.Add(time.Second)))
		}
		// To evict a pod that is ending already can only cut its grace period short.
		ending := t.pod.DeletionTimestamp != nil && r.opts.GracePeriodSeconds < 0
		if !t.inFlight && !t.accepted && !ending && (round == 2 || !t.last) && r.held(t.pod) == "" {
			todo = append(todo, t)
		}
	}
	slices.SortFunc(todo, func(a, b *target) int {
		return cmp.Or(a.due.Compare(b.due), cmp.Compare(a.pod.UID, b.pod.UID))
	})
	for _, t := range todo {
		if r.inFlight == r.opts.Parallel {
			break // a result wakes the loop
		}
		if t.due.After(now) {
			wake = earlier(wake, t.due)
			break
		}
		t.inFlight = true
		r.inFlight++
		pod := t.pod
		r.spawn(func() { r.results <- result{pod.UID, r.remove(ctx, r.way, pod)} })
	}
	return wake
}

// held says why the pod must not be made to go. One that has ended holds nothing.
func (r *run) held(pod *corev1.Pod) string {
	if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return ""
	}
	return r.opts.Hold(pod)
}

// round is 2 when only pods are left that come last.
func (r *run) round() int {
	if r.rounds < 2 || !r.began {
		return 1
	}
	for _, t := range r.targets {
		if !t.last {
			return 1
		}
	}
	if len(r.undecided) > 0 {
		return 1
	}
	return 2
}

// settle takes in the answer to an eviction.
func (r *run) settle(res result) {
	r.inFlight--
	r.opts.Answered(kindOf(res.err))
	if res.err == nil {
		r.count.evicted++
	}
	t := r.targets[res.uid]
	if t == nil {
		return // gone, or to be waited for no longer
	}
	t.inFlight = false
	// In a namespace that is being deleted no eviction succeeds; kubectl waits for the deletion.
	doomed := namespaceTerminating(res.err) && t.pod.DeletionTimestamp != nil
	if res.err == nil || apierrors.IsNotFound(res.err) || doomed {
		t.accepted, t.problem = true, nil
		r.podLog(t.pod).Debug("Pod evicted")
		return
	}
	delay := retryDelay(res.err, r.opts.RetryAfter, t.failures)
	t.due = time.Now().Add(delay + r.opts.late(delay))
	t.failures++
	o := podObstacle(t.pod, res.err)
	log := r.podLog(t.pod).WithField("obstacle", o.Reason).WithError(res.err)
	if t.problem == nil || t.problem.Reason != o.Reason {
		log.Warn("Pod can't be evicted now; trying again")
	} else {
		log.Debug("Pod still can't be evicted; trying again")
	}
	t.problem = &o
}

// empty says whether a consistent list agrees that nothing is left: the watch may lag.
func (r *run) empty(ctx context.Context) bool {
	pods, err := r.list(ctx, r.watch.selector)
	if ctx.Err() != nil {
		return false
	}
	if r.unlisted = err; err != nil {
		return false
	}
	for i := range pods.Items {
		if wanted, err := r.wants(&pods.Items[i]); wanted || err != nil {
			r.unlisted = errors.New("the watch lags behind a list")
			return false
		}
	}
	return true
}

// progress says how far the drain is.
func (r *run) progress() Progress {
	p := Progress{Total: r.count.total, Evicted: r.count.evicted, Gone: r.count.gone, Obstacles: slices.Clone(r.undecided)}
	if r.rounds == 2 {
		p.Round = r.round()
	}
	for _, t := range r.targets {
		o := t.obstacle()
		if why := r.held(t.pod); why != "" {
			o.Reason, o.Message = Held, "must not be disturbed: "+why
		}
		p.Obstacles = append(p.Obstacles, o)
		if t.last {
			p.Last++
		}
	}
	for _, o := range p.Obstacles {
		if o.Reason == PDB || o.Reason == Forbidden || o.Reason == Failed || o.Reason == Held {
			p.Blocked++
		}
	}
	for _, err := range []error{r.watch.lastErr(), r.unlisted} {
		if err != nil {
			p.Obstacles = append(p.Obstacles, obstacle(err))
		}
	}
	sortObstacles(p.Obstacles)
	return p
}

func (r *run) podLog(pod *corev1.Pod) logrus.FieldLogger {
	return r.log.WithField("pod", pod.Namespace+"/"+pod.Name)
}

// obstacle says why the pod is still there.
func (t *target) obstacle() Obstacle {
	if t.pod.DeletionTimestamp == nil && t.problem != nil {
		return *t.problem
	}
	o := Obstacle{Namespace: t.pod.Namespace, Pod: t.pod.Name, Reason: Terminating}
	switch end := t.pod.DeletionTimestamp; {
	case end != nil:
		o.Message = "still terminating, due to end by " + end.UTC().Format(time.RFC3339)
		if len(t.pod.Finalizers) > 0 {
			o.Message += ", held by finalizers " + strings.Join(t.pod.Finalizers, ", ")
		}
	case t.accepted:
		o.Message = "evicted, not yet terminating"
	case t.last:
		o.Reason, o.Message = Waiting, "comes last"
	default:
		o.Reason, o.Message = Waiting, "not tried yet"
	}
	return o
}

func podObstacle(pod *corev1.Pod, err error) Obstacle {
	o := obstacle(err)
	o.Namespace, o.Pod = pod.Namespace, pod.Name
	return o
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
