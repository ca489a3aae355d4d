package sentinel

import (
	"context"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// rewatch is how often a directory that can't be watched, or may have been replaced, is watched anew.
const rewatch = time.Minute

// Events calls wake whenever the file, or one whose name begins like its name, changes, until ctx ends. It
// only saves waiting for the next look: inotify misses a directory that is replaced, so nothing may rely on it.
func (f File) Events(ctx context.Context, wake func()) {
	for ctx.Err() == nil {
		once(ctx, f.here(), wake)
	}
}

// once watches the directory until its next turn to be watched anew.
func once(ctx context.Context, path string, wake func()) {
	dir := filepath.Dir(path)
	timer := time.NewTimer(rewatch)
	defer timer.Stop()
	w, err := fsnotify.NewWatcher()
	if err != nil {
		w = &fsnotify.Watcher{} // whose channels never receive
	} else {
		defer w.Close()
		_ = w.Add(dir) // without it, the poll finds what happens
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			return
		case _, lost := <-w.Errors:
			if lost {
				wake()
			}
		case e := <-w.Events:
			// Other programs write into this directory too, and some often.
			if e.Name == dir || strings.HasPrefix(e.Name, path) {
				wake()
			}
		}
	}
}
