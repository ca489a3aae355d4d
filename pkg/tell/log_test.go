package tell

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/rebootd/rebootd/pkg/plan"
)

func logged() (*logrus.Logger, func() string) {
	var out bytes.Buffer
	log := logrus.New()
	log.SetOutput(&out)
	log.SetLevel(logrus.DebugLevel)
	log.SetFormatter(&logrus.TextFormatter{DisableTimestamp: true, DisableColors: true})
	return log, func() string {
		defer out.Reset()
		return out.String()
	}
}

func TestWhere(t *testing.T) {
	log, said := logged()
	w := &Where{}
	log.AddHook(w)
	for _, tt := range []struct {
		r    plan.Record
		want string
	}{
		{plan.Record{}, "level=info msg=x\n"},
		{plan.Record{Phase: plan.Idle, BackOff: &plan.BackOff{Failures: 1}}, "level=info msg=x phase=Idle\n"},
		{plan.Record{Phase: plan.Drain}, "level=info msg=x attempt=1 phase=Draining\n"},
		{plan.Record{Phase: plan.Required, BackOff: &plan.BackOff{Failures: 2}}, "level=info msg=x attempt=3 phase=Required\n"},
	} {
		w.Set(tt.r)
		log.Info("x")
		if got := said(); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.r, got, tt.want)
		}
	}
	log.WithField("phase", "Rebooting").Info("x")
	if got := said(); !strings.Contains(got, "phase=Rebooting") {
		t.Errorf("what a line says itself: %q", got)
	}
}

func TestLibrary(t *testing.T) {
	log, said := logged()
	now := time.Unix(1000, 0)
	l := Library(log.WithField("node", "n"), func() time.Time { return now }).WithName("client").WithValues("a", 1, "node", "theirs")
	l.Info("Something.", "b", 2, 3, "no key")
	if got, want := said(), "level=debug msg=Something. a=1 b=2 library=client library_node=theirs node=n\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	l.V(4).Info("Everything.")
	if got := said(); got != "" {
		t.Errorf("%q", got)
	}
	levels := func() string {
		var all []string
		for line := range strings.Lines(said()) {
			level, _, _ := strings.Cut(strings.TrimPrefix(line, "level="), " ")
			all = append(all, level)
		}
		return strings.Join(all, " ")
	}
	for range 3 {
		l.Error(errors.New("refused"), "It failed.")
	}
	l.Error(errors.New("another"), "It failed.")
	l.Error(nil, "It failed.")
	now = now.Add(repeatAfter)
	l.Error(errors.New("refused"), "It failed.")
	if got := levels(); got != "warning debug debug warning warning warning" {
		t.Error(got)
	}
	for i := range 1000 {
		l.Error(nil, strings.Repeat("x", i))
	}
	if s, ok := l.GetSink().(sink); !ok || len(s.told.at) > 100 {
		t.Error("what was told is remembered without a bound")
	}
}
