package agent

import (
	"testing"
	"time"

	"github.com/rebootd/rebootd/pkg/schedule"
	"github.com/rebootd/rebootd/pkg/tell"
)

func TestOpening(t *testing.T) {
	window, err := schedule.ParseWindow("sat 02:00-06:00")
	if err != nil {
		t.Fatal(err)
	}
	at := func(s string) time.Time {
		m, err := time.Parse(time.DateTime, s)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	s := schedule.Schedule{Windows: []schedule.Window{window}, Zone: time.UTC}
	for now, want := range map[string]tell.Opening{
		"2026-11-27 12:00:00": {Opens: at("2026-11-28 02:00:00"), Closes: at("2026-11-28 06:00:00")},
		"2026-11-28 03:00:00": {Open: true, Opens: at("2026-12-05 02:00:00"), Closes: at("2026-11-28 06:00:00")},
	} {
		if got := opening(s, at(now)); got != want {
			t.Errorf("%s: %+v, want %+v", now, got, want)
		}
	}
	if got := opening(schedule.Schedule{Zone: time.UTC}, at("2026-11-28 03:00:00")); got != (tell.Opening{Open: true}) {
		t.Errorf("no windows: %+v", got)
	}
}
