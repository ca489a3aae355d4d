package view

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/rebootd/rebootd/pkg/circuit"
	"github.com/rebootd/rebootd/pkg/pause"
	"github.com/rebootd/rebootd/pkg/plan"
)

// Explanation is everything about one node.
type Explanation struct {
	metav1.TypeMeta `json:",inline"`

	At        time.Time `json:"at"`
	Namespace string    `json:"namespace"`
	Node      Node      `json:"node"`
	// Waiting is how many of its group wait for nothing but a slot; Slots are those that are held in its group.
	Waiting    int      `json:"waiting"`
	GroupSlots int      `json:"groupSlots"`
	Slots      []Slot   `json:"slots,omitempty"`
	Pause      *Pause   `json:"pause,omitempty"`
	Circuit    *Breaker `json:"circuit,omitempty"`
	Kured      *Kured   `json:"kured,omitempty"`
	Advice     []Advice `json:"advice,omitempty"`
	Notes      []string `json:"notes,omitempty"`
}

// Advice is what a person can do.
type Advice struct {
	Text    string `json:"text"`
	Command string `json:"command,omitempty"`
}

// DeepCopyObject makes an Explanation printable by kubectl's printers; they don't change what they print.
func (e *Explanation) DeepCopyObject() runtime.Object { c := *e; return &c }

// Explain is everything about the node, nil if there is none of this name.
func Explain(s *Status, name string, f Facts) *Explanation {
	n := s.Find(name)
	if n == nil {
		return nil
	}
	e := &Explanation{
		TypeMeta: metav1.TypeMeta{APIVersion: APIVersion, Kind: "RebootExplanation"},
		At:       s.At, Namespace: s.Namespace, Node: *n, Pause: s.Pause, Circuit: s.Circuit, Kured: s.Kured,
	}
	if g := s.groups[n.Group]; g != nil {
		e.Waiting, e.GroupSlots = len(g.queue), g.slots
	}
	for _, slot := range s.Slots {
		if slot.Group == n.Group || slot.Holder == name || n.ControlPlane && slot.Group == controlPlanes {
			e.Slots = append(e.Slots, slot)
		}
	}
	for _, u := range f.Unread {
		e.Notes = append(e.Notes, u.Sentence())
	}
	e.Advice = advice(*n, s)
	return e
}

// advice is what would let the node go on, the nearest obstacle first.
func advice(n Node, s *Status) []Advice {
	var all []Advice
	add := func(text, command string) { all = append(all, Advice{Text: text, Command: command}) }
	wants := n.Waiting() || n.UnderWay()
	if n.Trouble != "" {
		command := ""
		switch {
		case n.Agent != "" && n.silent:
			command = fmt.Sprintf("kubectl describe pod -n %s %s", s.Namespace, n.Agent)
		case n.Agent != "":
			command = fmt.Sprintf("kubectl logs -n %s %s", s.Namespace, n.Agent)
		}
		add("See to its agent: "+n.Trouble+".", command)
	}
	if wants && s.Circuit != nil && s.Circuit.Open {
		add("Find out what failed on the nodes that the circuit names, put it right, then close it.", "kubectl reboot circuit reset")
	}
	if wants && s.Pause != nil {
		text := "Reboots are paused in the whole cluster."
		if s.Pause.Unreadable != "" {
			text = "What ConfigMap " + pause.ConfigMap + " says can't be read; to pause or to resume writes it anew."
		}
		add(text, "kubectl reboot resume")
	}
	if wants && s.Circuit != nil && s.Circuit.Unreadable != "" {
		add("What ConfigMap "+circuit.Name+" says can't be read; to begin afresh, delete it.", "kubectl reboot circuit reset")
	}
	if wants && n.Hold != nil {
		add("Somebody put this node on hold.", "kubectl reboot unhold "+n.Name)
	}
	if n.Reason == string(plan.BackingOff) && n.BackOff != nil && (n.BackOff.Reason == plan.DrainTimedOut || n.BackOff.Reason == plan.BlockedByPDB) {
		add("The drain could not end; see what the budgets of the pods in its way allow.", "kubectl get poddisruptionbudgets -A")
	}
	if a, ok := unblock(n); ok {
		all = append(all, a)
	}
	if n.Waiting() && n.Slot == "" {
		all = append(all, stuckSlots(n, s)...)
	}
	return all
}

// unblock is what helps against the condition's own reason.
func unblock(n Node) (Advice, bool) {
	if n.State == Unreadable {
		return Advice{"Begin its record afresh, without a reboot as long as the hold is there.",
			"kubectl annotate node " + n.Name + " rebootd.io/state- rebootd.io/hold=repair --overwrite"}, true
	}
	now := "kubectl reboot node " + n.Name + " --now"
	switch plan.Reason(n.Reason) {
	case plan.OutsideWindow:
		return Advice{"It goes when the window opens. A request-now goes past windows.", now}, true
	case plan.BlockedByAlert:
		return Advice{"It goes when that has ended. A request-now goes past alerts.", now}, true
	case plan.Frozen, plan.BlockedByQuery:
		return Advice{"It goes when that has ended. A request-now doesn't go past it.", ""}, true
	case plan.BackingOff:
		return Advice{"To try at once, remove the cause and begin its record afresh.", "kubectl annotate node " + n.Name + " rebootd.io/state-"}, true
	case plan.BlockedByPDB, plan.DrainTimedOut:
		return Advice{"The message names the pods that can't be evicted; see what their budgets allow.", "kubectl get poddisruptionbudgets -A"}, true
	case plan.BlockedByPod:
		return Advice{"The message names the pod that must not be disturbed.", "kubectl get pods -A --field-selector spec.nodeName=" + n.Name}, true
	case plan.BlockedByUnavailable, plan.ControlPlaneQuorum:
		return Advice{"Too few other nodes are in service; the message names those that aren't.", "kubectl get nodes"}, true
	case plan.RebootTimedOut:
		return Advice{"Reboot the machine by hand. If it is gone for good, delete its Node object, which frees its slot.", "kubectl delete node " + n.Name}, true
	case plan.NotReadyAfterReboot:
		return Advice{"It rebooted, and goes on when its Node and the pods of DaemonSets on it are Ready.", "kubectl describe node " + n.Name}, true
	case plan.RebootLoop:
		return Advice{"Reboots don't clear what asks for them. Clear that by hand, then begin its record afresh.", "kubectl annotate node " + n.Name + " rebootd.io/state-"}, true
	case plan.KuredPresent:
		return Advice{"It goes when kured is removed, or with --kured-interlock when nobody holds kured's lock.", "kubectl reboot migrate-from-kured"}, true
	case plan.GateError, plan.SentinelUnknown:
		return Advice{"The message says what can't be found out; rebootd goes on by itself once it can.", ""}, true
	default:
		return Advice{}, false
	}
}

// stuckSlots are the slots of its group that won't be freed by themselves soon.
func stuckSlots(n Node, s *Status) []Advice {
	var all []Advice
	for _, slot := range s.Slots {
		if slot.Group != n.Group {
			continue
		}
		switch {
		case slot.Trouble != "":
			all = append(all, Advice{fmt.Sprintf("Slot %s is held by %s: %s.", slot.Name, slot.Holder, slot.Trouble), "kubectl reboot release " + slot.Name})
		case slot.Reason == string(plan.RebootTimedOut), slot.Reason == string(plan.NotReadyAfterReboot), slot.State == Unreadable:
			all = append(all, Advice{fmt.Sprintf("Slot %s is held by %s, which doesn't come back (%s).", slot.Name, slot.Holder, slot.Reason),
				"kubectl reboot explain " + slot.Holder})
		}
	}
	return all
}
