package circuit

import (
	"reflect"
	"testing"
	"time"
)

func at(hours int) time.Time { return time.Date(2030, 1, 1, hours, 0, 0, 0, time.UTC) }

func TestRules(t *testing.T) {
	never, day := Rules{Threshold: 2}, Rules{Threshold: 2, Reset: 24 * time.Hour}
	a, b, c := Failure{"a", at(1), "RebootTimedOut"}, Failure{"b", at(2), "RebootTimedOut"}, Failure{"a", at(3), "NotReadyAfterReboot"}
	one, two := State{Failures: []Failure{a}}, State{Failures: []Failure{a, b}, Opened: at(4)}
	for _, tt := range []struct {
		name    string
		rules   Rules
		do      func(Rules, State) (State, bool)
		from    State
		want    State
		changed bool
	}{
		{"the first", never, fails(a, 4), State{}, one, true},
		{"the same again", never, fails(a, 4), one, one, false},
		{"the second opens it", never, fails(b, 4), one, two, true},
		{"the same node's next reboot counts", never, fails(c, 4), one, State{Failures: []Failure{a, c}, Opened: at(4)}, true},
		{"open already", never, fails(c, 9), two, State{Failures: []Failure{a, b, c}, Opened: at(4)}, true},
		{"open for so long that a new row begins", day, fails(c, 28), two, State{Failures: []Failure{c}}, true},
		{"open, but not for so long", day, fails(c, 27), two, State{Failures: []Failure{a, b, c}, Opened: at(4)}, true},
		{"a success ends the row", never, succeeds(4), one, State{}, true},
		{"a success without a row", never, succeeds(4), State{}, State{}, false},
		{"a success doesn't close it", never, succeeds(400), two, two, false},
		{"a success after it closed by itself", day, succeeds(28), two, State{}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, changed := tt.do(tt.rules, tt.from)
			if changed != tt.changed || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%+v, %v, want %+v", got, changed, tt.want)
			}
		})
	}
	if !never.Open(two, at(10_000)) || never.Open(one, at(4)) || !day.Open(two, at(27)) || day.Open(two, at(28)) {
		t.Error("open at the wrong time")
	}
}

// Whoever doesn't know whether a failure was counted comes again.
func TestCountedOnce(t *testing.T) {
	f := Failure{"a", at(1).Add(123456789 * time.Nanosecond), "RebootTimedOut"}
	r := Rules{Threshold: 2}
	once, _ := r.Failed(State{}, f, at(4))
	read, err := Parse(once.Data())
	if err != nil {
		t.Fatal(err)
	}
	if twice, changed := r.Failed(read, f, at(4)); changed || len(twice.Failures) != 1 || !twice.Opened.IsZero() {
		t.Errorf("%+v", twice)
	}
}

func fails(f Failure, hour int) func(Rules, State) (State, bool) {
	return func(r Rules, s State) (State, bool) { return r.Failed(s, f, at(hour)) }
}

func succeeds(hour int) func(Rules, State) (State, bool) {
	return func(r Rules, s State) (State, bool) { return r.Succeeded(s, at(hour)) }
}

func FuzzParse(f *testing.F) {
	f.Add("2030-01-01T01:00:00Z a RebootTimedOut\n", "2030-01-01T04:00:00Z")
	f.Add("", "")
	f.Add("x", "y")
	f.Fuzz(func(t *testing.T, failures, open string) {
		s, err := Parse(map[string]string{FailuresKey: failures, OpenKey: open})
		if err != nil {
			return
		}
		again, err := Parse(s.Data())
		if err != nil || len(again.Failures) != len(s.Failures) || again.Opened.Unix() != s.Opened.Unix() {
			t.Errorf("%+v became %+v, %v", s, again, err)
		}
	})
}
