package schedule

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// ruleOracle evaluates a random rule of RFC 5545 in the plainest way: it looks at each day, and at each hour of it.
type ruleOracle struct {
	freq                                     string
	interval                                 int
	start                                    time.Time
	months, monthDays, yearDays, weeks, days []int // days are Weekdays, or week*10 + Weekday
	hours, minutes, positions                []int
	wkst                                     time.Weekday
}

func (o ruleOracle) week(d time.Time) time.Time {
	for d.Weekday() != o.wkst {
		d = d.AddDate(0, 0, -1)
	}
	return d
}

// period numbers the rule's own years, months, weeks, days and hours.
func (o ruleOracle) period(d time.Time) int {
	switch o.freq {
	case "YEARLY":
		return d.Year()
	case "MONTHLY":
		return d.Year()*12 + int(d.Month())
	case "WEEKLY":
		return int(o.week(midnight(d)).Unix() / (7 * 86400))
	case "DAILY":
		return int(d.Unix() / 86400)
	default:
		return int(d.Unix() / 3600)
	}
}

func (o ruleOracle) onDay(d time.Time) bool {
	left := daysIn(d) - d.Day()
	yearLeft := time.Date(d.Year(), 12, 31, 0, 0, 0, 0, time.UTC).YearDay() - d.YearDay()
	none := len(o.monthDays)+len(o.yearDays)+len(o.days) == 0
	switch {
	case len(o.months) > 0 && !slices.Contains(o.months, int(d.Month())),
		len(o.monthDays) > 0 && !slices.Contains(o.monthDays, d.Day()) && !slices.Contains(o.monthDays, -left-1),
		len(o.yearDays) > 0 && !slices.Contains(o.yearDays, d.YearDay()) && !slices.Contains(o.yearDays, -yearLeft-1),
		len(o.days) > 0 && !slices.ContainsFunc(o.days, func(n int) bool { return o.isDay(n, d) }),
		len(o.weeks) > 0 && !o.inWeek(d):
		return false
	case !none:
		return true
	case o.freq == "WEEKLY", len(o.weeks) > 0:
		return d.Weekday() == o.start.Weekday()
	case o.freq == "MONTHLY":
		return d.Day() == o.start.Day()
	case o.freq == "YEARLY":
		return d.Day() == o.start.Day() && (len(o.months) > 0 || d.Month() == o.start.Month())
	}
	return true
}

func (o ruleOracle) isDay(n int, d time.Time) bool {
	if n >= 0 && n < 7 {
		return int(d.Weekday()) == n
	}
	number, weekday := n/10, n%10
	step := -7
	if n < 0 {
		number, weekday, step = -number, -weekday, 7
	}
	count := 1
	for e := d.AddDate(0, 0, step); e.Year() == d.Year() && (e.Month() == d.Month() || o.freq == "YEARLY" && len(o.months) == 0); e = e.AddDate(0, 0, step) {
		count++
	}
	return int(d.Weekday()) == weekday && count == number
}

func (o ruleOracle) inWeek(d time.Time) bool {
	begin := o.week(d)
	year := begin.AddDate(0, 0, 3).Year()
	number, total := 0, 0
	for w := o.week(time.Date(year, 1, 4, 0, 0, 0, 0, time.UTC)); w.AddDate(0, 0, 3).Year() == year; w = w.AddDate(0, 0, 7) {
		total++
		if w.Equal(begin) {
			number = total
		}
	}
	return slices.Contains(o.weeks, number) || slices.Contains(o.weeks, number-total-1)
}

// starts are the starts from the rule's own up to an end.
func (o ruleOracle) starts(end time.Time) []time.Time {
	var all, set []time.Time
	base := o.period(o.start)
	last := base
	flush := func() {
		for i, s := range set {
			chosen := len(o.positions) == 0 || slices.Contains(o.positions, i+1) || slices.Contains(o.positions, i-len(set))
			if chosen && !s.Before(o.start) && s.Before(end) {
				all = append(all, s)
			}
		}
		set = nil
	}
	hours, minutes := o.hours, o.minutes
	if len(hours) == 0 && o.freq != "HOURLY" {
		hours = []int{o.start.Hour()}
	}
	if len(minutes) == 0 {
		minutes = []int{o.start.Minute()}
	}
	minutes = slices.Compact(slices.Sorted(slices.Values(minutes)))
	for d := midnight(o.start).AddDate(0, 0, 1-o.start.YearDay()-7); d.Before(end.AddDate(1, 0, 0)); d = d.AddDate(0, 0, 1) {
		if !o.onDay(d) {
			continue
		}
		for h := range 24 {
			if len(hours) > 0 && !slices.Contains(hours, h) {
				continue
			}
			for _, m := range minutes {
				t := d.Add(time.Duration(h)*time.Hour + time.Duration(m)*time.Minute)
				if p := o.period(t); p >= base && (p-base)%o.interval == 0 {
					if p != last {
						flush()
						last = p
					}
					set = append(set, t)
				}
			}
		}
	}
	flush()
	return all
}

func (o ruleOracle) String() string {
	names := []string{"SU", "MO", "TU", "WE", "TH", "FR", "SA"}
	text := fmt.Sprintf("RRULE:FREQ=%s;INTERVAL=%d;DTSTART=%s;DURATION=PT30M;WKST=%s", o.freq, o.interval, o.start.Format(timeStamp), names[o.wkst])
	for _, part := range []struct {
		key  string
		list []int
	}{
		{"BYMONTH", o.months}, {"BYMONTHDAY", o.monthDays}, {"BYYEARDAY", o.yearDays}, {"BYWEEKNO", o.weeks},
		{"BYHOUR", o.hours}, {"BYMINUTE", o.minutes}, {"BYSETPOS", o.positions},
	} {
		if len(part.list) > 0 {
			text += ";" + part.key + "=" + strings.Trim(strings.ReplaceAll(fmt.Sprint(part.list), " ", ","), "[]")
		}
	}
	var days []string
	for _, n := range o.days {
		switch {
		case n >= 0 && n < 7:
			days = append(days, names[n])
		case n < 0:
			days = append(days, fmt.Sprintf("%d%s", n/10, names[-n%10]))
		default:
			days = append(days, fmt.Sprintf("%d%s", n/10, names[n%10]))
		}
	}
	if len(days) > 0 {
		text += ";BYDAY=" + strings.Join(days, ",")
	}
	return text
}

// list is some random numbers up to most, below zero as well if asked for; none at all mostly.
func list(r *rand.Rand, likely, least, most int, negative bool) []int {
	var all []int
	if r.IntN(100) >= likely {
		return nil
	}
	for range 1 + r.IntN(3) {
		n := least + r.IntN(most-least+1)
		if negative && r.IntN(3) == 0 {
			n = -n
		}
		all = append(all, n)
	}
	return all
}

func randomRule(r *rand.Rand) ruleOracle {
	o := ruleOracle{
		freq: []string{"YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY"}[r.IntN(5)], interval: 1 + r.IntN(4), wkst: time.Weekday(r.IntN(7)),
		start:  time.Date(2024+r.IntN(4), time.Month(1+r.IntN(12)), 1+r.IntN(28), r.IntN(24), r.IntN(60), 0, 0, time.UTC),
		months: list(r, 30, 1, 12, false), hours: list(r, 20, 0, 23, false), minutes: list(r, 20, 0, 59, false),
	}
	if r.IntN(2) == 0 {
		o.interval = 1
	}
	if o.freq == "HOURLY" {
		o.interval = []int{1, 2, 5, 7, 25}[r.IntN(5)]
	}
	o.days = list(r, 40, 0, 6, false)
	if o.freq != "WEEKLY" {
		o.monthDays = list(r, 30, 1, 31, true)
	}
	if o.freq == "YEARLY" && r.IntN(3) == 0 {
		o.yearDays = list(r, 50, 1, 366, true)
		o.weeks = list(r, 50, 1, 53, true)
	}
	if (o.freq == "MONTHLY" || o.freq == "YEARLY") && len(o.weeks) == 0 && r.IntN(2) == 0 {
		most := 5
		if o.freq == "YEARLY" && len(o.months) == 0 {
			most = 53
		}
		for i := range o.days {
			if r.IntN(3) > 0 {
				o.days[i] += 10 * (1 + r.IntN(most))
				if r.IntN(2) == 0 {
					o.days[i] = -o.days[i]
				}
			}
		}
	}
	if o.freq != "HOURLY" && len(o.weeks) == 0 {
		o.positions = list(r, 20, 1, 6, true)
	}
	return o
}

// 700 random rules against the plain reading of RFC 5545, from DTSTART on and from later.
func TestRulesAgainstThePlainReading(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 700 {
		o, end, want := ruleOracle{}, time.Time{}, []time.Time{}
		for len(want) == 0 { // that there are no starts at all takes the library long to find out
			o = randomRule(r)
			end = o.start.AddDate(2, 0, 0)
			if o.freq == "HOURLY" {
				end = o.start.AddDate(0, 2, 0)
			}
			want = o.starts(end)
		}
		w, err := ParseWindow(o.String())
		if err != nil {
			t.Fatalf("%s: %v; want %v", o, err, want)
		}
		late := o.start.Add(time.Duration(r.Int64N(int64(end.Sub(o.start)))))
		for _, from := range []time.Time{o.start.AddDate(-1, 0, 0), late} {
			var got []time.Time
			for s := range w.starts(from, time.UTC) {
				if !s.Before(end) {
					break
				}
				got = append(got, s)
			}
			rest := slices.DeleteFunc(slices.Clone(want), func(t time.Time) bool { return t.Before(from) })
			if !slices.EqualFunc(got, rest, time.Time.Equal) {
				t.Fatalf("%s from %v:\ngot  %v\nwant %v", o, from, got, rest)
			}
		}
	}
}
