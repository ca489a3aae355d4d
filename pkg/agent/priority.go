package agent

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/pkg/fleet"
	"github.com/rebootd/rebootd/pkg/plan"
)

// notePriority tells, once for each value, of a priority that doesn't count: who set it expects the node to go sooner or later than
// it will.
func (a *Agent) notePriority(n *corev1.Node, phase plan.Phase) {
	if n == nil {
		return
	}
	_, err := fleet.Priority(n.Annotations)
	if err == nil {
		a.memory.priority = ""
		return
	}
	if text := n.Annotations[fleet.PriorityAnnotation]; a.memory.priority != text {
		a.memory.priority = text
		a.Tell.Warn(n, phase, plan.WaitingForTurn, "The "+err.Error()+".")
	}
}
