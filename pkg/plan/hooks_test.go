package plan

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestEveryCombinationOfHooks asks for decisions wherever hooks play a part.
func TestEveryCombinationOfHooks(t *testing.T) {
	for _, phase := range []Phase{Required, Drain, Recovering, Aborting} {
		t.Run(string(phase), func(t *testing.T) {
			t.Parallel()
			axes := append(common(), axesOf(phase)...)
			axes = slices.DeleteFunc(axes, func(a axis) bool {
				return slices.Contains([]string{"told", "progress", "back-off", "held since", "loop"}, a.name)
			})
			axes = append(axes, hooksAxis(phase))
			failures := 0
			p := newWorld().policy
			p.Hooks, p.Marks = HookPoints(), append(ForAutoscalers(), ForLoadBalancers())
			combine(axes, func(situation []int) {
				o := situationOf(phase, axes, situation)
				a := Decide(o, p, start())
				if wrong := append(judge(o, a), judgeHooks(o, a)...); len(wrong) > 0 && failures < 5 {
					failures++
					t.Errorf("%s: %s\n%s", describe(axes, situation), strings.Join(wrong, "; "), show(o, a))
				}
			})
		})
	}
}

// hooksAxis is how far the hooks are in a phase that has some.
func hooksAxis(phase Phase) axis {
	states := 6
	if phase != Drain {
		states = 4
	}
	return axis{"hooks", states, func(o *Observation, i int) {
		point := AfterReboot
		o.Record.Hooked = i != 1 && (i > 0 || phase != Required)
		if i == 0 {
			o.Record.HooksDone = []HookPoint{BeforeDrain, BeforeReboot}
		}
		if phase == Drain {
			if point = BeforeDrain; i > 3 {
				point, o.Record.HooksDone = BeforeReboot, []HookPoint{BeforeDrain}
			}
		}
		switch i {
		case 2:
			o.Hooks = HookState{Point: point, Work: Running, Message: "A hook failed.", FailingSince: start().Add(-time.Hour)}
		case 4:
			o.Hooks = HookState{Point: point, Work: Running, Message: "A hook failed.", FailingSince: start().Add(-time.Second)}
		case 3, 5:
			o.Hooks = HookState{Point: point, Work: Done}
		}
	}}
}

// judgeHooks says what is wrong with an answer, as far as hooks go.
func judgeHooks(o Observation, a Action) []string {
	var wrong []string
	must := func(ok bool, what string, args ...any) {
		if !ok {
			wrong = append(wrong, fmt.Sprintf(what, args...))
		}
	}
	was, r := o.Record, a.Record
	must((a.Do == DoHook) == (a.Hook != ""), "step %s names the hooks %q", a.Do, a.Hook)
	done := func(p HookPoint) bool {
		return slices.Contains(was.HooksDone, p) || o.Hooks.Point == p && o.Hooks.Work == Done
	}
	if a.Do == DoHook {
		must(!done(a.Hook), "runs hooks again that have run")
		switch a.Hook {
		case AfterReboot:
			must(was.Phase == Recovering || was.Phase == Required, "hooks after the reboot out of turn")
			must(was.Phase != Recovering || !o.HealthySince.IsZero(), "hooks after the reboot before it is healthy")
			must(was.Phase != Required || was.Hooked, "undoes what was never done")
		default:
			must(was.Phase == Drain && o.Slot.Held && o.Wanted.Answer == Yes && !holdsBack(o), "hooks before the reboot out of turn")
			must(was.Hooked, "hooks begin before the record says so")
			must(o.Node.Unschedulable, "hooks before the reboot on a node that takes pods")
		}
	}
	must(a.Do != DoDrain || a.Hook != "" || slices.Contains(was.HooksDone, BeforeDrain), "drains before the hooks before-drain have run")
	if r.Phase == Rebooting && was.Phase == Drain {
		must(slices.Contains(was.HooksDone, BeforeDrain) && slices.Contains(was.HooksDone, BeforeReboot), "reboots before the hooks have run")
	}
	if was.Phase == Drain && r.Phase != "" && (r.Phase == Recovering || r.Phase == Aborting || r.Phase == Rebooting) {
		must(r.Hooked == was.Hooked, "forgets what is to be undone")
	}
	failing := !o.Hooks.FailingSince.IsZero()
	if was.Phase == Recovering && r.Phase == Settle {
		must(done(AfterReboot) || failing && !o.Node.Unschedulable, "uncordons before the hooks after-reboot have run")
	}
	if was.Phase == Aborting && r.Phase == Required {
		must(r.Hooked == was.Hooked && r.HooksDone == nil, "forgets to undo")
	}
	if was.Phase == Required && was.Hooked {
		late := failing && !start().Before(o.Hooks.FailingSince.Add(newWorld().policy.GateGrace))
		must(a.Do != DoTake && a.Do != DoFree && a.Do != DoCordon && r.Phase != Idle, "goes on before it has undone")
		must(r.Phase == "" || r.Hooked || done(AfterReboot) || late, "forgets to undo")
	}
	return wrong
}

// A drain that begins anew runs the hooks before the reboot again, and doesn't forget that there is something to undo.
func TestHooksOfANewDrain(t *testing.T) {
	w := newWorld()
	w.policy.Hooks = HookPoints()
	o := w.look()
	o.Record = Record{Phase: Rebooting, Hooked: true, HooksDone: []HookPoint{BeforeDrain, BeforeReboot}}
	if r := cordon(o, w.policy, start()).Record; !r.Hooked || !slices.Equal(r.HooksDone, []HookPoint{BeforeDrain}) {
		t.Errorf("after a reboot that did not come: %+v", r)
	}
	o.Record.Phase = Required
	if r := cordon(o, w.policy, start()).Record; !r.Hooked || len(r.HooksDone) > 0 {
		t.Errorf("at the beginning: %+v", r)
	}
	w.policy.Hooks = []HookPoint{BeforeReboot, AfterReboot}
	if r := cordon(o, w.policy, start()).Record; r.Hooked {
		t.Errorf("without hooks before the drain: %+v", r)
	}
}

// What gates that are open have to say is told with the cordon.
func TestCordonTellsWhatIsKnown(t *testing.T) {
	w := newWorld()
	o := w.look()
	o.Gates = []Verdict{{Gate: "a", Open: true}, {Gate: "b", Open: true, Message: "A budget refuses."}}
	if got := cordon(o, w.policy, start()).Message; got != "Cordoned; evicting the pods. A budget refuses." {
		t.Error(got)
	}
}

// hookWork plays the hooks of a world: they need one look to begin and one to end.
type hookWork struct {
	state HookState
	phase Phase
	since time.Time
}

func (w *world) hookState(r Record) HookState {
	h := &w.process.hooks
	if h.phase != r.Phase || !h.since.Equal(r.OutSince) {
		*h = hookWork{phase: r.Phase, since: r.OutSince}
	}
	return h.state
}

func (w *world) runHooks(point HookPoint) {
	h := &w.process.hooks
	s := h.state.at(point)
	switch {
	case s.Work == NotStarted:
		w.hookRuns = append(w.hookRuns, point)
		s.Work = Running
	case w.hookFails[point] && s.FailingSince.IsZero():
		s.Message, s.FailingSince = fmt.Sprintf("Hook 1 of --hook-%s (test) failed: exited with 1.", point), w.now
	case !w.hookFails[point]:
		s = HookState{Point: point, Work: Done}
	}
	h.state = s
}

// hookSetting reads "POINT", "POINT fails" or "POINT works"; "none" takes all away.
func (w *world) hookSetting(args []string) {
	if args[0] == "none" {
		w.policy.Hooks = nil
		return
	}
	point := HookPoint(args[0])
	if !slices.Contains(w.policy.Hooks, point) {
		w.policy.Hooks = append(w.policy.Hooks, point)
	}
	if w.hookFails == nil {
		w.hookFails = map[HookPoint]bool{}
	}
	w.hookFails[point] = len(args) > 1 && args[1] == "fails"
}
