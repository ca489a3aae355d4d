package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/pkg/circuit"
	"github.com/rebootd/rebootd/pkg/fleet"
	"github.com/rebootd/rebootd/pkg/lock"
	"github.com/rebootd/rebootd/pkg/plan"
)

// askOthers is the gate that keeps too many nodes from being out at once, whoever took them out. It is asked
// under the slot, and reads consistently: of two nodes that ask at the same time at least the later one sees the other.
func (a *Agent) askOthers(ctx context.Context, n *corev1.Node, o plan.Observation) plan.Verdict {
	v := plan.Verdict{Gate: "unavailable", Reason: plan.BlockedByUnavailable, Everyone: true}
	others, err := a.Fleet.Others(ctx, n.Name, a.slots.members)
	if err != nil {
		return unanswered(v, err)
	}
	held, err := a.held(ctx, o)
	if err != nil {
		return unanswered(v, err)
	}
	mark(others, held, o.Slot.LeaseUID, o.Record.Out())
	if err := a.countLost(ctx, n, o, others); err != nil {
		return unanswered(v, err)
	}
	budget := plan.Budget{Slots: a.slots.group.Known(held), MaxUnavailable: a.MaxUnavailable(len(others) + 1)}
	v.Message = budget.TooMany(others)
	v.Open, v.Everyone = v.Message == "", !budget.GivesWay(n.Name, others)
	return v
}

// held are the group's slots. Right after the take they are known: it read them when its own slot was there, so of two that take at the same
// time at least the later one has seen the other.
func (a *Agent) held(ctx context.Context, o plan.Observation) ([]lock.Slot, error) {
	s := &a.slots
	if !o.Record.Out() && string(s.taken) == o.Slot.LeaseUID && a.Now().Sub(s.takenAt).Abs() < costlyFresh {
		return s.group.Last(), nil
	}
	return s.group.Held(ctx)
}

// countLost opens the circuit when too many machines went down for their reboot and didn't come back: what their reboots broke, this
// one's would break too, and they can't say so themselves.
func (a *Agent) countLost(ctx context.Context, n *corev1.Node, o plan.Observation, others []plan.Other) error {
	lost := plan.Lost(others, a.Policy, a.Now())
	if a.Circuit == nil || len(lost) == 0 {
		return nil
	}
	failures := make([]circuit.Failure, 0, len(lost))
	for _, other := range lost {
		failures = append(failures, circuit.Failure{Node: other.Name, Out: other.Out, Reason: string(plan.RebootTimedOut)})
	}
	opened, err := a.Circuit.Lost(ctx, failures)
	if err != nil {
		return fmt.Errorf("counting the nodes that didn't come back: %w", err)
	}
	if opened {
		a.memory.liveAt = time.Time{} // the circuit is read again before anything else is done
		a.Tell.Happened(n, o.Record.Phase, plan.CircuitOpen, "Too many nodes didn't come back from their reboot: the circuit is open, and no node of the cluster reboots until it is closed.")
	}
	return nil
}

// mark notes which of the others hold a slot, and whether they took it before the one with this UID was taken, or with it. Once this node
// is out, nobody has taken one with it: it looked before its cordon, so who wasn't there then has seen this node, and gives way.
func mark(others []plan.Other, held []lock.Slot, mine string, out bool) {
	var taken time.Time
	byNode := map[string]lock.Slot{}
	for _, s := range held {
		byNode[s.Node] = s
		if string(s.UID) == mine {
			taken = s.Created
		}
	}
	for i := range others {
		s, holds := byNode[others[i].Name]
		others[i].HoldsSlot = holds
		others[i].HeldFirst = holds && s.Created.Before(taken)
		others[i].HeldTogether = holds && s.Created.Equal(taken) && !out
	}
}

// askControlPlane is the gate of a control plane: it takes the slot that all control planes share, if it doesn't hold it, and
// looks whether enough of them stay Ready. The shared slot is taken after the group's and freed before it.
func (a *Agent) askControlPlane(ctx context.Context, n *corev1.Node, r plan.Record) plan.Verdict {
	v := plan.Verdict{Gate: "control-plane", Reason: plan.WaitingForSlot}
	a.slots.shared = true
	err := a.takeShared(ctx, n, r)
	if errors.Is(err, lock.ErrTaken) {
		v.Message = a.otherControlPlane()
		return v
	}
	if err != nil {
		a.slots.lateUntil = a.Now().Add(lateTake)
		return unanswered(v, err)
	}
	others, err := a.Fleet.ControlPlanes(ctx, n.Name)
	if err != nil {
		return unanswered(v, err)
	}
	v.Reason, v.Message = plan.ControlPlaneQuorum, plan.Quorum(others)
	v.Open = v.Message == ""
	return v
}

// watchControlPlanes is the gate that keeps a control plane from taking a slot while another one is out: it would only keep
// the slot from nodes that may go. What is watched is enough for that.
func (a *Agent) watchControlPlanes(ctx context.Context, n *corev1.Node) []plan.Verdict {
	if !fleet.ControlPlane(n.Labels) {
		return nil
	}
	leases, err := a.slots.leases.Items()
	if err != nil {
		return nil // the slots themselves say so
	}
	v := plan.Verdict{Gate: "another control plane", Reason: plan.WaitingForSlot, Open: true}
	held := a.ControlPlanes.FromLeases(leases)
	a.expire(ctx, n, a.ControlPlanes, &a.slots.sharedLease, held)
	for _, s := range held {
		if s.NodeUID != n.UID {
			v.Open, v.Message = false, a.otherControlPlane()
		}
	}
	if why := orphaned(a.ControlPlanes, held); why != "" {
		v.Open, v.Reason, v.Message = false, plan.GateError, "No control plane may go. "+why
	}
	return []plan.Verdict{v}
}

func (a *Agent) otherControlPlane() string {
	return fmt.Sprintf("Another control plane is out of service, and they go one at a time. To see which: kubectl get lease -n %s %s",
		a.ControlPlanes.Namespace, lock.ControlPlaneSlot)
}

func (a *Agent) takeShared(ctx context.Context, n *corev1.Node, r plan.Record) error {
	if r.Out() {
		return a.ControlPlanes.Keep(ctx, n.Name, n.UID)
	}
	_, err := a.takeOf(ctx, n, a.ControlPlanes, nil)
	return err
}

// leaveControlPlanes frees the shared slot, if this node may hold it.
func (a *Agent) leaveControlPlanes(ctx context.Context, n *corev1.Node) error {
	if !a.slots.shared || a.DryRun {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if err := a.ControlPlanes.Release(ctx, n.Name, n.UID, a.confirming(ctx, n)); err != nil {
		return err
	}
	a.slots.shared = a.Now().Before(a.slots.lateUntil)
	return nil
}

// unanswered is a gate that couldn't be evaluated: closed, with the error.
func unanswered(v plan.Verdict, err error) plan.Verdict {
	v.Open, v.Reason, v.Message = false, plan.GateError, fmt.Sprintf("The gate %q can't be evaluated: %v.", v.Gate, err)
	return v
}
