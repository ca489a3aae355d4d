package main

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/rebootd/rebootd/pkg/config"
	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/pkg/schedule"
)

// report is what `rebootd windows -o json` prints. A time that is null is unknown, or more than a year away.
type report struct {
	Open bool `json:"open"`
	// Reason is the reason's word and the sentence that the Node would carry.
	Reason string     `json:"reason"`
	Closes *time.Time `json:"closes"`
	Next   []opening  `json:"next"`
}

type opening struct {
	Start  time.Time  `json:"start"`
	End    *time.Time `json:"end"`
	Window string     `json:"window"`
}

// windows is `rebootd windows`: whether a reboot may begin at some time, and when next.
func windows(args, environ []string, now time.Time, stdout, stderr io.Writer) int {
	w, err := config.ParseWindows(args, environ, stdout)
	if err != nil {
		return unparsed("rebootd windows", err, stdout, stderr)
	}
	if w.At.IsZero() {
		w.At = now.Truncate(time.Second)
	}
	r := look(w.Schedule, w.At, w.Margin, w.Next)
	if w.Output == "json" {
		e := json.NewEncoder(stdout)
		e.SetIndent("", "  ")
		err = e.Encode(r)
	} else {
		err = r.print(stdout, w.At.In(w.Schedule.Zone))
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "rebootd windows: %v\n", err)
		return 1
	}
	return 0
}

func look(s schedule.Schedule, at time.Time, margin time.Duration, next int) report {
	state := s.At(at, margin)
	r := report{Open: state.Open, Next: []opening{}}
	switch {
	case state.Open:
		r.Reason = "Open: " + state.Message
		if closes, ok := s.Closes(at, schedule.Horizon); ok {
			r.Closes = &closes
		}
	case state.Frozen:
		r.Reason = string(plan.Frozen) + ": " + state.Message
	default:
		r.Reason = string(plan.OutsideWindow) + ": " + state.Message
	}
	for _, o := range s.Next(at, next) {
		one := opening{Start: o.Start, Window: o.Window}
		if !o.End.IsZero() {
			one.End = &o.End
		}
		r.Next = append(r.Next, one)
	}
	return r
}

func (r report) print(out io.Writer, at time.Time) error {
	_, err := fmt.Fprintf(out, "At %s: %s\n", at.Format(time.RFC3339), r.Reason)
	if r.Open {
		_, err = fmt.Fprintf(out, "Closes: %s\n", stamp(r.Closes))
	}
	if err == nil && len(r.Next) > 0 {
		_, err = fmt.Fprintf(out, "Next:\n")
	}
	for _, o := range r.Next {
		if err == nil {
			_, err = fmt.Fprintf(out, "  %s to %s  %s\n", stamp(&o.Start), stamp(o.End), o.Window)
		}
	}
	return err
}

func stamp(t *time.Time) string {
	if t == nil {
		return "not within a year"
	}
	return t.Format(time.RFC3339)
}
