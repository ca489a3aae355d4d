// Package tell says one thing in every place where somebody may look: the log, the Node's Events, the metrics.
// The condition on the Node is written with the record, by package node, in the same words.
package tell

import (
	"cmp"
	"context"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/record"

	"github.com/rebootd/rebootd/pkg/plan"
)

// relog is the least time between two lines that differ only in the message, such as a drain's progress. A step into
// another phase is always told.
const relog = 10 * time.Second

// Teller remembers what it said last, so that it speaks only when that changes.
type Teller struct {
	// Log gets a line for each change.
	Log logrus.FieldLogger
	// Events gets one for each change of reason. Nil: none are sent.
	Events record.EventRecorder
	// Metrics must not be nil.
	Metrics *Metrics
	// Notices may be nil.
	Notices *Notices
	// Now is the clock.
	Now func() time.Time

	mu     sync.Mutex
	last   plan.Told
	phase  plan.Phase
	logged time.Time
}

// Run sends notices until ctx ends, and the last ones shortly after.
func (t *Teller) Run(ctx context.Context) {
	if t.Notices != nil {
		t.Notices.Notifier.Run(ctx)
	}
}

// Looked takes in one look at the machine.
func (t *Teller) Looked(o plan.Observation) {
	t.Metrics.Looked(o, t.Now())
	t.Notices.looked(o)
}

// Resume takes over what the Node says already, so that a restarted agent doesn't send the same Event again.
func (t *Teller) Resume(told plan.Told) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last.Reason == "" {
		t.last.Reason = told.Reason
	}
}

// Say tells why the node is as it is. Told again with the same reason and message it says nothing.
func (t *Teller) Say(n *corev1.Node, phase plan.Phase, reason plan.Reason, message string) {
	t.mu.Lock()
	news := t.last.Reason != reason
	words := t.last.Message != message && (news || t.phase != phase || t.Now().Sub(t.logged) >= relog)
	if news || words {
		t.last, t.phase = plan.Told{Reason: reason, Message: message}, phase
		t.logged = t.Now()
	}
	t.mu.Unlock()
	t.Measure(phase, reason)
	t.Notices.said(phase, reason, message)
	if news || words {
		t.line(phase, reason, message)
	}
	if news {
		t.event(n, reason, message)
	}
}

// Measure sets the metrics that go with what is said.
func (t *Teller) Measure(phase plan.Phase, reason plan.Reason) { t.Metrics.state.say(phase, reason) }

// Happened tells of something that has happened, whatever is said next: a slot taken, a command that failed.
func (t *Teller) Happened(n *corev1.Node, phase plan.Phase, reason plan.Reason, message string) {
	t.Notices.happened(phase, reason, message)
	t.line(phase, reason, message)
	t.event(n, reason, message)
}

// Warn is Happened for what somebody should look at, though its reason is none that warns.
func (t *Teller) Warn(n *corev1.Node, phase plan.Phase, reason plan.Reason, message string) {
	t.Log.WithFields(logrus.Fields{"phase": string(phase), "reason": string(reason)}).Warn(message)
	t.send(n, corev1.EventTypeWarning, reason, message)
}

func (t *Teller) line(phase plan.Phase, reason plan.Reason, message string) {
	log := t.Log.WithFields(logrus.Fields{"phase": string(cmp.Or(phase, plan.Idle)), "reason": string(reason)})
	if Warns(reason) {
		log.Warn(message)
		return
	}
	log.Info(message)
}

func (t *Teller) event(n *corev1.Node, reason plan.Reason, message string) {
	kind := corev1.EventTypeNormal
	if Warns(reason) {
		kind = corev1.EventTypeWarning
	}
	t.send(n, kind, reason, message)
}

func (t *Teller) send(n *corev1.Node, kind string, reason plan.Reason, message string) {
	if t.Events == nil || n == nil || reason == plan.NotRequired {
		return
	}
	// The Node's real UID: `kubectl describe node` finds an Event by it.
	t.Events.Event(&corev1.ObjectReference{Kind: "Node", APIVersion: "v1", Name: n.Name, UID: n.UID}, kind, string(reason), message)
}

// Warns reports whether a reason is told as a warning: somebody should look.
func Warns(reason plan.Reason) bool {
	switch reason {
	case plan.SentinelUnknown, plan.SlotLost, plan.DrainFailed, plan.DrainTimedOut, plan.HookFailed, plan.RebootFailed,
		plan.RebootTimedOut, plan.RebootLoop, plan.NodeRecreated, plan.CircuitOpen, plan.GateError:
		return true
	default:
		return false
	}
}
