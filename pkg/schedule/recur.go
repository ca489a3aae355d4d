package schedule

import (
	"errors"
	"iter"
	"slices"
	"time"

	"github.com/teambition/rrule-go"
)

// complete fills in what DTSTART stands in for, so that the library can be started anywhere, and puts right where it
// departs from RFC 5545.
func (r *rule) complete() {
	o := &r.options
	o.Interval = max(1, o.Interval)
	if len(o.Byyearday)+len(o.Bymonthday)+len(o.Byweekday) == 0 {
		r.completeDay()
	}
	if o.Byhour == nil && o.Freq < rrule.HOURLY {
		o.Byhour = []int{r.first.Hour()}
	}
	if o.Byminute == nil && o.Freq < rrule.MINUTELY {
		o.Byminute = []int{r.first.Minute()}
	}
	if o.Bysecond == nil {
		o.Bysecond = []int{r.first.Second()}
	}
	// The library takes MO,2TU as days that are both. Written as all Mondays by number it is either.
	if slices.ContainsFunc(o.Byweekday, counts) {
		var counted []rrule.Weekday
		for _, d := range o.Byweekday {
			if counts(d) {
				counted = append(counted, d)
				continue
			}
			for n := 1; n <= mostWeeks(*o); n++ {
				counted = append(counted, d.Nth(n))
			}
		}
		o.Byweekday = counted
	}
}

// completeDay takes the day from DTSTART.
func (r *rule) completeDay() {
	o := &r.options
	switch {
	case o.Freq == rrule.WEEKLY || len(r.weeks) > 0: // the library would take a week of the year as all of its days
		o.Byweekday = []rrule.Weekday{weekdays()[(r.first.Weekday()+6)%7]}
	case o.Freq <= rrule.MONTHLY:
		o.Bymonthday = []int{r.first.Day()}
		if o.Freq == rrule.YEARLY && len(o.Bymonth) == 0 {
			o.Bymonth = []int{int(r.first.Month())}
		}
	}
}

// settle turns COUNT into UNTIL and refuses a rule without any start.
func (r *rule) settle() error {
	count := r.options.Count
	r.options.Count = 0
	n, at := 0, time.Time{}
	for at = range r.starts(r.first, time.UTC) {
		if n++; n >= count {
			break
		}
	}
	if n == 0 {
		return errors.New("the rule never starts")
	}
	if count > 0 {
		r.until = at
	}
	return nil
}

// starts are the walls at which the rule starts, none before from.
func (r *rule) starts(from time.Time, loc *time.Location) iter.Seq[time.Time] {
	until := r.until
	if r.untilUTC {
		until = wall(until, loc)
	}
	return func(yield func(time.Time) bool) {
		if from.Before(r.first) {
			from = r.first
		}
		if !until.IsZero() && from.After(until) {
			return
		}
		o := r.options
		o.Dtstart = r.anchor(from)
		lib, err := rrule.NewRRule(o)
		if err != nil {
			return // parseRule has made one of the same parts
		}
		for next := lib.Iterator(); ; {
			at, ok := next()
			if !ok || !until.IsZero() && at.After(until) {
				return
			}
			if !at.Before(from) && r.inWeeks(at) && !yield(at) {
				return
			}
		}
	}
}

// anchor is a wall from which the library finds every start that isn't before from: the beginning of one of the rule's own years,
// months, weeks, days, hours or minutes. Began at DTSTART the library would go through all starts since, and take the
// rest of DTSTART's week for a whole one.
func (r *rule) anchor(from time.Time) time.Time {
	date, n := midnight(r.first), r.options.Interval
	switch f := r.options.Freq; f {
	case rrule.YEARLY:
		years := from.Year() - date.Year()
		return time.Date(date.Year()+years/n*n, 1, 1, 0, 0, 0, 0, time.UTC)
	case rrule.MONTHLY:
		months := (from.Year()-date.Year())*12 + int(from.Month()-date.Month())
		return time.Date(date.Year(), date.Month()+time.Month(months/n*n), 1, 0, 0, 0, 0, time.UTC)
	case rrule.WEEKLY:
		date = weekStart(date, r.options.Wkst)
		return date.Add(day * time.Duration(int(from.Sub(date)/(7*day))/n*n*7))
	case rrule.DAILY:
		return date.Add(day * time.Duration(int(from.Sub(date)/day)/n*n))
	default:
		begin := r.first.Truncate(unit(f))
		return begin.Add(from.Sub(begin).Truncate(unit(f) * time.Duration(n)))
	}
}

// weekStart is the date on which the week of a date begins.
func weekStart(date time.Time, on rrule.Weekday) time.Time {
	since := (int(date.Weekday()) + 6 - on.Day() + 7) % 7 // Go counts from Sunday, the library from Monday
	return date.AddDate(0, 0, -since)
}

// inWeeks reports whether a wall is in one of the weeks of BYWEEKNO, if there are any. Week 1 is the first that has four days
// in its year.
func (r *rule) inWeeks(at time.Time) bool {
	if len(r.weeks) == 0 {
		return true
	}
	middle := weekStart(midnight(at), r.options.Wkst).AddDate(0, 0, 3)
	number := (middle.YearDay() + 6) / 7
	last := number
	for m := middle.AddDate(0, 0, 7); m.Year() == middle.Year(); m = m.AddDate(0, 0, 7) {
		last++
	}
	return slices.Contains(r.weeks, number) || slices.Contains(r.weeks, number-last-1)
}
