//go:build e2e

package e2e

import (
	"slices"
	"sync"
)

// pool hands out the machines.
type pool struct {
	mu      sync.Mutex
	changed *sync.Cond
	free    []string
	waiting []*int // how many machines each of those who wait wants, the first who came first
}

func newPool(names []string) *pool {
	p := &pool{free: slices.Clone(names)}
	p.changed = sync.NewCond(&p.mu)
	return p
}

// take waits for n machines that no other test uses. Who wants more goes first, or would wait for ever; then who came first: tests
// that take long stand before those that don't, so that the last ones end together.
func (p *pool) take(n int) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	me := &n
	p.waiting = append(p.waiting, me)
	for len(p.free) < n || slices.MaxFunc(p.waiting, func(a, b *int) int { return *a - *b }) != me {
		p.changed.Wait()
	}
	p.waiting = slices.DeleteFunc(p.waiting, func(other *int) bool { return other == me })
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
