package schedule

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// minutes is what the clock shows, minute by minute, as minutes since 1970.
type minutes struct {
	begin time.Time
	shown []int
}

func watch(begin time.Time, loc *time.Location, n int) minutes {
	m := minutes{begin: begin, shown: make([]int, n)}
	offset := 0
	for i := range m.shown {
		t := begin.Add(time.Duration(i) * time.Minute)
		if i%15 == 0 { // clocks change no more often than that
			_, offset = t.In(loc).Zone()
		}
		m.shown[i] = int(t.Unix()+int64(offset)) / 60
	}
	return m
}

// reaches is the first minute at which the clock shows so much, or more.
func (m minutes) reaches(shown int) int {
	i := min(max(0, shown-m.shown[0]-180), len(m.shown)) // no change of clocks is as much as three hours
	for i < len(m.shown) && m.shown[i] < shown {
		i++
	}
	return i
}

// aDay is one random way to name days: its text, and whether a date is meant, found out by counting.
type aDay struct {
	text string
	is   func(date time.Time) bool
}

func randomDay(r *rand.Rand) aDay {
	names := []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}
	some := r.Perm(7)[:1+r.IntN(3)]
	var list []string
	for _, d := range some {
		list = append(list, names[d])
	}
	in := func(date time.Time) bool { return slices.Contains(some, int(date.Weekday())) }
	switch r.IntN(6) {
	case 0:
		return aDay{"", func(time.Time) bool { return true }}
	case 1:
		from, n := r.IntN(7), r.IntN(7)
		return aDay{names[from] + "-" + names[(from+n)%7], func(d time.Time) bool { return (int(d.Weekday())+7-from)%7 <= n }}
	case 2:
		week := r.IntN(5)
		return aDay{[]string{"first", "second", "third", "fourth", "fifth"}[week] + " " + strings.Join(list, ","), func(d time.Time) bool {
			before := 0
			for e := d.AddDate(0, 0, -7); e.Month() == d.Month(); e = e.AddDate(0, 0, -7) {
				before++
			}
			return in(d) && before == week
		}}
	case 3:
		return aDay{"last " + strings.Join(list, ","), func(d time.Time) bool { return in(d) && d.AddDate(0, 0, 7).Month() != d.Month() }}
	case 4:
		a, b := 1+r.IntN(31), 1+r.IntN(31)
		return aDay{fmt.Sprintf("day %d,%d,last", a, b), func(d time.Time) bool {
			return d.Day() == a || d.Day() == b || d.AddDate(0, 0, 1).Day() == 1
		}}
	default:
		return aDay{strings.Join(list, ","), in}
	}
}

// 2,100 random windows, three by three and around clock changes, against a clock that is watched minute by minute.
func TestWindowsAgainstAWatchedClock(t *testing.T) {
	const days = 5
	r := rand.New(rand.NewPCG(1, 2))
	for range 700 {
		loc := zone(t, []string{"UTC", "Europe/Berlin", "America/New_York", "America/Santiago", "Australia/Lord_Howe", "Pacific/Auckland", "Asia/Kolkata", "Africa/Cairo"}[r.IntN(8)])
		begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(r.IntN(2*365*24)) * time.Hour)
		if _, change := begin.In(loc).ZoneBounds(); !change.IsZero() && r.IntN(2) == 0 {
			begin = change.Add(-time.Duration(r.IntN(48)+24) * time.Hour).UTC().Truncate(time.Hour)
		}
		m := watch(begin.Add(-2*day), loc, (days+4)*24*60)
		open := make([]bool, len(m.shown))
		var s Schedule
		var texts []string
		for range 3 {
			which, from, to := randomDay(r), r.IntN(24*60), 1+r.IntN(24*60)
			if r.IntN(3) == 0 { // many in the hours in which clocks change
				from, to = r.IntN(4*60), 1+r.IntN(4*60)
			}
			if from == to {
				to++
			}
			text := strings.TrimSpace(fmt.Sprintf("%s %02d:%02d-%02d:%02d", which.text, from/60, from%60, to/60, to%60))
			texts = append(texts, text)
			if to < from {
				to += 24 * 60
			}
			for date := midnight(begin.Add(-3 * day)); date.Before(begin.Add((days + 3) * day)); date = date.Add(day) {
				if !which.is(date) {
					continue
				}
				zero := int(date.Unix() / 60)
				first, end := m.reaches(zero+from), m.reaches(zero+to)
				if first == end && first > 0 {
					end = first + to - from
				}
				for i := first; i < min(end, len(open)); i++ {
					open[i] = true
				}
			}
		}
		s = with(t, loc, texts...)
		compare(t, s, m, open, 2*24*60, (days+2)*24*60)
		if t.Failed() {
			t.Fatalf("%v in %v at %v", texts, loc, begin)
		}
	}
}

// compare holds what the schedule says against each of the minutes from one up to another.
func compare(t *testing.T, s Schedule, m minutes, open []bool, from, to int) {
	t.Helper()
	minute := func(t time.Time) int { return int(t.Sub(m.begin) / time.Minute) }
	got := make([]bool, to)
	now := m.begin.Add(time.Duration(from) * time.Minute)
	list := s.Next(now, 1)
	if s.At(now, 0).Open {
		end := to
		if closes, ok := s.Closes(now, Horizon); ok {
			end = minute(closes)
		}
		for i := from; i < min(end, to); i++ {
			got[i] = true
		}
	}
	for len(list) > 0 && list[0].Start.Before(m.begin.Add(time.Duration(to)*time.Minute)) {
		end := to
		if !list[0].End.IsZero() {
			end = minute(list[0].End)
		}
		for i := minute(list[0].Start); i < min(end, to); i++ {
			got[i] = true
		}
		list = s.Next(list[0].Start, 1)
	}
	for i := from; i < to; i++ {
		if got[i] != open[i] {
			t.Errorf("at %v: got %v, want %v", m.begin.Add(time.Duration(i)*time.Minute).In(s.Zone), got[i], open[i])
			return
		}
	}
}
