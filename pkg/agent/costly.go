package agent

import (
	"context"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/pkg/fleet"
	"github.com/rebootd/rebootd/pkg/plan"
)

const (
	// costlyEvery is about how often the costly gates are asked while nothing is about to be disrupted.
	costlyEvery = 30 * time.Second
	// costlyRetry is how soon, at least, those are asked again that the API server didn't answer: when many take a slot in the same moment
	// it is too busy, and a moment later it isn't.
	costlyRetry = 3 * time.Second
	// costlyFresh is how old their answers may be when something is.
	costlyFresh = time.Second
	// costlyOld is how old they may be if they were asked for because of it, or are of the other nodes: whoever of them takes a slot looks, too.
	costlyOld = 5 * time.Second
)

// askCostly asks what only the node whose turn it is asks, or returns what was said not long ago. errNotYet: no answer has come
// yet from the gates that are asked beside the loop.
func (a *Agent) askCostly(ctx context.Context, n *corev1.Node, o plan.Observation) ([]plan.Verdict, error) {
	if !plan.AskCostly(o) {
		a.memory.costly, a.memory.answers, a.memory.daemons = nil, answers{}, nil
		a.inquiry.forget()
		return nil, nil
	}
	var said []plan.Verdict
	if len(a.CostlyGates) > 0 {
		a.memory.answers = a.inquiry.recent(a, n)
		if said = a.memory.answers.verdicts; said == nil {
			return nil, errNotYet // before the cluster is asked: its answers would be old when these have come
		}
	}
	if a.memory.costly == nil || a.Now().Sub(a.memory.costlyAt).Abs() >= a.memory.costlyFor {
		a.memory.costly = a.askCluster(ctx, n, o)
		a.memory.costlyAt = a.Now() // not before: answers that took long to get are no older for it
		a.memory.costlyFor = a.costlyFor(a.memory.costly)
	}
	for i := range said {
		said[i].Costly = true
	}
	return slices.Concat(a.memory.costly, said), nil
}

// costlyEvery is how old their answers may be at the next look, which is spread likewise.
func (a *Agent) costlyEvery() time.Duration {
	every := min(costlyEvery, a.Period)
	return every - every/4
}

// costlyFor is how long these answers are good for. It lets the loop look again when those are not that couldn't be had.
func (a *Agent) costlyFor(said []plan.Verdict) time.Duration {
	good, soon := a.costlyEvery(), costlyRetry+a.upTo(costlyRetry)
	for i := range said {
		if said[i].Reason == plan.GateError && !said[i].Open {
			good = min(good, soon)
			said[i].Until = a.Now().Add(good)
		}
	}
	return good
}

// askCluster asks the gates that rest on what the API server says of the other nodes.
func (a *Agent) askCluster(ctx context.Context, n *corev1.Node, o plan.Observation) []plan.Verdict {
	ctx, cancel := context.WithTimeout(ctx, gateTimeout)
	defer cancel()
	verdicts := together(
		func() []plan.Verdict {
			said := []plan.Verdict{a.askOthers(ctx, n, o)}
			if fleet.ControlPlane(n.Labels) {
				said = append(said, a.askControlPlane(ctx, n, o.Record))
			}
			return said
		},
		func() []plan.Verdict { return a.askDaemons(ctx, o.Record) },
	)
	for i := range verdicts {
		verdicts[i].Costly = true
	}
	return verdicts
}

// asking is how the gates whose objects are watched are asked: live whenever outdated wants it.
func (a *Agent) asking(o plan.Observation) asking {
	switch {
	case !plan.AskCostly(o):
		return byWatch
	case a.memory.costly == nil || a.memory.liveAt.IsZero():
		return live
	default:
		return underSlot
	}
}

// askCheap asks the gates that every node asks that waits, and answers in their order: what changes often on its own node comes last. What is read consistently
// is read at the same time: the API server answers that as late as its own copy of these objects is known to be current, up to a tenth of a second for each.
func (a *Agent) askCheap(ctx context.Context, n *corev1.Node, how asking) []plan.Verdict {
	reads, cancel := context.WithTimeout(ctx, gateTimeout)
	defer cancel()
	asks := []func() []plan.Verdict{
		func() []plan.Verdict { return a.circuit.ask(reads, how) },
		func() []plan.Verdict { return a.pause.ask(reads, how) },
		func() []plan.Verdict { return a.kured.ask(reads, how) },
	}
	asks = append(asks, questions(reads, n, a.Gates)...)
	asks = append(asks, func() []plan.Verdict { return a.pods.ask(reads, how) })
	if how == byWatch { // nothing is read
		var verdicts []plan.Verdict
		for _, ask := range asks {
			verdicts = append(verdicts, ask()...)
		}
		return verdicts
	}
	return together(asks...)
}

// together asks at the same time, and returns the answers in this order. No two of the functions may touch the same field of the agent, and any
// only where the loop waits for the answers.
func together(asks ...func() []plan.Verdict) []plan.Verdict {
	said := make([][]plan.Verdict, len(asks))
	var wg sync.WaitGroup
	for i, ask := range asks {
		wg.Go(func() { said[i] = ask() })
	}
	wg.Wait()
	return slices.Concat(said...)
}

// outdated reports whether the step disrupts something on answers that are not fresh, and if so, how soon to look again. They
// are asked for then.
func (a *Agent) outdated(n *corev1.Node, o plan.Observation, step plan.Action) (time.Duration, bool) {
	m := &a.memory
	if !a.disrupts(o, step) {
		m.disruptingSince = time.Time{}
		return 0, false
	}
	if m.disruptingSince.IsZero() {
		m.disruptingSince = a.Now()
	}
	if !a.inquired() {
		a.inquiry.ask(a, n)
		return 0, true // the answers wake the loop
	}
	fresh := true
	if a.Now().Sub(m.costlyAt).Abs() >= costlyOld {
		m.costly, fresh = nil, false
	}
	if !a.fresh(m.liveAt, m.liveAt) {
		m.liveAt, fresh = time.Time{}, false
	}
	return atOnce, !fresh
}

// fresh reports whether answers that were asked for and given then are fresh enough for the step that is due. Those that were asked for because
// of it may be older, or a busy API server would be asked again and again. (Later ones may say something else, and weren't decided on.)
func (a *Agent) fresh(asked, answered time.Time) bool {
	age := a.Now().Sub(answered).Abs() // the clock may have jumped
	return age < costlyFresh || !asked.Before(a.memory.disruptingSince) && age < costlyOld
}

// disrupts reports whether the step is one of those before which everything is looked at once more.
func (a *Agent) disrupts(o plan.Observation, step plan.Action) bool {
	return step.Do == plan.DoCordon || step.Do == plan.DoReboot ||
		step.Do == plan.DoDrain && !a.drain.begun(a.Now()) ||
		step.Do == plan.DoHook && step.Hook != plan.AfterReboot && !a.hooks.begun(hookRunOf(o.Record, step.Hook)) ||
		step.Do == plan.DoWrite && announces(o.Record, step.Record)
}

// inquired reports whether this look's answers of the gates beside the loop are fresh enough for a step that is due.
func (a *Agent) inquired() bool {
	said := a.memory.answers
	return len(a.CostlyGates) == 0 || said.verdicts != nil && a.fresh(said.asked, said.answered)
}
