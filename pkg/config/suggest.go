package config

import (
	"maps"
	"slices"
)

// suggest returns a hint at the known flag or variable that is closest to an unknown one.
func (p *parser) suggest(unknown string) string {
	best, least := "", 3 // that many typing errors are too many
	for _, known := range slices.Sorted(maps.Keys(p.known)) {
		if d := distance(unknown, known); d < least {
			best, least = known, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
}

// distance is the number of letters to add, drop or change to make b from a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0]++
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
