package schedule

import (
	"errors"
	"iter"
	"strings"
	"time"
)

// Window is one maintenance window. The zero value never opens; ParseWindow and Daily make one that does.
type Window struct {
	text string
	// rule is set for a recurrence rule. Else the window is open on days, from one time until another one after it.
	rule     *rule
	days     days
	from, to Clock
}

// String is the window as it was written.
func (w Window) String() string { return w.text }

// ParseWindow reads a window such as "mon-fri 22:00-04:00", "sat,sun", "last sun 02:00-06:00", "day 15 01:00-05:00",
// or a recurrence rule of RFC 5545.
func ParseWindow(text string) (Window, error) {
	text = strings.Join(strings.Fields(text), " ")
	if text == "" {
		return Window{}, errors.New(`a window such as "mon-fri 22:00-04:00", "sat,sun", "last sun 02:00-06:00", ` +
			`"day 15 01:00-05:00" or "RRULE:FREQ=...;DTSTART=...;DURATION=..."`)
	}
	if prefix := "RRULE:"; len(text) >= len(prefix) && strings.EqualFold(text[:len(prefix)], prefix) {
		r, err := parseRule(text[len(prefix):])
		if err != nil {
			return Window{}, err
		}
		return Window{text: text, rule: r}, nil
	}
	w := Window{text: text, to: Clock(day)}
	words := strings.Fields(strings.ToLower(text))
	isDay := len(words) == 2 && words[0] == "day"
	if hours := words[len(words)-1]; !isDay && hours[0] >= '0' && hours[0] <= '9' {
		var err error
		if w.from, w.to, err = parseHours(hours); err != nil {
			return Window{}, err
		}
		words = words[:len(words)-1]
	}
	var err error
	if w.days, err = parseDays(words); err != nil {
		return Window{}, err
	}
	return w, nil
}

// Length is how long the window is when no clock changes.
func (w Window) Length() time.Duration {
	if w.rule != nil {
		return time.Duration(w.rule.days)*day + w.rule.exact
	}
	return time.Duration(w.to - w.from)
}

// span is from one moment up to another one.
type span struct{ start, end time.Time }

// spans are the times at which the window is open that end after t, by their start.
func (w Window) spans(t time.Time, loc *time.Location) iter.Seq[span] {
	// A change of the clocks moves a window by no more than a day.
	from := wall(t, loc).Add(-w.Length() - 2*day)
	return func(yield func(span) bool) {
		for start := range w.starts(from, loc) {
			s := span{start: first(start, loc)}
			s.end = w.end(start, s.start, loc)
			if s.end.After(t) && !yield(s) {
				return
			}
		}
	}
}

// starts are the walls from which the window is open, none before from.
func (w Window) starts(from time.Time, loc *time.Location) iter.Seq[time.Time] {
	if w.rule != nil {
		return w.rule.starts(from, loc)
	}
	return func(yield func(time.Time) bool) {
		if w.days == (days{}) {
			return
		}
		for date := midnight(from); date.Year() <= lastYear; date = date.Add(day) {
			start := date.Add(time.Duration(w.from))
			if w.days.match(date) && !start.Before(from) && !yield(start) {
				return
			}
		}
	}
}

// lastYear bounds every search.
const lastYear = 9999

// end is when a window ends that starts at a wall, which is the moment start.
func (w Window) end(at, start time.Time, loc *time.Location) time.Time {
	if r := w.rule; r != nil {
		if r.days > 0 {
			start = first(at.AddDate(0, 0, r.days), loc)
		}
		return start.Add(r.exact)
	}
	if end := first(midnight(at).Add(time.Duration(w.to)), loc); end.After(start) {
		return end
	}
	return start.Add(w.Length()) // all of it was skipped
}
