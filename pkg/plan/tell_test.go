package plan

import (
	"strings"
	"testing"
	"time"
)

func TestInFull(t *testing.T) {
	file := Wanted{Answer: Yes, Message: "/run/reboot-required asks for a reboot (packages: linux-image, libc6)."}
	since := Record{Phase: Required, RequiredSince: start(), AskedBy: []string{"file /run/reboot-required"}}
	closed := Verdict{Gate: "window", Reason: OutsideWindow, Skippable: true, Message: "No maintenance window is open; the next one opens at noon."}
	for name, tt := range map[string]struct {
		o       Observation
		r       Record
		message string
		want    string
	}{
		"who and since when": {
			Observation{Wanted: file}, since, "All slots are taken.",
			"All slots are taken. A reboot is wanted since 2030-01-01T00:00:00Z: /run/reboot-required asks for a reboot (packages: linux-image, libc6).",
		},
		"not twice": {
			Observation{Wanted: file}, since, file.Message, file.Message + " It has been wanted since 2030-01-01T00:00:00Z.",
		},
		"the next window, besides": {
			Observation{Wanted: file, Gates: []Verdict{{Gate: "hold", Reason: Held}, closed}}, since, "Held by a person.",
			"Held by a person. No maintenance window is open; the next one opens at noon. A reboot is wanted since 2030-01-01T00:00:00Z: " + file.Message,
		},
		"the next window, once": {
			Observation{Wanted: Wanted{Answer: No}, Gates: []Verdict{closed}}, since, closed.Message, closed.Message,
		},
		"a window that a request-now goes past": {
			Observation{Wanted: Wanted{Answer: Yes, Now: true, Message: "Now."}, Gates: []Verdict{closed}}, since, "All slots are taken.",
			"All slots are taken. A reboot is wanted since 2030-01-01T00:00:00Z: Now.",
		},
		"out already, the window doesn't matter": {
			Observation{Wanted: file, Gates: []Verdict{closed}}, Record{Phase: Drain}, "Draining.", "Draining. A reboot is wanted: " + file.Message,
		},
		"what a library said": {
			Observation{Wanted: file}, since, "It can't be evaluated: connection refused",
			"It can't be evaluated: connection refused. A reboot is wanted since 2030-01-01T00:00:00Z: " + file.Message,
		},
		"unknown by now": {
			Observation{}, since, "It can't be seen.", "It can't be seen. A reboot was wanted since 2030-01-01T00:00:00Z, by file /run/reboot-required.",
		},
		"nothing wanted": {Observation{Wanted: Wanted{Answer: No}}, since, "Nothing asks for a reboot.", "Nothing asks for a reboot."},
	} {
		if got := InFull(tt.o, tt.r, tt.message); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, tt.want)
		}
	}
	long := strings.Repeat("ä", 5000)
	o := Observation{Wanted: Wanted{Answer: Yes, Message: "x" + long}, Gates: []Verdict{{Reason: Frozen, Message: "y" + long}}}
	if n := len(InFull(o, since, long)); n > 3000 || n < 2500 {
		t.Errorf("%d bytes", n)
	}
}

// A condition that already says all of it isn't written again, whatever is longer in it than the message of the step; one that
// lacks a package that came later is, but not at once.
func TestToldInFullOnce(t *testing.T) {
	o := Observation{
		Node: Node{Name: "n", Exists: true, Ready: true}, BootID: "b",
		Record: Record{Phase: Required, Reason: WaitingForSlot, BootID: "b", RequiredSince: start(), AskedBy: []string{"file /f"}},
		Wanted: Wanted{Answer: Yes, Reason: RebootRequired, Message: "/f asks (packages: a).", By: []string{"file /f"}},
		Slot:   Slot{Message: "All slots are taken."},
	}
	p := newWorld().policy
	first := Decide(o, p, start())
	if first.Do != DoWrite || !strings.Contains(first.Told, "packages: a") {
		t.Fatalf("%+v", first)
	}
	o.Node.Told = Told{Reason: first.Reason, Message: first.Told, At: start()}
	if a := Decide(o, p, start().Add(time.Hour)); a.Do != DoWait {
		t.Errorf("%+v", a)
	}
	o.Wanted.Message = "/f asks (packages: a, b)."
	for after, want := range map[time.Duration]Do{time.Minute: DoWait, 11 * time.Minute: DoWrite} {
		if a := Decide(o, p, start().Add(after)); a.Do != want {
			t.Errorf("after %s: %+v", after, a)
		}
	}
}
