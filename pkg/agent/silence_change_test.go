package agent_test

import (
	"context"
	"testing"
	"time"

	"github.com/rebootd/rebootd/pkg/plan"
)

// An agent that gets its node back from another one doesn't go by what it knew of the silence before: the other may have ended it.
func TestSilenceTakenOverTwice(t *testing.T) {
	inBubble(t, func(t *testing.T, _ context.Context) {
		m := newMuted(t)
		m.PodsFor = 20 * time.Minute
		who := m.spied()
		m.Start()
		m.Reaches(plan.Drain)
		m.Start()
		for i, agent := range []string{"agent-2@boot-1", "agent-1@boot-1"} {
			m.Pass(time.Minute)
			m.Patch(`{"metadata":{"annotations":{"rebootd.io/agent":"` + agent + `"}}}`)
			m.Pass(10 * time.Second)
			if want := []map[int]int{{1: 1, 2: 1}, {1: 2, 2: 1}}[i]; who[1] != want[1] || who[2] != want[2] {
				t.Errorf("ten seconds after %s took over: asked by %v, want %v", agent, who, want)
			}
		}
		m.Procs[0].Stop()
		m.Procs[1].Stop()
	})
}

// The agent dies when the node is in service again and its record is written, but before Alertmanager was told: the next one knows from the
// history that there may be a silence.
func TestSilenceLeftByOneThatWasIdleAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		m := newMuted(t)
		m.Policy.SteadyTime = time.Minute
		go m.Live(ctx)
		m.Reaches(plan.Recovering)
		m.Pass(10 * time.Second)
		m.Set(func() { m.takes = time.Hour })
		m.Back(1)
		if left := m.left(); left < 10*time.Minute {
			t.Fatalf("silent for %s: that is nothing to be left", left)
		}
		m.Running().Kill()
		m.Set(func() { m.takes = time.Second })
		m.Pass(20 * time.Second)
		if left := m.left(); left > 2*time.Minute || m.ends != 1 {
			t.Errorf("in service, and silent for %s; ended %d times", left, m.ends)
		}
	})
}

// The pause after a failure is for the same thing once more, and not for another.
func TestSilenceTriesSomethingElseAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		m := newMuted(t)
		m.PodsFor = 2 * time.Hour
		go m.Live(ctx)
		m.Reaches(plan.Drain)
		m.Pass(time.Minute)
		m.Set(func() { m.fails = true }) // to extend it; by now there is one
		m.Pass(28 * time.Minute)
		m.Set(func() { m.fails, m.until, m.Wanted = false, time.Now().Add(time.Hour), plan.No })
		m.Reaches(plan.Idle)
		m.Pass(2 * time.Second)
		if left := m.left(); left > 2*time.Minute || m.ends != 1 {
			t.Errorf("in service, and silent for %s; ended %d times", left, m.ends)
		}
	})
}

// What is being done for what is no longer so is cut off, and doesn't use up its time.
func TestSilenceUnderWayIsCutOff(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		m := newMuted(t)
		m.PodsFor, m.takes = time.Hour, time.Hour
		go m.Live(ctx)
		m.Reaches(plan.Drain)
		m.Set(func() { m.takes, m.Wanted = time.Second, plan.No })
		m.wake()
		m.Reaches(plan.Idle)
		m.Pass(3 * time.Second)
		if m.sets != 0 || m.ends != 1 {
			t.Errorf("%d times set, %d times ended", m.sets, m.ends)
		}
	})
}

// What was cut off may have come about, also where the agent had seen the last silence end.
func TestSilenceCutOffMayHaveComeAbout(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		m := newMuted(t)
		go m.Live(ctx)
		m.Back(1)
		m.Pass(time.Minute)
		_, ends := m.count()
		m.Set(func() { m.Wanted, m.PodsFor, m.hangs = plan.Yes, time.Hour, true })
		m.Reaches(plan.Drain)
		m.Set(func() { m.hangs, m.Wanted = false, plan.No })
		m.wake()
		m.Reaches(plan.Idle)
		m.Pass(5 * time.Second)
		if left := m.left(); left > 2*time.Minute || m.ends <= ends {
			t.Errorf("in service, and silent for %s", left)
		}
	})
}

// wake lets the agent look now, and not when its period is over.
func (m *muted) wake() { m.Patch(`{"metadata":{"annotations":{"somebody":"was here"}}}`) }
