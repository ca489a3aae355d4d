package drain

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/klog/v2"
)

const (
	// mostNamespaces is how many namespaces are asked for their budgets one by one; with more it is one list of all.
	mostNamespaces = 3
	// mostTried is how many evictions are tried at most, tryParallel how many at once.
	mostTried   = 20
	tryParallel = 4
)

// Preflight asks the API server which evictions of a drain that started now would be refused by disruption budgets. It changes
// nothing: the evictions are dry runs. The obstacles name pod and budget; the error is of evictions, or budgets, about which
// nothing could be found out, and the obstacles are those found all the same.
//
// It costs a list of the node's pods, at most three lists of budgets, and up to twenty dry runs: only pods are tried that
// match a budget which allows nothing now, or several budgets. It needs, besides what a drain needs: list
// poddisruptionbudgets.policy.
func (d *Drainer) Preflight(ctx context.Context) ([]Obstacle, error) {
	ctx = klog.NewContext(ctx, debugLogger(d.log))
	selector, err := d.selector()
	if err != nil {
		return nil, err
	}
	pods, err := d.list(ctx, selector)
	if err != nil {
		return nil, err
	}
	budgets, err := d.budgets(ctx, pods.Items)
	if err != nil {
		return nil, err
	}
	suspects, err := d.evicted(ctx, inTurns(suspectsOf(pods.Items, budgets)))
	obstacles, untold := d.tryAll(ctx, suspects)
	sortObstacles(obstacles)
	return obstacles, errors.Join(err, untold)
}

// budgets lists the disruption budgets of the namespaces that the pods are in. A DaemonSet's pods stay, so those they are alone in aren't asked.
func (d *Drainer) budgets(ctx context.Context, pods []corev1.Pod) ([]policyv1.PodDisruptionBudget, error) {
	var namespaces []string
	for i := range pods {
		owner := metav1.GetControllerOf(&pods[i])
		if ns := pods[i].Namespace; !slices.Contains(namespaces, ns) && (owner == nil || owner.Kind != "DaemonSet") {
			namespaces = append(namespaces, ns)
		}
	}
	if len(namespaces) > mostNamespaces {
		namespaces = []string{metav1.NamespaceAll}
	}
	var all []policyv1.PodDisruptionBudget
	for _, ns := range namespaces {
		list, err := d.client.Budgets(ctx, ns)
		if err != nil {
			return nil, fmt.Errorf("list PodDisruptionBudgets: %w", err)
		}
		all = append(all, list.Items...)
	}
	return all, nil
}

// suspect is a pod whose eviction may be refused, and the budgets that it matches.
type suspect struct {
	pod     *corev1.Pod
	budgets []*policyv1.PodDisruptionBudget
}

// suspectsOf are the pods that match several budgets, or one that allows nothing now.
func suspectsOf(pods []corev1.Pod, budgets []policyv1.PodDisruptionBudget) []suspect {
	var all []suspect
	for i := range pods {
		s := suspect{pod: &pods[i]}
		for j := range budgets {
			if matches(&budgets[j], s.pod) {
				s.budgets = append(s.budgets, &budgets[j])
			}
		}
		if len(s.budgets) > 1 || len(s.budgets) == 1 && closed(s.budgets[0]) {
			all = append(all, s)
		}
	}
	return all
}

// matches is how the API server finds a pod's budgets: no selector is nothing, an empty one is everything.
func matches(b *policyv1.PodDisruptionBudget, pod *corev1.Pod) bool {
	selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
	return err == nil && b.Namespace == pod.Namespace && selector.Matches(labels.Set(pod.Labels))
}

// closed is whether a budget may refuse an eviction now: it allows none, or its status is out of date.
func closed(b *policyv1.PodDisruptionBudget) bool {
	return b.Status.DisruptionsAllowed <= 0 || b.Status.ObservedGeneration < b.Generation
}

// inTurns puts the suspects of different budgets first, so that each budget has had one of its pods tried before any has two.
func inTurns(suspects []suspect) []suspect {
	seen := map[*policyv1.PodDisruptionBudget]int{}
	rounds := make([]int, len(suspects))
	order := make([]int, len(suspects))
	for i, s := range suspects {
		order[i], rounds[i] = i, seen[s.budgets[0]]
		seen[s.budgets[0]]++
	}
	slices.SortStableFunc(order, func(a, b int) int { return rounds[a] - rounds[b] })
	sorted := make([]suspect, 0, len(suspects))
	for _, i := range order {
		sorted = append(sorted, suspects[i])
	}
	return sorted
}

// evicted are the suspects that a drain would evict, up to as many as are tried.
func (d *Drainer) evicted(ctx context.Context, suspects []suspect) ([]suspect, error) {
	f := newFilters(ctx, d.client, d.opts)
	var kept []suspect
	var errs []error
	for _, s := range suspects {
		if len(kept) == mostTried {
			break
		}
		chosen, err := f.choose(*s.pod)
		ending := s.pod.DeletionTimestamp != nil
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("pod %s/%s: %w", s.pod.Namespace, s.pod.Name, err))
		case len(chosen) > 0 && !ending:
			kept = append(kept, s)
		}
	}
	return kept, errors.Join(errs...)
}

// tryAll tries the evictions, a few at once.
func (d *Drainer) tryAll(ctx context.Context, suspects []suspect) ([]Obstacle, error) {
	var mu sync.Mutex
	var obstacles []Obstacle
	var errs []error
	var wg sync.WaitGroup
	next := make(chan suspect)
	for range min(tryParallel, len(suspects)) {
		wg.Go(func() {
			for s := range next {
				o, err := s.judge(d.evict(ctx, s.pod, metav1.DryRunAll))
				mu.Lock()
				if err != nil {
					errs = append(errs, err)
				} else if o != nil {
					obstacles = append(obstacles, *o)
				}
				mu.Unlock()
			}
		})
	}
	for _, s := range suspects {
		next <- s
	}
	close(next)
	wg.Wait()
	return obstacles, errors.Join(errs...)
}

// judge says what the answer to a dry run means: a refusal by budgets, nothing, or that nothing could be found out.
func (s suspect) judge(err error) (*Obstacle, error) {
	if err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) { // gone, or another pod of the same name
		return nil, nil
	}
	o := podObstacle(s.pod, err)
	switch {
	case o.Reason == Terminating: // its namespace is, so the pod goes without us
		return nil, nil
	case o.Reason == PDB:
		o.Message = strings.TrimSuffix(o.Message, ".") + s.hint()
		return &o, nil
	case len(s.budgets) > 1 && apierrors.IsInternalError(err):
		o.Reason = PDB
		for _, b := range s.budgets {
			o.PDBs = append(o.PDBs, b.Name)
		}
		slices.Sort(o.PDBs)
		o.Message = "it matches several PodDisruptionBudgets, so no eviction of it ever succeeds: change their selectors so that only one does"
		return &o, nil
	}
	return nil, fmt.Errorf("dry run of the eviction of pod %s/%s: %w", s.pod.Namespace, s.pod.Name, err)
}

// hint says what could be changed about the budget, where it isn't just a matter of waiting.
func (s suspect) hint() string {
	if len(s.budgets) != 1 {
		return ""
	}
	b := s.budgets[0]
	always := b.Spec.UnhealthyPodEvictionPolicy != nil && *b.Spec.UnhealthyPodEvictionPolicy == policyv1.AlwaysAllow
	switch status := b.Status; {
	case !isReady(s.pod) && !always:
		return "; the pod isn't Ready, and unhealthyPodEvictionPolicy: AlwaysAllow in the budget would let such pods go"
	case status.ExpectedPods > 0 && status.DesiredHealthy >= status.ExpectedPods:
		return fmt.Sprintf("; the budget wants all of its %d pods healthy, so it never lets one go: give it more pods, or let it allow one fewer", status.ExpectedPods)
	}
	return ""
}

func isReady(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
