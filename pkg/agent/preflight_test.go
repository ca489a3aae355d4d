package agent

import (
	"context"
	"errors"
	"testing"
	"time"
)

// The version is asked for anew after a quarter of a minute, and after an error at once.
func TestRemembered(t *testing.T) {
	now, asked, err := time.Unix(0, 0), 0, error(nil)
	version := remembered(func(context.Context) (string, error) { asked++; return "v1", err }, func() time.Time { return now })
	for _, step := range []struct {
		after time.Duration
		err   error
		asked int
	}{{0, nil, 1}, {10 * time.Second, nil, 1}, {5 * time.Second, errors.New("no"), 2}, {time.Second, nil, 3}, {time.Second, errors.New("no"), 3}, {-time.Hour, nil, 4}} {
		now, err = now.Add(step.after), step.err
		got, gotErr := version(t.Context())
		if failed := step.err != nil && asked == step.asked && got == ""; asked != step.asked || gotErr == nil && got != "v1" || gotErr != nil && !failed {
			t.Errorf("after %s: %q, %v, asked %d times, not %d", step.after, got, gotErr, asked, step.asked)
		}
	}
}
