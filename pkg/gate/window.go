package gate

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/pkg/schedule"
)

// Window is closed while no maintenance window is open or a freeze is on. To a node that isn't out of service yet it also is in
// the last minutes of a window.
type Window struct {
	Schedule schedule.Schedule
	// Margin is how long before the end of a window nothing is begun any more.
	Margin time.Duration
	// Annotation is where the Node carries its record.
	Annotation string
	Now        func() time.Time
}

// Ask looks at the clock. It costs nothing.
func (w Window) Ask(_ context.Context, n *corev1.Node) plan.Verdict {
	margin := w.Margin
	if r, err := plan.ParseRecord(n.Annotations[w.Annotation]); err == nil && r.Out() {
		margin = 0
	}
	s := w.Schedule.At(w.Now(), margin)
	v := plan.Verdict{Gate: "window", Open: s.Open, Skippable: true}
	if !s.Open {
		v.Reason, v.Message, v.Everyone, v.Until = plan.OutsideWindow, s.Message, true, s.Opens
		if s.Frozen {
			v.Reason, v.Skippable = plan.Frozen, false // a freeze always closes
		}
	}
	return v
}
