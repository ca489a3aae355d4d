package gate

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/pkg/plan"
)

// Query is closed while PromQL finds something: any series whose value is not zero, or is not a number.
type Query struct {
	Prometheus   Prometheus
	Name, PromQL string
}

// Ask evaluates the query.
func (q Query) Ask(ctx context.Context, _ *corev1.Node) plan.Verdict {
	ctx, cancel := patiently(ctx)
	defer cancel()
	v := plan.Verdict{Gate: "query " + q.Name, Everyone: true}
	all, err := q.Prometheus.query(ctx, q.PromQL)
	if err != nil {
		return unanswered(v, fmt.Sprintf("The query %s (--block-query, %s)", q.Name, shorten(q.PromQL)), err)
	}
	var found []series
	for _, s := range all {
		if !s.isFalse() {
			found = append(found, s)
		}
	}
	if v.Open = len(found) == 0; !v.Open {
		v.Reason = plan.BlockedByQuery
		v.Message = fmt.Sprintf("The query %s (--block-query, %s) finds something, so no node reboots: %s.",
			q.Name, shorten(q.PromQL), seriesWords(found))
	}
	return v
}

// Healthy is open when PromQL says that all is well: at least one series, all with a value that is neither zero nor not a number.
type Healthy struct {
	Prometheus   Prometheus
	Name, PromQL string
}

// Ask evaluates the query.
func (q Healthy) Ask(ctx context.Context, _ *corev1.Node) plan.Verdict {
	ctx, cancel := patiently(ctx)
	defer cancel()
	v := plan.Verdict{Gate: "healthy query " + q.Name, Everyone: true}
	all, err := q.Prometheus.query(ctx, q.PromQL)
	if err != nil {
		return unanswered(v, fmt.Sprintf("The query %s (--healthy-query, %s)", q.Name, shorten(q.PromQL)), err)
	}
	var wrong []series
	for _, s := range all {
		if !s.isTrue() {
			wrong = append(wrong, s)
		}
	}
	if v.Open = len(all) > 0 && len(wrong) == 0; v.Open {
		return v
	}
	found := "it finds nothing"
	if len(wrong) > 0 {
		found = seriesWords(wrong)
	}
	v.Reason = plan.Settling
	v.Message = fmt.Sprintf("The query %s (--healthy-query, %s) isn't true yet: %s.", q.Name, shorten(q.PromQL), found)
	return v
}
