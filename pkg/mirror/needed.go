package mirror

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// Needed is a mirror that runs only while it is needed. The zero value doesn't run. Its methods are for one goroutine at a time.
type Needed[T Object] struct {
	running *Mirror[T]
	cancel  context.CancelFunc
	ended   sync.WaitGroup
}

// Start runs a new mirror, unless one runs already. wake is called after every change, from another goroutine.
func (n *Needed[T]) Start(ctx context.Context, wake func(), fresh func() *Mirror[T]) {
	if n.running != nil {
		return
	}
	ctx, n.cancel = context.WithCancel(ctx)
	m := fresh()
	n.running = m
	n.ended.Go(func() { m.Run(ctx) })
	n.ended.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-m.Changed():
				wake()
			}
		}
	})
}

// Stop ends the mirror, if one runs, and forgets what it held. It returns when no request is under way any more.
func (n *Needed[T]) Stop() {
	if n.running == nil {
		return
	}
	n.cancel()
	n.ended.Wait()
	n.running = nil
}

// Items is as of a Mirror. ErrNotSynced: it doesn't run.
func (n *Needed[T]) Items() ([]T, error) {
	if n.running == nil {
		return nil, ErrNotSynced
	}
	return n.running.Items()
}

// Put is as of a Mirror; without one it does nothing.
func (n *Needed[T]) Put(o T) {
	if n.running != nil {
		n.running.Put(o)
	}
}

// Drop is as of a Mirror; without one it does nothing.
func (n *Needed[T]) Drop(uid types.UID) {
	if n.running != nil {
		n.running.Drop(uid)
	}
}
