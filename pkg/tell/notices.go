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
		notice.AskedBy, notice.Why, notice.Packages = n.wanted.By, strings.TrimSpace(n.wanted.Message), n.wanted.Packages
	}
	r := n.record
	notice.Waited, notice.OutFor = between(r.RequiredSince, now), between(r.OutSince, now)
	drained := r.Drained
	if e == notify.Rebooting { // which the record that was looked at couldn't say yet
		drained = now
	}
	notice.DrainedIn, notice.BootedIn = between(r.OutSince, drained), between(drained, r.Up)
	n.Notifier.Tell(notice)
}

// between is zero where one of the times isn't known, or a clock was set back.
func between(from, to time.Time) time.Duration {
	if from.IsZero() || to.IsZero() {
		return 0
	}
	return max(0, to.Sub(from).Round(time.Second))
}
