package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rebootd/rebootd/pkg/lock"
	"github.com/rebootd/rebootd/pkg/plan"
)

const (
	// retake is after a take that found all slots taken, at least.
	retake = time.Second
	// retakeRefused is after a take that failed, at least; after each further one in a row it is twice as long, up to retakeMost.
	retakeRefused = 5 * time.Second
	retakeMost    = 40 * time.Second
)

// turns is what a node knows of whose turn it is to take a slot.
type turns struct {
	free []lock.Handover // the slots that were to be had at the last look, and what they say

	since     time.Time // since when this node has been after one of them; zero: it isn't
	chance    float64   // drawn then
	notBefore time.Time // after a take that came to nothing
	failed    int       // takes in a row
	part      float64   // by chance; see rest
	names     lock.Sightings

	mu      sync.Mutex
	freed   map[string]lock.Handover // the slots that were freed lately, by their Leases
	waiting int                      // how many waited when the last one was
	called  bool                     // a slot was freed for this node since its last try
	calm    time.Duration            // how soon to look at a change of the slots; zero: at once
	brisk   time.Duration            // how soon, at most, to look at a slot that was freed for nobody
	lookAt  time.Time                // when a look is due because of a change; past: none is
	unseen  bool                     // something has changed since the last look
}

const (
	// calmEach is within how long a node that waits looks at a change of the slots that concerns others, for each that waits, and not before half of
	// that: all see every change, and for most of them it is nothing. At the most, half of it is less than what is reserved for the node that was
	// named, so that enough of the others have looked when that one doesn't come.
	calmEach = 8 * time.Millisecond
	calmMost = 8 * time.Second
	// briskPart is the part of that for a slot that was freed for nobody, which anyone may have, as soon as they like.
	briskPart = 8
)

// rest lets a node that only waits, or looks whether a late take of its own comes, take its time with what doesn't concern it: between half
// and all, by chance, of what so many need. The part stays what it is. A node that a slot is kept for doesn't rest.
func (t *turns) rest(r plan.Record, me string, now time.Time, chance func() float64) {
	if t.part == 0 {
		t.part = chance()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, h := range t.freed {
		if h.Reserved(now) == me {
			return
		}
	}
	waiting := t.waiting
	if ofAll(r.Reason) {
		waiting = max(waiting, crowd)
	}
	most := min(time.Duration(waiting)*calmEach, calmMost)
	t.calm = time.Duration((1 + t.part) / 2 * float64(most))
	t.brisk = time.Duration(t.part * float64(most/briskPart))
}

// hurry is the end of that.
func (t *turns) hurry() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calm = 0
}

// changed lets a look follow a change of the slots. Several changes have one.
func (t *turns) changed(now time.Time, look func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unseen = true
	if t.calm == 0 {
		look()
		return
	}
	at := now.Add(t.calm)
	if t.lookAt.After(now) && !at.Before(t.lookAt) {
		return
	}
	t.lookAt = at
	time.AfterFunc(t.calm, look)
}

// gone takes in a slot that was freed. One that was freed without a word may have any number of nodes waiting for it.
func (t *turns) gone(l *coordinationv1.Lease, me string, now time.Time) {
	h, ok := lock.HandoverOf(l, now)
	if !ok {
		h.Waiting = crowd
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch t.waiting = h.Waiting; h.Next {
	case me:
		t.calm, t.called = 0, true
	case "":
		t.calm = min(t.calm, t.brisk)
	}
	maps.DeleteFunc(t.freed, func(_ string, old lock.Handover) bool { return now.Sub(old.At) > lock.Forgotten })
	if t.freed == nil {
		t.freed = map[string]lock.Handover{}
	}
	t.freed[l.Name] = h
}

// of are the slots of a group that are to be had when there are n and these are held. A successor that has got a slot already, for
// two that were freed at once may name the same, keeps nobody waiting. For a slot that wasn't seen to be freed as many may wait as for the last one that was.
func (t *turns) of(g *lock.Group, held []lock.Slot, n int, now time.Time) []lock.Handover {
	t.mu.Lock()
	defer t.mu.Unlock()
	served := map[string]bool{}
	for _, s := range held {
		served[s.Node] = true
	}
	var free []lock.Handover
	for _, i := range lock.Free(held, n) {
		h, seen := t.freed[lock.Name(g.Name, i)]
		if !seen || now.Sub(h.At) > lock.Forgotten {
			h = lock.Handover{Waiting: t.waiting}
		}
		h.Slot = i
		if served[h.Next] {
			h.Next = ""
		}
		free = append(free, h)
	}
	return free
}

// waiters is how many nodes waited when a slot was freed last; 0: not known.
func (t *turns) waiters() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.waiting
}

// news reports whether a change of the slots is yet to be looked at.
func (t *turns) news() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.unseen
}

// seen is called right before the slots are looked at.
func (t *turns) seen() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unseen = false
}

// wasCalled reports whether a slot was freed for this node since it was last asked.
func (t *turns) wasCalled() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	called := t.called
	t.called = false
	return called
}

// named are the nodes that a slot is kept for.
func (t *turns) named(now time.Time) map[string]bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	named := map[string]bool{}
	for _, h := range t.freed {
		named[h.Reserved(now)] = true
	}
	return named
}

// forget is called when this node doesn't look at the slots any more.
func (t *turns) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.freed, t.waiting, t.called, t.unseen = nil, 0, false, false
}

// over is called when this node isn't after a slot.
func (t *turns) over() { t.since = time.Time{} }

// take takes a slot when it is this node's turn: at once if it was named, later if another was.
func (a *Agent) take(ctx context.Context, n *corev1.Node, waited plan.Reason) (time.Duration, error) {
	s, t, now := &a.slots, &a.slots.turns, a.Now()
	if t.since.IsZero() {
		t.since, t.chance = now, a.Chance()
	}
	if t.wasCalled() && t.failed == 0 {
		t.notBefore = time.Time{} // the slot that was taken was another
	}
	at, slots := lock.Turn(n.Name, amongMany(t.free, waited, a.memory.nodes), t.since, now, t.chance)
	if left := max(at.Sub(now), t.notBefore.Sub(now)); left > 0 {
		return left, nil
	}
	lease, err := a.takeOf(ctx, n, s.group, slots)
	switch {
	case errors.Is(err, lock.ErrTaken):
		t.over() // so that its next turn is one of many again
		t.failed = 0
		t.notBefore = a.Now().Add(retake + a.upTo(retake))
		return retake, nil
	case err != nil:
		a.refused(err)
		return atOnce, nil // the next look tells of it
	}
	t.notBefore, t.failed, s.taken, s.takenAt = time.Time{}, 0, lease.UID, a.Now()
	s.leases.Put(lease)
	a.Tell.Happened(n, plan.Required, plan.SlotTaken, fmt.Sprintf("Took slot %s.", lease.Name))
	return atOnce, nil
}

// refused is called after a take that failed. The first time that nothing but an answer was missing is not worth a word on the Node: with all
// that wait it would be one more burden for an API server that is too busy.
func (a *Agent) refused(err error) {
	s, t := &a.slots, &a.slots.turns
	wait := min(retakeRefused<<min(t.failed, 8), retakeMost)
	t.failed++
	t.over()
	t.notBefore = a.Now().Add(wait + a.upTo(wait))
	s.lateUntil = a.Now().Add(lateTake)
	if s.refused = fmt.Sprintf("No slot can be taken: %v", err); t.failed == 1 && busy(err) {
		s.refused = ""
	}
}

// busy reports whether an error may be gone with the next try.
func busy(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || apierrors.IsTooManyRequests(err) || apierrors.IsServerTimeout(err) || apierrors.IsTimeout(err)
}

// takeOf takes one of these slots of a group; what the node holds of it and can't rely on goes first.
func (a *Agent) takeOf(ctx context.Context, n *corev1.Node, g *lock.Group, slots []int) (*coordinationv1.Lease, error) {
	lease, err := g.Take(ctx, n.Name, n.UID, slots)
	if !errors.Is(err, lock.ErrDoubtful) {
		return lease, err
	}
	if err := g.Release(ctx, n.Name, n.UID, a.confirming(ctx, n)); err != nil {
		return nil, err
	}
	return g.Take(ctx, n.Name, n.UID, slots)
}

const (
	// naming is how often a slot names who comes next, when others name the same.
	naming = 3
	// namingTimeout leaves enough of a step's time for the end of the slot itself: a slow API server must not keep it from being freed.
	namingTimeout = requestTimeout / 3
)

// name writes into the slot who comes next, and looks then whether another slot, freed at the same time, names the same.
func (a *Agent) name(ctx context.Context, n *corev1.Node, s plan.Slot) error {
	if a.slots.foreign {
		return nil // whose turn it is in a group that this node has left, others know better
	}
	ctx, cancel := context.WithTimeout(ctx, namingTimeout)
	defer cancel()
	found, err := a.Fleet.Waiting(ctx, a.slots.members)
	if err != nil {
		return err
	}
	waiters := make([]lock.Waiter, 0, len(found))
	for _, w := range found {
		waiters = append(waiters, lock.Waiter(w))
	}
	waiters = lock.Order(waiters, n.Labels[a.OrderLabel])
	mine := lock.Slot{Name: s.Name, Index: a.slots.group.Index(s.Name), UID: types.UID(s.LeaseUID)}
	leases, _ := a.slots.leases.Items() // without them nobody is passed over, at first
	held := a.slots.group.FromLeases(leases)
	for again := 1; ; again++ {
		next := lock.Successor(waiters, mine, a.slots.turns.names.Heeded(held, a.Now()), a.slots.turns.named(a.Now()))
		if again > 1 && next == mine.Next {
			return nil
		}
		if err := a.slots.group.HandOver(ctx, s.Name, mine.UID, lock.Handover{Next: next, Waiting: len(waiters)}); err != nil {
			return err
		}
		if mine.Next = next; again == naming || a.slots.group.Known(held) == 1 {
			return nil // or there is no other slot
		}
		if held, err = a.slots.group.Held(ctx); err != nil {
			return fmt.Errorf("whether another slot names %s too: %w", next, err)
		}
	}
}
