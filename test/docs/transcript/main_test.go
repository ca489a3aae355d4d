package main

import (
	"strings"
	"testing"
)

const demo = `   0.0 s  building
  TIME    NODE     SERVICE         PHASE       WHAT IT SAYS
   1.0 s  asking all 2 nodes to reboot: touch
   1.1 s  n1       in              Required    RebootRequired: it asks.
   1.2 s  n2       OUT, cordoned   Draining    Cordoned.
   1.3 s  n1       in              Required    WaitingForSlot: LONG
  The same in the cluster's own words.
   1.4 s  n2       in              Idle        RebootSucceeded: done.
   1.5 s  n1       OUT, cordoned   Draining    Cordoned.

NODE     BOOT ID
n1       a

   9.0 s  removing the cluster …
OK: 2 nodes rebooted, one at a time
`

func TestRun(t *testing.T) {
	var b strings.Builder
	if err := run(strings.NewReader(demo), &b); err != nil {
		t.Fatal(err)
	}
	want := `$ make demo
…
  TIME    NODE     SERVICE         PHASE       WHAT IT SAYS
   1.0 s  asking all 2 nodes to reboot: touch
   1.2 s  n2       OUT, cordoned   Draining    Cordoned.
   1.4 s  n2       in              Idle        RebootSucceeded: done.
…
NODE     BOOT ID
n1       a

OK: 2 nodes rebooted, one at a time
`
	if b.String() != want {
		t.Errorf("got %s", b.String())
	}
	if err := run(strings.NewReader(strings.Replace(demo, "OK: ", "FAILED: ", 1)), &b); err == nil {
		t.Error("a demo that failed is shown")
	}
	if got := cut(strings.Repeat("é", width+1)); got != strings.Repeat("é", width-1)+"…" {
		t.Errorf("got %s", got)
	}
}
