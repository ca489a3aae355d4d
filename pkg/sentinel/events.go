package sentinel

import (
	"context"
	"time"

	"github.com/fsnotify/fsnotify"
)

// rewatch is how often a directory that can't be watched, or may have been replaced, is watched anew.
const rewatch = time.Minute

// Events calls wake whenever something changes in the directory, until ctx ends. It only saves waiting for the
// next look: inotify misses a directory that is replaced, so nothing may rely on it.
func Events(ctx context.Context, dir string, wake func()) {
	for ctx.Err() == nil {
		once(ctx, dir, wake)
	}
}

// once watches the directory until its next turn to be watched anew.
func once(ctx context.Context, dir string, wake func()) {
	timer := time.NewTimer(rewatch)
	defer timer.Stop()
	var events chan fsnotify.Event
	var errs chan error
	if w, err := fsnotify.NewWatcher(); err == nil {
		defer w.Close() //nolint:errcheck // nothing is lost with it
		if w.Add(dir) == nil {
			events, errs = w.Events, w.Errors
		}
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			return
		case <-errs:
			wake()
		case <-events:
			wake()
		}
	}
}
