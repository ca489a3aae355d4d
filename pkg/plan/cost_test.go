package plan

import (
	"testing"
	"time"
)

// A node that waits looks again on every change of a slot, which may be several times in a second on thousands of nodes.
func TestDecideAllocatesLittle(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	for name, tt := range map[string]struct {
		o    Observation
		most float64
	}{
		"idle": {Observation{
			Node: Node{Name: "n", Exists: true, Ready: true, Told: Told{Reason: NotRequired, Message: "Nothing asks."}}, BootID: "b",
			Record: Record{Phase: Idle, Reason: NotRequired, BootID: "b"}, Wanted: Wanted{Answer: No, Reason: NotRequired, Message: "Nothing asks."},
		}, 4},
		"waiting": {Observation{
			Node: Node{Name: "n", Exists: true, Ready: true, Labelled: true, Told: Told{Reason: WaitingForSlot, Message: "All slots are taken.", At: now}}, BootID: "b",
			Record: Record{Phase: Required, Reason: WaitingForSlot, BootID: "b", RequiredSince: now},
			Wanted: Wanted{Answer: Yes, Reason: RebootRequired, Message: "A file asks."}, Slot: Slot{Message: "All slots are taken."},
			Gates: []Verdict{{Gate: "window", Open: true}, {Gate: "pause", Open: true}},
		}, 20},
	} {
		var a Action
		n := testing.AllocsPerRun(100, func() { a = Decide(tt.o, Policy{}, now) })
		if a.Do != DoWait {
			t.Fatalf("%s: %+v", name, a)
		}
		if t.Logf("%s: %.0f allocations", name, n); n > tt.most && sampled == 1 {
			t.Errorf("%s: %.0f allocations, at most %.0f", name, n, tt.most)
		}
	}
}
