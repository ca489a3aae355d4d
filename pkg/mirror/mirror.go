// Package mirror keeps a local copy of the few objects that one list and watch selects, and says when it
// changed and why it can't be kept. It is client-go's Reflector with a store of its own: one that also takes in the
// answers to this process's own writes, and never goes back to an older version of an object.
package mirror

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
)

// ErrNotSynced is returned by Items until the first list has arrived.
var ErrNotSynced = errors.New("not read yet")

// errSilent comes in its place after a while. The client takes a watch that times out, or whose connection is closed
// without a word, for one that has ended, and says nothing of it.
var errSilent = errors.New("not read yet: there is no answer from the API server, or it closes the connections")

// patience is how long it is nothing to speak of that the first list has not arrived.
const patience = 10 * time.Second

// forgiven is after how long without an error the back-off begins anew.
const forgiven = 2 * time.Minute

// watchFor is how long a watch lasts, at least, and half of how long it lasts at most, by chance: then the client begins a new one, with
// which nothing is read again. With client-go's five minutes that would be most of what agents send that wait. That a connection is dead is
// found out by the pings of HTTP/2; where something between answers for the API server, not before that.
const watchFor = time.Hour

// Object is what can be mirrored.
type Object interface {
	runtime.Object
	metav1.Object
}

// Source lists and watches what is mirrored; see Select.
type Source struct {
	List  func(context.Context, metav1.ListOptions) (runtime.Object, error)
	Watch func(context.Context, metav1.ListOptions) (watch.Interface, error)
}

// Lister is the part of a client that a source needs: client-go's typed clients and its metadata client fit.
type Lister[L runtime.Object] interface {
	List(ctx context.Context, o metav1.ListOptions) (L, error)
	Watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error)
}

// Select is the source of what a client has that both selectors match. explain says of an error, which may be nil, what was being
// done: "list" or "watch".
func Select[L runtime.Object](client Lister[L], only Selectors, explain func(verb string, err error) error) Source {
	selected := func(o metav1.ListOptions) metav1.ListOptions {
		o.FieldSelector, o.LabelSelector = only.Fields, only.Labels
		return o
	}
	return Source{
		List: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			list, err := client.List(ctx, selected(o))
			return list, explain("list", err)
		},
		Watch: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			w, err := client.Watch(ctx, selected(o))
			return w, explain("watch", err)
		},
	}
}

// Selectors say which objects; an empty one matches all.
type Selectors struct{ Fields, Labels string }

// Mirror is a local copy. Its methods may be called from any goroutine. The objects it hands out are shared:
// nobody may change them.
type Mirror[T Object] struct {
	reflector *cache.Reflector
	pause     wait.DelayFunc
	changed   chan struct{}
	onGone    func(T)

	mu     sync.Mutex
	items  map[types.UID]T
	gone   map[types.UID]bool // dropped here, until the watch says so too
	synced bool
	begun  time.Time
	err    error
}

// New returns a mirror that is empty until Run. The example names the type for the watch's decoder and is not
// changed. onGone, if not nil, gets the last state of each object that the watch says was deleted; it must not block.
func New[T Object](name string, source Source, example T, onGone func(T)) *Mirror[T] {
	m := &Mirror[T]{
		onGone:  onGone,
		changed: make(chan struct{}, 1),
		items:   map[types.UID]T{},
		gone:    map[types.UID]bool{},
	}
	lw := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			list, err := source.List(ctx, o)
			m.note(err)
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			w, err := source.Watch(ctx, o)
			m.note(err)
			return w, err
		},
	}
	// After an outage every agent of the cluster comes back: the jitter spreads them, the cap bounds how long
	// a node stays blind.
	backoff := wait.Backoff{Duration: time.Second, Factor: 2, Jitter: 2, Steps: 5, Cap: 10 * time.Second}
	m.pause = backoff.DelayWithReset(clock.RealClock{}, forgiven)
	m.reflector = cache.NewReflectorWithOptions(lw, example, (*store[T])(m), cache.ReflectorOptions{Name: name, Backoff: &backoff, MinWatchTimeout: watchFor})
	return m
}

// Run keeps the mirror until ctx ends. Errors are retried for ever, with back-off. The loop is its own because the
// reflector's goes through a handler that is global to the process: it logs every failure, and slows all down for one.
func (m *Mirror[T]) Run(ctx context.Context) {
	m.mu.Lock()
	m.begun = time.Now()
	m.mu.Unlock()
	again := func(ctx context.Context) (bool, error) {
		if err := m.reflector.ListAndWatchWithContext(ctx); err != nil && m.Err() == nil {
			m.note(err) // not of the API server: that one's are noted already, in its own words
		}
		return false, nil
	}
	_ = m.pause.Until(ctx, true, true, again) // ends with ctx only
}

// Changed receives after every change, once for several in a row.
func (m *Mirror[T]) Changed() <-chan struct{} { return m.changed }

// Items returns the objects. Before the first list has arrived the error says why not; later the last known
// objects are returned whatever happens to the watch, for they are only a hint: what must be certain is read live.
func (m *Mirror[T]) Items() ([]T, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.synced:
	case m.err != nil:
		return nil, m.err
	case !m.begun.IsZero() && time.Since(m.begun) > patience:
		return nil, errSilent
	default:
		return nil, ErrNotSynced
	}
	items := make([]T, 0, len(m.items))
	for _, o := range m.items {
		items = append(items, o)
	}
	return items, nil
}

// Err is why the list or watch fails at present. Nil: it doesn't.
func (m *Mirror[T]) Err() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

// Put takes in an object that a write of this process returned.
func (m *Mirror[T]) Put(o T) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.put(o)
}

// Drop forgets an object that this process deleted or saw to be gone.
func (m *Mirror[T]) Drop(uid types.UID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.items, uid)
	m.gone[uid] = true
	m.wake()
}

func (m *Mirror[T]) note(err error) {
	if failed := (*url.Error)(nil); errors.As(err, &failed) {
		failed.URL, _, _ = strings.Cut(failed.URL, "?") // its timeout is another one each time
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if (m.err == nil) != (err == nil) {
		m.wake()
	}
	m.err = err
}

// put keeps the newer of two versions: an answer to a write may come before or after the watch's word of it.
func (m *Mirror[T]) put(o T) {
	if m.gone[o.GetUID()] {
		return
	}
	if old, ok := m.items[o.GetUID()]; ok {
		cmp, err := resourceversion.CompareResourceVersion(o.GetResourceVersion(), old.GetResourceVersion())
		if err == nil && cmp <= 0 {
			return
		}
	}
	m.items[o.GetUID()] = o
	m.wake()
}

func (m *Mirror[T]) wake() {
	select {
	case m.changed <- struct{}{}:
	default:
	}
}
