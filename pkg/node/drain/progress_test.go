package drain

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestBudgetName(t *testing.T) {
	for message, want := range map[string]string{ // the sentences of kube-apiserver 1.37
		"The disruption budget web-pdb needs 3 healthy pods and has 3 currently":                                           "web-pdb",
		"The disruption budget web.pdb is still being processed by the server.":                                            "web.pdb",
		"The disruption budget web does not allow evicting pods currently because it failed sync: found no controller ref": "web",
		"Some other sentence about a budget":                                                                               "",
		"":                                                                                                                 "",
	} {
		if got := budgetName(message); got != want {
			t.Errorf("%q: got %q, want %q", message, got, want)
		}
	}
}

func TestErrorNamesTheWorstFiveAndCountsTheRest(t *testing.T) {
	var all []Obstacle
	for i := range 4 {
		all = append(all,
			Obstacle{Namespace: "b", Pod: fmt.Sprintf("slow-%d", i), Reason: Terminating, Message: strings.Repeat("ü", 1000)},
			Obstacle{Namespace: "b", Pod: fmt.Sprintf("failed-%d", i), Reason: Failed, Message: "no"},
			Obstacle{Namespace: "a", Pod: fmt.Sprintf("blocked-%d", i), Reason: PDB, PDBs: []string{"p", "q"}, Message: "full"},
		)
	}
	slices.Reverse(all)
	sortObstacles(all)
	cause := errors.New("timeout")
	err := &Error{Node: "n1", Obstacles: all, Cause: cause}
	want := "drain of node n1: timeout; in the way: a/blocked-0 (PDB p, q): full; a/blocked-1 (PDB p, q): full; " +
		"a/blocked-2 (PDB p, q): full; a/blocked-3 (PDB p, q): full; b/failed-0: no; and 7 more"
	if err.Error() != want || !errors.Is(err, cause) {
		t.Errorf("got  %s\nwant %s", err, want)
	}
	if long := all[11].String(); len(long) > 310 || !strings.HasSuffix(long, "ü…") {
		t.Errorf("long message not cut at a letter: %q", long)
	}
	if got := (&Error{Node: "n1", Cause: cause}).Error(); got != "drain of node n1: timeout" {
		t.Errorf("without obstacles: %s", got)
	}
}
