package fleet

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rebootd/rebootd/pkg/plan"
)

// A control plane has either of these labels: the second is of clusters that began before Kubernetes 1.20.
const (
	controlPlaneLabel = "node-role.kubernetes.io/control-plane"
	masterLabel       = "node-role.kubernetes.io/master"
)

// ControlPlane reports whether these labels are a control plane's.
func ControlPlane(labels map[string]string) bool {
	_, ok := labels[controlPlaneLabel]
	_, master := labels[masterLabel]
	return ok || master
}

// ControlPlanes lists the control planes but this one. No selector matches either of two labels, so it asks twice.
func (r *Reader) ControlPlanes(ctx context.Context, self string) ([]plan.Other, error) {
	others, err := r.Others(ctx, self, controlPlaneLabel)
	if err != nil {
		return nil, err
	}
	masters, err := r.Others(ctx, self, masterLabel+",!"+controlPlaneLabel)
	return append(others, masters...), err
}

// Others lists the Nodes of a selector but this one.
func (r *Reader) Others(ctx context.Context, self, members string) ([]plan.Other, error) {
	var others []plan.Other
	err := r.Nodes.EachNode(ctx, metav1.ListOptions{LabelSelector: members}, func(n *corev1.Node) {
		if n.Name != self {
			others = append(others, other(n))
		}
	})
	if err != nil {
		return nil, fmt.Errorf("list Nodes: %w", err)
	}
	return others, nil
}

func other(n *corev1.Node) plan.Other {
	record, err := plan.ParseRecord(n.Annotations[stateAnnotation])
	idle := err == nil && (record.Phase == plan.Idle || record.Phase == "")
	o := plan.Other{
		Name: n.Name, Ready: ready(n), Unschedulable: n.Spec.Unschedulable || leaving(n),
		ControlPlane: ControlPlane(n.Labels), Busy: !idle,
	}
	if record.Phase == plan.Rebooting {
		o.Out, o.Ordered = record.OutSince, record.LastAttempt
	}
	return o
}

// leaving: whoever is about to remove a Node keeps pods off it, cordoned or not.
func leaving(n *corev1.Node) bool {
	var taints []plan.Taint
	for _, t := range n.Spec.Taints {
		taints = append(taints, plan.Taint{Key: t.Key, Value: t.Value})
	}
	_, sign := plan.Removed(taints)
	return n.DeletionTimestamp != nil || sign != ""
}

func ready(n *corev1.Node) bool {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
