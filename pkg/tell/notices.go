package tell

import (
	"context"
	"strings"
	"time"

	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/pkg/tell/notify"
)

// Notifier sends notices.
type Notifier interface {
	// Tell takes one to be sent, and never blocks.
	Tell(n notify.Notice)
	// Run sends until ctx ends.
	Run(ctx context.Context)
}

// Notices makes notices of what is told of a node. Nil makes none. Only the loop may use it.
type Notices struct {
	Node, Cluster string
	Watcher       notify.Watcher
	Notifier      Notifier
	Now           func() time.Time

	wanted plan.Wanted
	record plan.Record
}

// looked keeps what a notice says besides the reason.
func (n *Notices) looked(o plan.Observation) {
	if n != nil {
		n.wanted, n.record = o.Wanted, o.Record
	}
}

func (n *Notices) said(phase plan.Phase, reason plan.Reason, message string) {
	if n == nil {
		return
	}
	for _, e := range n.Watcher.See(n.record.Phase, phase, reason, n.Now()) {
		n.tell(e, phase, reason, message)
	}
}

// happened makes a notice of the one thing that is told when it happens: the circuit, by the node that opened it.
func (n *Notices) happened(phase plan.Phase, reason plan.Reason, message string) {
	if n != nil && reason == plan.CircuitOpen {
		n.tell(notify.Circuit, phase, reason, message)
	}
}

func (n *Notices) tell(e notify.Event, phase plan.Phase, reason plan.Reason, message string) {
	now := n.Now()
	notice := notify.Notice{
		Event: e, Node: n.Node, Cluster: n.Cluster, Phase: phase, Reason: reason, Message: message,
		AskedBy: n.record.AskedBy, Time: now,
	}
	if n.wanted.Answer == plan.Yes {
		notice.AskedBy, notice.Why = n.wanted.By, strings.TrimSpace(n.wanted.Message)
	}
	if t := n.record.RequiredSince; !t.IsZero() {
		notice.Waited = now.Sub(t).Round(time.Second)
	}
	if t := n.record.OutSince; !t.IsZero() {
		notice.OutFor = now.Sub(t).Round(time.Second)
	}
	n.Notifier.Tell(notice)
}
