package tell

import (
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/pkg/tell/notify"
)

// Metrics are everything that this agent measures. Every label has a bounded set of values, and every series the label node:
// so rules and dashboards need nothing of how an agent is found.
//
// What can be read off the last look is made of it when somebody asks, all of one moment (state). An agent ends with each
// reboot, and what only it had counted would be lost: so a new one begins with the reboots that its Node's record remembers.
type Metrics struct {
	state     *state
	counts    counts
	config    *prometheus.GaugeVec
	options   *prometheus.GaugeVec
	requests  *prometheus.CounterVec
	remember  sync.Once
	mu        sync.Mutex
	gateError map[string]bool // the gates that couldn't be evaluated at the last look
	drained   bool            // the drain of the reboot that is under way was counted by this process
}

// counts are what is counted as it happens.
type counts struct {
	drains, reboots, evictions, gateErrors, hooks, notices, silences *prometheus.CounterVec
	drain, reboot, out                                               prometheus.Histogram
}

// NewMetrics registers the metrics of one node.
func NewMetrics(reg prometheus.Registerer, node, version string) *Metrics {
	gauges := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	}
	reg = prometheus.WrapRegistererWith(prometheus.Labels{"node": node}, reg)
	m := &Metrics{
		state:  newState(),
		counts: newCounts(),
		config: gauges("rebootd_config_info", "1, labelled with a hash of all options but those that tell one node from another. "+
			"Agents with different ones are configured differently.", "hash"),
		options: gauges("rebootd_option_info", "1 for each option that is not at its default; secrets are masked.", "option", "value", "source"),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rebootd_api_requests_total",
			Help: "Requests to the API server by verb, resource and status code; the code is \"error\" where no answer came.",
		}, []string{"verb", "resource", "code"}),
		gateError: map[string]bool{},
	}
	build := gauges("rebootd_build_info", "1, labelled with the version of this agent, and of the Go that it was built with.", "version", "go_version")
	build.WithLabelValues(version, runtime.Version()).Set(1)
	reg.MustRegister(m.state, m.config, m.options, m.requests, build)
	m.counts.register(reg)
	return m
}

func newCounts() counts {
	vec := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
	}
	histogram := func(name, help string) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: name, Help: help + " A new agent begins with the reboots that the Node's record remembers.",
			Buckets: []float64{15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200},
		})
	}
	c := counts{
		drains: vec("rebootd_drains_total", "Drains that ended: drained; forced (rebooted under the pods that were left); timed_out; "+
			"aborted (a gate, a lost slot, no longer wanted); interrupted (the machine went down by itself); failed (can't work, tried again).", "result"),
		reboots: vec("rebootd_reboots_total", "Reboots: succeeded (proved and back in service); other (so too, but not ordered by rebootd); "+
			"failed (the command is known to have failed); timed_out (the boot ID didn't change within --reboot-timeout); "+
			"not_ready (rebooted, but not Ready within --reboot-timeout).", "result"),
		evictions: vec("rebootd_evictions_total", "Answers to evictions: evicted; gone (there was no such pod any more); blocked (by a PodDisruptionBudget); "+
			"forbidden; terminating (its namespace is being deleted); error.", "result"),
		gateErrors: vec("rebootd_gate_errors_total", "How often a gate began to be one that can't be evaluated, and so is closed.", "gate"),
		hooks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rebootd_hooks_total", Help: "Tries of hooks, by the point at which they run and by result.",
		}, []string{"hook", "result"}),
		silences: vec("rebootd_silences_total", "Tries to set, extend or end the silences of this node in Alertmanager (--silence-alerts), by result.", "result"),
		notices:  vec("rebootd_notifications_total", "Notices to services (--notify-url), by result.", "result"),
		drain:    histogram("rebootd_drain_duration_seconds", "From the cordon to the end of the drain."),
		reboot:   histogram("rebootd_reboot_duration_seconds", "From the end of the drain until the agent ran in the new boot."),
		out:      histogram("rebootd_out_of_service_seconds", "How long this node was out of service for a reboot, from cordon to uncordon."),
	}
	for vec, results := range map[*prometheus.CounterVec][]string{
		c.drains:    {"drained", "forced", "timed_out", "aborted", "interrupted", "failed"},
		c.reboots:   {"succeeded", "other", "failed", "timed_out", "not_ready"},
		c.silences:  {"succeeded", "failed"},
		c.evictions: {"evicted", "gone", "blocked", "forbidden", "terminating", "error"},
	} {
		for _, r := range results {
			vec.WithLabelValues(r)
		}
	}
	for _, r := range notify.Results() {
		c.notices.WithLabelValues(string(r))
	}
	for _, p := range plan.HookPoints() {
		for _, r := range []string{"succeeded", "failed"} {
			c.hooks.WithLabelValues(string(p), r)
		}
	}
	return c
}

func (c counts) register(reg prometheus.Registerer) {
	reg.MustRegister(c.drains, c.reboots, c.evictions, c.gateErrors, c.hooks, c.notices, c.silences, c.drain, c.reboot, c.out)
}

// Looked notes one look at the machine and what it found.
func (m *Metrics) Looked(o plan.Observation, now time.Time) {
	if o.Node.Exists && o.RecordError == "" {
		m.remember.Do(func() {
			for _, b := range o.Record.History {
				m.back(b, false)
			}
		})
	}
	m.gateErrors(o.Gates)
	m.state.look(o, now)
}

// gateErrors counts the gates that could be evaluated at the last look, and can't be now.
func (m *Metrics) gateErrors(verdicts []plan.Verdict) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := m.gateError
	m.gateError = map[string]bool{}
	for _, v := range verdicts {
		if v.Open || v.Reason != plan.GateError {
			m.counts.gateErrors.WithLabelValues(v.Gate) // at zero, or the first error would be no increase
			continue
		}
		m.gateError[v.Gate] = true
		if !before[v.Gate] {
			m.counts.gateErrors.WithLabelValues(v.Gate).Inc()
		}
	}
}

// Moved notes that a record was written, after what was observed.
func (m *Metrics) Moved(o plan.Observation, after plan.Record) {
	before := o.Record
	m.mu.Lock()
	defer m.mu.Unlock()
	if result := drainResult(o, after); result != "" {
		m.counts.drains.WithLabelValues(result).Inc()
		m.drained = after.Phase == plan.Rebooting
	}
	if after.Failed && !before.Failed {
		result := "timed_out"
		if after.Phase == plan.Recovering {
			result = "not_ready"
		}
		m.counts.reboots.WithLabelValues(result).Inc()
	}
	if n := len(after.History); before.Phase == plan.Settle && after.Phase == plan.Idle && n > 0 {
		m.back(after.History[n-1], m.drained)
		m.drained = false
	}
}

// back counts a reboot that is over; its drain too, unless that was counted when it ended.
func (m *Metrics) back(b plan.Reboot, drained bool) {
	result := "other"
	if b.Ours {
		result = "succeeded"
	}
	m.counts.reboots.WithLabelValues(result).Inc()
	m.counts.out.Observe(b.In.Sub(b.Out).Seconds())
	if b.Drained.IsZero() {
		return
	}
	if !drained {
		m.counts.drains.WithLabelValues("drained").Inc()
	}
	m.counts.drain.Observe(b.Drained.Sub(b.Out).Seconds())
	m.counts.reboot.Observe(b.Up.Sub(b.Drained).Seconds())
}

// Notified counts what became of a notice.
func (m *Metrics) Notified(r notify.Result) { m.counts.notices.WithLabelValues(string(r)).Inc() }

// Silenced counts one try to have the silences of this node as they should be.
func (m *Metrics) Silenced(ok bool) {
	result := "failed"
	if ok {
		result = "succeeded"
	}
	m.counts.silences.WithLabelValues(result).Inc()
}

// DrainCantWork counts a drain that couldn't work.
func (m *Metrics) DrainCantWork() { m.counts.drains.WithLabelValues("failed").Inc() }

// RebootFailed counts a reboot command that is known to have failed.
func (m *Metrics) RebootFailed() { m.counts.reboots.WithLabelValues("failed").Inc() }

// HookRan counts one try of a hook.
func (m *Metrics) HookRan(hook string, ok bool) {
	result := "failed"
	if ok {
		result = "succeeded"
	}
	m.counts.hooks.WithLabelValues(hook, result).Inc()
}

// Evicted counts the answer to an eviction.
func (m *Metrics) Evicted(result string) { m.counts.evictions.WithLabelValues(result).Inc() }

// Orphans notes how many of the slots that this node waits for have no owner.
func (m *Metrics) Orphans(n int) { m.state.setOrphans(n) }

// drainResult is how a drain ended with this record; "": none did.
func drainResult(o plan.Observation, after plan.Record) string {
	if o.Record.Phase != plan.Drain {
		return ""
	}
	switch {
	case after.Phase == plan.Rebooting && o.Pods.Work == plan.Done:
		return "drained"
	case after.Phase == plan.Rebooting:
		return "forced"
	case after.Phase == plan.Recovering:
		return "interrupted"
	case after.Phase == plan.Aborting && after.Reason == plan.DrainTimedOut:
		return "timed_out"
	case after.Phase == plan.Aborting:
		return "aborted"
	default:
		return ""
	}
}
