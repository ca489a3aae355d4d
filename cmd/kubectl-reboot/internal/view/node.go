package view

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/pkg/fleet"
	"github.com/rebootd/rebootd/pkg/node"
	"github.com/rebootd/rebootd/pkg/plan"
)

// States beside the record's phases.
const (
	// NoAgent: nothing on the Node is from an agent.
	NoAgent = "NoAgent"
	// NoRecord: the condition is there, the record isn't.
	NoRecord = "NoRecord"
	// Unreadable: the record can't be read.
	Unreadable = "Unreadable"
)

// Node is one node as it is shown. Reason and Message are the condition's own words.
type Node struct {
	Name    string    `json:"name"`
	State   string    `json:"state"`
	Since   time.Time `json:"since,omitzero"`
	Reason  string    `json:"reason,omitempty"`
	Message string    `json:"message,omitempty"`
	// AskedBy is what asks for the reboot; Packages which packages want it, where that is told.
	AskedBy  []string `json:"askedBy,omitempty"`
	Packages []string `json:"packages,omitempty"`

	Group        string `json:"lockGroup"`
	Zone         string `json:"zone,omitempty"`
	Priority     int    `json:"priority,omitempty"`
	ControlPlane bool   `json:"controlPlane,omitempty"`
	// Turn is its place among those of its group that wait for nothing but a slot, from 1 on.
	Turn int `json:"turn,omitempty"`
	// Starts is when it is likely to go, judged by the reboots that were measured.
	Starts time.Time `json:"starts,omitzero"`
	// Slot is the Lease that it holds.
	Slot string `json:"slot,omitempty"`

	Ready         bool   `json:"ready"`
	Unschedulable bool   `json:"unschedulable,omitempty"`
	Cordon        string `json:"cordon,omitempty"`
	// Hold is the hold's reason; nil: it isn't held.
	Hold     *string       `json:"hold,omitempty"`
	Requests []Request     `json:"requests,omitempty"`
	BackOff  *plan.BackOff `json:"backOff,omitempty"`
	Reboots  []plan.Reboot `json:"reboots,omitempty"`

	// LastWrote is when its agent wrote last.
	LastWrote time.Time `json:"lastWrote,omitzero"`
	// Agent is its agent's pod; empty: there is none, or the pods can't be read.
	Agent      string `json:"agent,omitempty"`
	AgentReady bool   `json:"agentReady,omitempty"`
	// Trouble is what is wrong with its agent: one sentence.
	Trouble string `json:"trouble,omitempty"`
	// Kured is what kured says on it.
	Kured *KuredNode `json:"kured,omitempty"`

	record   plan.Record
	required time.Time
	silent   bool // its agent's pod has no log, because no container of it has ever run
}

// Request is an annotation that asks for a reboot.
type Request struct {
	Text string `json:"text"`
	Now  bool   `json:"now,omitempty"`
	// Honoured is whether the reboot that it asked for has been.
	Honoured bool `json:"honoured,omitempty"`
}

// Out reports whether it is out of service by rebootd's doing, as its record says.
func (n Node) Out() bool { return n.record.Out() }

// UnderWay reports whether its reboot has begun and not ended.
func (n Node) UnderWay() bool { return n.Out() || n.State == string(plan.Settle) }

// Waiting reports whether it wants a reboot that has not begun.
func (n Node) Waiting() bool { return n.State == string(plan.Required) }

// HeldBack reports whether it waits for something else than a slot.
func (n Node) HeldBack() bool {
	return n.Waiting() && n.Slot == "" && !n.record.Waits()
}

// Pending reports whether there is something to do about it, or to see to.
func (n Node) Pending() bool {
	return n.UnderWay() || n.Waiting() || n.Trouble != "" || n.State != string(plan.Idle) || n.unknown()
}

// unknown reports whether it isn't known if it wants a reboot.
func (n Node) unknown() bool {
	blind := n.Reason == string(plan.SentinelUnknown) || n.Reason == string(plan.GateError)
	return n.State == Unreadable || n.State == NoRecord || n.State == string(plan.Idle) && blind
}

// lost reports whether it holds its slot for longer than anybody can say.
func (n Node) lost() bool {
	return n.State == Unreadable || n.State == NoRecord || n.State == NoAgent || n.Reason == string(plan.RebootTimedOut)
}

func newNode(f Facts, o options, n *corev1.Node) Node {
	seen, record, err := node.Observe(n.Name, n)
	v := Node{
		Name: n.Name, State: string(record.Phase), Since: record.Since, Reason: string(seen.Told.Reason), Message: seen.Told.Message,
		AskedBy: record.AskedBy, Group: o.groupOf(n.Labels), Zone: n.Labels[o.orderLabel], ControlPlane: fleet.ControlPlane(n.Labels),
		Ready: seen.Ready, Unschedulable: seen.Unschedulable, Cordon: string(record.Cordon),
		BackOff: record.BackOff, Reboots: record.History, LastWrote: seen.Told.At,
		record: record, required: record.RequiredSince,
	}
	v.Reason = cmp.Or(v.Reason, string(record.Reason))
	v.Priority, _ = strconv.Atoi(n.Annotations[fleet.PriorityAnnotation]) // one that is no number counts as none
	if record.Since.After(v.LastWrote) {
		v.LastWrote = record.Since
	}
	if v.Waiting() {
		v.Since = cmp.Or(record.RequiredSince, record.Since)
	}
	if record.Phase == plan.Idle || record.Phase == "" {
		v.AskedBy = nil
	}
	v.Packages = packages(v.Message)
	if why, held := n.Annotations[node.HoldAnnotation]; held {
		v.Hold = &why
	}
	for _, q := range seen.Requests {
		v.Requests = append(v.Requests, Request{Text: q.Text, Now: q.Now, Honoured: plan.Requested(plan.Node{Requests: []plan.Request{q}}, record).Answer != plan.Yes})
	}
	v.Kured = kuredNode(n.Annotations)
	switch {
	case err != nil:
		v.State = Unreadable
		if v.Reason != string(plan.GateError) { // what the condition says is older than what is there now
			v.Reason, v.Message = "", fmt.Sprintf("The record in annotation %s can't be read: %v.", node.StateAnnotation, err)
		}
	case record.Phase == "" && seen.Told.Reason == "":
		v.State = NoAgent
	case record.Phase == "":
		v.State = NoRecord
	}
	v.look(f)
	return v
}

const (
	// quiet is how long an agent whose node is out may say nothing: it writes every 30 s when something changes.
	quiet = time.Hour
	// starting is how long a pod may take to become ready.
	starting = 2 * time.Minute
)

// look finds the node's agent, and says what is wrong with it.
func (n *Node) look(f Facts) {
	var pod *corev1.Pod
	for i := range f.Pods {
		if p := &f.Pods[i]; p.Spec.NodeName == n.Name && (pod == nil || !podReady(pod)) {
			pod = p
		}
	}
	if pod != nil {
		n.Agent, n.AgentReady, n.silent = pod.Name, podReady(pod), !ran(pod)
	}
	down := n.record.Phase == plan.Rebooting || n.record.Phase == plan.Recovering || !n.Ready
	quietFor := f.Now.Sub(n.LastWrote)
	switch {
	case n.State == NoAgent && pod != nil:
		n.Trouble = fmt.Sprintf("the agent's pod %s (%s) has written nothing on this Node", pod.Name, podState(pod))
	case n.State == NoAgent && f.read(Pods):
		n.Trouble = fmt.Sprintf("no agent (no record, no condition, no pod of rebootd in namespace %s)", f.Namespace)
	case n.State == NoAgent:
		n.Trouble = "no agent (no record and no condition)"
	case f.read(Pods) && pod == nil && n.LastWrote.IsZero():
		n.Trouble = "no agent runs here any more; when it last wrote can't be known"
	case f.read(Pods) && pod == nil:
		n.Trouble = fmt.Sprintf("no agent runs here any more; what it says was written %s ago", Age(quietFor))
	case pod != nil && !n.AgentReady && (n.Ready && stuck(pod) || !down && f.Now.Sub(pod.CreationTimestamp.Time) > starting):
		n.Trouble = fmt.Sprintf("its agent's pod %s isn't ready (%s)", pod.Name, podState(pod))
	case n.Out() && quietFor > quiet:
		n.Trouble = fmt.Sprintf("it is out, and its agent has written nothing for %s", Age(quietFor))
	}
}

func podReady(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// stuck is whether a container of the pod can't be started, or ends again and again: that takes no grace.
func stuck(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.ContainerStatuses, func(c corev1.ContainerStatus) bool {
		w := c.State.Waiting
		return w != nil && w.Reason != "" && w.Reason != "ContainerCreating" && w.Reason != "PodInitializing"
	})
}

// ran is whether a container of the pod runs, or has run.
func ran(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.ContainerStatuses, func(c corev1.ContainerStatus) bool {
		return c.State.Waiting == nil || c.State.Waiting.Reason == "CrashLoopBackOff" || c.LastTerminationState.Terminated != nil
	})
}

// podState is what kubectl would say of the pod, and why a container of it ended or can't be started.
func podState(p *corev1.Pod) string {
	for _, c := range p.Status.ContainerStatuses {
		ended := cmp.Or(c.State.Terminated, c.LastTerminationState.Terminated)
		switch {
		case c.State.Waiting != nil && c.State.Waiting.Reason != "":
			why := c.State.Waiting.Message
			if ended != nil && ended.Message != "" {
				why = ended.Message
			}
			return because(c.State.Waiting.Reason, why)
		case c.State.Terminated != nil && c.State.Terminated.Reason != "":
			return because(c.State.Terminated.Reason, c.State.Terminated.Message)
		}
	}
	return cmp.Or(p.Status.Reason, string(p.Status.Phase), "Pending")
}

// because adds to a word of Kubernetes' the end of what was said, in one line: the end is where a log has the error.
func because(reason, why string) string {
	const longest = 300 // bytes
	why = strings.Join(strings.Fields(why), " ")
	if len(why) > longest {
		why = "…" + strings.ToValidUTF8(why[len(why)-longest:], "")
	}
	if why == "" {
		return reason
	}
	return reason + ": " + why
}

// packages are the package names that the sentinels told of.
func packages(text string) []string {
	var names []string
	for _, m := range regexp.MustCompile(`\(packages: ([^)]*)\)`).FindAllStringSubmatch(text, -1) {
		for name := range strings.SplitSeq(m[1], ", ") {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// OneNode is a node seen alone, as far as that goes.
func OneNode(n *corev1.Node, now time.Time) Node {
	return newNode(Facts{Now: now, Unread: []Unread{{What: Pods}}}, readOptions(nil), n)
}
