package agent

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/pkg/plan"
)

// askHealthy returns what the healthy gates have said last, if now is the time for them. errNotYet: the first answers are on their way.
func (a *Agent) askHealthy(n *corev1.Node, o plan.Observation) ([]plan.Verdict, error) {
	if len(a.HealthyGates) == 0 || !plan.AskHealthy(o, a.Policy, a.Now()) {
		a.healthy.forget()
		return nil, nil
	}
	said := a.healthy.recent(a, n)
	if said.verdicts == nil {
		return nil, errNotYet
	}
	return said.verdicts, nil
}
