package schedule

import (
	"strings"
	"testing"
	"time"
)

// What is accepted can be asked, and its answers fit together.
func FuzzParseWindow(f *testing.F) {
	for _, s := range []string{
		"mon-fri 22:00-04:00", "sat,sun", "last sun 02:00-06:00", "day 1-7,last 01:00-05:00", "first,third sat 00:00-24:00",
		"RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=1SA,-1SU;DTSTART=20260101T230000;DURATION=PT5H",
		"RRULE:FREQ=YEARLY;BYWEEKNO=53,-1;WKST=SU;DTSTART=20260101;DURATION=P1W;UNTIL=20300101T000000Z",
		"RRULE:FREQ=YEARLY;BYYEARDAY=-366,366;BYSETPOS=-1;DTSTART=20260101;DURATION=P1DT1H",
		"RRULE:FREQ=YEARLY;BYDAY=53MO,-53SU;DTSTART=20260101;DURATION=PT1M",
		"RRULE:FREQ=MONTHLY;BYMONTHDAY=-31,31;BYDAY=MO,-5FR;COUNT=9999;DTSTART=20260101;DURATION=PT1S",
		"RRULE:FREQ=WEEKLY;INTERVAL=10000;WKST=WE;BYDAY=TU;DTSTART=20260101;DURATION=P31D",
		"RRULE:FREQ=HOURLY;INTERVAL=7;BYHOUR=3;BYMINUTE=0,30;DTSTART=20260101;DURATION=PT90M",
		"RRULE:FREQ=MINUTELY;INTERVAL=1441;BYHOUR=3;BYSECOND=0,59;DTSTART=20260101;DURATION=PT1H",
	} {
		f.Add(s)
	}
	loc := zone(f, "Europe/Berlin")
	now := time.Date(2026, 10, 24, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		w, err := ParseWindow(text)
		if err != nil {
			if w != (Window{}) || err.Error() == "" {
				t.Errorf("%v, %v", w, err)
			}
			return
		}
		again, err := ParseWindow(w.String())
		if err != nil || again.String() != w.String() || w.Length() <= 0 {
			t.Errorf("%q: again %v, %v", w, again, err)
		}
		s := Schedule{Windows: []Window{w}, Zone: loc}
		last := now
		for _, o := range s.Next(now, 3) {
			if o.Start.Before(last) || !o.End.IsZero() && !o.End.After(o.Start) {
				t.Errorf("%q: %v after %v", w, o, last)
			}
			if !s.At(o.Start, 0).Open || !o.End.IsZero() && s.At(o.End, 0).Open || o.Start.After(now) && s.At(o.Start.Add(-1), 0).Open {
				t.Errorf("%q: not open from %v to %v", w, o.Start, o.End)
			}
			last = o.End
		}
	})
}

func FuzzParseFreeze(f *testing.F) {
	for _, s := range []string{"christmas=2026-12-20..2027-01-03", "2026-12-24", "2026-12-20T18:00..2027-01-03", "a=2026-12-20T18:00:00Z..2027-01-03T00:00+05:30", "0000-01-01"} {
		f.Add(s)
	}
	loc := zone(f, "America/Santiago")
	f.Fuzz(func(t *testing.T, text string) {
		freeze, err := ParseFreeze(text)
		if err != nil {
			return
		}
		p := freeze.span(loc)
		s := Schedule{Freezes: []Freeze{freeze}, Zone: loc}
		if !p.end.After(p.start) || freeze.String() != strings.TrimSpace(text) || !s.At(p.start, 0).Frozen || !s.At(p.end, 0).Open || !s.At(p.start.Add(-1), 0).Open {
			t.Errorf("%q: %v", text, p)
		}
	})
}

func FuzzParseClock(f *testing.F) {
	for _, s := range []string{"0:00", "23:59:59", "03:04pm", "12am", "15", "3pm", "24:00", "1:2:3.5"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := ParseClock(text); err == nil && (c < 0 || c >= Clock(day) || c%Clock(time.Second) != 0) {
			t.Errorf("%q: %v", text, c)
		}
	})
}

func FuzzParseWeekdays(f *testing.F) {
	for _, s := range []string{"su,mo", "0,6", "friday, Sat", "mon-fri", "", ",", "7"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		days, err := ParseWeekdays(text)
		if err == nil && (days == 0 || days >= 1<<7) || err != nil && days != 0 {
			t.Errorf("%q: %v, %v", text, days, err)
		}
		if err == nil {
			if again, err := ParseWeekdays(days.String()); err != nil || again != days {
				t.Errorf("%q: %v again is %v, %v", text, days, again, err)
			}
		}
	})
}

func FuzzParseTime(f *testing.F) {
	for _, s := range []string{"2026-12-24", "2026-12-24 18:00", "2026-12-24T18:00:00+01:00", "2026-03-29T02:30"} {
		f.Add(s)
	}
	loc := zone(f, "Europe/Berlin")
	f.Fuzz(func(t *testing.T, text string) {
		if when, err := ParseTime(text, loc); err == nil && when.Location() != loc {
			t.Errorf("%q: %v", text, when)
		}
	})
}
