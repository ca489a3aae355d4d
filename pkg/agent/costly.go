package agent

import (
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/pkg/fleet"
	"github.com/rebootd/rebootd/pkg/plan"
)

const (
	// costlyEvery is how often the costly gates are asked while nothing is about to be disrupted.
	costlyEvery = 30 * time.Second
	// costlyFresh is how old their answers may be when something is.
	costlyFresh = time.Second
	// costlyOld is how old they may be if they were asked for because of it.
	costlyOld = 5 * time.Second
)

// askCostly asks what only the node whose turn it is asks, or returns what was said not long ago. errNotYet: no answer has come
// yet from the gates that are asked beside the loop.
func (a *Agent) askCostly(ctx context.Context, n *corev1.Node, o plan.Observation) ([]plan.Verdict, error) {
	if !plan.AskCostly(o) {
		a.memory.costly, a.memory.answers = nil, answers{}
		a.inquiry.forget()
		return nil, nil
	}
	every := min(costlyEvery, a.Period)
	if a.memory.costly == nil || a.Now().Sub(a.memory.costlyAt) >= every {
		a.memory.costly = a.askCluster(ctx, n, o)
		a.memory.costlyAt = a.Now() // not before: answers that took long to get are no older for it
	}
	if len(a.CostlyGates) == 0 {
		return slices.Clone(a.memory.costly), nil
	}
	a.memory.answers = a.inquiry.last()
	if said := a.memory.answers; said.verdicts == nil || a.Now().Sub(said.asked) >= every {
		a.inquiry.ask(a, n, a.CostlyGates)
	}
	if a.memory.answers.verdicts == nil {
		return nil, errNotYet
	}
	return slices.Concat(a.memory.costly, a.memory.answers.verdicts), nil
}

// askHealthy asks whether the cluster is well again after the reboot, or returns what was said not long ago. errNotYet: no
// answer has come yet.
func (a *Agent) askHealthy(n *corev1.Node, o plan.Observation) ([]plan.Verdict, error) {
	if len(a.HealthyGates) == 0 || !plan.AskHealthy(o, a.Policy, a.Now()) {
		a.healthy.forget()
		return nil, nil
	}
	said := a.healthy.last()
	if said.verdicts == nil || a.Now().Sub(said.asked).Abs() >= min(costlyEvery, a.Period) {
		a.healthy.ask(a, n, a.HealthyGates)
	}
	if said.verdicts == nil {
		return nil, errNotYet
	}
	return slices.Clone(said.verdicts), nil
}

// askCluster asks the gates that rest on what the API server says of the other nodes.
func (a *Agent) askCluster(ctx context.Context, n *corev1.Node, o plan.Observation) []plan.Verdict {
	ctx, cancel := context.WithTimeout(ctx, gateTimeout)
	defer cancel()
	verdicts := append(a.askCircuit(ctx, true), a.askOthers(ctx, n, o))
	if fleet.ControlPlane(n.Labels) {
		verdicts = append(verdicts, a.askControlPlane(ctx, n, o.Record))
	}
	for i := range verdicts {
		verdicts[i].Costly = true
	}
	return verdicts
}

// askCheap asks the gates that cost nothing to ask.
func (a *Agent) askCheap(ctx context.Context, n *corev1.Node) []plan.Verdict {
	verdicts := make([]plan.Verdict, 0, len(a.Gates))
	for _, g := range a.Gates {
		ctx, cancel := context.WithTimeout(ctx, gateTimeout)
		verdicts = append(verdicts, g.Ask(ctx, n))
		cancel()
	}
	return verdicts
}

// outdated reports whether the step disrupts something on answers that are not fresh, and if so, how soon to look again. They
// are asked for then.
func (a *Agent) outdated(n *corev1.Node, o plan.Observation, step plan.Action) (time.Duration, bool) {
	m := &a.memory
	if !a.disrupts(o, step) {
		m.disrupting = ""
		return 0, false
	}
	if m.disrupting != step.Do {
		m.disrupting, m.disruptingSince = step.Do, a.Now()
	}
	switch {
	case !a.inquired(m.disruptingSince):
		a.inquiry.ask(a, n, a.CostlyGates)
		return 0, true // the answers wake the loop
	case a.Now().Sub(m.costlyAt) >= costlyFresh:
		m.costly = nil
		return atOnce, true
	}
	return 0, false
}

// disrupts reports whether the step is one of those before which everything is looked at once more.
func (a *Agent) disrupts(o plan.Observation, step plan.Action) bool {
	return step.Do == plan.DoCordon || step.Do == plan.DoReboot ||
		step.Do == plan.DoDrain && !a.drain.begun(a.Now()) ||
		step.Do == plan.DoWrite && announces(o.Record, step.Record)
}

// inquired reports whether this look's answers of the gates beside the loop are fresh enough for a step that has been due since
// then. (Later ones may say something else, and weren't decided on.)
func (a *Agent) inquired(since time.Time) bool {
	if len(a.CostlyGates) == 0 {
		return true
	}
	said := a.memory.answers
	age := a.Now().Sub(said.answered)
	return said.verdicts != nil && (age < costlyFresh || !said.asked.Before(since) && age < costlyOld)
}
