package cleanup

import (
	"context"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
)

// agents are the DaemonSets of other installations.
type agents []appsv1.DaemonSet

// on is the DaemonSet whose agent works on the node, or will as soon as it can; "": none.
func (a agents) on(n *corev1.Node) string {
	for i := range a {
		where := nodeaffinity.GetRequiredNodeAffinity(&corev1.Pod{Spec: a[i].Spec.Template.Spec})
		// What can't be evaluated stays theirs.
		if ok, err := where.Match(n); ok || err != nil {
			return a[i].Namespace + "/" + a[i].Name
		}
	}
	return ""
}

// share reports whether one of them has its Leases and ConfigMaps in the namespace.
func (a agents) share(namespace string) bool {
	return slices.ContainsFunc(a, func(d appsv1.DaemonSet) bool {
		return d.Namespace == namespace || given(d, "--namespace="+namespace)
	})
}

func given(d appsv1.DaemonSet, flag string) bool {
	return slices.ContainsFunc(d.Spec.Template.Spec.Containers, func(c corev1.Container) bool { return slices.Contains(c.Args, flag) })
}

// others are the DaemonSets of other installations that bring nodes back into service. They are looked up late and again, for one may come
// at any time.
func (c *Cleaner) others(ctx context.Context) (agents, error) {
	list, err := c.DaemonSets(metav1.NamespaceAll).List(ctx, metav1.ListOptions{LabelSelector: AgentsSelector})
	if err != nil {
		return nil, fmt.Errorf("list DaemonSets of agents: %w", err)
	}
	return agents(slices.DeleteFunc(list.Items, func(d appsv1.DaemonSet) bool {
		// One that only tries never brings a node back, so nothing may be left to it.
		return c.goes(d.Namespace, d.Name) || d.DeletionTimestamp != nil || given(d, "--dry-run=true") || given(d, "--dry-run")
	})), nil
}

// stopAgents deletes the DaemonSets and waits for their pods.
func (c *Cleaner) stopAgents(ctx context.Context) error {
	for _, d := range c.Options.DaemonSets {
		err := c.DaemonSets(d.Namespace).Delete(ctx, d.Name, metav1.DeleteOptions{})
		switch {
		case apierrors.IsNotFound(err):
		case err != nil:
			return fmt.Errorf("delete DaemonSet %s: %w", d, err)
		default:
			c.tell("DaemonSet %s: deleted.", d)
		}
	}
	return c.awaitEnd(ctx)
}

func (c *Cleaner) goes(namespace, name string) bool {
	return slices.ContainsFunc(c.Options.DaemonSets, func(d types.NamespacedName) bool { return d.Namespace == namespace && d.Name == name })
}

// awaitEnd waits until no agent runs any more. One whose kubelet doesn't answer, because its machine is just rebooting perhaps, can't be
// waited for: its token is void a minute after its end was due, and so it is with the rights that go with the installation.
func (c *Cleaner) awaitEnd(ctx context.Context) error {
	limit := c.Now().Add(c.AgentsTimeout)
	for {
		left, err := c.running(ctx)
		if err != nil {
			return err
		}
		if len(left) == 0 {
			return nil
		}
		if c.Now().After(limit) {
			c.tell("Still there after %v: %s. Their kubelets don't answer; going on without them.", c.AgentsTimeout, strings.Join(left, ", "))
			return nil
		}
		if !c.wait(ctx) {
			return fmt.Errorf("waiting for the agents to end, of which are left %s: %w", strings.Join(left, ", "), ctx.Err())
		}
	}
}

// running are the agents' pods that haven't ended.
func (c *Cleaner) running(ctx context.Context) ([]string, error) {
	var left, seen []string
	for _, d := range c.Options.DaemonSets {
		if slices.Contains(seen, d.Namespace) {
			continue
		}
		seen = append(seen, d.Namespace)
		pods, err := c.Pods(d.Namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, fmt.Errorf("list pods in namespace %s: %w", d.Namespace, err)
		}
		for i := range pods.Items {
			p := &pods.Items[i]
			owner := metav1.GetControllerOf(p)
			ended := p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
			if owner != nil && owner.Kind == "DaemonSet" && c.goes(d.Namespace, owner.Name) && !ended {
				left = append(left, fmt.Sprintf("pod %s on node %s", p.Name, p.Spec.NodeName))
			}
		}
	}
	return left, nil
}
