package gate

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/pkg/plan"
)

// Budgets looks, before the cordon, whether PodDisruptionBudgets would refuse the evictions.
type Budgets struct {
	// Refused says of each pod whose eviction would be refused which it is, by what and why. It may say something beside an error.
	Refused func(ctx context.Context) ([]string, error)
	// Hold is whether that closes the gate. If not, it is only said.
	Hold bool
	// Annotation is where the Node carries its record.
	Annotation string
}

// named is how many pods are named.
const named = 3

// Ask asks for refusals, but only before the cordon: afterwards the drain itself knows, and what it does changes the budgets.
func (b Budgets) Ask(ctx context.Context, n *corev1.Node) plan.Verdict {
	v := plan.Verdict{Gate: "pdb-preflight", Open: true}
	if r, err := plan.ParseRecord(n.Annotations[b.Annotation]); err == nil && r.Phase != plan.Required {
		return v
	}
	refused, err := b.Refused(ctx)
	switch {
	case len(refused) > 0:
		more := ""
		if n := len(refused) - named; n > 0 {
			more = fmt.Sprintf("; and %d more", n)
		}
		v.Reason, v.Message = plan.BlockedByPDB, fmt.Sprintf("PodDisruptionBudgets would refuse evictions now: %s%s.",
			strings.Join(refused[:min(named, len(refused))], "; "), more)
	case err != nil:
		v.Reason, v.Message = plan.GateError, fmt.Sprintf("Whether PodDisruptionBudgets would refuse evictions can't be known: %s (--pdb-preflight).",
			strings.ReplaceAll(err.Error(), "\n", "; "))
	default:
		return v
	}
	if v.Open = !b.Hold; v.Open {
		v.Reason = ""
	}
	return v
}
