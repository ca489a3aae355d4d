//go:build e2e

package e2e

import (
	"cmp"
	"slices"
	"sync"
)

// pool hands out the machines.
type pool struct {
	mu      sync.Mutex
	changed *sync.Cond
	free    []string
	waiting []*want
}

// want is what one who waits wants: so many machines, for that long.
type want struct{ machines, seconds int }

func (w *want) compare(other *want) int {
	return cmp.Or(cmp.Compare(w.machines, other.machines), cmp.Compare(w.seconds, other.seconds))
}

func newPool(names []string) *pool {
	p := &pool{free: slices.Clone(names)}
	p.changed = sync.NewCond(&p.mu)
	return p
}

// take waits for n machines that no other test uses. Who wants more goes first, or would wait for ever; then who wants them for longer, so
// that all come to an end together.
func (p *pool) take(n, seconds int) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	me := &want{n, seconds}
	p.waiting = append(p.waiting, me)
	for len(p.free) < n || slices.MaxFunc(p.waiting, (*want).compare) != me {
		p.changed.Wait()
	}
	p.waiting = slices.DeleteFunc(p.waiting, func(other *want) bool { return other == me })
	taken := slices.Clone(p.free[:n])
	p.free = slices.Delete(p.free, 0, n)
	p.changed.Broadcast()
	return taken
}

func (p *pool) give(names []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, names...)
	slices.Sort(p.free)
	p.changed.Broadcast()
}
