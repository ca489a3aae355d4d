package schedule

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/teambition/rrule-go"
)

const (
	longest   = 31 * day
	mostCount = 10000
)

// rule is a recurrence rule of RFC 5545, with DTSTART and DURATION as two more of its parts.
type rule struct {
	// options has every part that DTSTART stands in for filled in, and neither COUNT, UNTIL, BYWEEKNO nor DTSTART. Strings
	// are never given to the library: it takes what it doesn't understand for something else.
	options rrule.ROption
	weeks   []int // BYWEEKNO; the library is wrong about some weeks at the end of the year
	first   time.Time
	// until is the last wall that may be a start; zero: none is. untilUTC: it is a moment.
	until    time.Time
	untilUTC bool
	days     int // of DURATION, nominal: the clock shows the same again
	exact    time.Duration
}

// parseRule reads a rule without its prefix. What RFC 5545 doesn't allow is refused and never guessed at.
func parseRule(text string) (*rule, error) {
	r := &rule{}
	seen := map[string]bool{}
	for part := range strings.SplitSeq(strings.TrimSuffix(strings.ToUpper(text), ";"), ";") {
		key, value, _ := strings.Cut(part, "=")
		if seen[key] {
			return nil, fmt.Errorf("%s must be there only once", key)
		}
		seen[key] = true
		if err := r.set(key, value); err != nil {
			return nil, err
		}
	}
	if err := r.check(seen); err != nil {
		return nil, err
	}
	r.complete()
	return r, r.settle()
}

// set reads one part.
func (r *rule) set(key, value string) error {
	o := &r.options
	var err error
	switch key {
	case "FREQ":
		o.Freq, err = rrule.StrToFreq(value)
		if err != nil || o.Freq == rrule.SECONDLY {
			return errors.New("FREQ is YEARLY, MONTHLY, WEEKLY, DAILY, HOURLY or MINUTELY")
		}
	case "INTERVAL":
		o.Interval, err = whole(key, value, 1, 10000, false)
	case "COUNT":
		o.Count, err = whole(key, value, 1, mostCount, false)
	case "WKST":
		o.Wkst, err = weekday(value, false)
	case "DTSTART":
		r.first, err = parseStamp(value, 0)
		if err != nil || r.first.Year() < 1970 || r.first.Year() > 2199 {
			return errors.New("DTSTART is a local time from 1970 to 2199, such as 20260101T230000")
		}
	case "UNTIL":
		return r.setUntil(value)
	case "DURATION":
		r.days, r.exact, err = parseDuration(value)
	default:
		return r.setBy(key, value)
	}
	return err
}

func (r *rule) setUntil(value string) error {
	local, utc := strings.CutSuffix(value, "Z")
	until, err := parseStamp(local, day-time.Second)
	if err != nil || utc && len(local) == len(dateStamp) {
		return errors.New("UNTIL is a local time or UTC, such as 20261231T230000, 20261231T230000Z or 20261231 (the whole day)")
	}
	r.until, r.untilUTC = until, utc
	return nil
}

// setBy reads one of the parts that say which.
func (r *rule) setBy(key, value string) error {
	o := &r.options
	var err error
	switch key {
	case "BYMONTH":
		o.Bymonth, err = wholes(key, value, 1, 12, false)
	case "BYWEEKNO":
		r.weeks, err = wholes(key, value, 1, 53, true)
	case "BYYEARDAY":
		o.Byyearday, err = wholes(key, value, 1, 366, true)
	case "BYMONTHDAY":
		o.Bymonthday, err = wholes(key, value, 1, 31, true)
	case "BYHOUR":
		o.Byhour, err = wholes(key, value, 0, 23, false)
	case "BYMINUTE":
		o.Byminute, err = wholes(key, value, 0, 59, false)
	case "BYSECOND":
		o.Bysecond, err = wholes(key, value, 0, 59, false)
	case "BYSETPOS":
		o.Bysetpos, err = wholes(key, value, 1, 366, true)
	case "BYDAY":
		for name := range strings.SplitSeq(value, ",") {
			d, err := weekday(name, true)
			if err != nil {
				return err
			}
			o.Byweekday = append(o.Byweekday, d)
		}
	default:
		return fmt.Errorf("%q is no part of a rule: those are FREQ, DTSTART, DURATION, INTERVAL, COUNT, UNTIL, WKST, BYMONTH, BYWEEKNO, "+
			"BYYEARDAY, BYMONTHDAY, BYDAY, BYHOUR, BYMINUTE, BYSECOND and BYSETPOS", key)
	}
	return err
}

// check looks at the parts together.
func (r *rule) check(seen map[string]bool) error {
	for _, key := range []string{"FREQ", "DTSTART", "DURATION"} {
		if !seen[key] {
			return fmt.Errorf("a rule needs %s, as in RRULE:FREQ=MONTHLY;BYDAY=2SA;DTSTART=20260101T230000;DURATION=PT5H", key)
		}
	}
	o := r.options
	counted := slices.ContainsFunc(o.Byweekday, counts)
	tooMany := slices.ContainsFunc(o.Byweekday, func(d rrule.Weekday) bool { return max(d.N(), -d.N()) > mostWeeks(o) })
	for _, rule := range []struct {
		broken bool
		text   string
	}{
		{counted && o.Freq > rrule.MONTHLY, "a number in BYDAY needs FREQ=MONTHLY or YEARLY"},
		{counted && seen["BYWEEKNO"], "a number in BYDAY can't go with BYWEEKNO"},
		{tooMany, fmt.Sprintf("a number in BYDAY is at most %d here", mostWeeks(o))},
		{seen["COUNT"] && seen["UNTIL"], "COUNT and UNTIL can't go together"},
		{seen["BYWEEKNO"] && o.Freq != rrule.YEARLY, "BYWEEKNO needs FREQ=YEARLY"},
		{seen["BYYEARDAY"] && slices.Contains([]rrule.Frequency{rrule.MONTHLY, rrule.WEEKLY, rrule.DAILY}, o.Freq),
			"BYYEARDAY can't go with FREQ=MONTHLY, WEEKLY or DAILY"},
		{seen["BYMONTHDAY"] && o.Freq == rrule.WEEKLY, "BYMONTHDAY can't go with FREQ=WEEKLY"},
		{seen["BYSETPOS"] && (o.Freq > rrule.DAILY || seen["BYWEEKNO"]), "BYSETPOS needs FREQ=DAILY or longer, and can't go with BYWEEKNO"},
		{!r.meets(), "INTERVAL never leads from DTSTART to what BYHOUR and BYMINUTE ask for"},
	} {
		if rule.broken {
			return errors.New(rule.text)
		}
	}
	return nil
}

// counts reports whether a day has a number, as 2SA has.
func counts(d rrule.Weekday) bool { return d.N() != 0 }

// mostWeeks is how many days of one name there can be where they are counted, which is in a month or in a year.
func mostWeeks(o rrule.ROption) int {
	if o.Freq == rrule.YEARLY && len(o.Bymonth) == 0 {
		return 53
	}
	return 5
}

// meets reports whether a rule that goes by the hour or the minute ever meets its BYHOUR and BYMINUTE. The library would look for ever.
func (r *rule) meets() bool {
	o := r.options
	if o.Freq <= rrule.DAILY {
		return true
	}
	step := time.Duration(max(1, o.Interval)) * unit(o.Freq)
	at := r.first
	for range 24 * 60 {
		if (o.Byhour == nil || slices.Contains(o.Byhour, at.Hour())) &&
			(o.Freq == rrule.HOURLY || o.Byminute == nil || slices.Contains(o.Byminute, at.Minute())) {
			return true
		}
		at = at.Add(step)
	}
	return false
}

func unit(f rrule.Frequency) time.Duration {
	if f == rrule.MINUTELY {
		return time.Minute
	}
	return time.Hour
}

const (
	timeStamp = "20060102T150405"
	dateStamp = "20060102"
)

// parseStamp reads a local time; a date alone stands for so long after its midnight.
func parseStamp(text string, after time.Duration) (time.Time, error) {
	if len(text) == len(dateStamp) {
		t, err := time.Parse(dateStamp, text)
		return t.Add(after), err
	}
	if len(text) != len(timeStamp) {
		return time.Time{}, errors.New("neither date nor time")
	}
	return time.Parse(timeStamp, text)
}

// parseDuration reads a duration such as PT5H, P1DT12H or P2W.
func parseDuration(text string) (days int, exact time.Duration, err error) {
	allowed := errors.New("DURATION is above 0 and at most 31 days, such as PT5H, PT90M, P1D, P1DT12H or P2W")
	rest, ok := strings.CutPrefix(text, "P")
	date, clock, isTimed := strings.Cut(rest, "T")
	if !ok || isTimed && clock == "" || rest == "" {
		return 0, 0, allowed
	}
	for _, part := range []struct {
		text  *string
		unit  string
		days  int
		exact time.Duration
	}{{&date, "W", 7, 0}, {&date, "D", 1, 0}, {&clock, "H", 0, time.Hour}, {&clock, "M", 0, time.Minute}, {&clock, "S", 0, time.Second}} {
		before, after, found := strings.Cut(*part.text, part.unit)
		if !found {
			continue
		}
		n, ok := digits(before, 7)
		if !ok {
			return 0, 0, allowed
		}
		days += n * part.days
		exact += time.Duration(n) * part.exact
		*part.text = after
	}
	if total := time.Duration(min(days, 32))*day + exact; date != "" || clock != "" || total <= 0 || total > longest {
		return 0, 0, allowed
	}
	return days, exact, nil
}

// whole reads a number from least to most or, with negative, the same below zero.
func whole(key, text string, least, most int, negative bool) (int, error) {
	n, err := strconv.Atoi(text)
	if err == nil && n >= least && n <= most || err == nil && negative && -n >= least && -n <= most {
		return n, nil
	}
	if negative {
		return 0, fmt.Errorf("%s is from %d to %d, or from -%d to -%d", key, least, most, most, least)
	}
	return 0, fmt.Errorf("%s is from %d to %d", key, least, most)
}

// wholes reads a list of numbers; each counts once.
func wholes(key, text string, least, most int, negative bool) ([]int, error) {
	var list []int
	for part := range strings.SplitSeq(text, ",") {
		n, err := whole(key, part, least, most, negative)
		if err != nil {
			return nil, err
		}
		list = append(list, n)
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}

// weekday reads a day such as MO or, where it may be counted, 2MO or -1SU.
func weekday(text string, counted bool) (rrule.Weekday, error) {
	allowed := errors.New("a day is MO, TU, WE, TH, FR, SA or SU, in BYDAY also with a number, as in 2SA or -1SU")
	if len(text) < 2 {
		return rrule.Weekday{}, allowed
	}
	number, name := text[:len(text)-2], text[len(text)-2:]
	i := slices.Index([]string{"MO", "TU", "WE", "TH", "FR", "SA", "SU"}, name)
	if i < 0 {
		return rrule.Weekday{}, allowed
	}
	if number == "" {
		return weekdays()[i], nil
	}
	n, err := whole("", number, 1, 53, true)
	if err != nil || !counted {
		return rrule.Weekday{}, allowed
	}
	d := weekdays()[i]
	return d.Nth(n), nil
}

// weekdays are the library's, in its order.
func weekdays() []rrule.Weekday {
	return []rrule.Weekday{rrule.MO, rrule.TU, rrule.WE, rrule.TH, rrule.FR, rrule.SA, rrule.SU}
}
