package schedule

import (
	"fmt"
	"time"
)

// Schedule is all windows and freezes together. Zone must be set.
type Schedule struct {
	Windows []Window
	Freezes []Freeze
	Zone    *time.Location
}

// Horizon is how far ahead the end of an opening is looked for.
const Horizon = 366 * day

// Opening is a time without a break in which a window is open and no freeze is on.
type Opening struct {
	Start time.Time
	// End is zero when it is more than a year away.
	End time.Time
	// Window is the one that is open at the start, as it was written; "" where there are none.
	Window string
}

// State is what the schedule says of one moment.
type State struct {
	Open bool
	// Frozen is whether a freeze is what closes it.
	Frozen bool
	// Opens is when it opens next, if it is closed and that is known.
	Opens time.Time
	// Message is a sentence that says why it is open or closed, and when that changes.
	Message string
}

// At says whether it is open at t, and stays so for the margin.
func (s Schedule) At(t time.Time, margin time.Duration) State {
	t = t.In(s.Zone)
	if f, until, frozen := s.frozen(t); frozen {
		opens, next := s.nextOpening(t)
		return State{Frozen: true, Opens: opens, Message: fmt.Sprintf("Freeze %s holds until %s; %s.", f, stamp(until), next)}
	}
	window, _, open := s.covered(t)
	if !open {
		opens, next := s.nextOpening(t)
		return State{Opens: opens, Message: fmt.Sprintf("No maintenance window is open; %s.", next)}
	}
	closes, ok := s.Closes(t, margin)
	switch {
	case ok:
		opens, next := s.nextOpening(closes)
		return State{Opens: opens, Message: fmt.Sprintf("The maintenance window closes at %s, so close that nothing is begun any more (--window-margin=%s); %s.",
			stamp(closes), margin, next)}
	case window == "" && len(s.Freezes) == 0:
		return State{Open: true, Message: "There are no maintenance windows, so it is always open."}
	case window == "":
		return State{Open: true, Message: "There are no maintenance windows, and no freeze is on."}
	}
	return State{Open: true, Message: fmt.Sprintf("Maintenance window %s is open.", window)}
}

// nextOpening says when the next opening after a closed t is; zero if there is none.
func (s Schedule) nextOpening(t time.Time) (time.Time, string) {
	at, window, ok := s.opens(t)
	switch {
	case !ok:
		return time.Time{}, "no window opens any more"
	case window == "":
		return at, "it opens at " + stamp(at)
	default:
		return at, fmt.Sprintf("the next one opens at %s (%s)", stamp(at), window)
	}
}

// Closes is when an opening that includes t ends, if that is no more than within away.
func (s Schedule) Closes(t time.Time, within time.Duration) (time.Time, bool) {
	limit := t.Add(within)
	freeze, freezes := s.nextFreeze(t)
	freezes = freezes && !freeze.After(limit)
	if freezes {
		limit = freeze
	}
	for !t.After(limit) {
		_, until, ok := s.covered(t)
		switch {
		case !ok:
			return t, true
		case until.IsZero():
			return freeze, freezes
		}
		t = until
	}
	return freeze, freezes
}

// Next returns the next openings, at most n, that start after t. It stops at one that has no end.
func (s Schedule) Next(t time.Time, n int) []Opening {
	t = t.In(s.Zone)
	var list []Opening
	for len(list) < n {
		if s.isOpen(t) {
			closes, ok := s.Closes(t, Horizon)
			if !ok {
				return list
			}
			t = closes
		}
		at, window, ok := s.opens(t)
		if !ok {
			return list
		}
		o := Opening{Start: at, Window: window}
		if closes, ok := s.Closes(at, Horizon); ok {
			o.End = closes
		}
		list = append(list, o)
		t = at
	}
	return list
}

func (s Schedule) isOpen(t time.Time) bool {
	_, _, frozen := s.frozen(t)
	_, _, open := s.covered(t)
	return open && !frozen
}

// opens is the first moment from t on at which it is open, and the window that is open then.
func (s Schedule) opens(t time.Time) (time.Time, string, bool) {
	for {
		if _, until, frozen := s.frozen(t); frozen {
			t = until
			continue
		}
		if window, _, open := s.covered(t); open {
			return t, window, true
		}
		var ok bool
		if t, ok = s.nextStart(t); !ok {
			return time.Time{}, "", false
		}
	}
}

// covered is the window that is open at t, and until when; of several the one that is open longest. Where there are no
// windows it is always open: the text is empty and until zero.
func (s Schedule) covered(t time.Time) (window string, until time.Time, open bool) {
	for _, w := range s.Windows {
		for p := range w.spans(t, s.Zone) {
			if p.start.After(t) {
				break
			}
			if p.end.After(until) {
				window, until, open = w.text, p.end, true
			}
		}
	}
	return window, until, open || len(s.Windows) == 0
}

// nextStart is when a window starts next after t.
func (s Schedule) nextStart(t time.Time) (start time.Time, ok bool) {
	for _, w := range s.Windows {
		for p := range w.spans(t, s.Zone) {
			if !p.start.After(t) {
				continue
			}
			if !ok || p.start.Before(start) {
				start, ok = p.start, true
			}
			break
		}
	}
	return start, ok
}

// frozen is the freeze that is on at t; of several the one that ends last.
func (s Schedule) frozen(t time.Time) (freeze Freeze, until time.Time, ok bool) {
	for _, f := range s.Freezes {
		if p := f.span(s.Zone); !p.start.After(t) && p.end.After(t) && p.end.After(until) {
			freeze, until, ok = f, p.end, true
		}
	}
	return freeze, until, ok
}

// nextFreeze is when a freeze begins next after t.
func (s Schedule) nextFreeze(t time.Time) (start time.Time, ok bool) {
	for _, f := range s.Freezes {
		if p := f.span(s.Zone); p.start.After(t) && (!ok || p.start.Before(start)) {
			start, ok = p.start, true
		}
	}
	return start, ok
}

func stamp(t time.Time) string { return t.Format(time.RFC3339) }
