package agent

import (
	"testing"

	"github.com/rebootd/rebootd/pkg/node/drain"
)

func TestProgress(t *testing.T) {
	for _, tt := range []struct {
		p    drain.Progress
		want string
	}{
		{drain.Progress{Total: 3, Gone: 1}, "1 of 3 pods are gone."},
		{drain.Progress{Total: 3, Gone: 1, Round: 1, Last: 2}, "1 of 3 pods are gone. Round 1 of 2; 2 are left for the end (--drain-last-selector)."},
		{drain.Progress{Total: 3, Gone: 2, Round: 2, Last: 1, Obstacles: []drain.Obstacle{{Namespace: "a", Pod: "b", Reason: drain.Terminating, Message: "ends"}}},
			"2 of 3 pods are gone. Round 2 of 2, those left for the end (--drain-last-selector). In the way: a/b: ends."},
	} {
		if got := progress(tt.p); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}
