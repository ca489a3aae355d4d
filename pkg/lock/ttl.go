package lock

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// TTL is how long a slot may go without a renewal before others free it; 0: for ever. Whoever sets it gives up the
// promise that never too many nodes are out: a holder that can't be reached may be out all the same.
type TTL time.Duration

// Due reports whether the holder is to renew, if it sent its last renewal so long ago.
func (t TTL) Due(since time.Duration) bool { return t > 0 && since >= time.Duration(t)/3 }

// Stale reports whether the holder is to do nothing more by the slot: others may be about to free it.
func (t TTL) Stale(since time.Duration) bool { return t > 0 && since >= time.Duration(t)*2/3 }

// Every is how often a holder has to look, at the least; 0: no matter.
func (t TTL) Every() time.Duration { return time.Duration(t) / 6 }

// Renew says that the holder is alive. ErrLost: the slot is gone, or somebody else's.
func (g *Group) Renew(ctx context.Context, name string, uid types.UID) error {
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": uid}, "spec": map[string]any{"renewTime": metav1.NowMicro()},
	})
	if err != nil {
		return fmt.Errorf("encoding a patch of Lease %s: %w", name, err)
	}
	_, err = g.Leases.Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) || apierrors.IsInvalid(err) { // so the API server refuses another UID
		return fmt.Errorf("%w: Lease %s/%s is gone", ErrLost, g.Namespace, name)
	}
	return g.explain("patch", err)
}

// Expire frees a slot that was not renewed since it had this version. False: it was renewed after all, or is gone.
func (g *Group) Expire(ctx context.Context, s Slot) (bool, error) {
	err := g.Leases.Delete(ctx, s.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &s.UID, ResourceVersion: &s.Version}})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return false, nil
	}
	return err == nil, g.explain("delete", err)
}

// Sightings remember when each slot was first seen as it is now. No two machines' clocks are compared.
type Sightings struct {
	seen map[types.UID]sighting
}

type sighting struct {
	version string
	first   time.Time
}

// Silent are those of the held slots that have not changed for the TTL, as far as this process saw.
func (s *Sightings) Silent(held []Slot, ttl TTL, now time.Time) []Slot {
	if ttl == 0 {
		return nil
	}
	seen := make(map[types.UID]sighting, len(held))
	var silent []Slot
	for _, slot := range held {
		was, ok := s.seen[slot.UID]
		if !ok || was.version != slot.Version {
			was = sighting{slot.Version, now}
		}
		seen[slot.UID] = was
		if now.Sub(was.first) >= time.Duration(ttl) {
			silent = append(silent, slot)
		}
	}
	s.seen = seen
	return silent
}

// heeded is how long it counts whom a slot names that is held: its holder frees it within seconds, or died over that.
const heeded = TTL(10 * time.Second)

// Heeded are the held slots, without the names that have stood on them for too long, as far as this process saw.
func (s *Sightings) Heeded(held []Slot, now time.Time) []Slot {
	var naming []Slot
	for _, slot := range held {
		if slot.Next != "" {
			naming = append(naming, slot)
		}
	}
	old := map[types.UID]bool{}
	for _, slot := range s.Silent(naming, heeded, now) {
		old[slot.UID] = true
	}
	if len(old) == 0 {
		return held
	}
	fresh := slices.Clone(held)
	for i := range fresh {
		if old[fresh[i].UID] {
			fresh[i].Next = ""
		}
	}
	return fresh
}
