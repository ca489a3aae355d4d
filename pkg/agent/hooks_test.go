package agent_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/pkg/agent"
	"github.com/rebootd/rebootd/pkg/hook"
	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/test/fleet/sim"
)

// hooked is a machine with hooks that take some seconds, and what they were told.
type hooked struct {
	*sim.Machine
	takes   time.Duration
	fails   map[string]bool
	stuck   bool // doesn't end by itself
	warns   bool
	running int
	runs    []hook.Facts
	skew    plan.Verdict
}

func newHooked(t *testing.T, points ...plan.HookPoint) *hooked {
	t.Helper()
	h := &hooked{Machine: sim.NewMachine(t, sim.NewServer(), "worker"), takes: 5 * time.Second, fails: map[string]bool{}}
	if len(points) == 0 {
		points = plan.HookPoints()
	}
	h.Parts = func(p *sim.Process, parts *agent.Parts) {
		parts.Hooks = agent.Hooks{At: map[plan.HookPoint][]hook.Hook{}, Timeout: time.Minute, Namespace: "ns"}
		for _, point := range points {
			parts.Hooks.At[point] = []hook.Hook{{Name: "Hook 1 of --hook-" + string(point), Hold: !h.warns, Run: h.run(p)}}
		}
		parts.Skew = versions{h}
	}
	return h
}

// versions is the gate that compares them.
type versions struct{ *hooked }

func (v versions) Ask(context.Context, *corev1.Node) (now plan.Verdict) {
	v.Set(func() { now = v.skew })
	now.Open = now.Reason == ""
	return now
}

func (h *hooked) run(p *sim.Process) func(context.Context, hook.Facts) error {
	return func(ctx context.Context, f hook.Facts) error {
		if p.Gone() {
			return sim.ErrCrash
		}
		var takes time.Duration
		h.Set(func() {
			h.runs = append(h.runs, f)
			if h.running++; h.running > 1 {
				h.T.Error("a hook runs beside itself")
			}
			if takes = h.takes; h.stuck {
				takes = 1000 * time.Hour
			}
		})
		defer h.Set(func() { h.running-- })
		if n, r := h.Node(), h.Record(); f.Outcome != hook.Aborted && (!n.Spec.Unschedulable || h.Lease() == nil || string(r.Phase) != f.Phase) {
			h.T.Errorf("hook %s with record %s, unschedulable %v", f.Hook, r, n.Spec.Unschedulable)
		}
		select {
		case <-ctx.Done():
			time.Sleep(time.Second) // a command takes a moment to be killed
			return ctx.Err()
		case <-time.After(takes):
		}
		var err error
		h.Set(func() {
			if h.fails[f.Hook] {
				err = errors.New("exited with 1")
			}
		})
		return err
	}
}

// points are the hooks that ran, with their outcomes.
func (h *hooked) points() []string {
	var all []string
	h.Set(func() {
		for _, f := range h.runs {
			all = append(all, strings.TrimSpace(f.Hook+" "+f.Outcome))
		}
	})
	return all
}

func (h *hooked) ran(n int) func() bool {
	return func() bool { return len(h.points()) == n }
}

func TestHooks(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		h := newHooked(t)
		var order []string
		go h.Live(ctx)
		h.Until("before the drain", time.Minute, h.ran(1))
		if h.Drains > 0 || !h.Record().Hooked {
			t.Errorf("%d drains, record %s", h.Drains, h.Record())
		}
		h.Until("before the reboot", time.Minute, h.ran(2))
		if h.Drains != 1 || h.Commands > 0 {
			t.Errorf("%d drains, %d commands", h.Drains, h.Commands)
		}
		h.Until("after the reboot", time.Hour, h.ran(3))
		if h.Commands != 1 || h.Drains != 1 {
			t.Errorf("%d commands, %d drains", h.Commands, h.Drains)
		}
		h.Back(1)
		order = h.points()
		if !slices.Equal(order, []string{"before-drain", "before-reboot", "after-reboot rebooted"}) {
			t.Errorf("%q", order)
		}
		first, last := h.runs[0], h.runs[2]
		if first.Node != "worker" || first.BootID != "boot-1" || first.Namespace != "ns" || first.Slot == "" || first.Message != "A file asks." ||
			first.Reason != "RebootRequired" || first.Try != 1 || first.Phase != "Draining" || first.OutSince.IsZero() ||
			!slices.Equal(first.Packages, []string{"linux-image"}) {
			t.Errorf("%+v", first)
		}
		if last.BootID != "boot-2" || last.FromBootID != "boot-1" || last.Reason != "RebootSucceeded" || last.Phase != "Recovering" || last.Packages != nil {
			t.Errorf("%+v", last)
		}
	})
}

// A hook that keeps failing before the reboot ends the attempt, and what was done is undone; the node tries again later.
func TestHookFailsBefore(t *testing.T) {
	for _, point := range []plan.HookPoint{plan.BeforeDrain, plan.BeforeReboot} {
		t.Run(string(point), func(t *testing.T) {
			inBubble(t, func(t *testing.T, ctx context.Context) {
				h := newHooked(t)
				h.fails[string(point)] = true
				go h.Live(ctx)
				h.Until("it is held", time.Minute, func() bool { return h.Record().Reason == plan.BlockedByHook })
				if told := h.Told().Message; !contains(told, "Hook 1 of --hook-"+string(point)+" failed: exited with 1.") {
					t.Error(told)
				}
				h.Until("it gives up", 10*time.Minute, func() bool { return h.Record().Phase == plan.Required })
				if h.Node().Spec.Unschedulable || h.Lease() == nil || h.Commands > 0 {
					t.Errorf("given up: %+v, lease %v, %d commands", h.Node().Spec, h.Lease(), h.Commands)
				}
				h.Until("undone", time.Minute, func() bool { return h.Record().Reason == plan.BackingOff && h.Lease() == nil })
				points := h.points()
				n := len(points) - 1
				if points[n] != "after-reboot aborted" || slices.Contains(points[:n], points[n]) || n < 4 || n > 15 {
					t.Errorf("%q", points)
				}
				last := h.runs[n]
				if last.Reason != string(plan.HookFailed) || !contains(last.Message, "did not succeed within 5m0s") {
					t.Errorf("%+v", last)
				}
				events := 0
				for _, e := range h.Events {
					if contains(e, "Warning HookFailed Hook 1 of") {
						events++
					}
				}
				if events != 1 {
					t.Errorf("%d Events: %q", events, h.Events)
				}
				h.Set(func() { h.fails = map[string]bool{} })
				h.Back(1)
				if h.Drains != map[plan.HookPoint]int{plan.BeforeDrain: 1, plan.BeforeReboot: 2}[point] {
					t.Errorf("%d drains", h.Drains)
				}
			})
		})
	}
}

// A hook that fails after the reboot keeps the node out, until it succeeds or a person uncordons.
func TestHookFailsAfter(t *testing.T) {
	for _, person := range []bool{false, true} {
		inBubble(t, func(t *testing.T, ctx context.Context) {
			h := newHooked(t)
			h.fails["after-reboot"] = true
			go h.Live(ctx)
			h.Until("it is held", time.Hour, func() bool { return h.Record().Reason == plan.BlockedByHook })
			h.Pass(6 * time.Hour)
			if !h.Node().Spec.Unschedulable || h.Lease() == nil || h.Record().Phase != plan.Recovering || len(h.points()) > 400 {
				t.Errorf("%d runs, record %s", len(h.points()), h.Record())
			}
			if person {
				h.Patch(`{"spec":{"unschedulable":null}}`)
			} else {
				h.Set(func() { h.fails = map[string]bool{} })
			}
			h.Back(1)
		})
	}
}

// One that only warns is tried three times.
func TestHookWarns(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		h := newHooked(t)
		h.warns = true
		h.fails = map[string]bool{"before-drain": true, "after-reboot": true}
		go h.Live(ctx)
		h.Back(1)
		if got := len(h.points()); got != 7 || !contains(h.Logged(), "failed 3 times; going on without it") {
			t.Errorf("%q\n%s", h.points(), h.Logged())
		}
	})
}

// One that doesn't end has failed after its time.
func TestHookTimesOut(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		h := newHooked(t, plan.BeforeDrain)
		h.stuck = true
		go h.Live(ctx)
		h.Until("it has failed", 2*time.Minute, func() bool { return h.Record().Reason == plan.BlockedByHook })
		if told := h.Told().Message; !contains(told, "it did not end within 1m0s (--hook-timeout)") {
			t.Error(told)
		}
		h.Set(func() { h.stuck = false })
		h.Back(1)
	})
}

// Whenever the agent dies while a hook runs, it runs again, and never beside itself.
func TestHooksAfterACrash(t *testing.T) {
	for n, point := range plan.HookPoints() {
		t.Run(string(point), func(t *testing.T) {
			inBubble(t, func(t *testing.T, ctx context.Context) {
				h := newHooked(t)
				go h.Live(ctx)
				h.Until("it runs", time.Hour, h.ran(n+1))
				began := time.Now()
				h.Running().Kill()
				if took := time.Since(began); took > 5*time.Second {
					t.Errorf("the agent took %s to end", took)
				}
				h.Back(1)
				want := []string{"before-drain", "before-reboot", "after-reboot rebooted"}
				if want = slices.Insert(want, n, want[n]); !slices.Equal(h.points(), want) || h.Commands != 1 {
					t.Errorf("%q, %d commands", h.points(), h.Commands)
				}
			})
		})
	}
}

// The machine goes down while the hooks before the drain run: those after the reboot get their chance all the same.
func TestPowerCutInHooks(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		h := newHooked(t)
		go h.Live(ctx)
		h.Until("it runs", time.Minute, h.ran(1))
		h.Down <- struct{}{}
		h.Back(1)
		if got := h.points(); !slices.Equal(got, []string{"before-drain", "after-reboot rebooted"}) {
			t.Errorf("%q", got)
		}
	})
}

// The slot goes in mid-hook: the node is back in service at once, and what the hook did is undone after it has ended.
func TestSlotLostInHooks(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		h := newHooked(t)
		h.stuck = true
		go h.Live(ctx)
		h.Until("it runs", time.Minute, h.ran(1))
		h.Set(func() { h.stuck = false })
		if err := h.Server.Remove(nil, sim.LeaseKind, h.Lease().Name, nil); err != nil {
			t.Fatal(err)
		}
		h.Until("uncordoned", 3*time.Second, func() bool { return !h.Node().Spec.Unschedulable })
		h.Until("undone", time.Minute, func() bool { return !h.Record().Hooked })
		if got := h.points(); !slices.Equal(got, []string{"before-drain", "after-reboot aborted"}) {
			t.Errorf("%q", got)
		}
		h.Back(1)
	})
}

// A Node that is gone ends its hooks.
func TestNodeGoneInHooks(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		h := newHooked(t)
		h.stuck = true
		go h.Live(ctx)
		h.Until("it runs", time.Minute, h.ran(1))
		if err := h.Server.Remove(nil, sim.NodeKind, "worker", nil); err != nil {
			t.Fatal(err)
		}
		h.Until("it has ended", 10*time.Second, func() bool { n := 0; h.Set(func() { n = h.running }); return n == 0 })
	})
}

// A node that comes back with versions that don't go together keeps its slot, in service, until they do.
func TestVersionSkewStopsTheRoll(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		h := newHooked(t, plan.AfterReboot)
		h.skew = plan.Verdict{Gate: "version-skew", Reason: plan.BlockedByVersionSkew, Message: "The kubelet is too new."}
		go h.Live(ctx)
		h.Until("it is told", time.Hour, func() bool { return h.Record().Reason == plan.BlockedByVersionSkew })
		h.Pass(time.Hour)
		if h.Node().Spec.Unschedulable || h.Lease() == nil || h.Record().Phase != plan.Settle {
			t.Errorf("record %s, lease %v", h.Record(), h.Lease())
		}
		h.Set(func() { h.skew = plan.Verdict{} })
		h.Until("the slot is free", 2*time.Minute, func() bool { return h.Lease() == nil })
		h.Back(1)
	})
}

// The slot goes right after the cordon: a live read says so before a hook is started.
func TestSlotLostBeforeHooks(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		h := newHooked(t)
		h.Meddle = func(*sim.Process, sim.Call) sim.Outcome { return sim.Outcome{Arrives: 500 * time.Millisecond} }
		parts := h.Parts
		h.Parts = func(p *sim.Process, of *agent.Parts) {
			parts(p, of)
			p.Client.Due = func() time.Time { return time.Now().Add(20 * time.Second) } // its watch says so only then
		}
		go h.Live(ctx)
		h.Until("cordoned", time.Minute, func() bool { return h.Node().Spec.Unschedulable })
		if err := h.Server.Remove(nil, sim.LeaseKind, h.Lease().Name, nil); err != nil {
			t.Fatal(err)
		}
		h.Until("uncordoned", 30*time.Second, func() bool { return !h.Node().Spec.Unschedulable })
		if got := h.points(); slices.Contains(got, "before-drain") {
			t.Errorf("%q", got)
		}
		h.Back(1)
	})
}
