package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// world is one machine with its Node, its slot and an agent, as far as decisions see them. What a crash
// of the agent forgets is in process.
type world struct {
	policy Policy
	now    time.Time
	node   Node
	record string // as it stands in the annotation
	boot   int    // the machine's boots, counted
	wanted Answer
	gates  []Verdict
	// lease is what this node holds; empty is nothing. free says whether one could be had.
	lease      string
	leases     int
	free       bool
	slotErr    string
	bootErr    string
	podsStuck  bool
	pdb        bool
	command    string // what comes of the next reboot command: reboots, fails, hangs, silent
	failsFor   int    // how many more commands fail before it does
	clears     bool   // whether a reboot clears the sentinel
	backIn     time.Duration
	kubeletAt  time.Time // when the kubelet reports for the new boot
	bootedAt   time.Time
	daemons    []Daemon
	volumes    []string
	commands   int
	process    process
	disruptive []Do
	hookFails  map[HookPoint]bool
	hookRuns   []HookPoint
	skew       Verdict
}

// process is the memory of one agent.
type process struct {
	healthySince, heldSince, wantedSince time.Time
	answer                               Answer
	closedSince                          map[string]time.Time
	pods                                 DrainState
	command                              CommandState
	tracked                              bool
	hooks                                hookWork
}

// start is the beginning of every scenario's clock.
func start() time.Time { return time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC) }

func newWorld() *world {
	return &world{
		policy: Policy{
			DrainTimeout: 30 * time.Minute, RebootTimeout: 15 * time.Minute, RebootAttempts: 3, RetryDelay: 10 * time.Second,
			SteadyTime: 10 * time.Second, GateGrace: 5 * time.Minute, TurnTime: 10 * time.Minute,
			BackOff: 5 * time.Minute, BackOffMax: 2 * time.Hour, MaxReboots: 3, MaxRebootsPer: 24 * time.Hour,
		},
		now:  start(),
		node: Node{Name: "worker", Exists: true, Ready: true, BootID: "boot-1", NotReadyMessage: "it does not answer."},
		boot: 1, wanted: No, free: true, command: "reboots", clears: true, backIn: time.Minute,
	}
}

func (w *world) bootID() string { return fmt.Sprintf("boot-%d", w.boot) }

// forget is a crash of the agent.
func (w *world) forget() { w.process = process{} }

// reboot is the machine's: by our command, or by a power cut.
func (w *world) reboot() {
	w.boot++
	w.forget()
	if w.clears {
		w.wanted = No
	}
	w.kubeletAt, w.bootedAt = w.now.Add(w.backIn), w.now
	w.now = w.now.Add(30 * time.Second)
}

func (w *world) gate(v Verdict) {
	for i := range w.gates {
		if w.gates[i].Gate == v.Gate {
			w.gates[i] = v
			return
		}
	}
	w.gates = append(w.gates, v)
}

func (w *world) look() Observation {
	if !w.kubeletAt.IsZero() && !w.now.Before(w.kubeletAt) {
		w.node.Ready, w.node.BootID, w.kubeletAt = true, w.bootID(), time.Time{}
	}
	o := Observation{Node: w.node, BootID: w.bootID(), BootIDError: w.bootErr}
	if w.bootErr != "" {
		o.BootID = ""
	}
	if !w.node.Exists {
		return Observation{Node: Node{Name: w.node.Name}, BootID: o.BootID}
	}
	r, err := ParseRecord(w.record)
	if o.Record = r; err != nil {
		o.RecordError = err.Error()
	}
	p := &w.process
	if p.answer != w.wanted || p.wantedSince.IsZero() {
		p.answer, p.wantedSince = w.wanted, w.now
	}
	o.Wanted = w.wish()
	if len(w.node.Requests) > 0 {
		o.Wanted = Join([]Wanted{o.Wanted, Requested(o.Node, r)})
		o.Wanted.Since = p.wantedSince
	}
	o.Slot = w.slot()
	o.Gates = w.ask(o)
	switch {
	case !Healthy(o):
		p.healthySince = time.Time{}
	case p.healthySince.IsZero():
		p.healthySince = w.now
	}
	if r.Phase == Recovering || AskCostly(o) {
		o.Daemons, o.BootedAt = w.daemons, w.bootedAt
	}
	if r.Phase == Drain && p.pods.Work == Done {
		o.Volumes = w.volumes
	}
	o.HealthySince, o.Pods = p.healthySince, p.pods
	switch {
	case r.Phase != Rebooting:
		p.tracked, p.command = false, CommandState{}
	case !p.tracked:
		p.tracked, p.command = true, CommandState{Work: Doubtful, Doubt: true}
	}
	o.Command = p.command
	o.Hooks = w.hookState(r)
	if r.Phase == Settle {
		o.Skew = w.skew
	}
	return o
}

func (w *world) wish() Wanted {
	since := w.process.wantedSince
	switch w.wanted {
	case Yes:
		return Wanted{Answer: Yes, Reason: RebootRequired, Message: "/run/reboot-required asks for a reboot.", Since: since,
			By: []string{"file /run/reboot-required"}}
	case No:
		return Wanted{Answer: No, Reason: NotRequired, Message: "There is no /run/reboot-required.", Since: since}
	default:
		return Wanted{Answer: Unknown, Reason: SentinelUnknown, Message: "/run/reboot-required can't be seen.", Since: since}
	}
}

func (w *world) slot() Slot {
	if w.slotErr != "" {
		return Slot{Error: w.slotErr}
	}
	if w.lease == "" {
		w.process.heldSince = time.Time{}
		return Slot{Free: w.free, Message: "All slots are taken."}
	}
	if w.process.heldSince.IsZero() {
		w.process.heldSince = w.now
	}
	return Slot{Held: true, Name: "rebootd-default-0", LeaseUID: w.lease, HeldSince: w.process.heldSince}
}

func (w *world) ask(o Observation) []Verdict {
	var asked []Verdict
	closed := map[string]time.Time{}
	for _, v := range w.gates {
		phase, healthy := o.Record.Phase, strings.HasPrefix(v.Gate, "healthy")
		switch {
		case healthy && !AskHealthy(o, w.policy, w.now), !healthy && phase != Required && phase != Drain && phase != Rebooting,
			v.Costly && !AskCostly(o):
			continue
		}
		if v.Open = v.Open || !v.Until.IsZero() && !w.now.Before(v.Until); !v.Open {
			if v.ClosedSince = w.process.closedSince[v.Gate]; v.ClosedSince.IsZero() {
				v.ClosedSince = w.now
			}
			closed[v.Gate] = v.ClosedSince
		}
		asked = append(asked, v)
	}
	w.process.closedSince = closed
	return asked
}

// act does what the agent would.
func (w *world) act(o Observation, a Action) {
	p := &w.process
	if keepsDrain := a.Do == DoDrain || a.Do == DoWrite && a.Record.Phase == Drain && (a.Reason == Draining || a.Reason == BlockedByPDB || a.Reason == BlockedByHook || a.Reason == DrainFailed) || a.Do == DoHook; !keepsDrain {
		p.pods = DrainState{}
	}
	told := Told{Reason: a.Reason, Message: a.Told, At: w.now}
	w.node.carry(a.Marks)
	switch a.Do {
	case DoWait:
	case DoTell:
		w.node.Told = told
	case DoWrite, DoFail:
		w.record, w.node.Told = a.Record.String(), told
		if a.Record.Phase == Rebooting && a.Record.Attempts > o.Record.Attempts {
			p.tracked, p.command.Work = true, NotStarted
		}
	case DoTake:
		w.leases++
		w.lease = fmt.Sprintf("lease-%d", w.leases)
	case DoFree:
		w.lease = ""
	case DoCordon:
		w.record, w.node.Unschedulable = a.Record.String(), true
		w.disruptive = append(w.disruptive, a.Do)
	case DoTaint:
		w.record = a.Record.String()
		w.node.Soft = slices.DeleteFunc(w.node.Soft, func(key string) bool { return slices.Contains(a.Untaint, key) })
		if key := a.Record.Taint; key != "" && !slices.Contains(w.node.Soft, key) {
			w.node.Soft = append(w.node.Soft, key)
		}
	case DoUncordon:
		w.record, w.node.Unschedulable = a.Record.String(), false
	case DoDrain:
		w.drain(a.Delete)
	case DoHook:
		w.runHooks(a.Hook)
	case DoReboot:
		w.rebootCommand()
	}
}

// drain needs one look to begin and one to end. What a disruption budget holds, only a deletion gets away.
func (w *world) drain(deletes bool) {
	w.disruptive = append(w.disruptive, DoDrain)
	p := &w.process.pods
	switch {
	case p.Work == Done:
	case w.podsStuck && (!deletes || !w.pdb):
		*p = DrainState{Work: Running, Message: "1 of 3 pods is left.", Blocked: w.pdb}
	case p.Work == Running:
		*p = DrainState{Work: Done, DoneSince: w.now}
	default:
		*p = DrainState{Work: Running, Message: "3 of 3 pods are left."}
	}
}

func (w *world) rebootCommand() {
	if w.process.command.Work == Running {
		return
	}
	w.commands++
	w.disruptive = append(w.disruptive, DoReboot)
	c := &w.process.command
	switch {
	case w.failsFor > 0:
		w.failsFor--
		c.Work, c.Message = Failed, "exit status 1"
	case w.command == "reboots":
		w.reboot()
	case w.command == "hangs":
		c.Work = Running
	default: // silent
		c.Work = Done
	}
}
