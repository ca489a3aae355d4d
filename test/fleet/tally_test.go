package fleet

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// tally is what was done in one run or in many.
type tally struct {
	Seeds, Big, Steps int
	Faults            map[string]int // by kind
	Checks            map[string]int // by promise
	Took              time.Duration  // of virtual time
}

func (t *tally) add(o tally) {
	t.Seeds, t.Big, t.Steps, t.Took = t.Seeds+o.Seeds, t.Big+o.Big, t.Steps+o.Steps, t.Took+o.Took
	if t.Faults == nil {
		t.Faults, t.Checks = map[string]int{}, map[string]int{}
	}
	for kind, n := range o.Faults {
		t.Faults[kind] += n
	}
	for promise, n := range o.Checks {
		t.Checks[promise] += n
	}
}

func (t *tally) say(took time.Duration) string {
	return fmt.Sprintf("%d seeds (%d of %d nodes and more), %d steps, %d faults injected (%s), %d invariants checked (%s); %s of virtual time in %s (%.1f seeds/s)",
		t.Seeds, t.Big, big, t.Steps, sum(t.Faults), kinds(t.Faults), sum(t.Checks), kinds(t.Checks),
		t.Took.Round(time.Hour), took.Round(time.Second), float64(t.Seeds)/took.Seconds())
}

func sum(m map[string]int) int {
	n := 0
	for _, one := range m {
		n += one
	}
	return n
}

func kinds(m map[string]int) string {
	var all []string
	for _, kind := range slices.Sorted(maps.Keys(m)) {
		all = append(all, fmt.Sprintf("%s %d", kind, m[kind]))
	}
	return strings.Join(all, ", ")
}

const handed = "tally: "

// hand gives the tally of a part to the process that started it.
func (t *tally) hand(tb testing.TB) {
	text, err := json.Marshal(t)
	if err != nil {
		tb.Error(err)
	}
	fmt.Printf("%s%s\n", handed, text)
}

// share is this part's of so many seeds.
func share(seeds int) int { return (seeds + *parts - 1 - *part) / *parts }

// startParts starts the other parts. Each that is returned waits for its end, tells of what it found, and returns its tally.
func startParts(t *testing.T) []func(testing.TB) tally {
	t.Helper()
	var all []func(testing.TB) tally
	for i := 1; i < *parts && *part == 0; i++ {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFleet$", "-test.timeout=0",
			fmt.Sprintf("-parts=%d", *parts), fmt.Sprintf("-part=%d", i), fmt.Sprintf("-from=%d", *firstly), fmt.Sprintf("-seeds=%d", *maxSeeds),
			fmt.Sprintf("-for=%s", budget()), fmt.Sprintf("-go-on=%v", *goOn))
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		all = append(all, func(t testing.TB) tally {
			t.Helper()
			err := cmd.Wait()
			before, rest, found := strings.Cut(out.String(), handed)
			line, after, _ := strings.Cut(rest, "\n")
			var its tally
			if json.Unmarshal([]byte(line), &its) != nil || !found || err != nil {
				t.Errorf("part %d: %v\n%s%s", i, err, before, after)
			}
			return its
		})
	}
	return all
}
