package config

import (
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kballard/go-shellquote"

	"github.com/rebootd/rebootd/pkg/schedule"
)

// rows are the cells in back quotes of each row of a section of docs/windows.md.
func rows(t *testing.T, section string) [][]string {
	t.Helper()
	page, err := os.ReadFile("../../docs/windows.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(page), "\n## "+section+"\n")
	text, _, _ = strings.Cut(text, "\n## ")
	var rows [][]string
	for line := range strings.Lines(text) {
		if quoted := regexp.MustCompile("^\\| *`([^`]*)`").FindStringSubmatch(line); quoted != nil {
			row := []string{quoted[1]}
			if second := regexp.MustCompile("^\\| *`[^`]*` *\\| *`([^`]*)`").FindStringSubmatch(line); second != nil {
				row = append(row, second[1])
			}
			rows = append(rows, row)
		}
	}
	if len(rows) < 2 {
		t.Fatalf("the section %s has no table", section)
	}
	return rows
}

func scheduleOf(t *testing.T, flags string) schedule.Schedule {
	t.Helper()
	args, err := shellquote.Split(flags)
	if err != nil {
		t.Fatal(err)
	}
	w, err := ParseWindows(args, nil, io.Discard)
	if err != nil {
		t.Fatalf("%s: %v", flags, err)
	}
	return w.Schedule
}

func TestDocumentedForms(t *testing.T) {
	for _, section := range []string{"Windows", "Freezes", "kured's window"} {
		for _, row := range rows(t, section) {
			if s := scheduleOf(t, row[0]); len(s.Windows)+len(s.Freezes) != 1 {
				t.Errorf("%s: %+v", row[0], s)
			}
		}
	}
}

// aks is a maintenance configuration of AKS as a row of the table writes it: each key with its values.
type aks map[string][]string

func parseAKS(text string) aks {
	a := aks{}
	for _, m := range regexp.MustCompile(`(\w+): ([^,{}]+)`).FindAllStringSubmatch(text, -1) {
		a[m[1]] = append(a[m[1]], m[2])
	}
	return a
}

func (a aks) text(key, otherwise string) string {
	if len(a[key]) == 0 {
		return otherwise
	}
	return a[key][0]
}

func (a aks) number(t *testing.T, key string) int {
	t.Helper()
	n, err := strconv.Atoi(a.text(key, "1"))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func when(t *testing.T, layout, text string, loc *time.Location) time.Time {
	t.Helper()
	v, err := time.ParseInLocation(layout, text, loc)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// starts reports, for each day from the start date on, whether maintenance starts on it.
func (a aks) starts(t *testing.T, begin time.Time, days int) []time.Time {
	t.Helper()
	var all []time.Time
	seen := 0
	take := func(d time.Time, interval int) {
		if seen%interval == 0 {
			all = append(all, d)
		}
		seen++
	}
	for i := range days {
		d := begin.AddDate(0, 0, i)
		isDay := d.Weekday().String() == a.text("dayOfWeek", a.text("day", ""))
		switch week := a.text("weekIndex", ""); {
		case a["intervalDays"] != nil:
			take(d, a.number(t, "intervalDays"))
		case a["intervalWeeks"] != nil && isDay:
			take(d, a.number(t, "intervalWeeks"))
		case a["dayOfMonth"] != nil && d.Day() == a.number(t, "dayOfMonth"),
			week == "Last" && isDay && d.AddDate(0, 0, 7).Month() != d.Month(),
			week != "" && isDay && slices.Index([]string{"First", "Second", "Third", "Fourth"}, week) == (d.Day()-1)/7:
			take(d, a.number(t, "intervalMonths"))
		case a["hourSlots"] != nil && isDay:
			take(d, 1)
		}
	}
	return all
}

// hours are the half hours from begin on in which AKS maintains.
func (a aks) halfHours(t *testing.T, begin time.Time, days int) []bool {
	t.Helper()
	open := make([]bool, days*48)
	set := func(from, to time.Time, value bool) {
		for i := max(0, int(from.Sub(begin)/(30*time.Minute))); i < min(len(open), int(to.Sub(begin)/(30*time.Minute))); i++ {
			open[i] = value
		}
	}
	for _, d := range a.starts(t, begin, days) {
		if a["hourSlots"] != nil {
			for slot := range strings.FieldsSeq(a.text("hourSlots", "")) {
				from := when(t, "15", slot, time.UTC).Sub(when(t, "15", "0", time.UTC))
				set(d.Add(from), d.Add(from+time.Hour), true)
			}
			continue
		}
		from := d.Add(when(t, "15:04", a.text("startTime", ""), time.UTC).Sub(when(t, "15", "0", time.UTC)))
		set(from, from.Add(time.Duration(a.number(t, "durationHours"))*time.Hour), true)
	}
	for _, dates := range a["notAllowedDates"] {
		from, to, _ := strings.Cut(dates, "/")
		set(when(t, time.DateOnly, from, begin.Location()), when(t, time.DateOnly, to, begin.Location()).AddDate(0, 0, 1), false)
	}
	for _, times := range a["notAllowedTime"] {
		from, to, _ := strings.Cut(times, "/")
		set(when(t, time.RFC3339, from, nil), when(t, time.RFC3339, to, nil), false)
	}
	return open
}

// Each row of the table says the same on both sides, for two years.
func TestAKS(t *testing.T) {
	const days = 2 * 365
	kinds := map[string]bool{}
	for _, row := range rows(t, "From AKS planned maintenance") {
		a, s := parseAKS(row[0]), scheduleOf(t, row[1])
		for key := range a {
			kinds[key] = true
		}
		var loc *time.Location
		if err := timeZone(&loc).set(a.text("utcOffset", "UTC")); err != nil {
			t.Fatal(err)
		}
		begin := when(t, time.DateOnly, a.text("startDate", "2026-01-01"), loc)
		want := a.halfHours(t, begin, days)
		got := make([]bool, len(want))
		half := func(at time.Time) int { return min(int(at.Sub(begin)/(30*time.Minute)), len(got)) }
		for _, o := range s.Next(begin.Add(-time.Minute), days) {
			for i := half(o.Start); i < half(o.End); i++ {
				got[i] = true
			}
		}
		// The night before the first day may still be open where there is no start date.
		for i := range want[48:] {
			if got[i+48] != want[i+48] {
				t.Fatalf("%s\n%s\nat %v: AKS %v, here %v", row[0], row[1], begin.Add(time.Duration(i+48)*30*time.Minute), want[i+48], got[i+48])
			}
		}
	}
	for _, key := range []string{"intervalDays", "intervalWeeks", "dayOfWeek", "intervalMonths", "dayOfMonth", "weekIndex", "startDate", "startTime",
		"durationHours", "utcOffset", "notAllowedDates", "day", "hourSlots", "notAllowedTime"} {
		if !kinds[key] {
			t.Errorf("no row has %s", key)
		}
	}
}
