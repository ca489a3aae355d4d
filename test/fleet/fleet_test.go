package fleet

import (
	"testing"
	"time"
)

// TestFleet plays seed after seed. A seed is a fleet, what goes wrong with it, and when. With -parts the test binary runs itself so often
// beside itself, each time with seeds of its own: one process plays on one processor only.
func TestFleet(t *testing.T) {
	if *oneSeed >= 0 {
		r := play(t, *oneSeed, nil)
		t.Logf("seed %d\n%s", *oneSeed, r.text(0))
		if r.failed() {
			t.Errorf("wrong: %q", r.wrong)
		}
		return
	}
	began := time.Now()
	var total tally
	others := startParts(t)
	for seed := *firstly + int64(*part); time.Since(began) < budget() && (*maxSeeds == 0 || total.Seeds < share(*maxSeeds)); seed += int64(*parts) {
		r := play(t, seed, nil)
		total.add(r.tally)
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
	if *part > 0 {
		total.hand(t)
		return
	}
	for _, other := range others {
		total.add(other(t))
	}
	t.Log(total.say(time.Since(began)))
}
