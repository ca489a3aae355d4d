package kured

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

// Annotation is the key of kured's lock.
const Annotation = "weave.works/kured-node-lock"

// Server is an API server with nothing in it but kured's DaemonSet, which may be missing.
type Server struct {
	// Patched, if not nil, sees each patch that is carried out: the lock afterwards.
	Patched func(lock string)

	mu       sync.Mutex
	set      *appsv1.DaemonSet
	version  int
	watchers []*watch.RaceFreeFakeWatcher
}

// Install puts the DaemonSet there, with such arguments, or changes it.
func (s *Server) Install(args ...string) {
	s.Change(func(d *appsv1.DaemonSet) {
		d.Spec.Template.Spec.Containers = []corev1.Container{{Name: "kured", Args: args}}
	})
}

// Change changes the DaemonSet, as kured or its controller would. A missing one is made.
func (s *Server) Change(f func(*appsv1.DaemonSet)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kind := watch.Modified
	if s.set == nil {
		kind = watch.Added
		s.set = &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Name: "kured", Namespace: "kube-system", UID: types.UID(strconv.Itoa(s.version))}}
	}
	s.set = s.set.DeepCopy()
	f(s.set)
	s.send(kind)
}

// Remove uninstalls kured.
func (s *Server) Remove() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.send(watch.Deleted)
	s.set = nil
}

func (s *Server) send(kind watch.EventType) {
	s.version++
	s.set.ResourceVersion = strconv.Itoa(s.version)
	for _, w := range s.watchers {
		if !w.IsStopped() {
			w.Action(kind, s.set.DeepCopy())
		}
	}
}

// Text is the lock.
func (s *Server) Text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.set == nil {
		return ""
	}
	return s.set.Annotations[Annotation]
}

// Write writes the lock as anybody could; an empty one is taken off.
func (s *Server) Write(lock string) {
	s.Change(func(d *appsv1.DaemonSet) { annotate(d, lock) })
}

func annotate(d *appsv1.DaemonSet, lock string) {
	if d.Annotations == nil {
		d.Annotations = map[string]string{}
	}
	d.Annotations[Annotation] = lock
	if lock == "" {
		delete(d.Annotations, Annotation)
	}
}

// Client is one agent's way to the server.
type Client struct {
	*Server
	// Before and After decide on what becomes of a patch, each before and after it is carried out; nil: nothing is wrong. Dead
	// is whether the agent is gone.
	Before, After func() error
	Dead          func() bool
	// Calls counts them.
	Calls int
}

func (c *Client) call() error {
	c.Calls++
	if c.Dead != nil && c.Dead() {
		return errors.New("the process is gone")
	}
	return nil
}

// Get reads the DaemonSet.
func (c *Client) Get(_ context.Context, name string, _ metav1.GetOptions) (*appsv1.DaemonSet, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.call(); err != nil {
		return nil, err
	}
	if c.set == nil {
		return nil, apierrors.NewNotFound(appsv1.Resource("daemonsets"), name)
	}
	return c.set.DeepCopy(), nil
}

// Patch takes a merge patch of the lock on a version.
func (c *Client) Patch(_ context.Context, name string, kind types.PatchType, data []byte, _ metav1.PatchOptions, _ ...string) (*appsv1.DaemonSet, error) {
	var p struct {
		Metadata struct {
			UID             types.UID
			ResourceVersion string
			Annotations     map[string]*string
		}
	}
	if err := json.Unmarshal(data, &p); err != nil || kind != types.MergePatchType {
		return nil, fmt.Errorf("%s %s: %w", kind, data, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.call(); err != nil {
		return nil, err
	}
	if c.Before != nil {
		if err := c.Before(); err != nil {
			return nil, err
		}
	}
	switch {
	case c.set == nil:
		return nil, apierrors.NewNotFound(appsv1.Resource("daemonsets"), name)
	case p.Metadata.UID != c.set.UID || p.Metadata.ResourceVersion != c.set.ResourceVersion:
		return nil, apierrors.NewConflict(appsv1.Resource("daemonsets"), name, errors.New("changed"))
	}
	c.set = c.set.DeepCopy()
	lock := ""
	if text := p.Metadata.Annotations[Annotation]; text != nil {
		lock = *text
	}
	annotate(c.set, lock)
	c.send(watch.Modified)
	if c.Patched != nil {
		c.Patched(lock)
	}
	if c.After != nil {
		if err := c.After(); err != nil {
			return nil, err
		}
	}
	return c.set.DeepCopy(), nil
}

// List lists the DaemonSet.
func (c *Client) List(context.Context, metav1.ListOptions) (*appsv1.DaemonSetList, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.call(); err != nil {
		return nil, err
	}
	l := &appsv1.DaemonSetList{ListMeta: metav1.ListMeta{ResourceVersion: strconv.Itoa(c.version)}}
	if c.set != nil {
		l.Items = []appsv1.DaemonSet{*c.set.DeepCopy()}
	}
	return l, nil
}

// Watch watches it, from now on.
func (c *Client) Watch(_ context.Context, o metav1.ListOptions) (watch.Interface, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.call(); err != nil {
		return nil, err
	}
	if o.SendInitialEvents != nil {
		return nil, apierrors.NewInvalid(appsv1.SchemeGroupVersion.WithKind("DaemonSet").GroupKind(), "", nil) // the asker lists
	}
	w := watch.NewRaceFreeFake()
	c.watchers = append(c.watchers, w)
	return w, nil
}
