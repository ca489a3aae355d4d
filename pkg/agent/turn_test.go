package agent_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/watch"

	"github.com/rebootd/rebootd/test/fleet/sim"
)

// With many slots that come free in the same moment, round after round, hardly anyone tries for a slot in vain: each names another node.
func TestManySlotsInOneMoment(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		const nodes, slots = 60, 10
		s := sim.NewServer()
		var all []*sim.Machine
		tries := 0
		for i := range nodes {
			m := sim.NewMachine(t, s, fmt.Sprintf("n%02d", i))
			m.Slots = slots
			m.Meddle = func(_ *sim.Process, c sim.Call) sim.Outcome {
				if c.Verb == "create" && c.Kind == sim.LeaseKind {
					tries++
				}
				return sim.Outcome{Arrives: 50 * time.Millisecond}
			}
			all = append(all, m)
		}
		freed := map[string]time.Time{}
		slowest := time.Duration(0)
		s.Changed = func(c sim.Change) {
			switch at, was := freed[c.After.GetName()]; {
			case c.Kind != sim.LeaseKind:
			case c.Type == watch.Deleted:
				freed[c.After.GetName()] = time.Now()
			case c.Type == watch.Added && was:
				slowest = max(slowest, time.Since(at))
			}
		}
		for _, m := range all {
			go m.Live(ctx)
		}
		for _, m := range all {
			m.Back(1)
		}
		t.Logf("%d tries for %d turns; a slot was free for %s at most", tries, nodes, slowest)
		if tries > 2*nodes || slowest > time.Second {
			t.Errorf("%d tries for %d turns; a slot was free for %s", tries, nodes, slowest)
		}
	})
}
