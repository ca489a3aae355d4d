package drain

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// remove sends one eviction or deletion of exactly this pod: not of another of the same name, and not again
// by itself if the server says Retry-After.
func (d *Drainer) remove(ctx context.Context, way Way, pod *corev1.Pod) error {
	if way == Evict {
		return d.evict(ctx, pod)
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return d.client.Core.Delete().
		MaxRetries(0).
		Namespace(pod.Namespace).Resource("pods").Name(pod.Name).
		Body(d.deleteOptions(pod)).
		Do(ctx).
		Error()
}

// evict sends one eviction; with metav1.DryRunAll nothing comes of it but the answer.
func (d *Drainer) evict(ctx context.Context, pod *corev1.Pod, dryRun ...string) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	options := d.deleteOptions(pod)
	options.DryRun = dryRun
	return d.client.Core.Post().
		MaxRetries(0).
		Namespace(pod.Namespace).Resource("pods").Name(pod.Name).SubResource("eviction").
		Body(&policyv1.Eviction{
			ObjectMeta:    metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name},
			DeleteOptions: options,
		}).
		Do(ctx).
		Error()
}

func (d *Drainer) deleteOptions(pod *corev1.Pod) *metav1.DeleteOptions {
	options := &metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(pod.UID))}
	if d.opts.GracePeriodSeconds >= 0 {
		grace := int64(d.opts.GracePeriodSeconds)
		options.GracePeriodSeconds = &grace
	}
	return options
}

// retryDelay is how long to leave a request alone that has failed with err, after so many failures
// in a row before this one.
func retryDelay(err error, least time.Duration, before int) time.Duration {
	delay := least
	switch {
	case apierrors.IsTooManyRequests(err), namespaceTerminating(err), apierrors.IsNotFound(err):
	case apierrors.IsForbidden(err):
		delay = max(least, slowRetry)
	default:
		delay = max(least, min(least<<min(before, 10), slowRetry))
	}
	if seconds, ok := apierrors.SuggestsClientDelay(err); ok {
		delay = max(delay, time.Duration(seconds)*time.Second)
	}
	return delay
}
