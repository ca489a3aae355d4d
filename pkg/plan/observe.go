package plan

import "time"

// Observation is everything a decision rests on: one look at the machine and the cluster.
type Observation struct {
	// Node is this machine's Node object.
	Node Node
	// Record is what that Node's record says. RecordError is set, and Record zero, when it can't be read.
	Record      Record
	RecordError string
	// BootID is the machine's own, now. BootIDError is set, and BootID empty, when it can't be read.
	BootID      string
	BootIDError string
	Wanted      Wanted
	// Gates holds the verdict of every gate that was asked. [AskCostly] says when the costly ones are, [AskHealthy] when those
	// are, and then only those, that tell whether the cluster is well again after the reboot.
	Gates []Verdict
	Slot  Slot
	Pods  DrainState
	// Volumes are those that are still attached to the drained node though no pod on it uses them, in words.
	Volumes []string
	// Daemons are the DaemonSets that have a pod on this node: while costly gates are asked, and in Recovering. DaemonsError
	// is set in Recovering when they can't be known. BootedAt is when the machine booted, in Recovering only.
	Daemons      []Daemon
	DaemonsError string
	BootedAt     time.Time
	Command      CommandState
	Hooks        HookState
	// Skew is what is wrong with the versions of kubelet and API server once the node has rebooted. Its zero value: nothing, or
	// it isn't asked.
	Skew Verdict
	// HealthySince is since when [Healthy] has been true without a break, as far as this process saw.
	// Zero: it isn't.
	HealthySince time.Time
}

// Node is what a decision needs to know of the Node object.
type Node struct {
	Name string
	// Exists is false when the API server has no Node of this name.
	Exists        bool
	Unschedulable bool
	Ready         bool
	// NotReadyMessage is what the kubelet, or the control plane about it, says when it isn't Ready.
	NotReadyMessage string
	// BootID is the one that the kubelet reported last. Empty: it never did.
	BootID string
	// Attached names the attachments of volumes that the Node shows.
	Attached []string
	// Labels and Annotations are the Node's own, and only to be read.
	Labels, Annotations map[string]string
	// Labelled is whether it has the label that says that a reboot is required.
	Labelled bool
	// Soft are the keys of its taints of effect PreferNoSchedule.
	Soft []string
	// Requests are the annotations on it that ask for a reboot, honoured or not.
	Requests []Request
	// Told is what its condition RebootRequired says.
	Told Told
}

// Told is what was last said on the Node, and when.
type Told struct {
	Reason  Reason
	Message string
	At      time.Time
}

// Answer is yes, no or unknown. The zero value is unknown.
type Answer int

// The three answers.
const (
	Unknown Answer = iota
	No
	Yes
)

// Wanted is what the sentinels say: whether this machine wants a reboot.
type Wanted struct {
	Answer Answer
	// Reason goes with the answer: RebootRequired for yes, NotRequired for no, SentinelUnknown for unknown.
	Reason Reason
	// Message is a sentence that says who wants it and why, or why it can't be known.
	Message string
	// By names who gives this answer: "file /run/reboot-required", "command …", "uptime", "request …". The first
	// word is one of a few.
	By []string
	// Packages are those that want it, where that is known. The message names the first of them.
	Packages []string
	// Now is whether it is a request that goes past the gates that are Skippable.
	Now bool
	// At is when the question was asked that this answers. Zero: at this very look.
	At time.Time
	// Since is since when this process has had this answer.
	Since time.Time
}

// Verdict is one gate's answer. A gate that can't be evaluated is closed, with reason GateError.
type Verdict struct {
	Gate   string
	Open   bool
	Reason Reason
	// Message says why it is closed. What an open gate has to say is told with the cordon.
	Message string
	// Everyone is true when the gate, closed for this reason, would hold every node (an alert, a pause), and false
	// when it holds only this one.
	Everyone bool
	// Costly is true for a gate that is asked only under the slot.
	Costly bool
	// Skippable is true for a gate that a request-now goes past: windows and alerts, but never freezes, pauses, holds and budgets.
	Skippable bool
	// Until is when to look again though nothing has changed: then it may open by itself. Zero: not known.
	Until time.Time
	// ClosedSince is since when this process has seen the gate closed. Zero when it is open.
	ClosedSince time.Time
}

// Slot is what this node knows of its lock group's slots.
type Slot struct {
	// Error is set when the slots can't be read; all else is then zero.
	Error string
	// Held is whether a Lease that names this node, with this Node's UID, exists.
	Held     bool
	Name     string
	LeaseUID string
	// HeldSince is since when this process has seen it held.
	HeldSince time.Time
	// Taken is when its Lease was made, by the API server's clock. Zero: not known.
	Taken time.Time
	// Doubtful is whether a request to free it may be on its way: a node in service must not go out under it.
	Doubtful bool
	// Free is whether a slot could be taken now; Message says where to see who holds them if not.
	Free    bool
	Message string
}

// Work is the state of something that the agent does in the background.
type Work int

// The states of work. NotStarted is certain: nothing was done. Doubtful is the state after a
// restart: it may have been done or not.
const (
	NotStarted Work = iota
	Doubtful
	Running
	Done
	Failed
)

// DrainState is how far the drain has come, in this process; a drain can be started again at any time.
type DrainState struct {
	Work Work
	// DoneSince is when the last pod was gone.
	DoneSince time.Time
	// Message says how far it is and what stands in the way. Blocked is true while a
	// PodDisruptionBudget does.
	Message string
	Blocked bool
}

// CommandState is what became of the reboot command.
type CommandState struct {
	// Work is Doubtful when an attempt may have been made whose outcome this process doesn't know.
	Work Work
	// Doubt stays true through later attempts once one was doubtful: only a node all of whose
	// attempts are known to have failed may go back into service.
	Doubt bool
	// Message is the command's failure.
	Message string
}

// OnDrainTimeout is what becomes of a drain that took too long. The zero value is AbortDrain.
type OnDrainTimeout string

// The ways out of a drain that took too long.
const (
	// AbortDrain goes back into service and backs off.
	AbortDrain OnDrainTimeout = "abort"
	// DeletePods deletes the pods that couldn't be evicted, and aborts if that takes as long again.
	DeletePods OnDrainTimeout = "delete"
	// RebootAnyway reboots under the pods that are left, as kured's --force-reboot does.
	RebootAnyway OnDrainTimeout = "reboot"
)

// Policy is what the cluster's owner configured, as far as decisions need it. Durations of zero mean no
// delay, except for DrainTimeout, where it means no limit.
type Policy struct {
	// Marks are what the Node carries while it is out.
	Marks []Mark
	// AsKured is what it carries as with kured.
	AsKured    AsKured
	DrainDelay time.Duration
	// LoadBalancerDelay is between the cordon and the first eviction. It doesn't count against DrainTimeout.
	LoadBalancerDelay time.Duration
	DrainTimeout      time.Duration
	// OnDrainTimeout is what becomes of a drain that took longer than DrainTimeout.
	OnDrainTimeout OnDrainTimeout
	// VolumeDetachTimeout is how long a drained node waits until its volumes are detached. 0: not at all.
	VolumeDetachTimeout time.Duration
	RebootDelay         time.Duration
	RebootTimeout       time.Duration
	RebootAttempts      int
	// CommandTimeout is how long a reboot command may run that an earlier process may have begun.
	CommandTimeout time.Duration
	// RetryDelay is between two attempts of a reboot command that failed.
	RetryDelay time.Duration
	// SteadyTime is how long the node must be healthy without a break before it is uncordoned.
	SteadyTime time.Duration
	// SettleTime is how long the slot is held after the uncordon.
	SettleTime time.Duration
	// GateGrace is how long a cordoned node waits for a gate that closed, before it gives up.
	GateGrace time.Duration
	// TurnTime is how long an uncordoned node keeps its slot while a gate is closed that would hold everyone.
	TurnTime time.Duration
	// BackOff is after the first attempt given up; it doubles with each in a row up to BackOffMax.
	BackOff, BackOffMax time.Duration
	// Hooks are the points at which there are hooks.
	Hooks []HookPoint
	// Reboots that did not clear what asked for them: at most MaxReboots within MaxRebootsPer. 0: no limit.
	MaxReboots    int
	MaxRebootsPer time.Duration
	// Taint is the key of the soft taint that the Node carries while a reboot is wanted; "": none.
	Taint string
}

// Do is what the agent is to do.
type Do string

// The steps. Each is idempotent.
const (
	// DoWait: nothing. A drain that is under way is stopped.
	DoWait Do = "wait"
	// DoTell: write the condition only, because the record can't be touched.
	DoTell Do = "tell"
	// DoWrite: write the action's record, with label and condition.
	DoWrite Do = "write"
	// DoFail: count this reboot as failed for the whole cluster, then write the action's record, which says so.
	DoFail Do = "fail"
	// DoTake: take a slot.
	DoTake Do = "take"
	// DoFree: free the slot.
	DoFree Do = "free"
	// DoCordon: write the record and set spec.unschedulable, in one patch.
	DoCordon Do = "cordon"
	// DoDrain: start the drain, or let it run on.
	DoDrain Do = "drain"
	// DoReboot: run the reboot command.
	DoReboot Do = "reboot"
	// DoHook: start the hooks of the action's point, or let them run on.
	DoHook Do = "hook"
	// DoTaint: write the record, put the taint on that it names, and take off others, in one patch.
	DoTaint Do = "taint"
	// DoUncordon: write the record and clear spec.unschedulable, in one patch.
	DoUncordon Do = "uncordon"
)

// Action is the next step and why it is the next.
type Action struct {
	Do      Do
	Reason  Reason
	Message string
	// Told is the message as the Node's condition says it; see [InFull].
	Told string
	// Record is the one to write, where Do writes one.
	Record Record
	// Marks are the changes of labels and annotations that go into the same write as the record.
	Marks []Change
	// Untaint are the keys of soft taints to take off.
	Untaint []string
	// Delete is whether a drain deletes pods in place of evicting them.
	Delete bool
	// Hook is the point whose hooks are to run.
	Hook HookPoint
	// Again is how soon to look again, at the latest. Zero: whenever something changes.
	Again time.Duration
}

// AskCostly reports whether the gates that are costly to ask are to be asked: only under the slot, by the
// node whose turn it is, until the reboot command has run.
func AskCostly(o Observation) bool {
	switch o.Record.Phase {
	case Required:
		return o.Slot.Held
	case Drain, Rebooting:
		return o.Slot.Held && o.Record.Issued.IsZero() && o.Record.BootID == o.BootID
	default:
		return false
	}
}

// AskHealthy reports whether it is to be asked if the cluster is well again: after the settle time, while the slot is held, or
// may be.
func AskHealthy(o Observation, p Policy, now time.Time) bool {
	return o.Record.Phase == Settle && (o.Slot.Held || o.Slot.Error != "") && !now.Before(o.Record.Since.Add(p.SettleTime))
}

// Healthy reports whether the node serves again: it is Ready, and that was said after the reboot. A status
// that still shows the boot that ended was written before it, and proves nothing.
func Healthy(o Observation) bool {
	earlier := o.Node.BootID == o.Record.FromBootID || o.Node.BootID == o.Record.BootID // it may have rebooted once more
	stale := o.Node.BootID != "" && o.Node.BootID != o.BootID && earlier
	return o.Node.Exists && o.Node.Ready && !stale
}
