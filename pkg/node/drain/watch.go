package drain

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

// The pauses of a watch that has ended, and of one that has failed and begins anew with a list.
const (
	resumeAfter = time.Second
	relistAfter = 5 * time.Second
)

// podWatch keeps the pods of one node by a list and a watch.
//
// It isn't client-go's: a Reflector that backs off doesn't hear its context for up to a minute, and
// a RetryWatcher whose version has expired asks for the same version for ever.
type podWatch struct {
	drainer  *Drainer
	selector labels.Selector
	changed  chan struct{} // holds a token when something has changed since it was last taken

	mu     sync.Mutex
	byUID  map[types.UID]*corev1.Pod
	listed bool
	err    error
}

// run keeps the pods until ctx ends.
func (w *podWatch) run(ctx context.Context) {
	version := ""
	for ctx.Err() == nil {
		pause := resumeAfter
		if version = w.follow(ctx, version); version == "" {
			pause = relistAfter
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause + w.drainer.opts.late(pause)): // an API server that starts again has all drains' watches to begin
		}
	}
}

// follow watches from version on, or from a consistent list if version is empty, until the watch
// ends. It returns the version to go on from; empty after a failure.
func (w *podWatch) follow(ctx context.Context, version string) string {
	if version == "" {
		list, err := w.drainer.list(ctx, w.selector)
		if err != nil {
			return w.failed(ctx, err)
		}
		w.change(func() {
			w.listed = true
			clear(w.byUID)
			for i := range list.Items {
				w.byUID[list.Items[i].UID] = &list.Items[i]
			}
		})
		version = list.ResourceVersion
	}
	o := podsOf(w.drainer.opts.NodeName, w.selector)
	o.ResourceVersion, o.AllowWatchBookmarks = version, true
	stream, err := w.drainer.client.Pods.Watch(ctx, o)
	if err != nil {
		return w.failed(ctx, err)
	}
	defer stream.Stop()
	w.change(func() { w.err = nil })
	for e := range stream.ResultChan() {
		pod, ok := e.Object.(*corev1.Pod)
		if !ok {
			return w.failed(ctx, apierrors.FromObject(e.Object))
		}
		version = pod.ResourceVersion
		switch e.Type {
		case watch.Added, watch.Modified:
			w.change(func() { w.byUID[pod.UID] = pod })
		case watch.Deleted:
			w.change(func() { delete(w.byUID, pod.UID) })
		}
	}
	return version
}

// failed takes note of why the pods can't be seen, unless we broke it off ourselves.
func (w *podWatch) failed(ctx context.Context, err error) string {
	if ctx.Err() == nil {
		w.drainer.log.WithError(err).Debug("Watch of the node's pods failed; beginning anew")
		w.change(func() { w.err = err })
	}
	return ""
}

func (w *podWatch) change(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// pods returns the node's pods as last seen, and false before the first list. They are shared:
// read only.
func (w *podWatch) pods() ([]*corev1.Pod, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Collect(maps.Values(w.byUID)), w.listed
}

// lastErr says why the pods can't be seen at the moment; nil if they can.
func (w *podWatch) lastErr() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}
