package schedule

import (
	"errors"
	"strings"
	"time"
)

// Freeze is a time in which nothing may begin, whatever window is open.
type Freeze struct {
	text       string
	start, end time.Time
	moments    bool // start and end are moments, else walls
}

// String is the freeze as it was written, with its name.
func (f Freeze) String() string { return f.text }

// ParseFreeze reads a freeze such as 2026-12-20..2027-01-03 (both days included), 2026-12-24, or
// 2026-12-20T18:00..2027-01-03T06:00, with a name before it or none, as in christmas=2026-12-20..2027-01-03.
func ParseFreeze(text string) (Freeze, error) {
	text = strings.TrimSpace(text)
	name, times, named := strings.Cut(text, "=")
	if !named {
		times = text
	}
	from, to, isRange := strings.Cut(times, "..")
	if !isRange {
		to = from
	}
	start, _, startZone, okStart := parseMoment(strings.TrimSpace(from))
	end, isDate, endZone, okEnd := parseMoment(strings.TrimSpace(to))
	if isDate {
		end = end.Add(day)
	}
	switch {
	case named && strings.TrimSpace(name) == "", !okStart, !okEnd, !isRange && !isDate:
		return Freeze{}, errors.New("dates or times such as 2026-12-20..2027-01-03 (both days included), 2026-12-24 or " +
			"2026-12-20T18:00..2027-01-03T06:00, with a name before them if you like, as in christmas=2026-12-24")
	case startZone != endZone:
		return Freeze{}, errors.New("either both times have an offset from UTC, or none has")
	case !end.After(start):
		return Freeze{}, errors.New("the end must come after the start")
	}
	return Freeze{text: text, start: start, end: end, moments: startZone}, nil
}

// parseMoment reads a date, a local time, or a time with its offset from UTC.
func parseMoment(text string) (t time.Time, isDate, zone, ok bool) {
	for _, layout := range []string{"2006-01-02", "2006-01-02T15:04", "2006-01-02T15:04:05", "2006-01-02T15:04Z07:00", time.RFC3339} {
		if t, err := time.Parse(layout, text); err == nil && t.Nanosecond() == 0 && t.Year() >= 1970 {
			return t, layout == "2006-01-02", strings.HasSuffix(layout, "Z07:00"), true
		}
	}
	return time.Time{}, false, false, false
}

// ParseTime reads a date, a time as the clock in loc shows it, or a time with its offset from UTC.
func ParseTime(text string, loc *time.Location) (time.Time, error) {
	t, _, zone, ok := parseMoment(strings.Replace(text, " ", "T", 1))
	switch {
	case !ok:
		return time.Time{}, errors.New("a time such as 2026-12-24T18:00 or 2026-12-24T18:00:00+01:00, or a date")
	case zone:
		return t.In(loc), nil
	default:
		return first(t, loc), nil
	}
}

func (f Freeze) span(loc *time.Location) span {
	if f.moments {
		return span{f.start.In(loc), f.end.In(loc)}
	}
	return span{first(f.start, loc), last(f.end, loc)}
}
