package agent

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/pkg/circuit"
	"github.com/rebootd/rebootd/pkg/node"
	"github.com/rebootd/rebootd/pkg/plan"
)

// circuitRule is the gate that a cascade closes.
type circuitRule struct{ *circuit.Breaker }

// Judge says whether the circuit is open.
func (c circuitRule) Judge(found []*corev1.ConfigMap) plan.Verdict {
	v := plan.Verdict{Gate: "circuit", Open: true, Everyone: true}
	if len(found) == 0 {
		return v
	}
	why, err := c.Why(found[0])
	switch {
	case err != nil:
		return unanswered(v, err)
	case why != "":
		v.Open, v.Reason, v.Message = false, plan.CircuitOpen, why
	}
	return v
}

// fail counts this reboot as failed, for the whole cluster; then the record says that it was counted.
func (a *Agent) fail(ctx context.Context, n *corev1.Node, o plan.Observation, step plan.Action) error {
	if a.Circuit != nil {
		f := circuit.Failure{Node: n.Name, Out: o.Record.OutSince, Reason: string(step.Reason)}
		opened, err := a.Circuit.Failed(ctx, f)
		if err != nil {
			return fmt.Errorf("counting the reboot as failed: %w", err)
		}
		if opened {
			a.Tell.Happened(n, o.Record.Phase, plan.CircuitOpen, "With this failure the circuit is open: no node of the cluster reboots until it is closed.")
		}
	}
	return a.write(n, o, step, func() (*corev1.Node, error) {
		return a.Writer.Write(ctx, n, step.Record, node.Tale{Wanted: o.Wanted.Answer, Reason: step.Reason, Message: step.Told})
	})
}

// succeeded ends a row of failures, if there is one. An error only leaves them counted.
func (a *Agent) succeeded(ctx context.Context) {
	if a.Circuit == nil {
		return
	}
	if items, err := a.circuit.objects.Items(); err == nil && len(items) == 0 {
		return
	}
	if err := a.Circuit.Succeeded(ctx); err != nil {
		a.Log.WithError(err).Warn("Failures of other nodes stay counted, though this one rebooted well.")
	}
}
