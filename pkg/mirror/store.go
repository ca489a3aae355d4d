package mirror

import (
	"fmt"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
)

// store is the side of the mirror that the reflector writes to.
type store[T Object] Mirror[T]

var _ cache.ReflectorStore = (*store[Object])(nil)

func (s *store[T]) Add(obj any) error { return s.Update(obj) }

func (s *store[T]) Update(obj any) error {
	o, ok := obj.(T)
	if !ok {
		return fmt.Errorf("mirroring: unexpected %T", obj)
	}
	(*Mirror[T])(s).Put(o)
	return nil
}

func (s *store[T]) Delete(obj any) error {
	if last, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = last.Obj
	}
	o, ok := obj.(T)
	if !ok {
		return fmt.Errorf("mirroring: unexpected %T", obj)
	}
	if s.onGone != nil {
		s.onGone(o) // before the mirror shows it, so that whoever is woken by that knows
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.items, o.GetUID())
	delete(s.gone, o.GetUID())
	(*Mirror[T])(s).wake()
	return nil
}

// Replace takes in a whole list. An object that is not in it is gone.
func (s *store[T]) Replace(list []any, _ string) error {
	m := (*Mirror[T])(s)
	m.mu.Lock()
	defer m.mu.Unlock()
	listed := make(map[types.UID]bool, len(list))
	for _, obj := range list {
		o, ok := obj.(T)
		if !ok {
			return fmt.Errorf("mirroring: unexpected %T", obj)
		}
		listed[o.GetUID()] = true
		m.put(o)
	}
	for uid := range m.items {
		if !listed[uid] {
			delete(m.items, uid)
		}
	}
	for uid := range m.gone {
		if !listed[uid] {
			delete(m.gone, uid)
		}
	}
	m.synced = true
	m.wake()
	return nil
}

func (s *store[T]) Resync() error { return nil }
