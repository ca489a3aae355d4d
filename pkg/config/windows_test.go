package config

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/rebootd/rebootd/pkg/schedule"
)

func windowsOf(texts ...string) []schedule.Window { return must(texts, schedule.ParseWindow) }
func freezesOf(texts ...string) []schedule.Freeze { return must(texts, schedule.ParseFreeze) }

func must[T any](texts []string, parse func(string) (T, error)) []T {
	var all []T
	for _, text := range texts {
		one, err := parse(text)
		if err != nil {
			panic(err)
		}
		all = append(all, one)
	}
	return all
}

func zoneOf(name string) *time.Location {
	zone, err := time.LoadLocation(name)
	if err != nil {
		panic(err)
	}
	return zone
}

func clockOf(d time.Duration) *schedule.Clock { c := schedule.Clock(d); return &c }

func TestListsFromTheEnvironment(t *testing.T) {
	c, err := Parse(withBaseline(), []string{"REBOOTD_WINDOW=sat,sun\n mon-fri 22:00-04:00\n", "KURED_REBOOT_DAYS=mo,tu"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, w := range c.Schedule().Windows {
		got = append(got, w.String())
	}
	if want := "sat,sun|mon-fri 22:00-04:00|mon,tue 00:00-23:59:59"; strings.Join(got, "|") != want {
		t.Errorf("got %q, want %s", got, want)
	}
}

func TestKuredsWindow(t *testing.T) {
	for _, tt := range []struct{ args, open, closed string }{
		{"--start-time=22:00 --end-time=04:00 --reboot-days=fr", "2026-11-27T22:00 2026-11-28T04:00:00", "2026-11-27T21:59:59 2026-11-28T04:00:01 2026-11-27T03:00"},
		{"--reboot-days=sa --reboot-days=0", "2026-11-28T00:00 2026-11-29T23:59:59", "2026-11-27T23:59:59 2026-11-30T00:00"},
		{"--end-time=6", "2026-11-28T00:00 2026-11-28T06:00", "2026-11-28T06:00:01"},
		{"--start-time=9pm", "2026-11-28T21:00 2026-11-28T23:59:59", "2026-11-28T20:59:59 2026-11-29T00:00"},
		{"--start-time=0:00 --end-time=23:59:59", "2026-11-28T00:00 2026-11-28T23:59:59", ""},
		{"", "2026-11-28T00:00", ""},
	} {
		c, err := Parse(withBaseline(append(strings.Fields(tt.args), "--time-zone=America/New_York")...), nil, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		for i, times := range []string{tt.closed, tt.open} {
			for at := range strings.FieldsSeq(times) {
				when, err := schedule.ParseTime(at, c.TimeZone)
				if err != nil {
					t.Fatal(err)
				}
				if s := c.Schedule().At(when, 0); s.Open != (i == 1) {
					t.Errorf("%s at %s: %+v", tt.args, at, s)
				}
			}
		}
	}
}

func TestMarginThatLeavesNothing(t *testing.T) {
	_, err := Parse(withBaseline("--window=sat 02:00-03:00", "--window=sun", "--window-margin=1h"), nil, io.Discard)
	wantProblems(t, err, `--window-margin: 1h0m0s leaves nothing of the window "sat 02:00-03:00"`)
}

func TestParseWindows(t *testing.T) {
	var b strings.Builder
	if _, err := ParseWindows([]string{"--help"}, nil, &b); !errors.Is(err, ErrHelp) || !strings.Contains(b.String(), "--reboot-days=days") {
		t.Errorf("%v: %s", err, b.String())
	}
	for _, o := range [][]string{{"-o", "json"}, {"-o=json"}, {"-ojson"}, {"--output=json"}} {
		w, err := ParseWindows(append(o, "--at=2026-11-23 12:00", "--time-zone=Europe/Berlin", "--next", "0"), []string{"REBOOTD_PERIOD=x"}, io.Discard)
		if err != nil || w.Output != "json" || w.Next != 0 || w.At.UTC().Hour() != 11 {
			t.Errorf("%v: %+v, %v", o, w, err)
		}
	}
	_, err := ParseWindows([]string{"--at=x", "-o", "yaml", "--window=y", "--period=1m"}, nil, io.Discard)
	wantProblems(t, err, `--window: "y" is not allowed: weekdays`, `--at: "x" is not allowed: a time such as`,
		`--output: "yaml" is not allowed: text or json`, "--period: there is no such flag")
}

func FuzzTimeZone(f *testing.F) {
	for _, s := range []string{"UTC", "Europe/Berlin", "+05:30", "", "../../etc/passwd", "Local"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var zone *time.Location
		if err := timeZone(&zone).set(s); (err == nil) != (zone != nil) {
			t.Errorf("%v, %v", zone, err)
		}
	})
}
