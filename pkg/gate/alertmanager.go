package gate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/common/model"
	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/pkg/plan"
)

// Alertmanager is closed while alerts are active that are neither silenced nor inhibited.
type Alertmanager struct {
	// Servers are the members of one cluster. Those that answer suffice, but an alert that any of them has counts: one that
	// has just started knows few.
	Servers []Server
	// Matchers say which alerts count: those that all matchers of any of the lists match. None: all count.
	Matchers []labels.Matchers
}

// Ask asks all servers at once.
func (a Alertmanager) Ask(ctx context.Context, _ *corev1.Node) plan.Verdict {
	ctx, cancel := patiently(ctx)
	defer cancel()
	v := plan.Verdict{Gate: "alertmanager", Everyone: true, Skippable: true}
	known, err := a.alerts(ctx)
	if err != nil {
		return unanswered(v, "What alerts are active (--alertmanager-url)", err)
	}
	found := active{}
	for _, one := range known {
		found.add(one.name(), true, one.StartsAt)
	}
	if len(found) == 0 {
		v.Open = true
		return v
	}
	v.Reason = plan.BlockedByAlert
	v.Message = fmt.Sprintf("%s in Alertmanager: %s. Reboots go on when none is, when they are silenced, or when no --alert-matcher matches them.",
		found.count(), found)
	return v
}

// posted is one alert as the API tells it.
type posted struct {
	Labels   model.LabelSet `json:"labels"`
	StartsAt time.Time      `json:"startsAt"`
	Status   struct {
		SilencedBy  []string `json:"silencedBy"`
		InhibitedBy []string `json:"inhibitedBy"`
	} `json:"status"`
}

func (p posted) name() string {
	if name := string(p.Labels[model.AlertNameLabel]); name != "" {
		return name
	}
	const limit = 100
	return plan.Clip(p.Labels.String(), limit)
}

func (a Alertmanager) counts(p posted) bool {
	if Own(string(p.Labels[model.AlertNameLabel])) || len(p.Status.SilencedBy)+len(p.Status.InhibitedBy) > 0 {
		return false
	}
	for _, m := range a.Matchers {
		if m.Matches(p.Labels) {
			return true
		}
	}
	return len(a.Matchers) == 0
}

// alerts are those that count, of all servers together. The error is that of all, if none answers.
func (a Alertmanager) alerts(ctx context.Context) (map[model.Fingerprint]posted, error) {
	answers := make([][]posted, len(a.Servers))
	errs := make([]error, len(a.Servers))
	var wg sync.WaitGroup
	for i, s := range a.Servers {
		wg.Go(func() { answers[i], errs[i] = a.askOne(ctx, s) })
	}
	wg.Wait()
	all := map[model.Fingerprint]posted{}
	answered := false
	for i := range a.Servers {
		answered = answered || errs[i] == nil
		for _, p := range answers[i] {
			if a.counts(p) {
				all[p.Labels.Fingerprint()] = p
			}
		}
	}
	if !answered {
		words := make([]string, len(errs))
		for i, err := range errs {
			words[i] = err.Error()
		}
		return nil, errors.New(strings.Join(words, "; "))
	}
	return all, nil
}

// askOne asks for each list of matchers: what doesn't match needn't be sent.
func (a Alertmanager) askOne(ctx context.Context, s Server) ([]posted, error) {
	lists := a.Matchers
	if len(lists) == 0 {
		lists = []labels.Matchers{nil}
	}
	var all []posted
	for _, list := range lists {
		query := url.Values{"active": {"true"}, "silenced": {"false"}, "inhibited": {"false"}}
		for _, m := range list {
			query.Add("filter", m.String())
		}
		status, body, err := s.Get(ctx, "/api/v2/alerts", query)
		if err != nil {
			return nil, err
		}
		var matching []posted
		if err := json.Unmarshal(body, &matching); err != nil || status != http.StatusOK || matching == nil {
			return nil, strange(s, status, body)
		}
		all = append(all, matching...)
	}
	return all, nil
}
