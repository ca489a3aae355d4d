//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"math"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// pauseImage is on every machine; it ends at once when it is told to.
const pauseImage = "localhost/pause:lab"

// workload is a Deployment with a PodDisruptionBudget, both of the scene's name.
type workload struct {
	s *scene
}

// workload deploys pods that can only run on the named node, or with an empty name anywhere. Its budget lets so many
// of them be unavailable.
func (s *scene) workload(replicas, unavailable int, on string) *workload {
	s.t.Helper()
	labels := map[string]string{sceneLabel: s.name, "app": "workload"}
	meta := metav1.ObjectMeta{Name: s.name, Labels: labels}
	count := int32(replicas)
	grace := int64(5)
	spec := corev1.PodSpec{
		TerminationGracePeriodSeconds: &grace,
		Containers: []corev1.Container{{
			Name: "workload", Image: pauseImage, ImagePullPolicy: corev1.PullNever,
		}},
		TopologySpreadConstraints: []corev1.TopologySpreadConstraint{{
			MaxSkew: 1, TopologyKey: corev1.LabelHostname, WhenUnsatisfiable: corev1.ScheduleAnyway,
			LabelSelector: &metav1.LabelSelector{MatchLabels: labels},
		}},
	}
	if on != "" {
		spec.NodeSelector = map[string]string{corev1.LabelHostname: on}
	}
	_, err := lab.client.AppsV1().Deployments(metav1.NamespaceDefault).Create(s.t.Context(), &appsv1.Deployment{
		ObjectMeta: meta,
		Spec: appsv1.DeploymentSpec{
			Replicas: &count, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: spec},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	s.later(func(ctx context.Context) error {
		return lab.client.AppsV1().Deployments(metav1.NamespaceDefault).Delete(ctx, s.name, metav1.DeleteOptions{})
	})
	most := intstr.FromInt32(int32(unavailable))
	_, err = lab.client.PolicyV1().PodDisruptionBudgets(metav1.NamespaceDefault).Create(s.t.Context(), &policyv1.PodDisruptionBudget{
		ObjectMeta: meta,
		Spec: policyv1.PodDisruptionBudgetSpec{
			MaxUnavailable: &most, Selector: &metav1.LabelSelector{MatchLabels: labels},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	s.later(func(ctx context.Context) error {
		return lab.client.PolicyV1().PodDisruptionBudgets(metav1.NamespaceDefault).Delete(ctx, s.name, metav1.DeleteOptions{})
	})
	w := &workload{s}
	w.runs(replicas)
	return w
}

// runs waits until all pods are available and the budget knows.
func (w *workload) runs(replicas int) {
	w.s.t.Helper()
	eventually(w.s.t, 2*time.Minute, "the workload runs", func(ctx context.Context) error {
		d, err := lab.client.AppsV1().Deployments(metav1.NamespaceDefault).Get(ctx, w.s.name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		b, err := lab.client.PolicyV1().PodDisruptionBudgets(metav1.NamespaceDefault).Get(ctx, w.s.name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if int(d.Status.AvailableReplicas) < replicas || int(b.Status.CurrentHealthy) < replicas {
			return fmt.Errorf("%d of %d pods are available, %d healthy", d.Status.AvailableReplicas, replicas, b.Status.CurrentHealthy)
		}
		return nil
	})
}

// allow changes how many pods may be unavailable.
func (w *workload) allow(unavailable int) {
	w.s.t.Helper()
	budgets := lab.client.PolicyV1().PodDisruptionBudgets(metav1.NamespaceDefault)
	eventually(w.s.t, quick, "the budget is changed", func(ctx context.Context) error {
		b, err := budgets.Get(ctx, w.s.name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		most := intstr.FromInt32(int32(unavailable))
		b.Spec.MaxUnavailable = &most
		_, err = budgets.Update(ctx, b, metav1.UpdateOptions{})
		return err
	})
}

// leastAvailable watches the workload from now on. What it returns ends that, and returns how many pods were
// available at the least.
func (w *workload) leastAvailable() (end func() int) {
	w.s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	stream, err := lab.client.AppsV1().Deployments(metav1.NamespaceDefault).Watch(ctx, metav1.ListOptions{
		FieldSelector: "metadata.name=" + w.s.name,
	})
	if err != nil {
		cancel()
		w.s.t.Fatal(err)
	}
	answer := make(chan int, 1)
	go func() {
		least := math.MaxInt
		for event := range stream.ResultChan() {
			if d, ok := event.Object.(*appsv1.Deployment); ok {
				least = min(least, int(d.Status.AvailableReplicas))
			}
		}
		if ctx.Err() == nil {
			least = -1 // the watch broke: nobody knows
		}
		answer <- least
	}()
	return func() int {
		cancel()
		return <-answer
	}
}
