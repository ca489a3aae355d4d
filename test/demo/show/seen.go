// Package show watches the Nodes of a cluster independently of rebootd, tells in one line each what
// changes, and measures how many nodes are out of service at once.
package show

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/pkg/plan"
)

const (
	stateAnnotation = "rebootd.io/state"
	conditionType   = "RebootRequired"
)

// Seen is what one look at a Node tells.
type Seen struct {
	Node string
	// Phase is what rebootd's record says; Reason and Message are its condition's. The two are written
	// one after the other: Agree says that they belong together.
	Phase, Reason, Message string
	Agree                  bool
	Cordoned, Ready        bool
	BootID                 string // as the kubelet reported it
}

// Look reads a Node.
func Look(n *corev1.Node) Seen {
	s := Seen{Node: n.Name, Cordoned: n.Spec.Unschedulable, BootID: n.Status.NodeInfo.BootID}
	for _, c := range n.Status.Conditions {
		switch c.Type {
		case corev1.NodeReady:
			s.Ready = c.Status == corev1.ConditionTrue
		case conditionType:
			s.Reason = c.Reason
			s.Message, _, _ = strings.Cut(c.Message, " A reboot is wanted since ") // each line would say so
		}
	}
	record, err := plan.ParseRecord(n.Annotations[stateAnnotation])
	if err != nil {
		s.Phase = "?"
		return s
	}
	s.Phase = string(record.Phase)
	s.Agree = string(record.Reason) == s.Reason
	return s
}

// Out says whether the node is out of service.
func (s Seen) Out() bool { return s.Cordoned || !s.Ready }

// Service says in a word or two whether the node is in service, and if not, why.
func (s Seen) Service() string {
	switch {
	case s.Cordoned && !s.Ready:
		return "OUT, both"
	case s.Cordoned:
		return "OUT, cordoned"
	case !s.Ready:
		return "OUT, not Ready"
	default:
		return "in"
	}
}

// changes says what of a Node has changed, in words; nothing if it isn't worth a line.
func changes(before, now Seen) string {
	var words []string
	told := func(s Seen) string { return s.Phase + " " + s.Reason + " " + s.Message }
	if before.Cordoned != now.Cordoned {
		words = append(words, choose(now.Cordoned, "Cordoned.", "Uncordoned."))
	}
	if before.Ready != now.Ready && before.Node != "" {
		words = append(words, choose(now.Ready, "The Node is Ready again.", "The Node is not Ready any more."))
	}
	if before.BootID != now.BootID && before.BootID != "" {
		words = append(words, fmt.Sprintf("The kubelet reports a new boot ID: %s became %s.", Short(before.BootID), Short(now.BootID)))
	}
	// A record whose condition is still to come is no news yet.
	if told(before) != told(now) && now.Agree && now.Reason != "" {
		words = append(words, now.Reason+": "+now.Message)
	}
	if before.Node == "" && now.Reason == "" {
		words = append(words, "rebootd has said nothing about this node yet.")
	}
	return strings.Join(words, " ")
}

func choose(which bool, yes, no string) string {
	if which {
		return yes
	}
	return no
}

// Short is the beginning of a boot ID, enough to tell it from others.
func Short(bootID string) string {
	const enough = 8
	return bootID[:min(enough, len(bootID))]
}
