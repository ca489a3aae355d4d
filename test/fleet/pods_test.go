package fleet

import (
	"context"
	"fmt"
	"time"

	"github.com/rebootd/rebootd/pkg/node/drain"
	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/test/fleet/sim"
)

// stuck is how hard it is to make a machine's pods go.
type stuck int

const (
	loose     stuck = iota
	unevicted       // a budget stands in the way of their eviction
	undeleted       // they don't end even when they are deleted
)

// notDrained is how many pods are left of a drain that hasn't begun in this boot.
const notDrained = -1

// pods are a machine's; guarded by the machine's Set.
type pods struct {
	// left is how many the last drain has left.
	left  int
	drain int // its number
	// old is that no other pods have come since.
	old bool
	// held is for good, heldFor until heldUntil.
	held, heldFor stuck
	heldUntil     time.Time
}

// holds is whether a pod doesn't go that is made to in this way.
func (p *pods) holds(way drain.Way) bool {
	level := p.held
	if time.Now().Before(p.heldUntil) {
		level = max(level, p.heldFor)
	}
	return level == undeleted || level == unevicted && way == drain.Evict
}

// drain makes some pods go, one after another.
func (b *box) drain(ctx context.Context, p *sim.Process, way drain.Way, report func(drain.Progress)) error {
	c := newChance(b.w.seed, fmt.Sprintf("drain %s %d %d", b.Name, p.Number, b.Drains))
	total, mine := c.IntN(5), 0
	b.w.rules.drains(b, way)
	b.Set(func() {
		b.evicting[p]++
		b.pods.drain++
		if b.pods.old {
			total = b.pods.left
		}
		mine, b.pods.left, b.pods.old = b.pods.drain, total, true
	})
	defer b.Set(func() { b.evicting[p]-- })
	for gone := 0; gone < total; {
		report(drain.Progress{Total: total, Gone: gone})
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(c.between(time.Second, 20*time.Second)):
		}
		var goes bool
		b.Set(func() {
			if goes = !b.pods.holds(way) && !time.Now().Before(b.cutUntil); goes && b.pods.drain == mine {
				b.pods.left--
			}
		})
		if goes {
			b.w.rules.evicts(b)
			gone++
		}
	}
	return nil
}

// stick keeps the pods from going, for a while or until the end.
func (w *world) stick(b *box) {
	level := unevicted + stuck(w.chance.IntN(2))
	how := map[stuck]string{unevicted: "its pods can't be evicted", undeleted: "its pods don't end"}[level]
	if w.chance.one(3) {
		w.tell(b.Name, "%s any more", how)
		b.Set(func() { b.pods.held = level })
		return
	}
	d := w.chance.between(10*time.Second, 10*time.Minute)
	w.tell(b.Name, "%s for %s", how, d.Round(time.Second))
	b.Set(func() { b.pods.heldFor, b.pods.heldUntil = level, time.Now().Add(d) })
}

// stubborn is whether the machine can't be drained, nor rebooted under its pods.
func (b *box) stubborn() (so bool) {
	b.Set(func() {
		switch b.Policy.OnDrainTimeout {
		case plan.RebootAnyway:
		case plan.DeletePods:
			so = b.pods.held == undeleted
		default:
			so = b.pods.held != loose
		}
	})
	return so
}

// drains is how many drains are under way.
func (b *box) drains() (n int) {
	b.Set(func() {
		for _, one := range b.evicting {
			n += one
		}
	})
	return n
}
