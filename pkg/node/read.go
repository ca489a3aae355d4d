package node

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rebootd/rebootd/pkg/mirror"
	"github.com/rebootd/rebootd/pkg/plan"
)

// What users see on the Node.
const (
	StateAnnotation = "rebootd.io/state"
	HoldAnnotation  = "rebootd.io/hold"
	// RequestAnnotation asks for a reboot; RequestNowAnnotation for one past windows and alerts.
	RequestAnnotation    = "rebootd.io/request"
	RequestNowAnnotation = "rebootd.io/request-now"
	AgentAnnotation      = "rebootd.io/agent"
	CallAnnotation       = "rebootd.io/agent-call"
	RequiredLabel        = "rebootd.io/reboot-required"
	ConditionType        = corev1.NodeConditionType("RebootRequired")
)

// Nodes is the part of client-go's typed client that is needed.
type Nodes interface {
	Get(ctx context.Context, name string, o metav1.GetOptions) (*corev1.Node, error)
	List(ctx context.Context, o metav1.ListOptions) (*corev1.NodeList, error)
	Watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error)
	Patch(ctx context.Context, name string, pt types.PatchType, data []byte, o metav1.PatchOptions,
		subresources ...string) (*corev1.Node, error)
}

// Source lists and watches the one Node of this name.
func Source(nodes Nodes, name string) mirror.Source {
	selector := fields.OneTermEqualSelector(metav1.ObjectNameField, name).String()
	return mirror.Source{
		List: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.FieldSelector = selector
			list, err := nodes.List(ctx, o)
			return list, explain("list", name, err)
		},
		Watch: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.FieldSelector = selector
			w, err := nodes.Watch(ctx, o)
			return w, explain("watch", name, err)
		},
	}
}

// Observe is what a decision needs to know of a Node. Nil stands for a Node that doesn't exist. The
// error is about the record alone, and says why it can't be read.
func Observe(name string, n *corev1.Node) (plan.Node, plan.Record, error) {
	if n == nil {
		return plan.Node{Name: name}, plan.Record{}, nil
	}
	seen := plan.Node{
		Name: name, Exists: true, Unschedulable: n.Spec.Unschedulable, BootID: n.Status.NodeInfo.BootID,
		NotReadyMessage: "the kubelet has not reported yet.", Labelled: n.Labels[RequiredLabel] != "",
		Labels: n.Labels, Annotations: n.Annotations, Attached: attached(n),
	}
	for _, t := range n.Spec.Taints {
		if t.Effect == corev1.TaintEffectPreferNoSchedule {
			seen.Soft = append(seen.Soft, t.Key)
		}
	}
	if text, ok := n.Annotations[RequestAnnotation]; ok {
		seen.Requests = append(seen.Requests, plan.Request{Text: text})
	}
	if text, ok := n.Annotations[RequestNowAnnotation]; ok {
		seen.Requests = append(seen.Requests, plan.Request{Text: text, Now: true})
	}
	for _, c := range n.Status.Conditions {
		switch c.Type {
		case corev1.NodeReady:
			seen.Ready = c.Status == corev1.ConditionTrue
			seen.NotReadyMessage = strings.TrimSpace(c.Reason + ": " + c.Message)
		case ConditionType:
			seen.Told = plan.Told{Reason: plan.Reason(c.Reason), Message: c.Message, At: c.LastHeartbeatTime.Time}
		}
	}
	record, err := plan.ParseRecord(n.Annotations[StateAnnotation])
	return seen, record, err
}

func explain(verb, name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s Node %s: %w", verb, name, err)
}
