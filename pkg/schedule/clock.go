package schedule

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// wall is what the clock in loc shows at t. The times called walls here are in UTC only because they must be in some
// zone: a wall is no moment.
func wall(t time.Time, loc *time.Location) time.Time {
	t = t.In(loc)
	_, offset := t.Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

// first is the first moment at which the clock in loc shows w or, where w is skipped, more than w.
func first(w time.Time, loc *time.Location) time.Time {
	t, exact := some(w, loc)
	begin, _ := t.ZoneBounds()
	if !exact || begin.IsZero() {
		return t
	}
	if earlier := withOffsetAt(w, begin.Add(-time.Second), loc); earlier.Before(begin) {
		return earlier
	}
	return t
}

// last is like first, but of a time that comes twice the second moment.
func last(w time.Time, loc *time.Location) time.Time {
	t, exact := some(w, loc)
	_, end := t.ZoneBounds()
	if !exact || end.IsZero() {
		return t
	}
	if later := withOffsetAt(w, end, loc); !later.Before(end) {
		return later
	}
	return t
}

// some is one of the moments at which the clock in loc shows w; where w is skipped, it is the moment of the change and not exact.
func some(w time.Time, loc *time.Location) (t time.Time, exact bool) {
	t = time.Date(w.Year(), w.Month(), w.Day(), w.Hour(), w.Minute(), w.Second(), w.Nanosecond(), loc)
	begin, end := t.ZoneBounds()
	shown := wall(t, loc)
	switch {
	case shown.After(w):
		return begin, false
	case shown.Before(w):
		return end, false
	default:
		return t, true
	}
}

func withOffsetAt(w, at time.Time, loc *time.Location) time.Time {
	_, offset := at.In(loc).Zone()
	return w.Add(-time.Duration(offset) * time.Second).In(loc)
}

// midnight is the beginning of the day of a wall.
func midnight(w time.Time) time.Time { return w.Truncate(day) }

// Clock is a time of day, as the time since midnight.
type Clock time.Duration

func (c Clock) String() string {
	d := time.Duration(c)
	text := fmt.Sprintf("%02d:%02d", int(d.Hours()), int(d.Minutes())%60)
	if s := int(d.Seconds()) % 60; s > 0 {
		text += fmt.Sprintf(":%02d", s)
	}
	return text
}

// ParseClock reads a time of day in any of kured's forms.
func ParseClock(text string) (Clock, error) {
	for _, layout := range []string{"15:04", "15:04:05", "03:04pm", "3:04pm", "15", "03pm", "3pm"} {
		if t, err := time.Parse(layout, strings.ToLower(text)); err == nil && t.Nanosecond() == 0 {
			return Clock(t.Sub(midnight(t))), nil
		}
	}
	return 0, errors.New("a time of day such as 22:00, 22:00:30, 22, 10pm or 10:30pm")
}

// parseHours reads a span such as 22:00-04:00. The end comes after the start: it may be on the next day.
func parseHours(text string) (from, to Clock, err error) {
	allowed := errors.New("hours are written as 22:00-04:00, from 00:00 up to 24:00")
	a, b, ok := strings.Cut(text, "-")
	from, okFrom := parseHour(a)
	to, okTo := parseHour(b)
	switch {
	case !ok || !okFrom || !okTo || from == Clock(day):
		return 0, 0, allowed
	case from == to:
		return 0, 0, errors.New("the window must not end when it starts; a whole day is written without hours, or as 00:00-24:00")
	case to < from:
		to += Clock(day)
	}
	return from, to, nil
}

func parseHour(text string) (Clock, bool) {
	if text == "24:00" {
		return Clock(day), true
	}
	parts := strings.Split(text, ":")
	if len(parts) < 2 || len(parts) > 3 {
		return 0, false
	}
	var d time.Duration
	for i, unit := range []time.Duration{time.Hour, time.Minute, time.Second}[:len(parts)] {
		n, ok := digits(parts[i], 2)
		if !ok || n >= []int{24, 60, 60}[i] {
			return 0, false
		}
		d += time.Duration(n) * unit
	}
	return Clock(d), true
}

// digits reads a number of at most so many digits, without a sign.
func digits(text string, most int) (int, bool) {
	if text == "" || len(text) > most || strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(text)
	return n, err == nil
}
