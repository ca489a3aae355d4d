package plan

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"testing"
)

// The diagram in docs/architecture.md shows the ways from phase to phase that Decide takes, all of them and no other.
func TestDiagramOfPhases(t *testing.T) {
	page, err := os.ReadFile("../../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	drawn := map[string]bool{}
	for _, arrow := range regexp.MustCompile(`(?m)^ +(\w+) --> (\w+): .+$`).FindAllSubmatch(page, -1) {
		drawn[string(arrow[1])+" --> "+string(arrow[2])] = true
	}
	taken := transitions()
	for _, arrow := range slices.Sorted(maps.Keys(taken)) {
		if !drawn[arrow] {
			t.Errorf("the diagram lacks %s", arrow)
		}
	}
	for _, arrow := range slices.Sorted(maps.Keys(drawn)) {
		if !taken[arrow] {
			t.Errorf("Decide never goes %s", arrow)
		}
	}
}

// transitions are the changes of phase that Decide writes in any situation.
func transitions() map[string]bool {
	found := map[string]bool{}
	for _, phase := range Phases() {
		axes := append(common(), axesOf(phase)...)
		combine(axes, func(situation []int) {
			a := Decide(situationOf(phase, axes, situation), newWorld().policy, start())
			switch a.Do {
			case DoWrite, DoCordon, DoUncordon:
				if a.Record.Phase != phase {
					found[string(phase)+" --> "+string(a.Record.Phase)] = true
				}
			default:
			}
		})
	}
	return found
}
