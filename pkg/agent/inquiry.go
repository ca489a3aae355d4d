package agent

import (
	"context"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/pkg/plan"
)

// inquiry asks gates that may be slow beside the loop, all at the same time: none of them keeps the loop from looking,
// nor the others from being asked.
type inquiry struct {
	gates  []Gate
	wg     sync.WaitGroup
	mu     sync.Mutex
	cancel context.CancelFunc // of the round that is under way; nil: none is
	round  int                // its number, to tell a late end of an earlier one
	said   answers
}

// answers are those of one round, in the order of the gates; nil: none has ended. asked and answered are when it began and ended.
type answers struct {
	verdicts        []plan.Verdict
	asked, answered time.Time
}

// ask begins a round, unless one is under way. It wakes the loop when all have answered.
func (q *inquiry) ask(a *Agent, n *corev1.Node) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.cancel != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), gateTimeout)
	q.cancel = cancel
	q.round++
	round, asked := q.round, a.Now()
	q.wg.Go(func() {
		defer cancel()
		verdicts := together(questions(ctx, n, q.gates)...)
		q.mu.Lock()
		defer q.mu.Unlock()
		if q.round != round {
			return
		}
		q.cancel, q.said = nil, answers{verdicts: verdicts, asked: asked, answered: a.Now()}
		a.Wake()
	})
}

// questions are what to ask these gates.
func questions(ctx context.Context, n *corev1.Node, gates []Gate) []func() []plan.Verdict {
	asks := make([]func() []plan.Verdict, 0, len(gates))
	for _, g := range gates {
		asks = append(asks, func() []plan.Verdict { return []plan.Verdict{g.Ask(ctx, n)} })
	}
	return asks
}

// recent is the last round that ended, in a copy. When it is old another one is begun.
func (q *inquiry) recent(a *Agent, n *corev1.Node) answers {
	q.mu.Lock()
	said := q.said
	q.mu.Unlock()
	if said.verdicts == nil || a.Now().Sub(said.asked).Abs() >= a.costlyEvery() {
		q.ask(a, n)
	}
	said.verdicts = slices.Clone(said.verdicts)
	return said
}

// forget drops the answers, and whatever a round that is under way will say.
func (q *inquiry) forget() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.cancel != nil {
		q.cancel()
	}
	q.round++
	q.cancel, q.said = nil, answers{}
}

// stop forgets, and returns when nothing is asked any more.
func (q *inquiry) stop() {
	q.forget()
	q.wg.Wait()
}
