package plan

// Reason is one word that says why a node is in the state it is in. The same word is the log field,
// the Event's reason, the condition's reason and the metric's label.
type Reason string

// Every reason there is. A reason that is the name of a step is used when that step was taken or is
// under way; the others say what a node waits for or what went wrong.
const (
	RebootRequired       Reason = "RebootRequired"
	RebootRequested      Reason = "RebootRequested"
	NotRequired          Reason = "NotRequired"
	SentinelUnknown      Reason = "SentinelUnknown"
	OutsideWindow        Reason = "OutsideWindow"
	Frozen               Reason = "Frozen"
	Paused               Reason = "Paused"
	Held                 Reason = "Held"
	BlockedByAlert       Reason = "BlockedByAlert"
	BlockedByQuery       Reason = "BlockedByQuery"
	BlockedByPod         Reason = "BlockedByPod"
	BlockedByHook        Reason = "BlockedByHook"
	BlockedByUnavailable Reason = "BlockedByUnavailable"
	BlockedByPDB         Reason = "BlockedByPDB"
	BlockedByAutoscaler  Reason = "BlockedByAutoscaler"
	BlockedByVersionSkew Reason = "BlockedByVersionSkew"
	ControlPlaneQuorum   Reason = "ControlPlaneQuorum"
	KuredPresent         Reason = "KuredPresent"
	WaitingForSlot       Reason = "WaitingForSlot"
	WaitingForTurn       Reason = "WaitingForTurn"
	BackingOff           Reason = "BackingOff"
	SlotTaken            Reason = "SlotTaken"
	SlotLost             Reason = "SlotLost"
	Draining             Reason = "Draining"
	DrainFailed          Reason = "DrainFailed"
	DrainTimedOut        Reason = "DrainTimedOut"
	HookFailed           Reason = "HookFailed"
	RebootIssued         Reason = "RebootIssued"
	RebootFailed         Reason = "RebootFailed"
	RebootTimedOut       Reason = "RebootTimedOut"
	RebootSucceeded      Reason = "RebootSucceeded"
	RebootLoop           Reason = "RebootLoop"
	NotReadyAfterReboot  Reason = "NotReadyAfterReboot"
	Settling             Reason = "Settling"
	Uncordoned           Reason = "Uncordoned"
	NodeRecreated        Reason = "NodeRecreated"
	CircuitOpen          Reason = "CircuitOpen"
	GateError            Reason = "GateError"
)

// Reasons returns every reason, in the order in which a node meets them. Metrics, docs and the
// completeness tests range over it.
func Reasons() []Reason {
	return []Reason{
		RebootRequired, RebootRequested, NotRequired, SentinelUnknown, OutsideWindow, Frozen, Paused, Held,
		BlockedByAlert, BlockedByQuery, BlockedByPod, BlockedByHook, BlockedByUnavailable, BlockedByPDB,
		BlockedByAutoscaler, BlockedByVersionSkew, ControlPlaneQuorum, KuredPresent, WaitingForSlot,
		WaitingForTurn, BackingOff, SlotTaken, SlotLost, Draining, DrainFailed, DrainTimedOut, HookFailed,
		RebootIssued, RebootFailed, RebootTimedOut, RebootSucceeded, RebootLoop, NotReadyAfterReboot, Settling,
		Uncordoned, NodeRecreated, CircuitOpen, GateError,
	}
}
