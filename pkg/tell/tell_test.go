package tell

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/record"

	"github.com/rebootd/rebootd/pkg/plan"
)

type scene struct {
	*Teller
	log    bytes.Buffer
	events *record.FakeRecorder
	node   *corev1.Node
	now    time.Time
	reg    *prometheus.Registry
}

func newScene() *scene {
	s := &scene{events: record.NewFakeRecorder(20), node: &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", UID: "u"}}, now: time.Unix(1000, 0)}
	log := logrus.New()
	log.SetOutput(&s.log)
	s.reg = prometheus.NewRegistry()
	s.Teller = &Teller{Log: log, Events: s.events, Metrics: NewMetrics(s.reg, "n", "v"), Now: func() time.Time { return s.now }}
	return s
}

func (s *scene) said() (lines, events int) {
	lines = strings.Count(s.log.String(), "\n")
	s.log.Reset()
	for len(s.events.Events) > 0 {
		<-s.events.Events
		events++
	}
	return lines, events
}

func (s *scene) expect(t *testing.T, what string, lines, events int) {
	t.Helper()
	if l, e := s.said(); l != lines || e != events {
		t.Errorf("%s: %d lines and %d Events, want %d and %d", what, l, e, lines, events)
	}
}

func TestSay(t *testing.T) {
	s := newScene()
	for range 100 {
		s.Say(s.node, plan.Required, plan.WaitingForSlot, "All slots are taken.")
	}
	s.expect(t, "the same again and again", 1, 1)
	s.Say(s.node, plan.Drain, plan.Draining, "1 of 9 pods are gone.")
	s.Say(s.node, plan.Drain, plan.Draining, "2 of 9 pods are gone.")
	s.expect(t, "a new reason, and a detail right after", 1, 1)
	s.now = s.now.Add(relog)
	s.Say(s.node, plan.Drain, plan.Draining, "3 of 9 pods are gone.")
	s.expect(t, "a detail after a while is a line, but no Event", 1, 0)
	s.Say(s.node, plan.Idle, plan.NotRequired, "Nothing asks for a reboot.")
	s.expect(t, "nothing wanted is no Event", 1, 0)
	s.Events = nil
	s.Say(nil, plan.Drain, plan.GateError, "There is no Node.")
	s.expect(t, "without a Node", 1, 0)
}

// A Node without a record is as one that is idle.
func TestNoRecordIsIdle(t *testing.T) {
	s := newScene()
	s.Say(s.node, "", plan.RebootRequired, "Something asks for a reboot.")
	if line := s.log.String(); !strings.Contains(line, "phase=Idle") {
		t.Error(line)
	}
}

func TestResume(t *testing.T) {
	s := newScene()
	s.Resume(plan.Told{Reason: plan.WaitingForSlot})
	s.Say(s.node, plan.Required, plan.WaitingForSlot, "All slots are taken.")
	if _, events := s.said(); events != 0 {
		t.Error("a restarted agent repeats the Event")
	}
}

func TestHandler(t *testing.T) {
	s := newScene()
	h := Probes(Handler(s.reg), func() error { return nil }, func() error { return errors.New("not looked yet") })
	for path, want := range map[string]int{"/metrics": 200, "/healthz": 200, "/readyz": 503, "/other": 404} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != want {
			t.Errorf("%s: %d, want %d", path, w.Code, want)
		}
	}
}
