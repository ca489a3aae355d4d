package agent_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/pkg/tell/notify"
	"github.com/rebootd/rebootd/test/fleet/sim"
)

// Each event is really sent by an agent to whom the thing happens, with what a template may want to say of it.
func TestEveryEventIsSent(t *testing.T) {
	wanted := func(n notify.Notice) bool {
		return n.Waited >= 0 && slices.Contains(n.Packages, "linux-image") && n.Why == "A file asks."
	}
	out := func(n notify.Notice) bool { return wanted(n) && n.OutFor > 0 }
	drained := func(n notify.Notice) bool { return n.OutFor >= n.DrainedIn+n.BootedIn && n.DrainedIn > 0 }
	type row struct {
		fault  func(m *sim.Machine)
		phase  plan.Phase
		reason plan.Reason
		says   func(notify.Notice) bool
	}
	rows := map[notify.Event]row{
		notify.Required:  {nil, plan.Required, plan.RebootRequired, wanted},
		notify.Draining:  {nil, plan.Drain, plan.Draining, wanted},
		notify.Rebooting: {nil, plan.Rebooting, plan.RebootIssued, func(n notify.Notice) bool { return out(n) && n.DrainedIn > 0 && n.DrainedIn == n.OutFor }},
		notify.Back: {nil, plan.Settle, plan.Uncordoned, func(n notify.Notice) bool {
			return drained(n) && n.BootedIn >= 30*time.Second && n.Packages == nil
		}},
		notify.Blocked: {func(m *sim.Machine) {
			m.Gate = plan.Verdict{Gate: "test", Reason: plan.Held, Message: "Held by a test."}
		}, plan.Required, plan.Held, func(n notify.Notice) bool { return wanted(n) && n.Waited >= time.Hour }},
		notify.DrainFailed: {func(m *sim.Machine) { m.PodsFor, m.Policy.DrainTimeout = 4*time.Hour, 10*time.Minute },
			plan.Aborting, plan.DrainTimedOut, func(n notify.Notice) bool { return out(n) && n.DrainedIn == 0 }},
		notify.RebootFailed: {func(m *sim.Machine) { m.Fails = 100 }, plan.Aborting, plan.RebootFailed, out},
		notify.NotBack:      {func(m *sim.Machine) { m.Silent = true }, plan.Rebooting, plan.RebootTimedOut, out},
		notify.Loop:         {func(m *sim.Machine) { m.Clears, m.Policy.MaxReboots = false, 1 }, plan.Required, plan.RebootLoop, wanted},
		notify.Circuit:      {func(m *sim.Machine) { m.Silent, m.Threshold = true, 1 }, plan.Rebooting, plan.CircuitOpen, out},
	}
	for _, e := range notify.Events() {
		tt, ok := rows[e]
		if !ok {
			t.Errorf("nothing shows that %s is sent", e)
			continue
		}
		t.Run(string(e), func(t *testing.T) {
			inBubble(t, func(t *testing.T, ctx context.Context) {
				m := sim.NewMachine(t, sim.NewServer(), "a")
				b := withNotices(m)
				if tt.fault != nil {
					tt.fault(m)
				}
				go m.Live(ctx)
				m.Until("told", 3*time.Hour, func() bool { return slices.Contains(b.events(), e) })
				i := slices.Index(b.events(), e)
				if n := b.got[i]; n.Phase != tt.phase || n.Reason != tt.reason || !tt.says(n) || n.Node != "a" || n.Cluster != "lab" || n.Message == "" {
					t.Errorf("%+v", n)
				}
				m.Pass(time.Minute) // a machine that is just down comes up
				for _, other := range b.events() {
					if tt.fault == nil && !slices.Contains([]notify.Event{notify.Required, notify.Draining, notify.Rebooting, notify.Back}, other) {
						t.Errorf("%s was told of a reboot that went well", other)
					}
				}
			})
		})
	}
}
