package agent

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/pkg/plan"
)

// inquiry asks the gates that may be slow beside the loop, all at the same time: none of them keeps the loop from looking,
// nor the others from being asked. The zero value has asked nothing.
type inquiry struct {
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
func (q *inquiry) ask(a *Agent, n *corev1.Node, gates []Gate) {
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
		verdicts := askAtOnce(ctx, n, gates)
		q.mu.Lock()
		defer q.mu.Unlock()
		if q.round != round {
			return
		}
		q.cancel, q.said = nil, answers{verdicts: verdicts, asked: asked, answered: a.Now()}
		a.Wake()
	})
}

func askAtOnce(ctx context.Context, n *corev1.Node, gates []Gate) []plan.Verdict {
	verdicts := make([]plan.Verdict, len(gates))
	var wg sync.WaitGroup
	for i, g := range gates {
		wg.Go(func() {
			verdicts[i] = g.Ask(ctx, n)
			verdicts[i].Costly = true
		})
	}
	wg.Wait()
	return verdicts
}

// last is the last round that ended.
func (q *inquiry) last() answers {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.said
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
