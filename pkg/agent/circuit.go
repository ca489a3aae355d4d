package agent

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/pkg/circuit"
	"github.com/rebootd/rebootd/pkg/mirror"
	"github.com/rebootd/rebootd/pkg/node"
	"github.com/rebootd/rebootd/pkg/plan"
)

// circuitWatch watches the circuit as long as the slots are watched.
type circuitWatch struct {
	state  *mirror.Mirror[*corev1.ConfigMap]
	cancel context.CancelFunc
	ended  chan struct{}
}

func (w *circuitWatch) start(ctx context.Context, b *circuit.Breaker) {
	if b == nil || w.state != nil {
		return
	}
	ctx, w.cancel = context.WithCancel(ctx)
	state, ended := mirror.New("circuit", b.Source(), &corev1.ConfigMap{}, nil), make(chan struct{})
	w.state, w.ended = state, ended
	go func() {
		defer close(ended)
		state.Run(ctx)
	}()
}

func (w *circuitWatch) stop() {
	if w.state == nil {
		return
	}
	w.cancel()
	<-w.ended
	w.state = nil
}

func (w *circuitWatch) changed() <-chan struct{} {
	if w.state == nil {
		return nil
	}
	return w.state.Changed()
}

// askCircuit is the gate that a cascade closes. What is watched is enough to wait by; before anything is disrupted it is
// read consistently.
func (a *Agent) askCircuit(ctx context.Context, surely bool) []plan.Verdict {
	if a.Circuit == nil {
		return nil
	}
	v := plan.Verdict{Gate: "circuit", Reason: plan.CircuitOpen, Everyone: true}
	var err error
	if surely {
		v.Gate = "circuit, read live" // a gate of its own: the two don't change at the same moment
		v.Message, err = a.Circuit.WhyNow(ctx)
	} else {
		v.Message, err = a.watchedCircuit()
	}
	if err != nil {
		return []plan.Verdict{unanswered(v, err)}
	}
	v.Open = v.Message == ""
	return []plan.Verdict{v}
}

func (a *Agent) watchedCircuit() (string, error) {
	if a.circuit.state == nil {
		return "", errors.New("it is not watched yet")
	}
	items, err := a.circuit.state.Items()
	if err != nil || len(items) == 0 {
		return "", err
	}
	return a.Circuit.Why(items[0])
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
	if a.circuit.state != nil {
		if items, err := a.circuit.state.Items(); err == nil && len(items) == 0 {
			return
		}
	}
	if err := a.Circuit.Succeeded(ctx); err != nil {
		a.Log.WithError(err).Warn("Failures of other nodes stay counted, though this one rebooted well.")
	}
}
