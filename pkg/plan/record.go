package plan

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// RecordVersion is the version of the record's JSON that this code writes, and the only one it reads.
const RecordVersion = 1

// historyLimit bounds the reboots a record remembers, so that the annotation stays small. No more can be counted:
// --max-reboots goes no further.
const historyLimit = 10

// attachedLimit bounds the attachments that a record remembers. Others are known only while the Node shows them.
const attachedLimit = 40

// Phase is where a node stands on its way through a reboot.
type Phase string

// The phases. The record is written before the step that its phase announces.
const (
	// Idle: in service, nothing wanted.
	Idle Phase = "Idle"
	// Required: a reboot is wanted; the reason says what it waits for.
	Required Phase = "Required"
	// Drain: the slot is held and the node is cordoned; its pods are being evicted. Written in one
	// patch with spec.unschedulable.
	Drain Phase = "Draining"
	// Rebooting: drained; the reboot command may run at any moment, and the boot ID must change.
	Rebooting Phase = "Rebooting"
	// Recovering: the boot ID has changed; waiting until this node is healthy.
	Recovering Phase = "Recovering"
	// Settle: uncordoned, and the slot is still held for the settle time. Written in one patch with
	// the uncordon.
	Settle Phase = "Settling"
	// Aborting: giving up before the reboot. Written before the uncordon.
	Aborting Phase = "Aborting"
)

// Phases returns every phase, in the order of a reboot.
func Phases() []Phase {
	return []Phase{Idle, Required, Drain, Rebooting, Recovering, Settle, Aborting}
}

// Cordon says whose the cordon is that a node carries while rebootd works on it.
type Cordon string

// Whose cordon it is. Only an own one is ever taken off.
const (
	CordonNone  Cordon = ""
	CordonOurs  Cordon = "ours"
	CordonAdmin Cordon = "admin"
)

// Record is what a node says about itself in the annotation rebootd.io/state. The zero value
// stands for a Node that carries none: Idle, with nothing remembered.
type Record struct {
	Version int    `json:"version"`
	Phase   Phase  `json:"phase"`
	Reason  Reason `json:"reason,omitempty"`
	// Since is when the phase began, by this machine's clock.
	Since time.Time `json:"since,omitzero"`
	// RequiredSince is when the reboot that is wanted was first seen to be wanted.
	RequiredSince time.Time `json:"requiredSince,omitzero"`

	// BootID is the machine's boot ID when the record was written. In Draining, Rebooting and Aborting it
	// is the boot that is to end: a machine with another one has rebooted.
	BootID string `json:"bootID,omitempty"`
	// FromBootID is the boot that ended. Set in Recovering and Settling.
	FromBootID string `json:"fromBootID,omitempty"`

	// Slot and LeaseUID name the Lease that lets this node be out.
	Slot     string `json:"slot,omitempty"`
	LeaseUID string `json:"leaseUID,omitempty"`

	// Cordon is set from Draining until the uncordon.
	Cordon Cordon `json:"cordon,omitempty"`
	// Marks are the labels and annotations that were set with the cordon, and what they replaced.
	Marks []Mark `json:"marks,omitempty"`
	// Daemons are the DaemonSets that had a pod here before the reboot, with what tells its containers from later ones; empty of a pod
	// that wasn't ready.
	Daemons map[string]string `json:"daemons,omitempty"`
	// Attached names the attachments of volumes at the cordon, at most attachedLimit of them.
	Attached []string `json:"attached,omitempty"`
	// OutSince is when the node was cordoned for this reboot.
	OutSince time.Time `json:"outSince,omitzero"`
	// Drained is when the drain was over, Up when another boot ID was first seen. Set from Rebooting and from Recovering on.
	Drained time.Time `json:"drained,omitzero"`
	Up      time.Time `json:"up,omitzero"`

	// Taint is the key of the soft taint that was put on the Node.
	Taint string `json:"taint,omitempty"`

	// Attempts counts the reboot commands announced in this Rebooting; LastAttempt is when the last was.
	Attempts    int       `json:"attempts,omitempty"`
	LastAttempt time.Time `json:"lastAttempt,omitzero"`
	// Issued is when a reboot command was last known to have been accepted (it exited 0, or was still
	// running at its timeout).
	Issued time.Time `json:"issued,omitzero"`

	// Failed is whether this reboot was counted as failed for the whole cluster.
	Failed bool `json:"failed,omitempty"`

	// Hooked is whether a hook before this reboot may have begun. HooksDone are the points whose hooks have run.
	Hooked    bool        `json:"hooked,omitempty"`
	HooksDone []HookPoint `json:"hooksDone,omitempty"`

	// AskedBy names what asked for this reboot. Requests are those among it that it will honour.
	AskedBy  []string  `json:"askedBy,omitempty"`
	Requests []Request `json:"requests,omitempty"`
	// Honoured holds the last requests that were honoured, oldest first; those that the Node still carries are always among them.
	Honoured []Request `json:"honoured,omitempty"`

	BackOff *BackOff `json:"backOff,omitempty"`
	// History holds the last reboots, oldest first, at most historyLimit of them.
	History []Reboot `json:"history,omitempty"`
}

// BackOff is kept after an attempt that was given up, until the next reboot succeeds.
type BackOff struct {
	// Failures counts the attempts given up in a row.
	Failures int       `json:"failures"`
	Until    time.Time `json:"until"`
	Reason   Reason    `json:"reason"`
	// Cause is the sentence that was told when the attempt was given up.
	Cause string `json:"cause,omitempty"`
}

// Reboot is one reboot that was proved by a changed boot ID.
type Reboot struct {
	From string `json:"from"`
	To   string `json:"to"`
	// Out is when the node was cordoned, In when it was back in service.
	Out time.Time `json:"out"`
	In  time.Time `json:"in"`
	// Drained is when the drain was over, Up when the new boot was first seen. Zero: not known.
	Drained time.Time `json:"drained,omitzero"`
	Up      time.Time `json:"up,omitzero"`
	// Ours is false for a reboot that happened before rebootd's own command (a power cut, a person).
	Ours bool `json:"ours"`
	// Cleared is whether the reboot was no longer wanted afterwards.
	Cleared bool `json:"cleared"`
	// Failed is whether it was counted as failed for the whole cluster before the node came back after all.
	Failed bool `json:"failed,omitempty"`
	// By names what asked for it.
	By []string `json:"by,omitempty"`
}

// ParseRecord reads a record. An empty text is the zero record. What this code doesn't know is an
// error and never guessed at: an unknown version, phase or cordon owner. An unknown field is passed over:
// one that must not be comes with a new version.
func ParseRecord(text string) (Record, error) {
	if text == "" {
		return Record{}, nil
	}
	var r Record
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return Record{}, fmt.Errorf("not a record: %w", err)
	}
	if r.Version != RecordVersion {
		return Record{}, fmt.Errorf("version %d, but this rebootd knows only version %d", r.Version, RecordVersion)
	}
	if !slices.Contains(Phases(), r.Phase) {
		return Record{}, fmt.Errorf("unknown phase %q", r.Phase)
	}
	if !slices.Contains([]Cordon{CordonNone, CordonOurs, CordonAdmin}, r.Cordon) {
		return Record{}, fmt.Errorf("unknown cordon owner %q", r.Cordon)
	}
	if r.Out() && r.BootID == "" {
		return Record{}, fmt.Errorf("phase %s without a boot ID", r.Phase)
	}
	if _, err := json.Marshal(r); err != nil { // a time zone that can be read, but not written
		return Record{}, fmt.Errorf("not a record: %w", err)
	}
	return r, nil
}

// String is the record as it stands in the annotation.
func (r Record) String() string {
	r.Version = RecordVersion
	text, err := json.Marshal(r)
	if err != nil {
		// Only a time that ParseRecord refuses can do this, and Decide makes none.
		panic(fmt.Sprintf("encoding the record: %v", err))
	}
	return string(text)
}

// Out reports whether the record says that the node is out of service by our doing.
func (r Record) Out() bool {
	switch r.Phase {
	case Drain, Rebooting, Recovering, Aborting:
		return true
	default:
		return false
	}
}

// Succeeded reports whether the node is back from a reboot that went well: one that was counted as failed, and ended well only later
// or by a person's hand, did not.
func (r Record) Succeeded() bool {
	return r.Phase == Idle && r.Reason == RebootSucceeded && len(r.History) > 0 && !r.History[len(r.History)-1].Failed
}

// Waits reports whether the node waits for nothing but a slot.
func (r Record) Waits() bool {
	if r.Phase != Required {
		return false
	}
	switch r.Reason {
	case RebootRequired, RebootRequested, WaitingForSlot, WaitingForTurn:
		return true
	default:
		return false
	}
}

// enter is the record with a new phase that begins now; what only the old phase needed is kept.
func (r Record) enter(phase Phase, reason Reason, now time.Time) Record {
	r.Version, r.Phase, r.Reason, r.Since = RecordVersion, phase, reason, now
	return r
}

// idle is the record of a node in service: of the past it keeps what was done, and nothing else.
func (r Record) idle(bootID string, reason Reason, now time.Time) Record {
	return Record{BootID: bootID, Taint: r.Taint, History: r.History, Honoured: r.Honoured}.enter(Idle, reason, now)
}

// remember is the record with one more reboot in its history.
func (r Record) remember(b Reboot) Record {
	r.History = append(slices.Clone(r.History), b)
	if extra := len(r.History) - historyLimit; extra > 0 {
		r.History = r.History[extra:]
	}
	return r
}
