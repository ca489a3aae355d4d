package schedule

import (
	"errors"
	"slices"
	"strings"
	"time"
)

// days are the days on which a window starts. A bit is one weekday, Sunday the lowest; one week of the month, the first the
// lowest; or one day of the month, counted from 1. The zero value is no day at all.
type days struct {
	weekdays uint8
	weeks    uint8 // 0: every week
	month    uint32
}

const (
	lastWeek = 7 // the bit for the last such weekday of the month
	lastDay  = 0 // the bit for the last day of the month
)

// match reports whether a date is one of the days.
func (d days) match(date time.Time) bool {
	of, left := date.Day(), daysIn(date)-date.Day()
	if d.month != 0 {
		return d.month&(1<<of) != 0 || left == 0 && d.month&(1<<lastDay) != 0
	}
	if d.weekdays&(1<<date.Weekday()) == 0 {
		return false
	}
	return d.weeks == 0 || d.weeks&(1<<((of-1)/7)) != 0 || left < 7 && d.weeks&(1<<lastWeek) != 0
}

func daysIn(date time.Time) int {
	return time.Date(date.Year(), date.Month()+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

// parseDays reads what stands before the hours, in small letters.
func parseDays(words []string) (days, error) {
	switch {
	case len(words) == 0 || len(words) == 1 && words[0] == "daily":
		return days{weekdays: 1<<7 - 1}, nil
	case len(words) == 1:
		weekdays, err := parseWeekdays(words[0])
		return days{weekdays: weekdays}, err
	case len(words) == 2 && words[0] == "day":
		month, err := parseMonthDays(words[1])
		return days{month: month}, err
	case len(words) == 2:
		weeks, err := parseWeeks(words[0])
		if err != nil {
			return days{}, err
		}
		weekdays, err := parseWeekdays(words[1])
		return days{weekdays: weekdays, weeks: weeks}, err
	default:
		return days{}, errors.New(`a window is days, then hours, as in "mon-fri 22:00-04:00", "last sun 02:00-06:00" or "day 15 01:00-05:00"`)
	}
}

// parseWeekdays reads a list such as mon-fri,sun.
func parseWeekdays(text string) (uint8, error) {
	var set uint8
	for part := range strings.SplitSeq(text, ",") {
		a, b, isRange := strings.Cut(part, "-")
		if !isRange {
			b = a
		}
		from, okFrom := parseWeekday(a)
		to, okTo := parseWeekday(b)
		if !okFrom || !okTo {
			return 0, errors.New("weekdays are written as mon, sat,sun or mon-fri")
		}
		for ; from != to; from = (from + 1) % 7 {
			set |= 1 << from
		}
		set |= 1 << to
	}
	return set, nil
}

// parseWeekday reads a weekday's name or its beginning, of two letters at least.
func parseWeekday(text string) (time.Weekday, bool) {
	for d := time.Sunday; d <= time.Saturday && len(text) >= 2; d++ {
		if strings.HasPrefix(strings.ToLower(d.String()), text) {
			return d, true
		}
	}
	return 0, false
}

func parseWeeks(text string) (uint8, error) {
	var set uint8
	for part := range strings.SplitSeq(text, ",") {
		week := slices.Index([]string{"first", "second", "third", "fourth", "fifth", "", "", "last"}, part)
		if week < 0 || part == "" {
			return 0, errors.New("a week of the month is first, second, third, fourth, fifth or last, as in last sun or first,third sat")
		}
		set |= 1 << week
	}
	return set, nil
}

func parseMonthDays(text string) (uint32, error) {
	var set uint32
	for part := range strings.SplitSeq(text, ",") {
		if part == "last" {
			set |= 1 << lastDay
			continue
		}
		a, b, isRange := strings.Cut(part, "-")
		if !isRange {
			b = a
		}
		from, okFrom := digits(a, 2)
		to, okTo := digits(b, 2)
		if !okFrom || !okTo || from < 1 || to < from || to > 31 {
			return 0, errors.New("days of the month are written as day 15, day 1,15, day 1-7 or day last")
		}
		for ; from <= to; from++ {
			set |= 1 << from
		}
	}
	return set, nil
}

// Weekdays are some days of the week; the zero value is none.
type Weekdays uint8

// ParseWeekdays reads kured's list of days: names, of which the beginning suffices, or numbers from 0, which is Sunday. A range
// such as mon-fri is a name too.
func ParseWeekdays(text string) (Weekdays, error) {
	var set Weekdays
	for part := range strings.SplitSeq(strings.ToLower(text), ",") {
		part = strings.TrimSpace(part)
		if n, ok := digits(part, 1); ok && n < 7 {
			set |= 1 << n
			continue
		}
		names, err := parseWeekdays(part)
		if err != nil {
			return 0, errors.New("at least one day, such as mo, tue, friday, mon-fri, or 0 for Sunday up to 6 for Saturday")
		}
		set |= Weekdays(names)
	}
	return set, nil
}

func (w Weekdays) String() string {
	var names []string
	for d := time.Sunday; d <= time.Saturday; d++ {
		if w&(1<<d) != 0 {
			names = append(names, strings.ToLower(d.String()[:3]))
		}
	}
	return strings.Join(names, ",")
}

// Daily is kured's window: on these days, from a time of day up to another one, which is the last second still in it.
func Daily(on Weekdays, from, to Clock) Window {
	w := Window{days: days{weekdays: uint8(on)}, from: from, to: to + Clock(time.Second)}
	if w.to <= w.from {
		w.to += Clock(day)
	}
	w.text = on.String() + " " + from.String() + "-" + to.String()
	return w
}
