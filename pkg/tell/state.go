package tell

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rebootd/rebootd/pkg/plan"
)

// Opening is what the maintenance windows say of a moment.
type Opening struct {
	// Open is whether one is open.
	Open bool
	// Opens is when the next opening begins; zero: never again, as far as can be seen.
	Opens time.Time
	// Closes is when the present opening ends, or else the next; zero: never, as far as can be seen.
	Closes time.Time
}

// state is what the last look found. What is collected is of one moment: a series is never missing because it is just being
// set, which would make an alert begin to count anew.
type state struct {
	mu       sync.Mutex
	looked   bool
	seen     plan.Observation
	at       time.Time
	phase    plan.Phase
	reason   plan.Reason
	orphans  int
	windows  func(time.Time) Opening
	opening  Opening
	openedAt time.Time // when opening was found out

	all map[string]*prometheus.Desc
}

// described is every metric that is read off the last look: its name, meaning and labels.
func described() []struct {
	name, help string
	labels     []string
} {
	return []struct {
		name, help string
		labels     []string
	}{
		{"rebootd_reboot_required", "1 while this node wants a reboot, 0 while it does not; absent while that is unknown.", nil},
		{"kured_reboot_required", "The same as rebootd_reboot_required, under the name that kured gives it.", nil},
		{"rebootd_reboot_required_since_seconds", "When this node's reboot was first seen to be wanted, in Unix seconds; 0 while none is.", nil},
		{"rebootd_asked", "1 for each kind of thing that asks for a reboot now: file, command, uptime, request, request-now.", []string{"by"}},
		{"rebootd_phase", "1 for the phase that this node is in, 0 for the others.", []string{"phase"}},
		{"rebootd_reason", "1 for the reason that the node's condition RebootRequired gives, whether a reboot is wanted or not.", []string{"reason"}},
		{"rebootd_blocked", "1 for the reason that this node waits for while a reboot is wanted.", []string{"reason"}},
		{"rebootd_gate_closed", "1 for each gate that is closed, of those that were asked, and why.", []string{"gate", "reason"}},
		{"rebootd_attempts_given_up", "How many attempts in a row were given up, labelled with the reason of the last one; " +
			"absent after a reboot that succeeded.", []string{"reason"}},
		{"rebootd_slot_held", "1 while this node holds a slot of its lock group.", nil},
		{"rebootd_slot_held_since_seconds", "Since when this node holds its slot, in Unix seconds; 0 while it holds none.", nil},
		{"rebootd_out_of_service_since_seconds", "Since when this node is out of service by rebootd's doing, in Unix seconds; 0 while it isn't.", nil},
		{"rebootd_orphaned_slots", "How many slots that this node waits for have lost the reference to their owner; nothing frees them when it is gone.", nil},
		{"rebootd_last_check_seconds", "When what this agent knows of whether a reboot is wanted was found out, in Unix seconds; of several sentinels the oldest answer.", nil},
		{"rebootd_last_reboot_seconds", "When this node was last back in service after a reboot, in Unix seconds; absent while none is remembered.", nil},
		{"rebootd_window_open", "1 while a maintenance window is open and no freeze is on, or where there are none.", nil},
		{"rebootd_window_opens_seconds", "When the next maintenance window opens, in Unix seconds; absent where none does.", nil},
		{"rebootd_window_closes_seconds", "When the window that is open closes, or else the next one, in Unix seconds; absent where none does.", nil},
	}
}

func newState() *state {
	s := &state{all: map[string]*prometheus.Desc{}}
	for _, d := range described() {
		s.all[d.name] = prometheus.NewDesc(d.name, d.help, d.labels, nil)
	}
	return s
}

// Describe is part of prometheus.Collector.
func (s *state) Describe(to chan<- *prometheus.Desc) {
	for _, d := range s.all {
		to <- d
	}
}

func (s *state) look(o plan.Observation, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looked, s.seen, s.at = true, o, now
	if s.windows != nil && s.outdated(now) {
		s.opening, s.openedAt = s.windows(now), now
	}
}

// outdated: to look through windows for a year is not done at every look.
func (s *state) outdated(now time.Time) bool {
	passed := func(t time.Time) bool { return !t.IsZero() && !now.Before(t) }
	return now.Sub(s.openedAt).Abs() >= time.Hour || passed(s.opening.Opens) || passed(s.opening.Closes)
}

func (s *state) say(phase plan.Phase, reason plan.Reason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.phase, s.reason = phase, reason
}

func (s *state) setOrphans(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.orphans = n
}

// Collect is part of prometheus.Collector.
func (s *state) Collect(to chan<- prometheus.Metric) {
	s.mu.Lock()
	defer s.mu.Unlock()
	set := func(name string, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(s.all[name], prometheus.GaugeValue, value, labels...)
	}
	if s.reason != "" {
		s.collectReason(set)
	}
	if !s.looked {
		return
	}
	s.collectWish(set)
	s.collectSlot(set)
	if s.windows != nil {
		set("rebootd_window_open", number(s.opening.Open))
		known(set, "rebootd_window_opens_seconds", s.opening.Opens)
		known(set, "rebootd_window_closes_seconds", s.opening.Closes)
	}
}

type setter func(name string, value float64, labels ...string)

func (s *state) collectReason(set setter) {
	for _, p := range plan.Phases() {
		set("rebootd_phase", number(p == s.phase), string(p))
	}
	set("rebootd_reason", 1, string(s.reason))
	if s.phase != plan.Idle && s.phase != "" {
		set("rebootd_blocked", 1, string(s.reason))
	}
}

func (s *state) collectWish(set setter) {
	o, r := s.seen, s.seen.Record
	if o.Wanted.Answer != plan.Unknown {
		set("rebootd_reboot_required", number(o.Wanted.Answer == plan.Yes))
		set("kured_reboot_required", number(o.Wanted.Answer == plan.Yes))
	}
	set("rebootd_reboot_required_since_seconds", seconds(r.RequiredSince))
	if o.Wanted.Answer == plan.Yes {
		for _, kind := range kinds(o.Wanted.By) {
			set("rebootd_asked", 1, kind)
		}
	}
	checked := s.at
	if !o.Wanted.At.IsZero() {
		checked = o.Wanted.At
	}
	set("rebootd_last_check_seconds", seconds(checked))
	if b := r.BackOff; b != nil {
		set("rebootd_attempts_given_up", float64(b.Failures), string(b.Reason))
	}
	if n := len(r.History); n > 0 {
		set("rebootd_last_reboot_seconds", seconds(r.History[n-1].In))
	}
}

func (s *state) collectSlot(set setter) {
	o, r := s.seen, s.seen.Record
	var held, out time.Time
	if o.Slot.Held {
		held = earliest(o.Slot.Taken, o.Slot.HeldSince)
	}
	if r.Out() {
		out = r.OutSince
	}
	set("rebootd_slot_held", number(o.Slot.Held))
	set("rebootd_slot_held_since_seconds", seconds(held))
	set("rebootd_out_of_service_since_seconds", seconds(out))
	set("rebootd_orphaned_slots", float64(s.orphans))
	closed := map[[2]string]bool{}
	for _, v := range o.Gates {
		if key := [2]string{v.Gate, string(v.Reason)}; !v.Open && !closed[key] {
			closed[key] = true
			set("rebootd_gate_closed", 1, v.Gate, string(v.Reason))
		}
	}
}

// kinds are the first words of what asks, each once.
func kinds(by []string) []string {
	var all []string
	for _, who := range by {
		kind, _, _ := strings.Cut(who, " ")
		if !slices.Contains(all, kind) {
			all = append(all, kind)
		}
	}
	return all
}

func known(set setter, name string, t time.Time) {
	if !t.IsZero() {
		set(name, seconds(t))
	}
}

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.Unix())
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
