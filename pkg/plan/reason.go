package plan

// Reason is one word that says why a node is in the state it is in. The same word is the log field,
// the Event's reason, the condition's reason and the metric's label.
type Reason string

// Every reason there is. A reason that is the name of a step is used when that step was taken or is
// under way; the others say what a node waits for or what went wrong.
const (
	// RebootRequired: A sentinel asks for a reboot, and nothing has held it back yet.
	RebootRequired Reason = "RebootRequired"
	// RebootRequested: A person or a tool asks for a reboot by an annotation on the Node.
	RebootRequested Reason = "RebootRequested"
	// NotRequired: Nothing asks for a reboot.
	NotRequired Reason = "NotRequired"
	// SentinelUnknown: Whether a reboot is required can't be known; so there is none.
	SentinelUnknown Reason = "SentinelUnknown"
	// OutsideWindow: No maintenance window is open.
	OutsideWindow Reason = "OutsideWindow"
	// Frozen: A freeze is on.
	Frozen Reason = "Frozen"
	// Paused: A person has paused reboots in the whole cluster.
	Paused Reason = "Paused"
	// Held: A person has put this node on hold by the annotation rebootd.io/hold.
	Held Reason = "Held"
	// BlockedByAlert: An alert is active.
	BlockedByAlert Reason = "BlockedByAlert"
	// BlockedByQuery: A query found something.
	BlockedByQuery Reason = "BlockedByQuery"
	// BlockedByPod: A pod on this node must not be disturbed.
	BlockedByPod Reason = "BlockedByPod"
	// BlockedByHook: A hook fails and is tried again; the node waits for it.
	BlockedByHook Reason = "BlockedByHook"
	// BlockedByUnavailable: Too many other nodes are out of service already.
	BlockedByUnavailable Reason = "BlockedByUnavailable"
	// BlockedByPDB: A PodDisruptionBudget doesn't let a pod of this node be evicted.
	BlockedByPDB Reason = "BlockedByPDB"
	// BlockedByAutoscaler: An autoscaler is about to remove this node.
	BlockedByAutoscaler Reason = "BlockedByAutoscaler"
	// BlockedByVersionSkew: The kubelet's version is too far from the API server's.
	BlockedByVersionSkew Reason = "BlockedByVersionSkew"
	// ControlPlaneQuorum: Too few control planes would stay in service.
	ControlPlaneQuorum Reason = "ControlPlaneQuorum"
	// KuredPresent: kured is installed in this cluster, so rebootd only watches; or, with --kured-interlock, kured's lock is held.
	KuredPresent Reason = "KuredPresent"
	// WaitingForSlot: Other nodes hold all slots of the lock group.
	WaitingForSlot Reason = "WaitingForSlot"
	// WaitingForTurn: The annotation rebootd.io/priority is no whole number, so the node's turn comes as if it were 0.
	WaitingForTurn Reason = "WaitingForTurn"
	// BackingOff: An earlier attempt was given up; the next follows after a pause.
	BackingOff Reason = "BackingOff"
	// SlotTaken: This node may go out of service now.
	SlotTaken Reason = "SlotTaken"
	// SlotLost: The Lease that let this node be out of service is gone.
	SlotLost Reason = "SlotLost"
	// Draining: The node is cordoned and its pods are being evicted.
	Draining Reason = "Draining"
	// DrainFailed: The drain is not as it should be: it left volumes attached.
	DrainFailed Reason = "DrainFailed"
	// DrainTimedOut: The drain took longer than --drain-timeout; the node went back into service.
	DrainTimedOut Reason = "DrainTimedOut"
	// HookFailed: A hook failed, or did not succeed in time and the node went back into service.
	HookFailed Reason = "HookFailed"
	// RebootIssued: The reboot command comes next, or was given.
	RebootIssued Reason = "RebootIssued"
	// RebootFailed: The reboot command is known to have failed.
	RebootFailed Reason = "RebootFailed"
	// RebootTimedOut: The reboot command was given, but the boot ID has not changed within --reboot-timeout.
	RebootTimedOut Reason = "RebootTimedOut"
	// RebootSucceeded: The boot ID has changed: the machine has rebooted.
	RebootSucceeded Reason = "RebootSucceeded"
	// RebootLoop: Reboots don't clear what asks for them, so there are no more for now.
	RebootLoop Reason = "RebootLoop"
	// NotReadyAfterReboot: The machine has rebooted, but its Node or a DaemonSet's pod on it is not Ready, or not for long enough.
	NotReadyAfterReboot Reason = "NotReadyAfterReboot"
	// Settling: The node is in service again and keeps its slot for --settle-time, and until every --healthy-query is true.
	Settling Reason = "Settling"
	// Uncordoned: The node was healthy after its reboot and is in service again.
	Uncordoned Reason = "Uncordoned"
	// NodeRecreated: The Node object was deleted and created again; rebootd starts afresh with it.
	NodeRecreated Reason = "NodeRecreated"
	// CircuitOpen: Several nodes in a row failed after their reboot command; the whole cluster has stopped.
	CircuitOpen Reason = "CircuitOpen"
	// GateError: Something that must be known before a reboot can't be found out; the message says what.
	GateError Reason = "GateError"
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
