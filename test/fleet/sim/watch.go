package sim

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// watcher is one watch. It never blocks the server.
type watcher struct {
	s     *Server
	kind  Kind
	match func(Object) bool
	// due is when an event arrives that is sent now; nil: at once.
	due     func() time.Time
	results chan watch.Event

	mu     sync.Mutex
	queue  []delivery
	queued chan struct{} // receives when something was added to the queue
	ended  chan struct{}
	over   bool
}

// delivery is an event on its way. The zero event is the end of the watch.
type delivery struct {
	watch.Event
	at time.Time
}

// Watch begins a watch: with the present state, or after a version.
func (s *Server) Watch(kind Kind, o metav1.ListOptions, match func(Object) bool, due func() time.Time) watch.Interface {
	return s.watch(kind, o, match, due)
}

func (s *Server) watch(kind Kind, o metav1.ListOptions, match func(Object) bool, due func() time.Time) *watcher {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := &watcher{s: s, kind: kind, match: match, due: due, results: make(chan watch.Event, 1000),
		queued: make(chan struct{}, 1), ended: make(chan struct{})}
	s.watches = append(s.watches, w)
	if since, err := strconv.Atoi(o.ResourceVersion); err == nil && since > 0 && o.SendInitialEvents == nil {
		after, _ := slices.BinarySearchFunc(s.log, since+1, func(e event, v int) int { return e.version - v })
		for _, e := range s.log[after:] {
			w.send(e)
		}
	} else {
		s.present(w, o.SendInitialEvents != nil && *o.SendInitialEvents)
	}
	go w.run()
	return w
}

// present sends the present state, and a mark at its end.
func (s *Server) present(w *watcher, mark bool) {
	for _, name := range slices.Sorted(maps.Keys(s.objects[w.kind])) {
		if o := s.objects[w.kind][name]; w.match(o) {
			w.add(watch.Event{Type: watch.Added, Object: o.DeepCopyObject()})
		}
	}
	if mark {
		end := empty(w.kind)
		end.SetResourceVersion(strconv.Itoa(s.version))
		end.SetAnnotations(map[string]string{metav1.InitialEventsAnnotationKey: "true"})
		w.add(watch.Event{Type: watch.Bookmark, Object: end})
	}
}

// send tells of a write. Whoever comes to match is new to the watch, and whoever ceases to is gone from it.
func (w *watcher) send(e event) {
	if e.kind != w.kind {
		return
	}
	is := e.Type != watch.Deleted && w.match(e.Object.(Object))
	was := e.before != nil && w.match(e.before)
	what := watch.Modified
	switch {
	case is && !was:
		what = watch.Added
	case was && !is:
		what = watch.Deleted
	case !is:
		return
	}
	o := e.Object.DeepCopyObject().(Object)
	if what == watch.Deleted && e.Type != watch.Deleted { // what is gone is told as it was
		o = e.before.DeepCopyObject().(Object)
		o.SetResourceVersion(strconv.Itoa(e.version))
	}
	w.add(watch.Event{Type: what, Object: o})
}

func (w *watcher) add(e watch.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := delivery{Event: e}
	if w.due != nil {
		d.at = w.due()
	}
	w.queue = append(w.queue, d)
	select {
	case w.queued <- struct{}{}:
	default:
	}
}

// run delivers, each event when it is due and in its order.
func (w *watcher) run() {
	defer close(w.results)
	for {
		w.mu.Lock()
		queue := w.queue
		w.queue = nil
		w.mu.Unlock()
		for _, d := range queue {
			if !w.deliver(d) {
				return
			}
		}
		if len(queue) > 0 {
			continue
		}
		select {
		case <-w.queued:
		case <-w.ended:
			return
		}
	}
}

func (w *watcher) deliver(d delivery) bool {
	if wait := time.Until(d.at); !d.at.IsZero() && wait > 0 {
		select {
		case <-time.After(wait):
		case <-w.ended:
			return false
		}
	}
	if d.Type == "" {
		return false
	}
	select {
	case w.results <- d.Event:
		return true
	case <-w.ended:
		return false
	}
}

func (w *watcher) ResultChan() <-chan watch.Event { return w.results }

func (w *watcher) Stop() {
	w.s.mu.Lock()
	w.s.watches = slices.DeleteFunc(w.s.watches, func(other *watcher) bool { return other == w })
	w.s.mu.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.over {
		w.over = true
		close(w.ended)
	}
}

// watch is a watch of this client. It ends with ctx.
func (c *Client) watch(ctx context.Context, kind Kind, o metav1.ListOptions) (watch.Interface, error) {
	var w *watcher
	err := c.do(ctx, Call{Verb: "watch", Kind: kind, Name: o.FieldSelector, Initial: o.SendInitialEvents != nil}, func() error {
		match, err := selector(o)
		if err == nil {
			w = c.server.watch(kind, o, match, c.Due)
		}
		return err
	})
	if err != nil {
		if w != nil {
			w.Stop()
		}
		return nil, err
	}
	c.mu.Lock()
	c.watches = append(slices.DeleteFunc(c.watches, func(w *watcher) bool { return w.isOver() }), w)
	c.mu.Unlock()
	context.AfterFunc(ctx, w.Stop)
	return w, nil
}

func (w *watcher) isOver() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.over
}

// EndWatches ends all watches of this client, with this event as their last word if it has a type.
func (c *Client) EndWatches(last watch.Event) {
	c.mu.Lock()
	watches := c.watches
	c.watches = nil
	c.mu.Unlock()
	for _, w := range watches {
		if last.Type != "" {
			w.add(last)
		}
		w.add(watch.Event{})
	}
}
