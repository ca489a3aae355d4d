package agent_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/test/fleet/sim"
)

// With many slots that come free in the same moment, round after round, hardly anyone tries for a slot in vain: each names another node.
func TestManySlotsInOneMoment(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		const nodes, slots = 60, 10
		s := sim.NewServer()
		turns := watchTurns(s)
		var all []*sim.Machine
		var tries atomic.Int32 // the first slots were free for all: those don't count
		for i := range nodes {
			m := sim.NewMachine(t, s, fmt.Sprintf("n%02d", i))
			m.Slots = slots
			m.Meddle = func(_ *sim.Process, c sim.Call) sim.Outcome {
				if c.Verb == "create" && c.Kind == sim.LeaseKind && turns.begun.Load() {
					tries.Add(1)
				}
				return sim.Outcome{Arrives: 50 * time.Millisecond}
			}
			all = append(all, m)
		}
		for _, m := range all {
			go m.Live(ctx)
		}
		for _, m := range all {
			m.Back(1)
		}
		if n := tries.Load(); n > 75 || turns.slowest > time.Second {
			t.Errorf("%d tries for %d turns; a slot was free for %s", n, nodes-slots, turns.slowest)
		}
	})
}

// However slow the API server is, as long as it answers: to name who comes next never keeps a slot from being freed.
func TestSlowServerFreesTheSlot(t *testing.T) {
	for _, answer := range []time.Duration{time.Second, 2200 * time.Millisecond, 2600 * time.Millisecond} {
		t.Run(answer.String(), func(t *testing.T) {
			inBubble(t, func(t *testing.T, ctx context.Context) {
				s := sim.NewServer()
				var slow atomic.Bool
				var all []*sim.Machine
				for i := range 3 {
					m := sim.NewMachine(t, s, fmt.Sprintf("n%d", i))
					m.Slots = 2
					m.Meddle = func(*sim.Process, sim.Call) sim.Outcome {
						if slow.Load() {
							return sim.Outcome{Arrives: answer}
						}
						return sim.Outcome{}
					}
					all = append(all, m)
					go m.Live(ctx)
				}
				first := all[0]
				first.Reaches(plan.Rebooting)
				slow.Store(true)
				first.Until("its slot is freed", 5*time.Minute, func() bool { return first.Commands == 1 && first.Lease() == nil })
				slow.Store(false)
				for _, m := range all {
					m.Back(1)
				}
			})
		})
	}
}

// Whoever begins to wait finds out within minutes that its group has more slots than the one who took one long ago had counted.
func TestShareWasRaised(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		s := sim.NewServer()
		var share atomic.Int32
		counted := counts(func(int) int { return int(share.Load()) })
		share.Store(1)
		broken, next := sim.NewMachine(t, s, "broken"), sim.NewMachine(t, s, "next")
		broken.Silent, broken.Parts, next.Parts = true, counted, counted
		go broken.Live(ctx)
		broken.Until("timed out", time.Hour, func() bool { return broken.Told().Reason == string(plan.RebootTimedOut) })
		share.Store(2)
		go next.Live(ctx)
		next.Until("it reboots", 2*time.Minute, func() bool { return next.Commands == 1 })
		next.Back(1)
	})
}
