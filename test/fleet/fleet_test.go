package fleet

import (
	"testing"
	"time"
)

// TestFleet plays seed after seed. A seed is a fleet, what goes wrong with it, and when.
func TestFleet(t *testing.T) {
	if *oneSeed >= 0 {
		r := play(t, *oneSeed, nil)
		t.Logf("seed %d\n%s", *oneSeed, r.text(0))
		if r.failed() {
			t.Errorf("wrong: %q", r.wrong)
		}
		return
	}
	var total result
	seeds, began := 0, time.Now()
	for seed := *firstly; time.Since(began) < budget() && (*maxSeeds == 0 || seeds < *maxSeeds); seed++ {
		r := play(t, seed, nil)
		seeds++
		total.steps, total.faults, total.checks, total.took = total.steps+r.steps, total.faults+r.faults, total.checks+r.checks, total.took+r.took
		if r.failed() {
			told := r.text(60)
			if *goOn {
				told = ""
			}
			t.Errorf("seed %d: %s (and %d more)\n%s\nTo see it again: go test ./test/fleet -run 'TestFleet$' -v -seed=%d", seed, r.wrong[0], len(r.wrong)-1, told, seed)
			if !*goOn {
				break
			}
		}
	}
	took := time.Since(began)
	t.Logf("%d seeds, %d steps, %d faults injected, %d invariants checked; %s of virtual time in %s (%.1f seeds/s)",
		seeds, total.steps, total.faults, total.checks, total.took.Round(time.Hour), took.Round(time.Second), float64(seeds)/took.Seconds())
}
