package plan

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// axis is one thing that can be so or so, whatever the rest is.
type axis struct {
	name   string
	values int
	set    func(o *Observation, i int)
}

// TestEveryCombination asks for a decision in every situation that an agent can be in, and holds each
// answer to what rebootd promises.
func TestEveryCombination(t *testing.T) {
	for _, phase := range append(Phases(), "") {
		t.Run(string(phase), func(t *testing.T) {
			t.Parallel()
			axes := append(common(), axesOf(phase)...)
			combinations, failures := 0, 0
			combine(axes, func(situation []int) {
				o := situationOf(phase, axes, situation)
				p := newWorld().policy
				p.RebootDelay, p.DrainDelay, p.SettleTime = time.Minute, time.Minute, time.Minute
				p.VolumeDetachTimeout = time.Minute
				p.Marks = append(ForAutoscalers(), ForLoadBalancers())
				combinations++
				if wrong := judge(o, Decide(o, p, start())); len(wrong) > 0 && failures < 5 {
					failures++
					t.Errorf("%s: %s\n%s", describe(axes, situation), strings.Join(wrong, "; "), show(o, Decide(o, p, start())))
				}
			})
			t.Logf("%d combinations", combinations)
		})
	}
}

func combine(axes []axis, f func([]int)) {
	situation := make([]int, len(axes))
	for n := 0; ; n++ {
		if n%sampled == 0 {
			f(situation)
		}
		i := 0
		for ; i < len(axes); i++ {
			if situation[i]++; situation[i] < axes[i].values {
				break
			}
			situation[i] = 0
		}
		if i == len(axes) {
			return
		}
	}
}

func situationOf(phase Phase, axes []axis, situation []int) Observation {
	o := Observation{
		Node:   Node{Name: "worker", Exists: true, NotReadyMessage: "it does not answer.", BootID: "now"},
		BootID: "now",
		Record: Record{Version: RecordVersion, Phase: phase, Reason: Draining, BootID: "now", Slot: "rebootd-default-0", LeaseUID: "lease",
			OutSince: start().Add(-time.Hour), Since: start().Add(-time.Minute)},
	}
	if phase == "" {
		o.Record = Record{}
	}
	if o.Record.Out() { // one mark was set on what was there before; the others weren't configured then
		m, was := ForAutoscalers()[0], "false"
		m.Was = &was
		o.Record.Marks, o.Node.Annotations = []Mark{m}, map[string]string{m.Key: m.Value}
	}
	for i, a := range axes {
		a.set(&o, situation[i])
	}
	return o
}

func describe(axes []axis, situation []int) string {
	words := make([]string, len(axes))
	for i, a := range axes {
		words[i] = fmt.Sprintf("%s %d", a.name, situation[i])
	}
	return strings.Join(words, ", ")
}

func show(o Observation, a Action) string { return fmt.Sprintf("  of %+v\n  came %+v", o, a) }

// common are the axes of every phase.
func common() []axis {
	return []axis{
		{"boot", 3, func(o *Observation, i int) {
			switch i {
			case 1:
				o.Record.BootID = "before"
			case 2:
				o.BootID, o.BootIDError = "", "permission denied"
			}
		}},
		{"cordon", 3, func(o *Observation, i int) {
			o.Record.Cordon = []Cordon{CordonNone, CordonOurs, CordonAdmin}[i]
		}},
		{"unschedulable", 2, func(o *Observation, i int) { o.Node.Unschedulable = i == 1 }},
		{"wanted", 5, func(o *Observation, i int) {
			o.Wanted = []Wanted{
				{Answer: No, Reason: NotRequired, Message: "There is no file.", Since: start()},
				{Answer: Yes, Reason: RebootRequired, Message: "A file asks.", Since: start(), By: []string{"file /run/x"}},
				{Answer: Unknown, Reason: SentinelUnknown, Message: "The file can't be seen.", Since: start()},
				{},
				{},
			}[i]
			if i >= 3 { // one request was honoured before, and is still there; the record knows the other one, or doesn't yet
				o.Node.Requests = []Request{{Text: "old"}, {Text: "new", Now: true}}
				o.Record.Honoured = []Request{{Text: "old"}}
				if i == 4 && o.Record.Phase != Idle && o.Record.Phase != "" {
					o.Record.Requests = []Request{{Text: "new", Now: true}}
				}
				o.Wanted = Requested(o.Node, o.Record)
				o.Wanted.Since = start()
			}
		}},
		{"slot", 4, func(o *Observation, i int) {
			o.Slot = []Slot{
				{Held: true, Name: "rebootd-default-0", LeaseUID: "lease", HeldSince: start().Add(-time.Hour)},
				{Message: "All slots are taken."},
				{Free: true},
				{Error: "The slots can't be read."},
			}[i]
		}},
		{"told", 2, func(o *Observation, i int) {
			if i == 1 {
				o.Node.Told = Told{Draining, "Cordoned; evicting the pods.", start().Add(-time.Second)}
				if o.Record.Phase == Idle {
					o.Record.Reason, o.Node.Told.Reason = RebootSucceeded, RebootSucceeded
				}
			}
		}},
	}
}

func axesOf(phase Phase) []axis {
	gates := axis{"gates", 6, func(o *Observation, i int) {
		closed := Verdict{Gate: "alerts", Reason: BlockedByAlert, Message: "An alert fires.", ClosedSince: start().Add(-time.Second)}
		switch i {
		case 0:
			return
		case 1:
			closed.ClosedSince = start().Add(-time.Hour)
		case 2:
			closed.Costly = true
		case 3:
			closed.Costly, closed.Everyone = true, true
		case 5:
			closed.Skippable = true
		}
		o.Gates = []Verdict{{Gate: "window", Open: true}, closed}
	}}
	soft := axis{"soft", 2, func(o *Observation, i int) {
		if i == 1 {
			o.Node.Soft = []string{DefaultTaint}
		}
	}}
	ready := axis{"ready", 2, func(o *Observation, i int) { o.Node.Ready = i == 1 }}
	switch phase {
	case Required:
		return []axis{gates, soft,
			{"back-off", 3, func(o *Observation, i int) {
				if i > 0 {
					o.Record.BackOff = &BackOff{Failures: 1, Reason: DrainTimedOut, Cause: "It took too long.",
						Until: start().Add(time.Duration(3-2*i) * time.Minute)}
				}
			}},
			{"held since", 3, func(o *Observation, i int) {
				if o.Slot.Held && i >= 1 {
					o.Slot.HeldSince, o.Slot.Doubtful = start(), i == 2
				}
			}},
			{"loop", 2, func(o *Observation, i int) {
				for range 3 * i {
					o.Record.History = append(o.Record.History, Reboot{In: start().Add(-time.Hour), Ours: true})
				}
			}},
		}
	case Drain:
		return []axis{gates,
			{"drain", 5, func(o *Observation, i int) { o.Pods.Work = Work(i) }},
			{"progress", 2, func(o *Observation, i int) {
				if i == 1 {
					o.Pods.Blocked, o.Pods.Message, o.Volumes = true, "1 of 3 pods is gone.", []string{"pvc-a"}
				}
			}},
			{"time", 2, func(o *Observation, i int) {
				if o.Pods.DoneSince = start(); i == 1 {
					o.Record.Since, o.Pods.DoneSince = start().Add(-time.Hour), start().Add(-time.Hour)
				}
			}},
		}
	case Rebooting:
		return []axis{gates,
			{"command", 5, func(o *Observation, i int) {
				if o.Command.Work = Work(i); o.Command.Work == Failed {
					o.Command.Message = "exit status 1"
				}
			}},
			{"doubt", 2, func(o *Observation, i int) { o.Command.Doubt = i == 1 || o.Command.Work == Doubtful }},
			{"attempts", 2, func(o *Observation, i int) { o.Record.Attempts = 1 + 2*i }},
			{"issued", 2, func(o *Observation, i int) {
				if i == 1 {
					o.Record.Issued = start().Add(-time.Minute)
				}
			}},
			{"time", 2, func(o *Observation, i int) { o.Record.LastAttempt = start().Add(-time.Duration(i) * time.Hour) }},
		}
	case Recovering:
		return []axis{gates, ready, {"healthy", 3, func(o *Observation, i int) {
			o.HealthySince = []time.Time{{}, start(), start().Add(-time.Minute)}[i]
		}}}
	default:
		return []axis{gates, soft, ready, {"time", 2, func(o *Observation, i int) {
			o.Record.Since = start().Add(-time.Duration(i) * time.Hour)
		}}}
	}
}

// judge says what is wrong with an answer.
func judge(o Observation, a Action) []string {
	var wrong []string
	must := func(ok bool, what string, args ...any) {
		if !ok {
			wrong = append(wrong, fmt.Sprintf(what, args...))
		}
	}
	closed := holdsBack(o)
	changed := o.BootIDError == "" && o.BootID != o.Record.BootID
	r := a.Record

	must(slices.Contains(reasons, a.Reason), "reason %q is none", a.Reason)
	must(sentence(a.Message), "message %q is no sentence", a.Message)
	must(a.Again >= 0, "looks again in the past")
	switch a.Do {
	case DoCordon, DoDrain, DoReboot:
		must(o.Slot.Held, "disruptive without the slot")
		must(o.Record.Out() || !o.Slot.Doubtful, "goes out under a slot that may vanish")
		must(o.Wanted.Answer == Yes, "disruptive, but not wanted")
		must(!closed, "disruptive while a gate is closed")
		must(o.BootIDError == "", "disruptive without a boot ID")
	case DoUncordon:
		must(o.Record.Cordon == CordonOurs, "uncordons what is not ours")
		must(o.Record.Phase == Recovering || o.Record.Phase == Aborting, "uncordons out of turn")
	case DoFree:
		must(!o.Record.Out(), "frees the slot while out")
		must(o.Record.Phase != "" || !o.Node.Unschedulable, "frees the slot of a cordoned node without a record")
	case DoFail:
		late := o.Record.Phase == Rebooting || o.Record.Phase == Recovering
		must(late && r.Failed && !o.Record.Failed && o.Record.Attempts > 0, "counts a failure out of turn")
	case DoTaint:
		must(!o.Record.Out() && (!o.Slot.Held || o.Record.Phase == Settle), "a taint is waited for by what brings a node back, or keeps a slot")
		same := a.Record
		same.Taint = o.Record.Taint
		must(reflect.DeepEqual(same, o.Record), "a taint changes more than itself")
	case DoWait, DoTell, DoTake, DoWrite, DoHook:
	}
	must(strings.HasPrefix(a.Told, a.Message), "the Node is told something else")
	if o.BootIDError != "" {
		must(a.Do == DoTell || a.Do == DoWait, "does something without a boot ID")
	}
	switch a.Do {
	case DoReboot:
		must(o.Record.Phase == Rebooting && !changed, "reboots out of turn")
		must(o.Command.Work == NotStarted && o.Record.Issued.IsZero(), "reboots again without announcing it")
		must(o.Node.Unschedulable || o.Command.Doubt, "reboots a node that takes pods")
	case DoDrain:
		must(o.Record.Phase == Drain && o.Node.Unschedulable && !changed, "drains out of turn")
	case DoTake:
		must(!o.Slot.Held && o.Slot.Free && o.Record.Phase == Required && !closed, "takes out of turn")
	case DoCordon:
		must(r.Phase == Drain && r.Cordon != CordonNone && r.LeaseUID == o.Slot.LeaseUID && r.BootID == o.BootID, "cordons without a full record")
		must(r.Cordon == CordonOurs || o.Node.Unschedulable, "takes its own cordon for a person's")
		must(r.Cordon == CordonOurs || o.Record.Cordon != CordonOurs, "gives its own cordon away")
	default:
	}
	return append(append(wrong, judgeRecord(o, a)...), judgeMarks(o, a)...)
}

// holdsBack is whether anything does: a gate that a request-now doesn't go past, or a wish that can't be known.
func holdsBack(o Observation) bool {
	held := o.Wanted.Answer == Unknown
	for _, v := range o.Gates {
		past := v.Skippable && len(o.Node.Requests) == 2
		held = held || !v.Open && !past
	}
	return held
}

func judgeRecord(o Observation, a Action) []string {
	switch a.Do {
	case DoWrite, DoCordon, DoUncordon:
	case DoTaint:
		return nil
	default:
		if a.Record.Version != 0 {
			return []string{"a record that isn't written"}
		}
		return nil
	}
	var wrong []string
	must := func(ok bool, what string, args ...any) {
		if !ok {
			wrong = append(wrong, fmt.Sprintf(what, args...))
		}
	}
	was, r := o.Record, a.Record
	proves := r.Phase == Recovering && was.Phase != Recovering
	honoured := !slices.Equal(r.Honoured, was.Honoured)
	must(!honoured || o.BootID != was.BootID && slices.Equal(r.Honoured, append(slices.Clone(was.Honoured), was.Requests...)) && len(r.Requests) == 0,
		"honours a request without its reboot")
	must(!proves || honoured == (len(was.Requests) > 0), "forgets a request that was honoured")
	if (a.Do == DoCordon || r.Attempts > was.Attempts) && o.Wanted.Answer == Yes {
		must(slices.Equal(r.AskedBy, o.Wanted.By) && (len(r.Requests) == 1) == o.Wanted.Now, "does not say who asked")
	}
	must(slices.Equal(r.Requests, was.Requests) || len(r.Requests) == 0 || r.BootID == o.BootID, "notes a request under another boot")
	back, err := ParseRecord(r.String())
	must(err == nil && reflect.DeepEqual(back, r), "the record doesn't come back: %v", err)
	must(a.Reason == r.Reason, "record and action differ in their reason")
	must(!was.Out() || r.Phase == was.Phase || slices.Contains(next[was.Phase], r.Phase), "no way leads from %s to %s", was.Phase, r.Phase)
	if was.Phase == Rebooting && (o.Command.Doubt || !was.Issued.IsZero()) {
		must(r.Phase == Rebooting || r.Phase == Recovering, "gives up while a command may be under way")
	}
	if proves {
		must(o.BootID != was.BootID && r.FromBootID == was.BootID && r.BootID == o.BootID, "a reboot without a changed boot ID")
	}
	if r.Phase == Rebooting && was.Phase != Rebooting {
		must(len(o.Volumes) == 0 || o.Pods.DoneSince.Before(start().Add(-time.Minute)), "leaves volumes attached without waiting")
		must(o.Pods.Work == Done && o.Slot.Held && o.Wanted.Answer == Yes, "announces a reboot too early")
	}
	if was.Phase == Recovering && r.Phase != Recovering {
		must(o.HealthySince.Before(start().Add(-10*time.Second)) && !o.HealthySince.IsZero(), "back before it is healthy")
	}
	if was.Phase == Settle && r.Phase != Settle {
		open := !slices.ContainsFunc(o.Gates, func(v Verdict) bool { return !v.Open })
		must(open || !o.Slot.Held && o.Slot.Error == "", "lets the next node go though the cluster isn't well")
	}
	if was.Out() && r.Out() && r.Phase != Drain {
		taken := was.Phase == Recovering && was.Cordon == CordonOurs && !o.Node.Unschedulable && r.Cordon == CordonNone // by a person
		must(r.Cordon == was.Cordon || taken, "forgets whose cordon it is")
	}
	if was.Cordon == CordonOurs && was.Out() && !r.Out() {
		must(a.Do == DoUncordon, "forgets its cordon")
	}
	return wrong
}

var reasons = Reasons()

// next are the phases that may follow one that is out of service.
var next = map[Phase][]Phase{
	Drain:      {Rebooting, Recovering, Aborting},
	Rebooting:  {Drain, Recovering, Aborting},
	Recovering: {Settle},
	Aborting:   {Required, Recovering},
}

func sentence(s string) bool {
	return s != "" && s == strings.TrimSpace(s) && s[:1] == strings.ToUpper(s[:1]) && !strings.Contains(s, "%!") && !strings.Contains(s, "  ")
}

// In Recovering nothing but the node's own health decides.
func TestOnlyHealthLeadsBack(t *testing.T) {
	axes := append(common(), axesOf(Recovering)...)
	did := map[string]Action{}
	combine(axes, func(situation []int) {
		o := situationOf(Recovering, axes, situation)
		if o.BootIDError != "" || o.HealthySince.IsZero() || o.Record.Cordon != CordonOurs || !o.Node.Unschedulable {
			return
		}
		a := Decide(o, newWorld().policy, start())
		key := o.HealthySince.String()
		if first, ok := did[key]; ok && (first.Do == DoUncordon) != (a.Do == DoUncordon) {
			t.Fatalf("%s: %+v, elsewhere %+v", describe(axes, situation), a, first)
		}
		did[key] = a
	})
	if len(did) != 2 {
		t.Errorf("%d kinds of answer, want 2", len(did))
	}
}
