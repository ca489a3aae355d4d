package lock

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

func slot(i int, node string, second int) Slot {
	return Slot{
		Name: Name("g", i), Index: i, UID: types.UID(fmt.Sprintf("lease-%s-%d", node, i)), Node: node,
		NodeUID: types.UID(node + "-uid"), Created: time.Unix(int64(second), 0),
	}
}

func TestFree(t *testing.T) {
	for _, tt := range []struct {
		name string
		held []Slot
		n    int
		want []int
	}{
		{"none held", nil, 1, []int{0}},
		{"the only one is held", []Slot{slot(0, "a", 1)}, 1, nil},
		{"between others", []Slot{slot(0, "a", 1), slot(2, "c", 1)}, 4, []int{1, 3}},
		{"fewer than before: one beyond the number counts", []Slot{slot(1, "a", 1)}, 1, nil},
		{"fewer than before, and room again", []Slot{slot(4, "a", 1)}, 2, []int{0, 1}},
		{"more than before", []Slot{slot(0, "a", 1)}, 2, []int{1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Free(tt.held, tt.n); !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
	for _, tt := range []struct {
		want []int
		got  int // -1: none
	}{
		{nil, 1}, {[]int{4}, 4}, {[]int{7, 4}, 7}, {[]int{0, 4, 1}, 4}, {[]int{0, 2}, -1}, {[]int{}, -1},
	} {
		if got, ok := choose([]int{1, 4, 7}, tt.want); ok != (tt.got >= 0) || ok && got != tt.got {
			t.Errorf("wanted %v: got %d, %v", tt.want, got, ok)
		}
	}
	if _, ok := choose(nil, nil); ok {
		t.Error("chose one of none")
	}
}

func TestMine(t *testing.T) {
	old := slot(0, "a", 1)
	old.NodeUID = "a-former"
	if _, _, ok := Mine([]Slot{old, slot(1, "b", 1)}, "a", "a-uid"); ok {
		t.Error("a slot of an earlier Node of that name is not this one's")
	}
	mine, extra, ok := Mine([]Slot{slot(2, "a", 5), slot(1, "a", 4)}, "a", "a-uid")
	if !ok || mine.Index != 1 || len(extra) != 1 || extra[0].Index != 2 {
		t.Errorf("of two the older is kept: got %+v, extra %+v", mine, extra)
	}
}

func TestSurplus(t *testing.T) {
	mine := slot(1, "me", 10)
	for _, tt := range []struct {
		name string
		held []Slot
		n    int
		want bool
	}{
		{"alone", []Slot{mine}, 1, false},
		{"another came first", []Slot{slot(0, "a", 9), mine}, 1, true},
		{"another came later", []Slot{slot(0, "a", 11), mine}, 1, false},
		{"in the same second both give way", []Slot{slot(0, "a", 10), mine}, 1, true},
		{"room for two", []Slot{slot(0, "a", 9), mine}, 2, false},
		{"the number shrank", []Slot{slot(0, "a", 1), slot(3, "b", 2), mine}, 2, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Surplus(tt.held, mine, tt.n); got != tt.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestNames(t *testing.T) {
	for name, group := range map[string]string{
		"rebootd-default-0": "default", "rebootd-a-b-12": "a-b",
		"rebootd-control-plane": "", "rebootd-default-01": "", "rebootd-default--1": "default-1", "other-0": "", "rebootd--0": "",
	} {
		got, ok := GroupOf(name)
		if name == "rebootd-default--1" {
			continue // group "default-" with slot 1: no label has such a value, and nothing depends on it
		}
		if got != group && ok || ok != (group != "") {
			t.Errorf("GroupOf(%q) = %q, %v; want %q", name, got, ok, group)
		}
	}
	seen := map[string]string{}
	for _, value := range []string{"pool-1", "Pool_1", "pool.1", "pool_1", strings.Repeat("x", 63), strings.Repeat("x", 62) + "y", "ÄÖ"} {
		name := GroupName(value, "default")
		if len(name) > nameLimit || name != GroupName(name, "default") {
			t.Errorf("GroupName(%q) = %q can't be part of a Lease's name", value, name)
		}
		if other, clash := seen[name]; clash {
			t.Errorf("%q and %q are both %q", value, other, name)
		}
		seen[name] = value
	}
}

func TestOrder(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	waiters := []Waiter{
		{Node: "cp", ControlPlane: true, Zone: "z1", Since: at(1)},
		{Node: "old-other-zone", Zone: "z2", Since: at(2)},
		{Node: "young-here", Zone: "z1", Since: at(9)},
		{Node: "b-here", Zone: "z1", Since: at(5)},
		{Node: "a-here", Zone: "z1", Since: at(5)},
		{Node: "young-third-zone", Zone: "z3", Since: at(3)},
		{Node: "urgent", Priority: 5, ControlPlane: true, Zone: "z9", Since: at(99)},
		{Node: "last", Priority: -1, Zone: "z1", Since: at(0)},
	}
	want := "urgent a-here b-here young-here old-other-zone young-third-zone cp last"
	for range 50 {
		rand.Shuffle(len(waiters), func(i, j int) { waiters[i], waiters[j] = waiters[j], waiters[i] })
		var got []string
		for _, w := range Order(waiters, "z1") {
			got = append(got, w.Node)
		}
		if strings.Join(got, " ") != want {
			t.Fatalf("got  %s\nwant %s", strings.Join(got, " "), want)
		}
	}
}

func TestTurn(t *testing.T) {
	now := time.Unix(1000, 0)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	for _, tt := range []struct {
		name       string
		free       []Handover
		since      time.Time
		chance     float64
		after, end time.Duration // its turn is not before, and not after
		slot       int           // -1: any
	}{
		{"who was named goes at once", []Handover{{Slot: 2, Next: "me", Waiting: 5000, At: ago(time.Second)}}, now, 0.9, 0, 0, 2},
		{"who was named by the later of two, too", []Handover{{Next: "x", At: now}, {Slot: 3, Next: "me", At: ago(time.Second)}}, now, 0.9, 0, 0, 3},
		{"the others leave it that", []Handover{{Next: "x", Waiting: 5000, At: ago(time.Second)}}, ago(time.Second), 0, reserve - time.Second, reserve - time.Second, -1},
		{"thousands spread over seconds", []Handover{{Next: "x", Waiting: 5000, At: now}}, now, 0.999, reserve + 10*time.Second, reserve + spreadMost, -1},
		{"few are early", []Handover{{Waiting: 1000, At: now}}, now, 0.01, time.Second, 2 * time.Second, -1},
		{"a slot that was free already", []Handover{{}}, now, 0.999, 0, spreadLeast, -1},
		{"a slot that nobody is named for doesn't wait for that of another", []Handover{{Next: "x", At: now}, {Slot: 1, At: now}}, now, 0.5, 0, spreadLeast, -1},
		{"and it takes that one", []Handover{{Next: "x", At: ago(2 * time.Second)}, {Slot: 1, At: ago(2 * time.Second)}, {Slot: 2, Next: "y", At: ago(2 * time.Second)}}, ago(2 * time.Second), 0.5, -2 * time.Second, 0, 1},
		{"who comes late spreads from then on", []Handover{{Waiting: 1000, At: ago(time.Minute)}}, now, 0.9, 4 * time.Second, 5 * time.Second, -1},
		{"who was named an hour ago is one of many", []Handover{{Next: "me", Waiting: 1000, At: ago(time.Hour)}}, now, 0.9, 4 * time.Second, 5 * time.Second, -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			at, slots := Turn("me", tt.free, tt.since, now, tt.chance)
			if d := at.Sub(now); d < tt.after || d > tt.end {
				t.Errorf("its turn is in %s, not between %s and %s", d, tt.after, tt.end)
			}
			if tt.slot >= 0 && !slices.Equal(slots, []int{tt.slot}) {
				t.Errorf("it takes one of the slots %v", slots)
			}
		})
	}
}

// Those who try in the same moment for the same slots begin with different ones, and have all of them but those that are kept for others.
func TestTurnsBeginApart(t *testing.T) {
	now, first := time.Unix(1000, 0), map[int]int{}
	free := []Handover{{Slot: 0}, {Slot: 1}, {Slot: 2, Next: "x", At: now}, {Slot: 3}, {Slot: 4}}
	for i := range 400 {
		_, slots := Turn(fmt.Sprint("node-", i), free, now, now, 0)
		first[slots[0]]++
		slices.Sort(slots)
		if !slices.Equal(slots, []int{0, 1, 3, 4}) {
			t.Fatalf("got %v", slots)
		}
	}
	for i, n := range first {
		if n < 50 || n > 150 {
			t.Errorf("%d of 400 begin with slot %d", n, i)
		}
	}
}

// A name on a slot that stays held counts for a time only: its holder may have died over the handover.
func TestHeeded(t *testing.T) {
	var s Sightings
	now := time.Unix(1000, 0)
	dead, busy, long := slot(0, "dead", 1), slot(1, "busy", 1), slot(2, "long", 1)
	long.Version = "1"
	dead.Next, dead.Version, busy.Next, busy.Version = "a", "5", "b", "6"
	names := func() string {
		fresh := s.Heeded([]Slot{dead, busy, long}, now)
		return fresh[0].Next + fresh[1].Next + fresh[2].Next
	}
	for _, step := range []struct {
		after time.Duration
		do    func()
		want  string
	}{
		{0, func() {}, "ab"},
		{time.Duration(heeded) - time.Second, func() {}, "ab"},
		{0, func() { busy.Next, busy.Version = "c", "7" }, "ac"},
		{time.Second, func() {}, "c"},
		{time.Duration(heeded), func() {}, ""},
		{time.Hour, func() { long.Next, long.Version = "d", "8" }, "d"},
		{time.Duration(heeded) - time.Second, func() {}, "d"},
		{time.Second, func() {}, ""},
	} {
		now = now.Add(step.after)
		step.do()
		if got := names(); got != step.want || dead.Next != "a" {
			t.Errorf("got %q, want %q", got, step.want)
		}
	}
}

// Slots that are freed in the same moment name different nodes, and the first ones, whoever sees what of the others.
func TestSuccessor(t *testing.T) {
	var waiters []Waiter
	for i := range 9 {
		waiters = append(waiters, Waiter{Node: string(rune('a' + i))})
	}
	held := []Slot{slot(0, "x", 1), slot(1, "y", 1), slot(2, "z", 1), slot(3, "b", 1)}
	for i := range 3 { // all look at once, then all name, twice
		if got := Successor(waiters, held[i], held, nil); got != "a" {
			t.Errorf("slot %d is left to %s", i, got)
		}
	}
	for i := range 3 {
		held[i].Next = "a"
	}
	for i, want := range []string{"a", "c", "d"} {
		if got := Successor(waiters, held[i], held, nil); got != want {
			t.Errorf("of three that name the same, slot %d is left to %s, not %s", i, got, want)
		}
	}
	held[1].Next, held[2].Next = "c", "d"
	for i, want := range []string{"a", "c", "d"} {
		if got := Successor(waiters, held[i], held, nil); got != want {
			t.Errorf("slot %d changed its mind from %s to %s", i, want, got)
		}
	}
	if got := Successor(waiters, held[2], held[2:], map[string]bool{"a": true, "c": true}); got != "d" {
		t.Errorf("those that were freed lately named a and c: %s", got)
	}
	if got := Successor(waiters[:2], held[2], held, map[string]bool{"": true}); got != "" {
		t.Errorf("nobody is left: %s", got)
	}
}
