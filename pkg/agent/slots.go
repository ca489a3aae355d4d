package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rebootd/rebootd/pkg/fleet"
	"github.com/rebootd/rebootd/pkg/lock"
	"github.com/rebootd/rebootd/pkg/mirror"
	"github.com/rebootd/rebootd/pkg/plan"
)

// lateTake is how long after a take whose outcome is unknown the slots are still watched: the API server may carry out a
// request long after its sender gave up.
const lateTake = 2 * time.Minute

// slots watches the Leases of this node's group, but only while that matters: an agent with nothing to do doesn't.
type slots struct {
	group   *lock.Group
	members string // the selector of the group's Nodes
	foreign bool   // the group is one that this node has left, and still holds a slot of
	joins   string // the group to come, when the Node's label says another than group; empty: none
	leases  mirror.Needed[*coordinationv1.Lease]

	looked    bool // at least once since the start: an earlier process may have left a slot
	held      types.UID
	heldSince time.Time
	lateUntil time.Time // a take is in doubt until then
	orphan    string    // the orphaned slot that was told of
	recountAt time.Time // when to count the group's nodes again
	refused   string    // why the last take failed; told until the next
	stranger  bool      // an earlier Node's Lease was told of
	shared    bool      // the control planes' slot may be held

	// proved is the slot that a live read last showed to be held, provedAt when that was; empty: it showed that none is, or failed.
	proved   types.UID
	provedAt time.Time

	// taken is the slot that this process took last, takenAt when.
	taken   types.UID
	takenAt time.Time

	lease, sharedLease lease
	turns              turns
}

func (s *slots) start(ctx context.Context, a *Agent) {
	s.leases.Start(ctx, func() { s.turns.changed(a.Now(), a.Wake) }, func() *mirror.Mirror[*coordinationv1.Lease] {
		group := s.group.Name
		return mirror.New("slots", s.group.Source(), &coordinationv1.Lease{}, func(l *coordinationv1.Lease) {
			if l.Labels[lock.GroupLabel] == group {
				s.turns.gone(l, a.NodeName, a.Now())
			}
		})
	})
}

// matter reports whether the slots have to be known for the next decision.
func (s *slots) matter(o plan.Observation, now time.Time) bool {
	idle := o.Record.Phase == plan.Idle || o.Record.Phase == ""
	return !s.looked || !idle || o.Wanted.Answer == plan.Yes || s.held != "" || now.Before(s.lateUntil) || s.turns.news()
}

// observeSlot says what this node knows of the slots. errNotYet: look again when the mirror has been filled.
func (a *Agent) observeSlot(ctx context.Context, n *corev1.Node, o plan.Observation) (plan.Slot, error) {
	s := &a.slots
	a.join(n, o)
	if !s.matter(o, a.Now()) && !a.interlock.may {
		s.leases.Stop()
		s.group.Forget()
		s.turns.forget()
		a.circuit.stop()
		a.Tell.Metrics.Orphans(0)
		return plan.Slot{}, nil
	}
	s.turns.hurry()
	s.start(ctx, a)
	a.circuit.start(ctx, a.Wake)
	s.turns.seen()
	leases, err := s.leases.Items()
	switch {
	case errors.Is(err, mirror.ErrNotSynced), !a.circuit.synced():
		return plan.Slot{}, errNotYet
	case err != nil:
		return plan.Slot{Error: fmt.Sprintf("The slots can't be read: %v", err)}, nil
	}
	if err := a.freeStrays(ctx, n, o.Record); err != nil {
		return plan.Slot{Error: fmt.Sprintf("Slots that this node holds in other groups can't be freed: %v", err)}, nil
	}
	s.looked = true
	held := s.group.FromLeases(leases)
	s.turns.names.Heeded(held, a.Now()) // so that it is known later since when a slot has named somebody
	a.Tell.Metrics.Orphans(orphans(held) + orphans(a.ControlPlanes.FromLeases(leases)))
	a.noteStranger(n, held)
	mine, _, ok := lock.Mine(held, n.Name, n.UID)
	seen := plan.Slot{Held: ok, Name: mine.Name, LeaseUID: string(mine.UID), Taken: mine.Created}
	switch o.Record.Phase {
	case plan.Drain, plan.Rebooting:
		seen = a.certain(ctx, seen, o.Record)
	default:
	}
	if !seen.Held {
		return a.withoutSlot(ctx, n, o.Record, held), nil
	}
	seen.Doubtful = ok && !s.group.Trusts(mine)
	if s.held != types.UID(seen.LeaseUID) {
		s.held, s.heldSince = types.UID(seen.LeaseUID), a.Now()
	}
	seen.HeldSince = s.heldSince
	return a.renew(ctx, n, seen), nil
}

// withoutSlot says whether there is one to be had.
func (a *Agent) withoutSlot(ctx context.Context, n *corev1.Node, r plan.Record, held []lock.Slot) plan.Slot {
	s := &a.slots
	s.lease.sent = time.Time{}
	a.expire(ctx, n, s.group, &s.lease, held)
	s.held = ""
	if !r.Out() { // else the shared slot is needed still
		if err := a.leaveControlPlanes(ctx, n); err != nil {
			return plan.Slot{Error: fmt.Sprintf("The control planes' slot can't be given back: %v", err)}
		}
		if err := a.leaveKured(ctx, n); err != nil {
			return plan.Slot{Error: fmt.Sprintf("kured's lock can't be given back (--kured-interlock): %v", err)}
		}
	}
	if s.refused != "" && a.Now().Before(s.turns.notBefore) {
		return plan.Slot{Error: s.refused}
	}
	s.refused = ""
	if s.joins != "" { // a slot of the group that it left is not its own to take, and nodes were counted for another
		s.turns.notBefore = time.Time{}
		return plan.Slot{Message: fmt.Sprintf("This node has left lock group %s for %s (--lock-group-label). It can take a slot there %s from now at the latest, "+
			"when no request for one of its old group can be on its way any more.", s.group.Name, s.joins, lateTake)}
	}
	known := s.group.Known(held)
	free := len(held) < known
	if !free && r.Phase == plan.Required && a.recount(ctx, held) {
		known = s.group.Known(held)
		free = len(held) < known
	}
	if !free {
		s.turns.notBefore = time.Time{}
	}
	s.turns.free = s.turns.of(s.group, held, known, a.Now())
	if !r.Out() {
		s.turns.rest(r, n.Name, a.Now(), a.Chance)
	}
	if why := orphaned(s.group, held); why != "" {
		if !free {
			return plan.Slot{Error: "No slot is free. " + why}
		}
		a.tellOrphan(n, r, why)
	}
	return plan.Slot{Free: free, Message: allTaken(s.group, known)}
}

const (
	// recountEvery is how often a node that waits counts its group anew, and recountEach so much more for each of its nodes: the
	// cluster pays for a fixed number of counts in a given time, not for one from each node.
	recountEvery = 10 * time.Minute
	recountEach  = 5 * time.Second
	// believed is how long a node that begins to wait believes what another one has counted, at least: as long as it takes until one of
	// those who wait has counted anew, if they do that recountEach from each other.
	believed = time.Minute
)

// recount counts the nodes of the group anew when that is due: it may have grown while nobody took a slot.
func (a *Agent) recount(ctx context.Context, held []lock.Slot) bool {
	s := &a.slots
	if s.group.Slots > 0 || a.Now().Before(s.recountAt) {
		return false
	}
	counted := func(s lock.Slot) bool { return s.Slots > 0 }
	if s.recountAt.IsZero() && slices.ContainsFunc(held, counted) {
		s.recountAt = a.soon(believed).Add(a.upTo(time.Duration(max(s.turns.waiters(), len(held))) * recountEach))
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	_, nodes, err := s.group.Recount(ctx)
	s.recountAt = a.soon(recountEvery + time.Duration(nodes)*recountEach)
	return err == nil
}

// soon is in d, or up to a quarter later.
func (a *Agent) soon(d time.Duration) time.Time { return a.Now().Add(d + a.upTo(d/4)) }

// freeStrays frees what this node holds of other groups than its own: an agent that knew other options, or another label of the
// node, took it and ended before it had written that down. It looks once, before the first look at the group's own slots.
func (a *Agent) freeStrays(ctx context.Context, n *corev1.Node, r plan.Record) error {
	s := &a.slots
	if s.looked || a.DryRun {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	mine, err := s.group.Everywhere(ctx, n.Name, n.UID)
	if err != nil {
		return err
	}
	s.shared = fleet.ControlPlane(n.Labels)
	for _, stray := range mine {
		switch {
		case stray.Name == lock.ControlPlaneSlot:
			s.shared = true
		case stray.Name != r.Slot && !s.group.Owns(stray):
			if err := a.confirm(ctx, n); err != nil {
				return err
			}
			if err := s.group.Free(ctx, stray.Name, stray.UID); err != nil {
				return err
			}
			a.Log.WithField("slot", stray.Name).Info("Freed a slot of another lock group, which this node had left.")
		}
	}
	return nil
}

// allTaken doesn't say by whom: with every turn each node that waits would have to write it anew.
func allTaken(g *lock.Group, slots int) string {
	taken := fmt.Sprintf("The one slot of lock group %s is taken", g.Name)
	if slots != 1 {
		taken = fmt.Sprintf("All %d slots of lock group %s are taken", slots, g.Name)
	}
	return fmt.Sprintf("%s (--concurrency). To see by whom: kubectl get leases -n %s -l %s=%s", taken, g.Namespace, lock.GroupLabel, g.Name)
}

// orphaned names the slots that nothing frees when their Node is gone.
func orphaned(g *lock.Group, held []lock.Slot) string {
	for _, s := range held {
		if s.Orphan() {
			return fmt.Sprintf("Lease %s lost the reference to its owner, so nothing frees it when Node %s is gone. "+
				"If that node is not out of service: kubectl delete lease -n %s %s, or kubectl reboot release %s", s.Name, s.Node, g.Namespace, s.Name, s.Name)
		}
	}
	return ""
}

// tellOrphan tells once of an orphan that nobody has to wait for yet.
func (a *Agent) tellOrphan(n *corev1.Node, r plan.Record, why string) {
	if a.slots.orphan != why {
		a.slots.orphan = why
		a.Tell.Happened(n, r.Phase, plan.GateError, why)
	}
}

func orphans(held []lock.Slot) int {
	n := 0
	for _, s := range held {
		if s.Orphan() {
			n++
		}
	}
	return n
}

// join makes the group that the Node's label says this node's own. It doesn't change while a slot of another
// group is held, or may be.
func (a *Agent) join(n *corev1.Node, o plan.Observation) {
	s := &a.slots
	name, members := a.LockGroup, ""
	if key := a.LockGroupLabel; key != "" {
		members = "!" + key
		if value := n.Labels[key]; value != "" {
			name, members = lock.GroupName(value, a.LockGroup), key+"="+value
		}
	}
	labelled := name
	held, ok := lock.GroupOf(o.Record.Slot)
	foreign := ok && held != name
	if foreign {
		name = held
	}
	if s.group == nil || s.group.Name != name && s.held == "" && !a.Now().Before(s.lateUntil) {
		s.leases.Stop()
		s.group, s.members, s.foreign, s.looked = a.Groups(name, members), members, foreign, false
		s.group.By = a.Identity
		if fleet.ControlPlane(n.Labels) {
			s.group.Also = a.ControlPlanes.Name
		}
	}
	s.joins = ""
	if s.group.Name != labelled {
		s.joins = labelled
	}
}

// certain settles by a live read a slot that the record counts on and the mirror doesn't show: a mirror may lag, and
// giving up a drain for that would be wrong.
func (a *Agent) certain(ctx context.Context, seen plan.Slot, r plan.Record) plan.Slot {
	if seen.Held && seen.LeaseUID == r.LeaseUID {
		return seen
	}
	switch err := a.check(ctx, r); {
	case err == nil:
		return plan.Slot{Held: true, Name: r.Slot, LeaseUID: r.LeaseUID}
	case errors.Is(err, lock.ErrLost):
		return plan.Slot{}
	default:
		return plan.Slot{Error: fmt.Sprintf("Whether this node still holds slot %s can't be known: %v", r.Slot, err)}
	}
}

// check proves by a live read that the record's slot is held.
func (a *Agent) check(ctx context.Context, r plan.Record) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	asked := a.Now() // a slow answer tells of then
	err := a.slots.group.Check(ctx, r.Slot, types.UID(r.LeaseUID))
	if a.slots.proved, a.slots.provedAt = types.UID(r.LeaseUID), asked; err != nil {
		a.slots.proved = ""
	}
	return err
}

// noteStranger tells once of a slot that an earlier Node of this name left; the garbage collector frees it.
func (a *Agent) noteStranger(n *corev1.Node, held []lock.Slot) {
	if a.slots.stranger {
		return
	}
	for _, s := range held {
		if s.Node == n.Name && s.NodeUID != n.UID && !s.Orphan() {
			a.slots.stranger = true
			a.recreated(n)
			return
		}
	}
}
