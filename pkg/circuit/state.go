// Package circuit stops the reboots of the whole cluster when several nodes in a row failed after their reboot command:
// what one reboot broke, the next would break too.
//
// The failures are in one ConfigMap that every agent changes by compare-and-swap. Only a person, or the time that was
// set for it, closes a circuit that is open.
package circuit

import (
	"fmt"
	"strings"
	"time"
)

// The ConfigMap's keys.
const (
	// FailuresKey holds the failures in a row, a line each: when the node went out of service, its name, the reason.
	FailuresKey = "failures"
	// OpenKey holds since when the circuit is open; absent: it is closed.
	OpenKey = "open"
)

// Failure is a node that failed after its reboot command.
type Failure struct {
	Node string
	// Out is when it went out of service for this reboot, by its own clock. Node and Out make a failure count once.
	Out    time.Time
	Reason string
}

// State is what the agents know together. The zero value is a closed circuit without a failure.
type State struct {
	Failures []Failure
	// Opened is since when the circuit is open; zero: it is closed.
	Opened time.Time
}

// Rules say when the circuit opens and closes.
type Rules struct {
	// Threshold is after how many failures in a row the circuit opens; at least 1.
	Threshold int
	// Reset is after how long an open circuit closes by itself; 0: never.
	Reset time.Duration
}

// Open reports whether nobody may reboot.
func (r Rules) Open(s State, now time.Time) bool {
	return !s.Opened.IsZero() && (r.Reset == 0 || now.Before(s.Opened.Add(r.Reset)))
}

// Failed is the state with one more failure; false: it was counted already.
func (r Rules) Failed(s State, f Failure, now time.Time) (State, bool) {
	f.Out = f.Out.Truncate(time.Second) // as Data has it
	for _, old := range s.Failures {
		if old.Node == f.Node && old.Out.Equal(f.Out) {
			return s, false
		}
	}
	if !s.Opened.IsZero() && !r.Open(s, now) {
		s = State{}
	}
	after := State{Failures: append(append([]Failure(nil), s.Failures...), f), Opened: s.Opened}
	if len(after.Failures) >= r.Threshold && after.Opened.IsZero() {
		after.Opened = now
	}
	return after, true
}

// Succeeded is the state after a reboot that went well; false: it is the same. What is open stays so.
func (r Rules) Succeeded(s State, now time.Time) (State, bool) {
	if len(s.Failures) == 0 && s.Opened.IsZero() || r.Open(s, now) {
		return s, false
	}
	return State{}, true
}

// Parse reads the ConfigMap's data.
func Parse(data map[string]string) (State, error) {
	var s State
	if text := strings.TrimSpace(data[OpenKey]); text != "" {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return State{}, fmt.Errorf("key %s: %w", OpenKey, err)
		}
		s.Opened = at
	}
	for line := range strings.Lines(data[FailuresKey]) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if len(words) != 3 {
			return State{}, fmt.Errorf("key %s: %q is no time, node and reason", FailuresKey, strings.TrimSpace(line))
		}
		at, err := time.Parse(time.RFC3339, words[0])
		if err != nil {
			return State{}, fmt.Errorf("key %s: %w", FailuresKey, err)
		}
		s.Failures = append(s.Failures, Failure{Out: at, Node: words[1], Reason: words[2]})
	}
	return s, nil
}

// Data is what Parse reads.
func (s State) Data() map[string]string {
	data := map[string]string{}
	var lines strings.Builder
	for _, f := range s.Failures {
		fmt.Fprintf(&lines, "%s %s %s\n", f.Out.UTC().Format(time.RFC3339), f.Node, f.Reason)
	}
	if lines.Len() > 0 {
		data[FailuresKey] = lines.String()
	}
	if !s.Opened.IsZero() {
		data[OpenKey] = s.Opened.UTC().Format(time.RFC3339)
	}
	return data
}

// String names the nodes that failed and how.
func (s State) String() string {
	names := make([]string, 0, len(s.Failures))
	for _, f := range s.Failures {
		names = append(names, fmt.Sprintf("%s (%s)", f.Node, f.Reason))
	}
	return strings.Join(names, ", ")
}
