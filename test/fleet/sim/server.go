// Package sim is a small world for tests in virtual time: an API server in memory, and machines in which the real
// agent runs. The server is checked against a real one by a conformance test.
package sim

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

// Object is what the server keeps.
type Object interface {
	runtime.Object
	metav1.Object
}

// Kind is a kind of object that the server keeps.
type Kind = schema.GroupResource

// The kinds there are. One more needs a line here and in empty, and a typed client.
var (
	NodeKind      = corev1.Resource("nodes")
	ConfigMapKind = corev1.Resource("configmaps")
	LeaseKind     = coordinationv1.Resource("leases")
)

func empty(kind Kind) Object {
	switch kind {
	case NodeKind:
		return &corev1.Node{}
	case ConfigMapKind:
		return &corev1.ConfigMap{}
	case LeaseKind:
		return &coordinationv1.Lease{}
	default:
		panic("no such kind: " + kind.String())
	}
}

// Server keeps objects as a real API server does: every write has a version, a write on an old version is a
// conflict, one that changes nothing is none, and watches tell of each in its order.
type Server struct {
	// Changed looks at every write that was carried out, under the lock: it may call Has, Objects and Version, nothing else. Set it
	// before anything runs.
	Changed func(Change)
	// CollectLater leaves what a deleted Node owned to Collect; else it goes with the Node.
	CollectLater bool

	mu      sync.Mutex
	version int
	objects map[Kind]map[string]Object
	log     []event
	watches []*watcher
}

// Change is one write.
type Change struct {
	Kind Kind
	Type watch.EventType
	// By is the client that wrote; nil for the world itself.
	By *Client
	// Before is nil for a new object, After is the last state of one that is gone. They are shared: nobody may change them.
	Before, After Object
}

type event struct {
	watch.Event
	kind    Kind
	version int
	// before is the state that the event ended; nil if there was none.
	before Object
	at     time.Time
}

// NewServer returns a server that keeps nothing yet.
func NewServer() *Server {
	return &Server{
		objects: map[Kind]map[string]Object{NodeKind: {}, ConfigMapKind: {}, LeaseKind: {}},
		Changed: func(Change) {},
	}
}

// Objects are all of a kind by name. It is for Changed only, and shared: nobody may change it.
func (s *Server) Objects(kind Kind) map[string]Object { return s.objects[kind] }

// Look runs f under the lock, as Changed is run.
func (s *Server) Look(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// Version is the version of the last write.
func (s *Server) Version() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.version
}

// put stores an object under a new version and tells the watches. It wants the lock.
func (s *Server) put(by *Client, kind Kind, what watch.EventType, o Object) {
	s.version++
	o.SetResourceVersion(strconv.Itoa(s.version))
	before := s.objects[kind][o.GetName()]
	if s.objects[kind][o.GetName()] = o; what == watch.Deleted {
		delete(s.objects[kind], o.GetName())
	}
	e := event{watch.Event{Type: what, Object: o}, kind, s.version, before, time.Now()}
	s.log = append(s.log, e)
	for _, w := range s.watches {
		w.send(e)
	}
	s.Changed(Change{Kind: kind, Type: what, By: by, Before: before, After: o})
}

// Create stores a new object, and gives it what the server gives.
func (s *Server) Create(by *Client, kind Kind, o Object) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.objects[kind][o.GetName()] != nil {
		return apierrors.NewAlreadyExists(kind, o.GetName())
	}
	if o.GetResourceVersion() != "" {
		return apierrors.NewBadRequest("resourceVersion should not be set on objects to be created")
	}
	o.SetUID(types.UID(fmt.Sprintf("uid-%d", s.version+1)))
	o.SetCreationTimestamp(metav1.Now().Rfc3339Copy())
	s.put(by, kind, watch.Added, o.DeepCopyObject().(Object))
	o.SetResourceVersion(strconv.Itoa(s.version))
	return nil
}

// Remove deletes an object if it has this UID and version, where they are given.
func (s *Server) Remove(by *Client, kind Kind, name string, p *metav1.Preconditions) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.objects[kind][name]
	switch {
	case o == nil:
		return apierrors.NewNotFound(kind, name)
	case p != nil && p.UID != nil && *p.UID != o.GetUID():
		return apierrors.NewConflict(kind, name, errors.New("another UID"))
	case p != nil && p.ResourceVersion != nil && *p.ResourceVersion != o.GetResourceVersion():
		return apierrors.NewConflict(kind, name, errors.New("another version"))
	}
	s.put(by, kind, watch.Deleted, o.DeepCopyObject().(Object))
	if kind == NodeKind && !s.CollectLater {
		s.collect()
	}
	return nil
}

// Collect is the garbage collector: it deletes the Leases whose Node is gone.
func (s *Server) Collect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.collect()
}

func (s *Server) collect() {
	for _, name := range slices.Sorted(maps.Keys(s.objects[LeaseKind])) {
		l := s.objects[LeaseKind][name]
		gone := len(l.GetOwnerReferences()) > 0
		for _, owner := range l.GetOwnerReferences() {
			n := s.objects[NodeKind][owner.Name]
			gone = gone && (n == nil || n.GetUID() != owner.UID)
		}
		if gone {
			s.put(nil, LeaseKind, watch.Deleted, l.DeepCopyObject().(Object))
		}
	}
}

// Get returns one object.
func (s *Server) Get(kind Kind, name string) (Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.objects[kind][name]; o != nil {
		return o.DeepCopyObject().(Object), nil
	}
	return nil, apierrors.NewNotFound(kind, name)
}

// List returns the objects that match, and the version of the list.
func (s *Server) List(kind Kind, match func(Object) bool) ([]Object, string) {
	return s.listOf(kind, match, 0)
}

// listOf is a list as it was some time ago.
func (s *Server) listOf(kind Kind, match func(Object) bool, ago time.Duration) ([]Object, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	objects, version := s.objects[kind], s.version
	if ago > 0 {
		objects, version = s.past(kind, time.Now().Add(-ago))
	}
	var found []Object
	for _, name := range slices.Sorted(maps.Keys(objects)) {
		if o := objects[name]; match == nil || match(o) {
			found = append(found, o.DeepCopyObject().(Object))
		}
	}
	return found, strconv.Itoa(version)
}

// past is what there was. It wants the lock.
func (s *Server) past(kind Kind, then time.Time) (map[string]Object, int) {
	objects, version := maps.Clone(s.objects[kind]), s.version
	for _, e := range slices.Backward(s.log) {
		if !e.at.After(then) || e.version == 1 {
			break
		}
		version = e.version - 1
		switch {
		case e.kind != kind:
		case e.before == nil:
			delete(objects, e.Object.(Object).GetName())
		default:
			objects[e.before.GetName()] = e.before
		}
	}
	return objects, version
}
