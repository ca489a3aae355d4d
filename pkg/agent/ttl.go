package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rebootd/rebootd/pkg/lock"
	"github.com/rebootd/rebootd/pkg/plan"
)

// lease is what a process knows of the time that is left for a slot: its own renewals, and what it saw of others'.
type lease struct {
	sent   time.Time // when the last renewal that was answered was sent; zero: none by this process
	others lock.Sightings
}

// renew keeps the slot alive where slots have a TTL. A slot whose renewals fail for too long counts as not known to be held.
func (a *Agent) renew(ctx context.Context, n *corev1.Node, seen plan.Slot) plan.Slot {
	if a.LockTTL == 0 || !seen.Held || a.DryRun {
		return seen
	}
	err := a.renewed(ctx, &a.slots.lease, func(ctx context.Context) error {
		return a.slots.group.Renew(ctx, seen.Name, types.UID(seen.LeaseUID))
	})
	if err == nil && a.slots.shared {
		err = a.renewed(ctx, &a.slots.sharedLease, func(ctx context.Context) error {
			held, err := a.ControlPlanes.Held(ctx)
			if mine, _, ok := lock.Mine(held, n.Name, n.UID); err == nil && ok {
				err = a.ControlPlanes.Renew(ctx, mine.Name, mine.UID)
			}
			return err
		})
	}
	switch {
	case errors.Is(err, lock.ErrLost):
		a.slots.leases.Drop(types.UID(seen.LeaseUID))
		return plan.Slot{}
	case err != nil:
		return plan.Slot{Error: fmt.Sprintf("The slot could not be renewed in time (--lock-ttl=%s), so nothing is done by it: %v", time.Duration(a.LockTTL), err)}
	}
	return seen
}

// stopLate stops a drain whose slot others may be about to free. It is asked before anything else, because what comes next may fail
// before the slot is looked at.
func (a *Agent) stopLate() {
	if a.LockTTL.Stale(a.Now().Sub(a.slots.lease.sent)) {
		a.drain.stop()
	}
}

// renewed renews when that is due. An error is returned only when it has lasted too long, or when the slot is lost.
func (a *Agent) renewed(ctx context.Context, l *lease, renew func(context.Context) error) error {
	now := a.Now()
	if !a.LockTTL.Due(now.Sub(l.sent)) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	err := renew(ctx)
	if err == nil {
		l.sent = now
		return nil
	}
	if errors.Is(err, lock.ErrLost) || a.LockTTL.Stale(a.Now().Sub(l.sent)) {
		return err
	}
	return nil
}

// expire frees the slots of a group whose holders have been silent for the TTL.
func (a *Agent) expire(ctx context.Context, n *corev1.Node, g *lock.Group, l *lease, held []lock.Slot) {
	if a.DryRun {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	for _, s := range l.others.Silent(held, a.LockTTL, a.Now()) {
		freed, err := g.Expire(ctx, s)
		switch {
		case err != nil:
			a.Log.WithField("slot", s.Name).WithError(err).Warn("A slot that was not renewed could not be freed.")
		case freed:
			a.Tell.Happened(n, plan.Required, plan.SlotLost, fmt.Sprintf(
				"Freed slot %s of node %s: it was not renewed for %s (--lock-ttl).", s.Name, s.Node, time.Duration(a.LockTTL)))
		}
	}
}
