package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rebootd/rebootd/pkg/lock"
	"github.com/rebootd/rebootd/pkg/mirror"
	"github.com/rebootd/rebootd/pkg/plan"
)

// lateTake is how long after a take whose outcome is unknown the slots are still watched: the API server may carry out a
// request long after its sender gave up.
const lateTake = 2 * time.Minute

// slots watches the group's Leases, but only while that matters: an agent with nothing to do doesn't.
type slots struct {
	group  *lock.Group
	leases *mirror.Mirror[*coordinationv1.Lease]
	cancel context.CancelFunc
	ended  chan struct{}

	looked    bool // at least once since the start: an earlier process may have left a slot
	held      types.UID
	heldSince time.Time
	lateUntil time.Time // a take is in doubt until then
	turnAt    time.Time // when this node may try for a slot that became free
	refused   string    // why the last take failed; told until the next
	stranger  bool      // an earlier Node's Lease was told of
}

func (s *slots) start(ctx context.Context) {
	if s.leases != nil {
		return
	}
	ctx, s.cancel = context.WithCancel(ctx)
	m := mirror.New("slots", s.group.Source(), &coordinationv1.Lease{})
	ended := make(chan struct{})
	s.leases, s.ended = m, ended
	go func() {
		defer close(ended)
		m.Run(ctx)
	}()
}

func (s *slots) stop() {
	if s.leases == nil {
		return
	}
	s.cancel()
	<-s.ended
	s.leases = nil
}

func (s *slots) changed() <-chan struct{} {
	if s.leases == nil {
		return nil
	}
	return s.leases.Changed()
}

// matter reports whether the slots have to be known for the next decision.
func (s *slots) matter(o plan.Observation, now time.Time) bool {
	idle := o.Record.Phase == plan.Idle || o.Record.Phase == ""
	return !s.looked || !idle || o.Wanted.Answer == plan.Yes || s.held != "" || now.Before(s.lateUntil)
}

// observeSlot says what this node knows of the slots. errNotYet: look again when the mirror has been filled.
func (a *Agent) observeSlot(ctx context.Context, n *corev1.Node, o plan.Observation) (plan.Slot, error) {
	s := &a.slots
	if !s.matter(o, a.Now()) {
		s.stop()
		return plan.Slot{}, nil
	}
	s.start(ctx)
	leases, err := s.leases.Items()
	switch {
	case errors.Is(err, mirror.ErrNotSynced):
		return plan.Slot{}, errNotYet
	case err != nil:
		return plan.Slot{Error: fmt.Sprintf("The slots can't be read: %v", err)}, nil
	}
	s.looked = true
	held := s.group.FromLeases(leases)
	a.noteStranger(n, held)
	mine, _, ok := lock.Mine(held, n.Name, n.UID)
	seen := plan.Slot{Held: ok, Name: mine.Name, LeaseUID: string(mine.UID)}
	switch o.Record.Phase {
	case plan.Drain, plan.Rebooting:
		seen = a.certain(ctx, seen, o.Record)
	default:
	}
	if seen.Held {
		if s.held != types.UID(seen.LeaseUID) {
			s.held, s.heldSince = types.UID(seen.LeaseUID), a.Now()
		}
		seen.HeldSince = s.heldSince
		return seen, nil
	}
	s.held = ""
	if s.refused != "" && a.Now().Before(s.turnAt) {
		return plan.Slot{Error: s.refused}, nil
	}
	s.refused = ""
	_, seen.Free = lock.FreeIndex(held, s.group.Slots)
	if !seen.Free {
		s.turnAt = time.Time{}
	}
	seen.Message = fmt.Sprintf("All slots of lock group %s are taken (--concurrency=%d). To see by whom: kubectl get leases -n %s -l %s=%s",
		s.group.Name, s.group.Slots, s.group.Namespace, lock.GroupLabel, s.group.Name)
	return seen, nil
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
	return a.Group.Check(ctx, r.Slot, types.UID(r.LeaseUID))
}

// noteStranger tells once of a slot that an earlier Node of this name left; the garbage collector frees it.
func (a *Agent) noteStranger(n *corev1.Node, held []lock.Slot) {
	if a.slots.stranger {
		return
	}
	for _, s := range held {
		if s.Node == n.Name && s.NodeUID != n.UID {
			a.slots.stranger = true
			a.recreated(n)
			return
		}
	}
}
