package agent

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/pkg/plan"
)

// skewMemory is an answer of the gate Skew, and what it was given for.
type skewMemory struct {
	kubelet string
	at      time.Time
	verdict plan.Verdict
}

// skew looks whether a node that is back has versions that go together. It is asked again when the kubelet has another version, and
// as often as a costly gate, for the API server may have one.
func (a *Agent) skew(ctx context.Context, n *corev1.Node, r plan.Record) plan.Verdict {
	if a.Skew == nil || r.Phase != plan.Settle {
		a.memory.skew = skewMemory{}
		return plan.Verdict{}
	}
	m, kubelet := &a.memory.skew, n.Status.NodeInfo.KubeletVersion
	if m.at.IsZero() || m.kubelet != kubelet || a.Now().Sub(m.at).Abs() >= a.costlyEvery() {
		ctx, cancel := context.WithTimeout(ctx, gateTimeout)
		defer cancel()
		v := a.Skew.Ask(ctx, n)
		if v.Open {
			v = plan.Verdict{}
		}
		*m = skewMemory{kubelet: kubelet, at: a.Now(), verdict: v}
	}
	return m.verdict
}
