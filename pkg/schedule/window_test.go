package schedule

import (
	"strings"
	"testing"
	"time"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

// with makes a schedule; what begins with "freeze " is one.
func with(t testing.TB, loc *time.Location, texts ...string) Schedule {
	t.Helper()
	s := Schedule{Zone: loc}
	for _, text := range texts {
		if f, ok := strings.CutPrefix(text, "freeze "); ok {
			freeze, err := ParseFreeze(f)
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			s.Freezes = append(s.Freezes, freeze)
			continue
		}
		w, err := ParseWindow(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		s.Windows = append(s.Windows, w)
	}
	return s
}

func at(t testing.TB, loc *time.Location, text string) time.Time {
	t.Helper()
	when, err := ParseTime(text, loc)
	if err != nil {
		t.Fatal(err)
	}
	return when
}

// openings writes the next n openings from a time on, one that is open already included.
func openings(t testing.TB, s Schedule, from string, n int) string {
	t.Helper()
	var lines []string
	for _, o := range s.Next(at(t, s.Zone, from), n) {
		const form = "Mon 01-02 15:04 -07"
		end := "open end"
		if !o.End.IsZero() {
			end = o.End.Format(form)
		}
		lines = append(lines, o.Start.Format(form)+" to "+end)
	}
	return strings.Join(lines, "\n")
}

func TestWindows(t *testing.T) {
	for _, tt := range []struct{ windows, from, want string }{
		{"mon-fri 22:00-04:00", "2026-11-26", "Thu 11-26 22:00 +01 to Fri 11-27 04:00 +01\nFri 11-27 22:00 +01 to Sat 11-28 04:00 +01\nMon 11-30 22:00 +01 to Tue 12-01 04:00 +01"},
		{"sat,sun", "2026-11-26", "Sat 11-28 00:00 +01 to Mon 11-30 00:00 +01\nSat 12-05 00:00 +01 to Mon 12-07 00:00 +01"},
		{"fri-mon 23:00-24:00", "2026-11-28", "Sat 11-28 23:00 +01 to Sun 11-29 00:00 +01\nSun 11-29 23:00 +01 to Mon 11-30 00:00 +01\nMon 11-30 23:00 +01 to Tue 12-01 00:00 +01\nFri 12-04 23:00 +01 to Sat 12-05 00:00 +01"},
		{"last sun 02:00-06:00", "2026-11-01", "Sun 11-29 02:00 +01 to Sun 11-29 06:00 +01\nSun 12-27 02:00 +01 to Sun 12-27 06:00 +01"},
		{"first,third Sat 1:00-2:00", "2026-11-01", "Sat 11-07 01:00 +01 to Sat 11-07 02:00 +01\nSat 11-21 01:00 +01 to Sat 11-21 02:00 +01\nSat 12-05 01:00 +01 to Sat 12-05 02:00 +01"},
		{"fifth mon", "2026-11-01", "Mon 11-30 00:00 +01 to Tue 12-01 00:00 +01\nMon 03-29 00:00 +02 to Tue 03-30 00:00 +02"},
		{"day 15 01:00-05:00", "2026-11-16", "Tue 12-15 01:00 +01 to Tue 12-15 05:00 +01"},
		{"day 1-2,31 23:00-01:00:30", "2026-11-02T12:00", "Mon 11-02 23:00 +01 to Tue 11-03 01:00 +01\nTue 12-01 23:00 +01 to Wed 12-02 01:00 +01\nWed 12-02 23:00 +01 to Thu 12-03 01:00 +01\nThu 12-31 23:00 +01 to Fri 01-01 01:00 +01"},
		{"day last", "2028-02-01", "Tue 02-29 00:00 +01 to Wed 03-01 00:00 +01"},
		{"22:00-23:00", "2026-11-26", "Thu 11-26 22:00 +01 to Thu 11-26 23:00 +01\nFri 11-27 22:00 +01 to Fri 11-27 23:00 +01"},
		{"daily", "2026-11-26", ""},
		{"daily | freeze x=2026-11-27", "2026-11-26", "Sat 11-28 00:00 +01 to open end"},
		{"sat | sun 10:00-12:00", "2026-11-26", "Sat 11-28 00:00 +01 to Sun 11-29 00:00 +01\nSun 11-29 10:00 +01 to Sun 11-29 12:00 +01"},
		{"sat 10:00-12:00 | sat 11:00-13:00", "2026-11-26", "Sat 11-28 10:00 +01 to Sat 11-28 13:00 +01"},
		{"fri 22:00-04:00 | freeze 2026-11-28", "2026-11-26", "Fri 11-27 22:00 +01 to Sat 11-28 00:00 +01\nFri 12-04 22:00 +01 to Sat 12-05 04:00 +01"},
		{"sat 10:00-20:00 | freeze 2026-11-28T12:00..2026-11-28T13:00", "2026-11-26", "Sat 11-28 10:00 +01 to Sat 11-28 12:00 +01\nSat 11-28 13:00 +01 to Sat 11-28 20:00 +01"},
		{"freeze 2026-12-20..2027-01-03 | freeze 2027-01-03T12:00..2027-01-05T06:00", "2026-12-21", "Tue 01-05 06:00 +01 to open end"},
		{"freeze 2026-11-26T03:00:00Z..2026-11-30T12:00:00Z | daily", "2026-11-27", "Mon 11-30 13:00 +01 to open end"},
		{"RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=1SA;DTSTART=20260101T230000;DURATION=PT5H", "2026-01-01", "Sat 03-07 23:00 +01 to Sun 03-08 04:00 +01\nSat 03-06 23:00 +01 to Sun 03-07 04:00 +01"},
		{"rrule:freq=weekly;interval=2;count=2;dtstart=20261127;duration=p1d", "2026-01-01", "Fri 11-27 00:00 +01 to Sat 11-28 00:00 +01\nFri 12-11 00:00 +01 to Sat 12-12 00:00 +01\n"},
		{"RRULE:FREQ=DAILY;UNTIL=20261127T220000Z;DTSTART=20261126T230000;DURATION=PT1H", "2026-01-01", "Thu 11-26 23:00 +01 to Fri 11-27 00:00 +01\nFri 11-27 23:00 +01 to Sat 11-28 00:00 +01\n"},
		{"RRULE:FREQ=DAILY;UNTIL=20261127;DTSTART=20261126T230000;DURATION=PT1H", "2026-11-27", "Fri 11-27 23:00 +01 to Sat 11-28 00:00 +01\n"},
		{"RRULE:FREQ=MONTHLY;BYDAY=MO,TU;BYSETPOS=-1;DTSTART=20260101T000000;DURATION=PT30M", "2026-11-01", "Mon 11-30 00:00 +01 to Mon 11-30 00:30 +01\nTue 12-29 00:00 +01 to Tue 12-29 00:30 +01"},
		{"RRULE:FREQ=HOURLY;INTERVAL=6;BYDAY=FR;DTSTART=20260101T000500;DURATION=PT10M", "2026-11-27T06:00", "Fri 11-27 06:05 +01 to Fri 11-27 06:15 +01\nFri 11-27 12:05 +01 to Fri 11-27 12:15 +01\nFri 11-27 18:05 +01 to Fri 11-27 18:15 +01\nFri 12-04 00:05 +01 to Fri 12-04 00:15 +01"},
	} {
		s := with(t, zone(t, "Europe/Berlin"), strings.Split(tt.windows, " | ")...)
		n := max(1, strings.Count(tt.want, "\n")+1)
		if got := openings(t, s, tt.from, n); got != strings.TrimSpace(tt.want) {
			t.Errorf("%s from %s: got\n%s\nwant\n%s", tt.windows, tt.from, got, tt.want)
		}
	}
}

// K9: a window belongs to the day on which it starts.
func TestMidnightBelongsToTheDayBefore(t *testing.T) {
	s := with(t, time.UTC, "fri 22:00-04:00")
	for text, want := range map[string]bool{
		"2026-11-27T03:59": false, "2026-11-27T21:59:59": false, "2026-11-27T22:00": true, "2026-11-28T00:00": true,
		"2026-11-28T03:59:59": true, "2026-11-28T04:00": false, "2026-11-28T22:00": false,
	} {
		if got := s.At(at(t, time.UTC, text), 0); got.Open != want {
			t.Errorf("%s: %+v", text, got)
		}
	}
}

// K10: what becomes of a window on the two days on which the clocks change.
func TestClockChanges(t *testing.T) {
	for _, tt := range []struct{ zone, windows, from, want string }{
		// Forward: 02:00 to 03:00 is skipped.
		{"Europe/Berlin", "sun 02:00-03:00", "2026-03-28", "Sun 03-29 03:00 +02 to Sun 03-29 04:00 +02"},
		{"Europe/Berlin", "sun 02:15-02:45", "2026-03-28", "Sun 03-29 03:00 +02 to Sun 03-29 03:30 +02"},
		{"Europe/Berlin", "sun 02:30-03:30", "2026-03-28", "Sun 03-29 03:00 +02 to Sun 03-29 03:30 +02"},
		{"Europe/Berlin", "sun 01:00-02:30", "2026-03-28", "Sun 03-29 01:00 +01 to Sun 03-29 03:00 +02"},
		{"Europe/Berlin", "sat 22:00-04:00", "2026-03-28", "Sat 03-28 22:00 +01 to Sun 03-29 04:00 +02"},
		{"Europe/Berlin", "sun", "2026-03-28", "Sun 03-29 00:00 +01 to Mon 03-30 00:00 +02"},
		{"Europe/Berlin", "RRULE:FREQ=DAILY;DTSTART=20260329T020000;DURATION=PT2H", "2026-03-28", "Sun 03-29 03:00 +02 to Sun 03-29 05:00 +02"},
		{"Europe/Berlin", "RRULE:FREQ=WEEKLY;DTSTART=20260328T220000;DURATION=PT6H", "2026-03-28", "Sat 03-28 22:00 +01 to Sun 03-29 05:00 +02"},
		{"Europe/Berlin", "RRULE:FREQ=WEEKLY;DTSTART=20260328T220000;DURATION=P1D", "2026-03-28", "Sat 03-28 22:00 +01 to Sun 03-29 22:00 +02"},
		// Back: 02:00 to 03:00 comes twice.
		{"Europe/Berlin", "sun 02:00-03:00", "2026-10-24", "Sun 10-25 02:00 +02 to Sun 10-25 03:00 +01"},
		{"Europe/Berlin", "sun 02:15-02:45", "2026-10-24", "Sun 10-25 02:15 +02 to Sun 10-25 02:45 +02"},
		{"Europe/Berlin", "sun 01:00-02:30", "2026-10-24", "Sun 10-25 01:00 +02 to Sun 10-25 02:30 +02"},
		{"Europe/Berlin", "sat 22:00-04:00", "2026-10-24", "Sat 10-24 22:00 +02 to Sun 10-25 04:00 +01"},
		{"Europe/Berlin", "RRULE:FREQ=WEEKLY;DTSTART=20261024T220000;DURATION=PT6H", "2026-10-24", "Sat 10-24 22:00 +02 to Sun 10-25 03:00 +01"},
		{"Europe/Berlin", "daily | freeze 2026-10-24..2026-10-25T02:30", "2026-10-24T12:00", "Sun 10-25 02:30 +01 to open end"},
		{"Europe/Berlin", "daily | freeze 2026-03-28..2026-03-29T02:30", "2026-03-28T12:00", "Sun 03-29 03:00 +02 to open end"},
		// Midnight itself is skipped, or comes twice; half an hour; half of the world away.
		{"America/Santiago", "sun 00:00-02:00", "2026-09-05", "Sun 09-06 01:00 -03 to Sun 09-06 02:00 -03"},
		{"America/Santiago", "sat", "2026-04-03", "Sat 04-04 00:00 -03 to Sun 04-05 00:00 -04"},
		{"Australia/Lord_Howe", "sun 02:00-02:30", "2026-10-03", "Sun 10-04 02:30 +11 to Sun 10-04 03:00 +11"},
		{"Pacific/Auckland", "sun 02:30-05:00", "2026-09-26", "Sun 09-27 03:00 +13 to Sun 09-27 05:00 +13"},
	} {
		s := with(t, zone(t, tt.zone), strings.Split(tt.windows, " | ")...)
		if got := openings(t, s, tt.from, 1); got != tt.want {
			t.Errorf("%s in %s: got %s, want %s", tt.windows, tt.zone, got, tt.want)
		}
	}
}

func TestMessages(t *testing.T) {
	berlin := zone(t, "Europe/Berlin")
	for _, tt := range []struct {
		windows, at  string
		margin       time.Duration
		open, frozen bool
		want         string
	}{
		{"", "2026-11-27", time.Hour, true, false, "There are no maintenance windows, so it is always open."},
		{"freeze a=2026-11-28", "2026-11-27", 0, true, false, "There are no maintenance windows, and no freeze is on."},
		{"sat", "2026-11-28", time.Hour, true, false, "Maintenance window sat is open."},
		{"sat", "2026-11-28T23:00", time.Hour, false, false, "The maintenance window closes at 2026-11-29T00:00:00+01:00, so close that nothing is begun any more " +
			"(--window-margin=1h0m0s); the next one opens at 2026-12-05T00:00:00+01:00 (sat)."},
		{"sat,sun", "2026-11-28T23:30", time.Hour, true, false, "Maintenance window sat,sun is open."},
		{"sat | freeze xmas=2026-11-28T12:00..2026-11-28T13:00", "2026-11-28T11:30", time.Hour, false, false, "The maintenance window closes at 2026-11-28T12:00:00+01:00, " +
			"so close that nothing is begun any more (--window-margin=1h0m0s); the next one opens at 2026-11-28T13:00:00+01:00 (sat)."},
		{"sat", "2026-11-27", 0, false, false, "No maintenance window is open; the next one opens at 2026-11-28T00:00:00+01:00 (sat)."},
		{"sat | freeze xmas=2026-11-20..2026-12-01", "2026-11-28", 0, false, true, "Freeze xmas=2026-11-20..2026-12-01 holds until 2026-12-02T00:00:00+01:00; the next one opens at 2026-12-05T00:00:00+01:00 (sat)."},
		{"freeze 2026-11-28", "2026-11-28", 0, false, true, "Freeze 2026-11-28 holds until 2026-11-29T00:00:00+01:00; it opens at 2026-11-29T00:00:00+01:00."},
		{"RRULE:FREQ=DAILY;COUNT=1;DTSTART=20260101;DURATION=PT1H", "2026-11-28", 0, false, false, "No maintenance window is open; no window opens any more."},
	} {
		s := Schedule{Zone: berlin}
		if tt.windows != "" {
			s = with(t, berlin, strings.Split(tt.windows, " | ")...)
		}
		got := s.At(at(t, berlin, tt.at), tt.margin)
		if got.Open != tt.open || got.Frozen != tt.frozen || got.Message != tt.want {
			t.Errorf("%s at %s: got %+v\nwant %s", tt.windows, tt.at, got, tt.want)
		}
		never := got.Open || strings.Contains(tt.want, "no window opens any more")
		if got.Opens.IsZero() != never || !never && !strings.Contains(tt.want, "opens at "+stamp(got.Opens)) {
			t.Errorf("%s at %s: opens at %s\nwant %s", tt.windows, tt.at, got.Opens, tt.want)
		}
	}
}

func TestRefusedWindows(t *testing.T) {
	const rule = "RRULE:DTSTART=20260101T000000;DURATION=PT1H;FREQ="
	for text, want := range map[string]string{
		" ": "a window such as", "sat sun mon": "days, then hours", "sat-": "weekdays are written", "s": "weekdays are written", "third": "weekdays are written",
		"zeroth sun": "a week of the month", "day 0": "days of the month", "day 32": "days of the month", "day 9-3": "days of the month", "day": "weekdays are",
		"sat 24:00-01:00": "hours are written", "sat 10:00": "hours are written", "sat 10:00-10:00": "must not end when it starts", "sat 10:0x-11:00": "hours are",
		"22:00-04:00 sat": "a week of the month", "sat 10:00-+9:00": "hours are written", "sat 10:00:00:00-11:00": "hours are written",
		"RRULE:": `"" is no part`, "RRULE:FREQ=DAILY": "needs DTSTART", rule + "SECONDLY": "FREQ is", rule + "DAILY;FREQ=DAILY": "only once",
		rule + "DAILY;COUNT=0": "COUNT is from 1", rule + "DAILY;INTERVAL=0": "INTERVAL is from 1", rule + "DAILY;COUNT=1;UNTIL=20270101": "can't go together",
		rule + "MONTHLY;BYDAY=6MO": "at most 5", rule + "YEARLY;BYMONTH=12;BYDAY=-53MO": "at most 5", rule + "WEEKLY;BYDAY=2MO": "needs FREQ=MONTHLY",
		rule + "YEARLY;BYDAY=0MO": "a day is MO", rule + "YEARLY;BYWEEKNO=1;BYDAY=2MO": "can't go with BYWEEKNO", rule + "DAILY;BYWEEKNO=1": "needs FREQ=YEARLY",
		rule + "DAILY;BYEASTER=0": "no part of a rule", rule + "MONTHLY;BYMONTHDAY=0": "from 1 to 31, or from -31 to -1", rule + "DAILY;BYHOUR=24": "BYHOUR is from 0 to 23",
		rule + "HOURLY;INTERVAL=2;BYHOUR=1": "never leads", rule + "MINUTELY;INTERVAL=60;BYMINUTE=1": "never leads", rule + "HOURLY;BYSETPOS=2": "needs FREQ=DAILY",
		rule + "DAILY;BYMONTH=2;BYMONTHDAY=30": "never starts", rule + "DAILY;UNTIL=20251231": "never starts",
		rule + "DAILY;UNTIL=20251231Z": "UNTIL is", rule + "MONTHLY;BYYEARDAY=1": "BYYEARDAY can't", rule + "WEEKLY;BYMONTHDAY=1": "BYMONTHDAY can't",
		rule + "DAILY;WKST=2MO": "a day is MO", rule + "DAILY;BYHOUR=": "BYHOUR is from", rule + "DAILY;COUNT": "COUNT is from",
		"RRULE:FREQ=DAILY;DTSTART=20260101T000000Z;DURATION=PT1H": "DTSTART is a local time", "RRULE:FREQ=DAILY;DTSTART=1;DURATION=PT1H": "DTSTART is",
		"RRULE:FREQ=DAILY;DTSTART=20260101;DURATION=P": "DURATION is", "RRULE:FREQ=DAILY;DTSTART=20260101;DURATION=P1DT": "DURATION is",
		"RRULE:FREQ=DAILY;DTSTART=20260101;DURATION=PT0S": "DURATION is", "RRULE:FREQ=DAILY;DTSTART=20260101;DURATION=P32D": "DURATION is",
		"RRULE:FREQ=DAILY;DTSTART=20260101;DURATION=-PT1H": "DURATION is", "RRULE:FREQ=DAILY;DTSTART=20260101;DURATION=PT1M1H": "DURATION is",
	} {
		if w, err := ParseWindow(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, %v, want %s", text, w, err, want)
		}
	}
	for text, want := range map[string]string{
		"": "dates or times", "=2026-12-24": "dates or times", "x=": "dates or times", "2026-12-24T10:00": "dates or times", "2026-12-24..": "dates or times",
		"2026-12-24T10:00Z..2026-12-25": "either both", "2026-12-24..2026-12-23": "must come after", "2026-02-30": "dates or times",
	} {
		if f, err := ParseFreeze(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, %v, want %s", text, f, err, want)
		}
	}
}
