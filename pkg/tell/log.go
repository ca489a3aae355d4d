package tell

import (
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/sirupsen/logrus"

	"github.com/rebootd/rebootd/pkg/plan"
)

// Where puts onto every line of a log in which phase the node was, and which attempt at a reboot that was: a line of the drain, of a
// command or of a library says so too, though only the loop knows. It is a logrus hook.
type Where struct {
	mu      sync.Mutex
	phase   plan.Phase
	attempt int
}

// Set notes where the node stands.
func (w *Where) Set(r plan.Record) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.phase, w.attempt = r.Phase, 0
	if r.Phase == plan.Idle || r.Phase == "" {
		return
	}
	w.attempt = 1
	if r.BackOff != nil {
		w.attempt += r.BackOff.Failures
	}
}

// Levels is part of logrus.Hook.
func (w *Where) Levels() []logrus.Level { return logrus.AllLevels }

// Fire is part of logrus.Hook. What a line says itself stands.
func (w *Where) Fire(e *logrus.Entry) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, says := e.Data["phase"]; !says && w.phase != "" {
		e.Data["phase"] = string(w.phase)
	}
	if _, says := e.Data["attempt"]; !says && w.attempt > 0 {
		e.Data["attempt"] = w.attempt
	}
	return nil
}

// repeatAfter is how long the same error of a library is told only at debug level after it was told.
const repeatAfter = 10 * time.Minute

// Library returns a logger for libraries that know nothing of ours, such as the API machinery: what they have to say goes into the same
// stream, with their fields. That is seldom wanted, so it is debug; an error is a warning, but the same one not over and
// over.
func Library(log logrus.FieldLogger, now func() time.Time) logr.Logger {
	return logr.New(sink{log: log, told: &repeats{now: now, at: map[string]time.Time{}}})
}

type sink struct {
	log  logrus.FieldLogger
	told *repeats
}

// repeats remembers which errors were told, and when.
type repeats struct {
	now func() time.Time
	mu  sync.Mutex
	at  map[string]time.Time
}

func (r *repeats) lately(text string) bool {
	const most = 100 // then it begins anew
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if at, told := r.at[text]; told && now.Sub(at) < repeatAfter {
		return true
	}
	if len(r.at) >= most {
		clear(r.at)
	}
	r.at[text] = now
	return false
}

func (s sink) Init(logr.RuntimeInfo) {}

// Enabled leaves out what a library says only at a higher verbosity.
func (s sink) Enabled(level int) bool { return level <= 0 }

func (s sink) Info(_ int, message string, pairs ...any) { s.with(pairs).Debug(message) }

func (s sink) Error(err error, message string, pairs ...any) {
	log, key := s.with(pairs), message
	if err != nil {
		log, key = log.WithError(err), message+err.Error()
	}
	if s.told.lately(key) {
		log.Debug(message)
		return
	}
	log.Warn(message)
}

func (s sink) WithValues(pairs ...any) logr.LogSink {
	s.log = s.with(pairs)
	return s
}

func (s sink) WithName(name string) logr.LogSink {
	s.log = s.log.WithField("library", name)
	return s
}

func (s sink) with(pairs []any) logrus.FieldLogger {
	fields := logrus.Fields{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if key, ok := pairs[i].(string); ok {
			if key == "node" || key == "phase" || key == "attempt" { // those are ours
				key = "library_" + key
			}
			fields[key] = pairs[i+1]
		}
	}
	return s.log.WithFields(fields)
}
