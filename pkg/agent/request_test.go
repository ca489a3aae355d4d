package agent_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/pkg/agent"
	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/pkg/sentinel"
	"github.com/rebootd/rebootd/test/fleet/sim"
)

func annotate(m *sim.Machine, name, value string) {
	m.Patch(fmt.Sprintf(`{"metadata":{"annotations":{"rebootd.io/%s":%q}}}`, name, value))
}

// A request is honoured once, a new text is a new request, and the history says who asked.
func TestRequest(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		m := sim.NewMachine(t, sim.NewServer(), "worker")
		m.Wanted = plan.No
		go m.Live(ctx)
		m.Pass(5 * time.Minute)
		annotate(m, "request", "new firmware")
		m.Back(1)
		m.Pass(10 * time.Minute)
		before := m.Running().Client.Count("")
		m.Pass(24 * time.Hour)
		if n := m.Running().Client.Count(""); n != before || m.Commands != 1 || m.Told().Status != corev1.ConditionFalse {
			t.Errorf("%d requests to the API server and %d commands in a day after it was honoured", n-before, m.Commands)
		}
		annotate(m, "request", "more firmware")
		m.Back(2)
		r := m.Record()
		if by := r.History[0].By; !slices.Equal(by, []string{`request "new firmware"`}) || !r.History[0].Cleared || len(r.Honoured) != 2 {
			t.Errorf("record %s", r)
		}
		found := false
		for _, e := range m.Events {
			found = found || contains(e, `Normal RebootRequested A reboot is requested by annotation rebootd.io/request="new firmware"`)
		}
		if !found {
			t.Errorf("no Event: %q", m.Events)
		}
	})
}

// A window holds a request back, and a request-now goes past it, in mid-drain too; but it waits for the slot like anybody.
func TestRequestNow(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		s := sim.NewServer()
		holder, m := sim.NewMachine(t, s, "a"), sim.NewMachine(t, s, "b")
		holder.PodsFor = time.Hour
		holder.Policy.DrainTimeout = 0
		go holder.Live(ctx)
		holder.Reaches(plan.Drain)
		m.Wanted = plan.No
		m.Gate = plan.Verdict{Gate: "window", Reason: plan.OutsideWindow, Message: "No window is open.", Skippable: true, Everyone: true}
		go m.Live(ctx)
		annotate(m, "request", "x")
		m.Until("the window holds it", time.Hour, func() bool { return m.Told().Reason == string(plan.OutsideWindow) })
		annotate(m, "request-now", "x")
		m.Until("only the slot holds it", time.Hour, func() bool { return m.Told().Reason == string(plan.WaitingForSlot) })
		holder.Back(1)
		m.Back(1)
		if by := m.Record().History[0].By; !slices.Equal(by, []string{`request "x"`, `request-now "x"`}) {
			t.Errorf("asked by %q", by)
		}
		annotate(m, "request", "y")
		m.Pass(time.Hour)
		if m.Commands != 1 || m.Told().Reason != string(plan.OutsideWindow) {
			t.Errorf("%d commands; it says %s", m.Commands, m.Told().Reason)
		}
		m.Patch(`{"metadata":{"annotations":{"rebootd.io/request":null}}}`)
		m.Until("withdrawn", time.Minute, func() bool { return m.Record().Phase == plan.Idle && m.Told().Reason == string(plan.NotRequired) })
	})
}

// asking is a sentinel's command that takes its time.
type asking struct {
	mu    sync.Mutex
	takes time.Duration
	code  int
	runs  int
}

func (a *asking) set(code int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.code = code
}

func (a *asking) ran() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.runs
}

func (a *asking) run(ctx context.Context, _ []string) sentinel.Exit {
	a.mu.Lock()
	code, takes := a.code, a.takes
	a.runs++
	a.mu.Unlock()
	select {
	case <-ctx.Done():
		return sentinel.Exit{Err: ctx.Err()}
	case <-time.After(takes):
	}
	if code < 0 {
		return sentinel.Exit{Err: errors.New("killed by SIGSEGV")}
	}
	return sentinel.Exit{Exited: true, Code: code}
}

// withCommand gives a machine's agents the command in the place of the file. The reboot clears what it asks for.
func withCommand(m *sim.Machine, a *asking) {
	m.Parts = func(_ *sim.Process, p *agent.Parts) {
		if m.Boots > 1 {
			a.set(1)
		}
		check := sentinel.Check{Argvs: [][]string{{"ask"}}, Yes: []int{0}}
		p.Sentinels = []agent.Sentinel{sentinel.NewCommand(check, a.run, sentinel.Pace{Every: time.Hour, Timeout: 2 * time.Minute, Now: time.Now})}
	}
}

// A slow command holds up nothing but what rests on it, and is asked once more before the cordon and before the reboot.
func TestSlowCommand(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		m := sim.NewMachine(t, sim.NewServer(), "worker")
		a := &asking{takes: time.Minute}
		withCommand(m, a)
		m.Policy.RebootDelay = 10 * time.Minute
		began := time.Now()
		go m.Live(ctx)
		m.Pass(59 * time.Second)
		if err := m.Running().Ready(); err == nil || m.Told().Type != "" {
			t.Errorf("ready %v, says %+v before the command has answered", err, m.Told())
		}
		m.Reaches(plan.Drain)
		if d := time.Since(began); a.ran() != 2 || d < 2*time.Minute || d > 130*time.Second || m.Running().Ready() != nil {
			t.Errorf("cordoned after %s and %d runs", d, a.ran())
		}
		m.Reaches(plan.Rebooting)
		if a.ran() != 3 || m.Running().Healthy() != nil {
			t.Errorf("%d runs before the reboot", a.ran())
		}
		m.Back(1)
		if h := m.Record().History[0]; !h.Cleared || !slices.Equal(h.By, []string{"command ask"}) || a.ran() != 4 {
			t.Errorf("history %+v, %d runs", h, a.ran())
		}
	})
}

// What the command says when it is asked once more counts: a no, or an answer that can't be had, leads back.
func TestCommandChangesItsMind(t *testing.T) {
	for _, tt := range []struct {
		name  string
		code  int
		says  plan.Reason
		phase plan.Phase
	}{
		{"no longer wanted", 1, plan.NotRequired, plan.Idle}, {"can't be known", -1, plan.SentinelUnknown, plan.Required},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, ctx context.Context) {
				m := sim.NewMachine(t, sim.NewServer(), "worker")
				a := &asking{takes: 30 * time.Second}
				withCommand(m, a)
				go m.Live(ctx)
				m.Until("it is asked once more", time.Hour, func() bool { return a.ran() == 1 })
				m.Pass(10 * time.Second)
				a.set(tt.code) // of the run after this one
				m.Pass(5 * time.Minute)
				if r := m.Record(); r.Phase != tt.phase || m.Told().Reason != string(tt.says) || m.Drains+m.Commands > 0 || a.ran() < 2 {
					t.Errorf("record %s, %d drains, %d runs\n%s", r, m.Drains, a.ran(), m.Logged())
				}
			})
		})
	}
}

// A restarted agent that finds its node cordoned asks first, and then goes on.
func TestCommandAfterRestart(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		m := sim.NewMachine(t, sim.NewServer(), "worker")
		m.PodsFor = time.Hour
		m.Policy.DrainTimeout = 0
		a := &asking{takes: 20 * time.Second}
		withCommand(m, a)
		go m.Live(ctx)
		m.Until("the drain is under way", time.Hour, func() bool { return m.Draining == 1 })
		m.Running().Kill()
		m.Set(func() { m.PodsFor = time.Minute })
		m.Back(1)
		if contains(m.Logged(), string(plan.SentinelUnknown)) || m.Commands != 1 {
			t.Errorf("%d commands\n%s", m.Commands, m.Logged())
		}
	})
}
