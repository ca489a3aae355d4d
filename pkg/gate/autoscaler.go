package gate

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/pkg/plan"
)

// Autoscaler is closed while somebody is about to remove this very Node: its pods are being moved already, and a reboot
// would help nobody.
type Autoscaler struct{}

// Ask looks at the Node's taints. It costs nothing.
func (Autoscaler) Ask(_ context.Context, n *corev1.Node) plan.Verdict {
	v := plan.Verdict{Gate: "autoscaler", Open: true}
	var taints []plan.Taint
	for _, t := range n.Spec.Taints {
		taints = append(taints, plan.Taint{Key: t.Key, Value: t.Value})
	}
	who, sign := plan.Removed(taints)
	switch {
	case n.DeletionTimestamp != nil:
		v.Message = "The Node object is being deleted (it has a deletionTimestamp), so it isn't rebooted."
	case who != "":
		v.Message = fmt.Sprintf("This node is being removed by %s (%s), so it isn't rebooted; it goes on when the taint is gone.", who, sign)
	default:
		return v
	}
	v.Open, v.Reason = false, plan.BlockedByAutoscaler
	return v
}
