package agent

import (
	"context"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/pkg/plan"
)

// healthyWork asks the healthy gates beside the loop, all at once, each [costlyEvery] until all are open.
type healthyWork struct {
	wg      sync.WaitGroup
	mu      sync.Mutex
	cancel  context.CancelFunc // of what is being asked; nil: nothing is
	answers []plan.Verdict     // nil: none yet in this settling
	at      time.Time          // when they came
}

// ask returns the last answers of the healthy gates, if now is the time for them, and asks again when those are old. errNotYet:
// the first are on their way.
func (h *healthyWork) ask(ctx context.Context, a *Agent, n *corev1.Node, o plan.Observation) ([]plan.Verdict, error) {
	if len(a.HealthyGates) == 0 || !plan.AskHealthy(o.Record, a.Policy, o.Slot, a.Now()) {
		h.stop()
		return nil, nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.cancel == nil && (h.answers == nil || a.Now().Sub(h.at).Abs() >= min(costlyEvery, a.Period)) {
		h.begin(ctx, a, n)
	}
	if h.answers == nil {
		a.why.Store("the healthy queries have not been answered yet")
		return nil, errNotYet
	}
	return slices.Clone(h.answers), nil
}

func (h *healthyWork) begin(ctx context.Context, a *Agent, n *corev1.Node) {
	ctx, cancel := context.WithTimeout(ctx, gateTimeout)
	h.cancel = cancel
	h.wg.Go(func() {
		defer cancel()
		answers := make([]plan.Verdict, len(a.HealthyGates))
		var wg sync.WaitGroup
		for i, g := range a.HealthyGates {
			wg.Go(func() { answers[i] = g.Ask(ctx, n) })
		}
		wg.Wait()
		h.mu.Lock()
		defer h.mu.Unlock()
		h.cancel, h.answers, h.at = nil, answers, a.Now()
		a.Wake()
	})
}

// stop forgets the answers, and returns when nothing is asked any more.
func (h *healthyWork) stop() {
	h.mu.Lock()
	if h.cancel != nil {
		h.cancel()
	}
	h.mu.Unlock()
	h.wg.Wait()
	h.mu.Lock()
	h.cancel, h.answers = nil, nil
	h.mu.Unlock()
}
