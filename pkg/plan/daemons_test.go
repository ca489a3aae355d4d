package plan

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"
)

func daemonsOf(n int, prefix string, ready bool) []Daemon {
	var all []Daemon
	for i := range n {
		all = append(all, Daemon{Name: fmt.Sprintf("%s/%03d", prefix, i), Ready: ready, Containers: "c", Why: "it fails"})
	}
	return all
}

// What the record remembers is bounded, and says first which aren't to be waited for.
func TestWatched(t *testing.T) {
	for _, tt := range []struct {
		name        string
		before      map[string]string
		daemons     []Daemon
		len         int
		passes, not string
	}{
		{name: "few", daemons: append(daemonsOf(2, "ok", true), daemonsOf(1, "bad", false)...), len: 3, passes: "bad/000", not: "ok/001"},
		{name: "many", daemons: append(daemonsOf(100, "ok", true), daemonsOf(30, "bad", false)...), len: daemonsLimit, passes: "bad/029", not: "ok/050"},
		{name: "too many that are not ready", daemons: append(daemonsOf(9, "ok", true), daemonsOf(41, "bad", false)...), len: 1, passes: "ok/000"},
		{name: "unready since the cordon", before: map[string]string{"bad/000": "c"}, daemons: daemonsOf(2, "bad", false), len: 2, passes: "bad/001", not: "bad/000"},
		{name: "ready since the cordon", before: map[string]string{"ok/000": ""}, daemons: daemonsOf(2, "ok", true), len: 2, passes: "ok/000", not: "ok/001"},
		{name: "too many before", before: map[string]string{anyDaemon: ""}, daemons: daemonsOf(3, "ok", true), len: 3, passes: "ok/002"},
		{name: "none", before: map[string]string{"ok/000": "c"}, len: 1, not: "ok/000"},
	} {
		r := Record{Daemons: maps.Clone(tt.before)}.watched(tt.daemons)
		if len(r.Daemons) != tt.len || tt.passes != "" && !r.passes(Daemon{Name: tt.passes}) || tt.not != "" && r.passes(Daemon{Name: tt.not}) {
			t.Errorf("%s: %v", tt.name, r.Daemons)
		}
	}
}

func TestUnready(t *testing.T) {
	booted := start()
	o := Observation{BootedAt: booted, Record: Record{Daemons: map[string]string{"a/known": "old", "a/sick": ""}}}
	for _, tt := range []struct {
		name string
		d    Daemon
		want string
	}{
		{"another container", Daemon{Name: "a/known", Ready: true, Containers: "new", Started: booted.Add(time.Second)}, ""},
		{"another container by a clock that was wrong", Daemon{Name: "a/known", Ready: true, Containers: "new", Started: booted.Add(-time.Hour)}, ""},
		{"the same container", Daemon{Name: "a/known", Ready: true, Containers: "old", Started: booted.Add(-time.Hour)}, "a/known (the kubelet has not reported"},
		{"the same container by a clock that was wrong", Daemon{Name: "a/known", Ready: true, Containers: "old", Started: booted.Add(time.Hour)}, "a/known (the kubelet"},
		{"not ready", Daemon{Name: "a/known", Containers: "new", Why: "it fails"}, "a/known (it fails)"},
		{"not ready before either", Daemon{Name: "a/sick", Why: "it fails"}, ""},
		{"unknown and old", Daemon{Name: "a/new", Ready: true, Started: booted.Add(-time.Second)}, "a/new (the kubelet"},
		{"unknown, and no container runs", Daemon{Name: "a/new", Ready: true}, "a/new (the kubelet"},
		{"unknown and new", Daemon{Name: "a/new", Ready: true, Started: booted}, ""},
	} {
		o.Daemons = []Daemon{tt.d}
		if got := unready(o); !strings.HasPrefix(got, tt.want) || (got == "") != (tt.want == "") {
			t.Errorf("%s: %q", tt.name, got)
		}
	}
	o.BootID = "one more"
	o.Daemons = []Daemon{{Name: "a/known", Ready: true, Containers: "new", Started: booted.Add(-time.Second)}}
	if got := unready(o); !strings.HasPrefix(got, "a/known (the kubelet") {
		t.Errorf("after one more reboot: %q", got)
	}
	o.Daemons = daemonsOf(5, "x", false)
	if got, want := unready(o), "x/000 (it fails), x/001 (it fails), x/002 (it fails) and 2 more"; got != want {
		t.Errorf("got %q", got)
	}
}

// While the DaemonSets can't be known, the node stays out and says so; they are asked of nothing once it isn't recovering any more.
func TestDaemonsError(t *testing.T) {
	o := situationOf(Recovering, nil, nil)
	o.Node.Ready, o.Node.Unschedulable, o.Record.Cordon, o.HealthySince = true, true, CordonOurs, start().Add(-time.Hour)
	o.Record.Daemons = map[string]string{"a/b": "c"}
	o.DaemonsError = "list the pods of Node worker: no answer"
	if a := Decide(o, newWorld().policy, start()); a.Do != DoWrite || a.Reason != GateError || !strings.Contains(a.Message, "no answer") || a.Record.Phase != Recovering {
		t.Errorf("got %+v", a)
	}
	o.DaemonsError = ""
	if a := Decide(o, newWorld().policy, start()); a.Do != DoUncordon || len(a.Record.Daemons) != 0 {
		t.Errorf("got %+v", a)
	}
}
