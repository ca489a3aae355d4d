package agent_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rebootd/rebootd/pkg/agent"
	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/test/fleet/sim"
)

// large is what an agent reads of a cluster that has so many nodes.
type large struct {
	agent.Fleet
	nodes, asked *atomic.Int32
}

func (l large) Count(context.Context, string) (int, error) {
	l.asked.Add(1)
	if n := l.nodes.Load(); n > 0 {
		return int(n), nil
	}
	return 0, fmt.Errorf("no answer")
}

// The more nodes there are, the longer they take to say, each on its Node, what holds for all of them: the API server bears so many a second.
func TestManyTellOneByOne(t *testing.T) {
	for _, c := range []struct {
		nodes      int32
		soon, last time.Duration // after a third of the first, some have told and some have not; after the last, all
	}{{20, 15 * time.Second, 15 * time.Second}, {6000, time.Minute, time.Minute}, {100_000, 2 * time.Minute, 2 * time.Minute}, {0, 15 * time.Second, 15 * time.Second}} {
		t.Run(fmt.Sprint(c.nodes, " nodes"), func(t *testing.T) {
			if testing.Short() && c.nodes != 6000 {
				t.Skip("one suffices for a short run")
			}
			inBubble(t, func(t *testing.T, ctx context.Context) {
				s := sim.NewServer()
				var nodes, asked atomic.Int32
				nodes.Store(c.nodes)
				var all []*sim.Machine
				for i := range 20 {
					m := sim.NewMachine(t, s, fmt.Sprintf("n%02d", i))
					m.Pausable, m.PodsFor = true, 3*time.Minute // so that the slot isn't free again before all have told
					m.Parts = func(_ *sim.Process, p *agent.Parts) { p.Fleet = large{p.Fleet, &nodes, &asked} }
					all = append(all, m)
				}
				pauseBy(all[0], "paused", "true")
				for _, m := range all {
					go m.Live(ctx)
				}
				told := func(reason plan.Reason) (n int) {
					for _, m := range all {
						if m.Told().Reason == string(reason) {
							n++
						}
					}
					return n
				}
				all[0].Until("all are paused", time.Minute, func() bool { return told(plan.Paused) == len(all) })
				all[0].Pass(3 * time.Minute)
				if n, failed := int(asked.Load()), c.nodes == 0; n != len(all) && !failed || n < len(all) || n > 4*len(all) {
					t.Errorf("%d nodes counted %d times within three minutes", len(all), n)
				}
				resume(all[0])
				all[0].Pass(c.soon / 3)
				if n := len(all) - told(plan.Paused); n == 0 || n == len(all) {
					t.Errorf("%d of %d nodes have told of the end of the pause after %s", n, len(all), c.soon/3)
				}
				all[0].Pass(c.last*2/3 + 16*time.Second) // who has seen a free slot says so from when that is taken
				if n := told(plan.Paused); n > 0 {
					t.Errorf("%d nodes have not told of the end of the pause after %s", n, c.last)
				}
				for _, m := range all {
					m.Back(1)
				}
			})
		})
	}
}
