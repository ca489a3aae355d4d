package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

// object is what the API server keeps.
type object interface {
	runtime.Object
	metav1.Object
}

// apiserver keeps Nodes and Leases as a real one does: every write has a version, a write on an old version
// is a conflict, one that changes nothing is none, and watches tell of each in its order.
type apiserver struct {
	mu      sync.Mutex
	version int
	objects map[schema.GroupResource]map[string]object
	log     []event
	watches []*watcher
	// check looks at every write, under the lock.
	check func()
}

type event struct {
	watch.Event
	kind    schema.GroupResource
	version int
}

var (
	nodeKind  = corev1.Resource("nodes")
	leaseKind = coordinationv1.Resource("leases")
)

func newAPIServer() *apiserver {
	return &apiserver{objects: map[schema.GroupResource]map[string]object{nodeKind: {}, leaseKind: {}}, check: func() {}}
}

// put stores an object under a new version and tells the watches. It wants the lock.
func (s *apiserver) put(kind schema.GroupResource, what watch.EventType, o object) {
	s.version++
	o.SetResourceVersion(strconv.Itoa(s.version))
	if s.objects[kind][o.GetName()] = o; what == watch.Deleted {
		delete(s.objects[kind], o.GetName())
	}
	e := event{watch.Event{Type: what, Object: o}, kind, s.version}
	s.log = append(s.log, e)
	for _, w := range s.watches {
		w.send(e)
	}
	s.check()
}

func (s *apiserver) create(kind schema.GroupResource, o object) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.objects[kind][o.GetName()] != nil {
		return apierrors.NewAlreadyExists(kind, o.GetName())
	}
	o.SetUID(types.UID(fmt.Sprintf("uid-%d", s.version+1)))
	o.SetCreationTimestamp(metav1.Now())
	s.put(kind, watch.Added, o)
	return nil
}

// remove deletes; of a Node also the Leases that it owns, as the garbage collector would.
func (s *apiserver) remove(kind schema.GroupResource, name string, uid *types.UID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.objects[kind][name]
	switch {
	case o == nil:
		return apierrors.NewNotFound(kind, name)
	case uid != nil && *uid != o.GetUID():
		return apierrors.NewConflict(kind, name, errors.New("another UID"))
	}
	s.put(kind, watch.Deleted, o.DeepCopyObject().(object))
	for _, l := range s.objects[leaseKind] {
		if owners := l.GetOwnerReferences(); kind == nodeKind && len(owners) == 1 && owners[0].UID == o.GetUID() {
			s.put(leaseKind, watch.Deleted, l.DeepCopyObject().(object))
		}
	}
	return nil
}

func (s *apiserver) get(kind schema.GroupResource, name string) (object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.objects[kind][name]; o != nil {
		return o.DeepCopyObject().(object), nil
	}
	return nil, apierrors.NewNotFound(kind, name)
}

func (s *apiserver) list(kind schema.GroupResource, match func(object) bool) ([]object, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []object
	for _, name := range slices.Sorted(maps.Keys(s.objects[kind])) {
		if o := s.objects[kind][name]; match(o) {
			found = append(found, o.DeepCopyObject().(object))
		}
	}
	return found, strconv.Itoa(s.version)
}

// patchNode is a strategic merge patch of the Node or, with status, of its status and metadata.
func (s *apiserver) patchNode(name string, patch []byte, status bool) (*corev1.Node, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, ok := s.objects[nodeKind][name].(*corev1.Node)
	if !ok {
		return nil, apierrors.NewNotFound(nodeKind, name)
	}
	var p struct {
		Metadata struct{ UID, ResourceVersion string }
	}
	if err := json.Unmarshal(patch, &p); err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	if v := p.Metadata.ResourceVersion; v != "" && v != old.ResourceVersion || p.Metadata.UID != "" && p.Metadata.UID != string(old.UID) {
		return nil, apierrors.NewConflict(nodeKind, name, errors.New("the object has been modified"))
	}
	after, err := merge(old, patch)
	if err != nil {
		return nil, err
	}
	if status {
		after.Spec = *old.Spec.DeepCopy()
	} else {
		after.Status = *old.Status.DeepCopy()
	}
	if same(old, after) {
		return old.DeepCopy(), nil
	}
	s.put(nodeKind, watch.Modified, after)
	return after.DeepCopy(), nil
}

// annotateLease sets annotations of one Lease, which must have the UID that the patch names.
func (s *apiserver) annotateLease(name string, patch []byte) (*coordinationv1.Lease, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, ok := s.objects[leaseKind][name].(*coordinationv1.Lease)
	if !ok {
		return nil, apierrors.NewNotFound(leaseKind, name)
	}
	var p struct {
		Metadata struct {
			UID         string
			Annotations map[string]string
		}
	}
	if err := json.Unmarshal(patch, &p); err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	if p.Metadata.UID != string(old.UID) {
		return nil, apierrors.NewConflict(leaseKind, name, errors.New("another UID"))
	}
	after := old.DeepCopy()
	maps.Copy(after.Annotations, p.Metadata.Annotations)
	s.put(leaseKind, watch.Modified, after)
	return after.DeepCopy(), nil
}

// watcher is one watch. It never blocks the server.
type watcher struct {
	s       *apiserver
	kind    schema.GroupResource
	match   func(object) bool
	results chan watch.Event
	stopped bool
}

func (s *apiserver) watch(kind schema.GroupResource, o metav1.ListOptions, match func(object) bool) *watcher {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := &watcher{s: s, kind: kind, match: match, results: make(chan watch.Event, 100_000)}
	s.watches = append(s.watches, w)
	if o.SendInitialEvents != nil && *o.SendInitialEvents {
		for _, name := range slices.Sorted(maps.Keys(s.objects[kind])) {
			w.send(event{watch.Event{Type: watch.Added, Object: s.objects[kind][name]}, kind, 0})
		}
		var mark object = &corev1.Node{}
		if kind == leaseKind {
			mark = &coordinationv1.Lease{}
		}
		mark.SetResourceVersion(strconv.Itoa(s.version))
		mark.SetAnnotations(map[string]string{metav1.InitialEventsAnnotationKey: "true"})
		w.results <- watch.Event{Type: watch.Bookmark, Object: mark}
		return w
	}
	since, _ := strconv.Atoi(o.ResourceVersion)
	for _, e := range s.log {
		if e.version > since {
			w.send(e)
		}
	}
	return w
}

func (w *watcher) send(e event) {
	if !w.stopped && e.kind == w.kind && w.match(e.Object.(object)) {
		w.results <- watch.Event{Type: e.Type, Object: e.Object.DeepCopyObject()}
	}
}

func (w *watcher) ResultChan() <-chan watch.Event { return w.results }

func (w *watcher) Stop() {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	if !w.stopped {
		w.stopped = true
		close(w.results)
		w.s.watches = slices.DeleteFunc(w.s.watches, func(other *watcher) bool { return other == w })
	}
}

// call is one request of an agent.
type call struct {
	verb string
	kind string
	// number counts this client's calls, from 1.
	number int
}

// outcome is what becomes of a call: before says that it isn't carried out, after that its answer is lost.
type outcome struct{ before, after error }

// client is one agent's way to the API server.
type client struct {
	s  *apiserver
	mu sync.Mutex
	// meddle decides on each call; nil lets all pass.
	meddle  func(call) outcome
	calls   []call
	watches []*watcher
}

func (c *client) begin(ctx context.Context, verb string, kind schema.GroupResource) (outcome, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ctx.Err() != nil {
		return outcome{}, ctx.Err()
	}
	this := call{verb, kind.Resource, len(c.calls) + 1}
	c.calls = append(c.calls, this)
	var out outcome
	if c.meddle != nil {
		out = c.meddle(this)
	}
	return out, out.before
}

func (c *client) count(verb string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, one := range c.calls {
		if verb == "" || one.verb == verb {
			n++
		}
	}
	return n
}

func (c *client) watch(ctx context.Context, kind schema.GroupResource, o metav1.ListOptions, match func(object) bool) (watch.Interface, error) {
	if _, err := c.begin(ctx, "watch", kind); err != nil {
		return nil, err
	}
	w := c.s.watch(kind, o, match)
	c.mu.Lock()
	c.watches = append(c.watches, w)
	c.mu.Unlock()
	context.AfterFunc(ctx, w.Stop)
	return w, nil
}
