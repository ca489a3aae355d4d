package fleet

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/pkg/agent"
	"github.com/rebootd/rebootd/pkg/pause"
	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/test/fleet/sim"
)

// pause is an operator who holds back the whole cluster, at times in words that nobody can read.
func (w *world) pause(*box) {
	if !w.pauses {
		return
	}
	word := []string{"true", "true", "perhaps"}[w.chance.IntN(3)]
	if w.server.Create(nil, sim.ConfigMapKind, sim.ConfigMap(pause.ConfigMap, map[string]string{"paused": word})) != nil {
		return // it is paused
	}
	w.tell("world", "an operator pauses the cluster: paused=%s", word)
	w.setPaused(true)
}

func (w *world) resume(*box) {
	if w.isPaused() {
		w.tell("world", "an operator ends the pause")
		w.setPaused(false)
		_ = w.server.Remove(nil, sim.ConfigMapKind, pause.ConfigMap, nil)
	}
}

func (w *world) setPaused(is bool) {
	w.mu.Lock()
	w.paused = is
	w.mu.Unlock()
	for _, b := range w.there() {
		b.change(func() { b.wishes.paused = is })
	}
}

func (w *world) isPaused() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.paused
}

// ignoresPause is an agent that doesn't look at the pause.
func ignoresPause(_ *box, _ *sim.Process, parts *agent.Parts) { parts.Pause = nil }

// slowGate is asked beside the loop, and takes its time. What it says is what the world's gate says then.
type slowGate struct{ b *box }

func (g slowGate) Ask(ctx context.Context, _ *corev1.Node) (v plan.Verdict) {
	select {
	case <-time.After(g.b.w.slowGate):
	case <-ctx.Done():
		return plan.Verdict{Gate: "slow", Reason: plan.GateError, Message: "There was no time to ask.", Everyone: true}
	}
	g.b.Set(func() { v = g.b.Gate })
	v.Gate = "slow"
	return v
}
