package view

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/duration"
)

// Age is a duration as kubectl shows it.
func Age(d time.Duration) string { return duration.HumanDuration(d) }

// Stamp is a time as it stands in messages and records.
func Stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// Count is "1 node" or "3 nodes".
func Count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// Names lists the first few.
func Names(all []string) string {
	const shown = 5
	if more := len(all) - shown; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(all[:shown], ", "), more)
	}
	return strings.Join(all, ", ")
}
