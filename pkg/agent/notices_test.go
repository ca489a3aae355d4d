package agent_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rebootd/rebootd/pkg/agent"
	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/pkg/tell"
	"github.com/rebootd/rebootd/pkg/tell/notify"
	"github.com/rebootd/rebootd/test/fleet/sim"
)

// board is what people read.
type board struct {
	mu  sync.Mutex
	got []notify.Notice
}

func (b *board) Tell(n notify.Notice) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.got = append(b.got, n)
}

func (b *board) Run(ctx context.Context) { <-ctx.Done() }

func (b *board) events() []notify.Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []notify.Event
	for _, n := range b.got {
		all = append(all, n.Event)
	}
	return all
}

func withNotices(m *sim.Machine) *board {
	b := &board{}
	m.Parts = func(_ *sim.Process, p *agent.Parts) {
		p.Tell.Notices = &tell.Notices{
			Node: m.Name, Cluster: "lab", Notifier: b, Now: time.Now,
			Watcher: notify.Watcher{BlockedAfter: time.Hour, NotBackAfter: m.Policy.RebootTimeout},
		}
	}
	return b
}

// Each thing is told once, across the restarts that a reboot brings.
func TestNotices(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		m := sim.NewMachine(t, sim.NewServer(), "a")
		b := withNotices(m)
		m.Gate = plan.Verdict{Gate: "test", Reason: plan.Held, Message: "Held by a test."}
		go m.Live(ctx)
		m.Pass(90 * time.Minute)
		m.Set(func() { m.Gate.Open = true })
		m.Reaches(plan.Drain)
		m.Running().Kill()
		m.Back(1)
		want := []notify.Event{notify.Required, notify.Blocked, notify.Draining, notify.Rebooting, notify.Back}
		if got := b.events(); !slices.Equal(got, want) {
			t.Fatalf("told %v", got)
		}
		blocked, back := b.got[1], b.got[4]
		if blocked.Reason != plan.Held || blocked.Waited < time.Hour || blocked.Why == "" || blocked.Cluster != "lab" {
			t.Errorf("blocked: %+v", blocked)
		}
		if back.OutFor <= 0 || back.Phase != plan.Settle || back.Message == "" {
			t.Errorf("back: %+v", back)
		}
	})
}

// A drain that takes too long and a reboot that doesn't come are told; so is the circuit, by the node that opened it alone.
func TestNoticesOfWhatGoesWrong(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		s := sim.NewServer()
		m, other := sim.NewMachine(t, s, "a"), sim.NewMachine(t, s, "b")
		b, quiet := withNotices(m), withNotices(other)
		m.Threshold, other.Threshold = 1, 1
		m.Policy.DrainTimeout, m.PodsFor = 10*time.Minute, 4*time.Hour
		go m.Live(ctx)
		m.Until("drain given up", time.Hour, func() bool { return m.Record().BackOff != nil && m.Record().Phase == plan.Required })
		m.Set(func() { m.PodsFor, m.Silent = time.Minute, true })
		m.Until("not back", time.Hour, func() bool { return slices.Contains(b.events(), notify.Circuit) })
		go other.Live(ctx)
		other.Pass(time.Hour)
		want := []notify.Event{
			notify.Required, notify.Draining, notify.DrainFailed, notify.Draining, notify.Rebooting, notify.NotBack, notify.Circuit,
		}
		if got := b.events(); !slices.Equal(got, want) {
			t.Errorf("told %v", got)
		}
		if got := quiet.events(); !slices.Equal(got, []notify.Event{notify.Required}) {
			t.Errorf("the node that only waits told %v", got)
		}
	})
}
