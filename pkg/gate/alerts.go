package gate

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/pkg/plan"
)

// Alerts is closed while alerts of Prometheus are active, as kured's are: it looks at the series ALERTS, which outlive a
// restart of Prometheus and are there in all that speak its API.
type Alerts struct {
	Prometheus Prometheus
	// Filter matches the names that don't count, or, with MatchOnly, the only ones that do. nil: all count. It isn't anchored.
	Filter    *regexp.Regexp
	MatchOnly bool
	// FiringOnly passes over alerts that are pending.
	FiringOnly bool
}

// Own reports whether an alert is about rebootd itself. Such a one never counts: an alert that a reboot is overdue would hold
// back that very reboot. All of rebootd's rules are named Rebootd…, and kured's documented one RebootRequired.
func Own(name string) bool {
	return strings.HasPrefix(name, "Rebootd") || name == "RebootRequired"
}

// Ask asks for the active alerts, and if there are any, since when.
func (a Alerts) Ask(ctx context.Context, _ *corev1.Node) plan.Verdict {
	ctx, cancel := patiently(ctx)
	defer cancel()
	v := plan.Verdict{Gate: "alerts", Everyone: true, Skippable: true}
	all, err := a.Prometheus.query(ctx, "ALERTS")
	if err != nil {
		return unanswered(v, "What alerts are active (--prometheus-url)", err)
	}
	found := active{}
	for _, s := range all {
		name, state := string(s.labels[model.AlertNameLabel]), string(s.labels["alertstate"])
		if s.isFalse() || name == "" || Own(name) || a.ignores(name) || a.FiringOnly && state != "firing" {
			continue
		}
		found.add(name, state != "pending", time.Time{})
	}
	if len(found) == 0 {
		v.Open = true
		return v
	}
	a.since(ctx, found)
	v.Reason = plan.BlockedByAlert
	v.Message = fmt.Sprintf("%s in Prometheus: %s. Reboots go on when none is, or when --alert-filter-regexp passes over them.",
		found.count(), found)
	return v
}

func (a Alerts) ignores(name string) bool {
	return a.Filter != nil && a.Filter.MatchString(name) != a.MatchOnly
}

// since fills in since when the alerts have been active, where that is known: it is only told.
func (a Alerts) since(ctx context.Context, found active) {
	all, err := a.Prometheus.query(ctx, "min by (alertname) (ALERTS_FOR_STATE)")
	if err != nil {
		return
	}
	for _, s := range all {
		alert := found[string(s.labels[model.AlertNameLabel])]
		const earliest, latest = 1e9, 1e10 // seconds; what lies outside is no time
		if alert != nil && s.value > earliest && s.value < latest {
			alert.since = time.Unix(int64(s.value), 0)
		}
	}
}

// active is the alerts that count, by name.
type active map[string]*alert

type alert struct {
	number int
	firing bool
	since  time.Time
}

func (a active) add(name string, firing bool, since time.Time) {
	one := a[name]
	if one == nil {
		one = &alert{since: since}
		a[name] = one
	}
	one.number++
	one.firing = one.firing || firing
	if since.Before(one.since) {
		one.since = since
	}
}

func (a active) count() string {
	n := 0
	for _, one := range a {
		n += one.number
	}
	if n == 1 {
		return "1 alert is active"
	}
	return fmt.Sprintf("%d alerts are active", n)
}

// String names the first of them: those that fire, the oldest first.
func (a active) String() string {
	names := make([]string, 0, len(a))
	for name := range a {
		names = append(names, name)
	}
	slices.SortFunc(names, func(x, y string) int {
		p, q := a[x], a[y]
		if p.firing != q.firing {
			if p.firing {
				return -1
			}
			return 1
		}
		return cmp.Or(p.since.Compare(q.since), strings.Compare(x, y))
	})
	for i, name := range names {
		names[i] = a[name].words(name)
	}
	return some(names, "names")
}

func (o alert) words(name string) string {
	const limit = 100
	name = plan.Clip(name, limit)
	var about []string
	if o.number > 1 {
		about = append(about, fmt.Sprintf("%d times", o.number))
	}
	if !o.firing {
		about = append(about, "pending")
	}
	if !o.since.IsZero() {
		about = append(about, "since "+o.since.UTC().Format(time.RFC3339))
	}
	if len(about) == 0 {
		return name
	}
	return fmt.Sprintf("%s (%s)", name, strings.Join(about, ", "))
}
