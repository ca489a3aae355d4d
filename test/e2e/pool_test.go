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
	waiting []int // how many machines each of those who wait wants
}

func newPool(names []string) *pool {
	p := &pool{free: slices.Clone(names)}
	p.changed = sync.NewCond(&p.mu)
	return p
}

// take waits for n machines that no other test uses. Who wants more goes first, or would wait for ever.
func (p *pool) take(n int) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting = append(p.waiting, n)
	for len(p.free) < n || slices.Max(p.waiting) > n {
		p.changed.Wait()
	}
	i := slices.Index(p.waiting, n)
	p.waiting = slices.Delete(p.waiting, i, i+1)
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
