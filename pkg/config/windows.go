package config

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // the image has no time zones of its own

	"github.com/rebootd/rebootd/pkg/schedule"
)

func windowOptions(c *Config) []option {
	return []option{
		{
			name: "window", value: each("window", "\n", schedule.ParseWindow, &c.Windows), defText: "always",
			meaning: "A maintenance window, such as 'mon-fri 22:00-04:00', 'sat,sun', 'last sun 02:00-06:00', 'day 15 01:00-05:00' " +
				"or a rule of RFC 5545; may be given several times, and any open one suffices. In the environment, one on each line.",
			example: "mon-fri 22:00-04:00\nsat,sun",
		},
		{
			name: "freeze", value: each("[name=]from..to", ",\n", schedule.ParseFreeze, &c.Freezes), defText: "never",
			meaning: "Dates or times in which no reboot begins, whatever window is open, such as christmas=2026-12-20..2027-01-03, " +
				"both days included; may be given several times.",
			example: "christmas=2026-12-20..2027-01-03\n2026-11-27",
		},
		{
			name: "time-zone", value: emptyIsUnset(timeZone(&c.TimeZone)), def: "UTC",
			meaning: "The time zone of windows and freezes: a name such as Europe/Berlin, Local, or an offset such as +05:30.",
			example: "Europe/Berlin",
		},
		{
			name: "window-margin", value: duration(&c.WindowMargin, 0), def: "0",
			meaning: "How long before the end of a window no node is cordoned any more.",
			example: "30m", beside: "window=22:00-04:00",
		},
		{
			name: "reboot-days", value: rebootDays(&c.RebootDays), defText: "every day",
			meaning: "With --start-time and --end-time one more window: the days on which it starts, such as mo,tue,friday, " +
				"or as numbers from 0 for Sunday.",
			example: "mon,tue,wed,thu", beside: "start-time=22:00\nend-time=3:59:59",
		},
		{
			name: "start-time", value: timeOfDay(&c.StartTime), defText: "0:00 if one of the three is given",
			meaning: "When the window of --reboot-days starts.",
			example: "22:00", beside: "end-time=3:59:59",
		},
		{
			name: "end-time", value: timeOfDay(&c.EndTime), defText: "23:59:59 if one of the three is given",
			meaning: "When the window of --reboot-days ends, on the next day if before its start; this second is still in it.",
			example: "3:59:59", beside: "start-time=22:00",
		},
	}
}

func windowRules(c *Config) []rule {
	var rules []rule
	for _, w := range c.Windows {
		rules = append(rules, rule{
			[]string{"window-margin", "window"}, c.WindowMargin > 0 && w.Length() <= c.WindowMargin,
			fmt.Sprintf("%v leaves nothing of the window %q", c.WindowMargin, w),
		})
	}
	return rules
}

// Schedule is all windows and freezes together.
func (c Config) Schedule() schedule.Schedule {
	s := schedule.Schedule{Windows: c.Windows, Freezes: c.Freezes, Zone: c.TimeZone}
	if c.RebootDays == 0 && c.StartTime == nil && c.EndTime == nil {
		return s
	}
	days, start, end := c.RebootDays, schedule.Clock(0), schedule.Clock(24*time.Hour-time.Second)
	if days == 0 {
		days = 1<<7 - 1
	}
	if c.StartTime != nil {
		start = *c.StartTime
	}
	if c.EndTime != nil {
		end = *c.EndTime
	}
	s.Windows = append(slices.Clip(s.Windows), schedule.Daily(days, start, end))
	return s
}

// each appends what is given; a value that holds several parts has one of the separators between them.
func each[T any](placeholder, separators string, parse func(string) (T, error), to *[]T) value {
	return value{placeholder: placeholder, list: true, set: func(s string) error {
		parts := strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(separators, r) })
		if len(parts) == 0 {
			parts = []string{s}
		}
		var errs []error
		for _, part := range parts {
			one, err := parse(part)
			if err != nil && len(parts) > 1 {
				err = fmt.Errorf("in %q: %w", part, err)
			}
			errs = append(errs, err)
			*to = append(*to, one)
		}
		return errors.Join(errs...)
	}}
}

func timeZone(to **time.Location) value {
	return value{placeholder: "zone", set: func(s string) error {
		if t, err := time.Parse("-07:00", s); err == nil {
			_, offset := t.Zone()
			*to = time.FixedZone(s, offset)
			return nil
		}
		zone, err := time.LoadLocation(s)
		if err != nil || s == "" {
			return errors.New("a name such as UTC, Europe/Berlin or Local, or an offset such as +05:30")
		}
		*to = zone
		return nil
	}}
}

func rebootDays(to *schedule.Weekdays) value {
	return value{placeholder: "days", list: true, set: func(s string) error {
		// kured passes over an empty one, as in "sa,su,"; a list of nothing else is no list.
		parts := slices.DeleteFunc(strings.Split(s, ","), func(day string) bool { return strings.TrimSpace(day) == "" })
		days, err := schedule.ParseWeekdays(strings.Join(parts, ","))
		*to |= days
		return err
	}}
}

func timeOfDay(to **schedule.Clock) value {
	return value{placeholder: "time", set: func(s string) error {
		c, err := schedule.ParseClock(s)
		if err == nil {
			*to = &c
		}
		return err
	}}
}

// Windows is what `rebootd windows` was asked.
type Windows struct {
	Schedule schedule.Schedule
	// At is the time that was asked for; zero: now.
	At time.Time
	// Margin is --window-margin.
	Margin time.Duration
	// Next is how many openings to list.
	Next int
	// Output is "text" or "json".
	Output string
}

const windowsHelp = "rebootd windows says whether a reboot may begin at some time, why, and when next. It takes the flags that the\n" +
	"agent has for that, and reaches no cluster.\n\n" +
	"Usage: rebootd windows [--window=window]... [--freeze=[name=]from..to]... [flags]"

// ParseWindows reads the options of `rebootd windows`, as Parse does those of the agent.
func ParseWindows(args, environ []string, out io.Writer) (Windows, error) {
	var c Config
	var w Windows
	var at string
	p := newParser([]group{
		{"When a reboot may be", windowOptions(&c)},
		{"What to print", []option{
			{
				name: "at", value: checked(&at, "time", func(s string) error {
					_, err := schedule.ParseTime(s, time.UTC)
					return err
				}), defText: "now",
				meaning: "The time to look at, such as 2026-12-24T18:00 in --time-zone, or with an offset from UTC.",
			},
			{name: "next", value: between(&w.Next, "number", 0, 1000), def: "5", meaning: "How many openings after that to list."},
			{
				name: "output", value: choice(&w.Output, "text", "json"), def: "text",
				meaning: "The form of the output; -o is the same.",
			},
		}},
	})
	long := make([]string, len(args))
	for i, arg := range args {
		short, ok := strings.CutPrefix(arg, "-o")
		switch {
		case !ok:
			long[i] = arg
		case short == "":
			long[i] = "--output"
		default:
			long[i] = "--output=" + strings.TrimPrefix(short, "=")
		}
	}
	if err := p.parse(long, environ, out, windowsHelp, func() []rule { return windowRules(&c) }); err != nil {
		return Windows{}, err
	}
	w.Schedule, w.Margin = c.Schedule(), c.WindowMargin
	if at != "" {
		var err error
		if w.At, err = schedule.ParseTime(at, c.TimeZone); err != nil {
			return Windows{}, fmt.Errorf("--at %q: %w", at, err)
		}
	}
	return w, nil
}
