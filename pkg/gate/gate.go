// Package gate holds what can hold a reboot back. A gate answers with a verdict; one that can't be evaluated is
// closed, with reason GateError and the error in its message.
package gate

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/pkg/plan"
)

// Hold is closed while the Node carries the annotation; its value is a person's reason.
type Hold struct{ Annotation string }

// Ask looks at the annotation. It costs nothing.
func (h Hold) Ask(_ context.Context, n *corev1.Node) plan.Verdict {
	v := plan.Verdict{Gate: "hold", Open: true}
	if why, held := n.Annotations[h.Annotation]; held {
		v.Open, v.Reason = false, plan.Held
		v.Message = fmt.Sprintf("Held by annotation %s=%q; to let it go: kubectl annotate node %s %s-, or kubectl reboot unhold %s",
			h.Annotation, shorten(why), n.Name, h.Annotation, n.Name)
	}
	return v
}

// Command is closed while the reboot could not be carried out: the command isn't there, or can't be reached. It is asked
// before the cordon, so that a node is not drained for nothing.
type Command struct{ Check func() error }

// Ask looks for the command.
func (c Command) Ask(context.Context, *corev1.Node) plan.Verdict {
	if err := c.Check(); err != nil {
		return plan.Verdict{Gate: "reboot-command", Reason: plan.GateError, Message: fmt.Sprintf("This node could not be rebooted: %v", err)}
	}
	return plan.Verdict{Gate: "reboot-command", Open: true}
}
