package tell

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/pkg/tell/notify"
)

// Metrics are everything that this agent measures. Every label has a bounded set of values.
type Metrics struct {
	required  *prometheus.GaugeVec
	since     prometheus.Gauge
	kured     *prometheus.GaugeVec
	asked     *prometheus.GaugeVec
	phase     *prometheus.GaugeVec
	blocked   *prometheus.GaugeVec
	slotHeld  prometheus.Gauge
	orphans   prometheus.Gauge
	lastCheck prometheus.Gauge
	drains    *prometheus.CounterVec
	reboots   *prometheus.CounterVec
	hooks     *prometheus.CounterVec
	silences  *prometheus.CounterVec
	out       prometheus.Histogram
	notices   *prometheus.CounterVec
	build     *prometheus.GaugeVec
	node      string
}

// NewMetrics registers the metrics of one node.
func NewMetrics(reg prometheus.Registerer, node, version string) *Metrics {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	gauges := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &Metrics{
		node:     node,
		required: gauges("rebootd_reboot_required", "1 while this node wants a reboot, 0 while it does not; absent while that is unknown.", "node"),
		since:    gauge("rebootd_reboot_required_since_seconds", "When this node's reboot was first seen to be wanted, in Unix seconds; 0 while none is."),
		kured:    gauges("kured_reboot_required", "The same as rebootd_reboot_required, under the name that kured gives it.", "node"),
		asked: gauges("rebootd_asked",
			"1 for each kind of thing that asks for a reboot now: file, command, uptime, request, request-now.", "by"),
		phase:    gauges("rebootd_phase", "1 for the phase that this node is in, 0 for the others.", "phase"),
		blocked:  gauges("rebootd_blocked", "1 for the reason that this node waits for while a reboot is wanted.", "reason"),
		slotHeld: gauge("rebootd_slot_held", "1 while this node holds a slot of its lock group."),
		orphans: gauge("rebootd_orphaned_slots",
			"How many slots that this node waits for have lost the reference to their owner; nothing frees them when it is gone."),
		lastCheck: gauge("rebootd_last_check_seconds",
			"When what this agent knows of whether a reboot is wanted was found out, in Unix seconds; of several sentinels the oldest answer."),
		drains:   counters("rebootd_drains_total", "Drains that ended, by result.", "result"),
		reboots:  counters("rebootd_reboots_total", "Reboots proved by a changed boot ID, and reboot commands that failed, by result.", "result"),
		hooks:    counters("rebootd_hooks_total", "Tries of hooks, by the point at which they run and by result.", "hook", "result"),
		silences: counters("rebootd_silences_total", "Tries to set, extend or end the silences of this node in Alertmanager (--silence-alerts), by result.", "result"),
		out: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "rebootd_out_of_service_seconds", Help: "How long this node was out of service for a reboot, from cordon to uncordon.",
			Buckets: []float64{15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200},
		}),
		notices: counters("rebootd_notifications_total", "Notices to services (--notify-url), by result.", "result"),
		build:   gauges("rebootd_build_info", "1, labelled with the version of this agent.", "version"),
	}
	reg.MustRegister(m.required, m.since, m.kured, m.asked, m.phase, m.blocked, m.slotHeld, m.orphans, m.lastCheck, m.drains, m.reboots, m.hooks, m.silences, m.out, m.notices, m.build)
	m.build.WithLabelValues(version).Set(1)
	for _, r := range []string{"drained", "aborted"} {
		m.drains.WithLabelValues(r)
	}
	for _, r := range []string{"succeeded", "failed"} {
		m.reboots.WithLabelValues(r)
		m.silences.WithLabelValues(r)
	}
	for _, r := range notify.Results() {
		m.notices.WithLabelValues(string(r))
	}
	for _, p := range plan.HookPoints() {
		for _, r := range []string{"succeeded", "failed"} {
			m.hooks.WithLabelValues(string(p), r)
		}
	}
	return m
}

// Looked notes one look at the machine and what it found.
func (m *Metrics) Looked(o plan.Observation, now time.Time) {
	m.lastCheck.Set(float64(now.Unix()))
	if at := o.Wanted.At; !at.IsZero() {
		m.lastCheck.Set(float64(at.Unix()))
	}
	m.asked.Reset()
	if o.Wanted.Answer == plan.Yes {
		for _, by := range o.Wanted.By {
			kind, _, _ := strings.Cut(by, " ")
			m.asked.WithLabelValues(kind).Set(1)
		}
	}
	switch o.Wanted.Answer {
	case plan.Unknown:
		m.required.Reset()
		m.kured.Reset()
	default:
		m.required.WithLabelValues(m.node).Set(number(o.Wanted.Answer == plan.Yes))
		m.kured.WithLabelValues(m.node).Set(number(o.Wanted.Answer == plan.Yes))
	}
	m.since.Set(0)
	if t := o.Record.RequiredSince; !t.IsZero() {
		m.since.Set(float64(t.Unix()))
	}
	m.slotHeld.Set(number(o.Slot.Held))
}

// Orphans notes how many of the slots that this node waits for have no owner.
func (m *Metrics) Orphans(n int) { m.orphans.Set(float64(n)) }

// Drained counts a drain that ended.
func (m *Metrics) Drained(ok bool) {
	if ok {
		m.drains.WithLabelValues("drained").Inc()
		return
	}
	m.drains.WithLabelValues("aborted").Inc()
}

// Notified counts what became of a notice.
func (m *Metrics) Notified(r notify.Result) { m.notices.WithLabelValues(string(r)).Inc() }

// Rebooted counts a proved reboot.
func (m *Metrics) Rebooted() { m.reboots.WithLabelValues("succeeded").Inc() }

// RebootFailed counts a reboot command that is known to have failed.
func (m *Metrics) RebootFailed() { m.reboots.WithLabelValues("failed").Inc() }

// HookRan counts one try of a hook.
func (m *Metrics) HookRan(hook string, ok bool) {
	result := "failed"
	if ok {
		result = "succeeded"
	}
	m.hooks.WithLabelValues(hook, result).Inc()
}

// Silenced counts one try to have the silences of this node as they should be.
func (m *Metrics) Silenced(ok bool) {
	result := "failed"
	if ok {
		result = "succeeded"
	}
	m.silences.WithLabelValues(result).Inc()
}

// Back counts a node's time out of service.
func (m *Metrics) Back(out time.Duration) { m.out.Observe(out.Seconds()) }

func (m *Metrics) setReason(phase plan.Phase, reason plan.Reason) {
	for _, p := range plan.Phases() {
		m.phase.WithLabelValues(string(p)).Set(number(p == phase))
	}
	m.blocked.Reset()
	if phase != plan.Idle && phase != "" {
		m.blocked.WithLabelValues(string(reason)).Set(1)
	}
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
