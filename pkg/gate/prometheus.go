package gate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/rebootd/rebootd/pkg/plan"
)

// patience is how long a gate waits for a server: less than the agent waits for the gate, so that the answer says what went wrong.
const patience = 8 * time.Second

// Server answers over HTTP. Its String is an address that may be shown.
type Server interface {
	Get(ctx context.Context, path string, query url.Values) (status int, body []byte, err error)
	String() string
}

// Prometheus evaluates PromQL: Prometheus itself, or what speaks its API.
type Prometheus struct{ Server Server }

// series is one of a result: its labels, and a value that may be NaN.
type series struct {
	labels model.Metric
	value  float64
}

// isTrue is what both kinds of query look at. What is not a number counts as neither.
func (s series) isTrue() bool  { return s.value != 0 && !math.IsNaN(s.value) }
func (s series) isFalse() bool { return s.value == 0 }

func (s series) String() string {
	if len(s.labels) == 0 {
		return fmt.Sprintf("the value is %v", s.value)
	}
	const limit = 200
	return fmt.Sprintf("%s is %v", plan.Clip(s.labels.String(), limit), s.value)
}

// answer is what the API answers with.
type answer struct {
	Status   string   `json:"status"`
	Error    string   `json:"error"`
	Warnings []string `json:"warnings"`
	// Partial is VictoriaMetrics' word for a result that lacks something.
	Partial bool `json:"isPartial"`
	Data    struct {
		Type   string          `json:"resultType"`
		Result json.RawMessage `json:"result"`
	} `json:"data"`
}

// query evaluates PromQL now. A result that lacks something because a part of the server is down is an error.
func (p Prometheus) query(ctx context.Context, promQL string) ([]series, error) {
	status, body, err := p.Server.Get(ctx, "/api/v1/query", url.Values{
		"query": {promQL}, "timeout": {patience.String()},
		"partial_response": {"false"}, "deny_partial_response": {"1"}, // of Thanos, of VictoriaMetrics
	})
	if err != nil {
		return nil, err
	}
	var a answer
	if err := json.Unmarshal(body, &a); err != nil || a.Status == "" {
		return nil, strange(p.Server, status, body)
	}
	switch {
	case status != http.StatusOK || a.Status != "success":
		return nil, fmt.Errorf("%s answers with HTTP status %d: %s", p.Server, status, shorten(a.Error))
	case a.Partial:
		return nil, fmt.Errorf("the answer of %s is not complete", p.Server)
	}
	for _, w := range a.Warnings {
		if !strings.HasPrefix(w, "PromQL ") { // those are about the query, and known to who wrote it
			return nil, fmt.Errorf("the answer of %s may not be complete: %s", p.Server, shorten(w))
		}
	}
	return a.series()
}

func (a answer) series() ([]series, error) {
	switch a.Data.Type {
	case model.ValVector.String():
		var vector []struct {
			Metric model.Metric      `json:"metric"`
			Value  *model.SamplePair `json:"value"`
		}
		if err := json.Unmarshal(a.Data.Result, &vector); err != nil {
			return nil, fmt.Errorf("the result can't be read: %w", err)
		}
		all := make([]series, len(vector))
		for i, v := range vector {
			if v.Value == nil {
				return nil, errors.New("the result has histograms, which are neither true nor false")
			}
			all[i] = series{v.Metric, float64(v.Value.Value)}
		}
		return all, nil
	case model.ValScalar.String():
		var v model.SamplePair
		if err := json.Unmarshal(a.Data.Result, &v); err != nil {
			return nil, fmt.Errorf("the result can't be read: %w", err)
		}
		return []series{{value: float64(v.Value)}}, nil
	default:
		return nil, fmt.Errorf("the result is a %q; it must be an instant vector or a scalar", shorten(a.Data.Type))
	}
}

// strange is an answer that isn't the API's.
func strange(s Server, status int, body []byte) error {
	hint := "a path may be missing in its address, or something stands before it"
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		hint = "it wants other credentials"
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		hint = "it, or what it rests on, is down"
	}
	said := ""
	if text := shorten(string(body)); text != "" {
		said = fmt.Sprintf(", %q", text)
	}
	return fmt.Errorf("%s answers with HTTP status %d%s: %s", s, status, said, hint)
}

// patiently bounds what a gate asks.
func patiently(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, patience)
}

// unanswered is a gate that couldn't be evaluated.
func unanswered(v plan.Verdict, what string, err error) plan.Verdict {
	v.Open, v.Reason = false, plan.GateError
	v.Message = fmt.Sprintf("%s can't be evaluated: %v.", what, err)
	return v
}

// some names the first few, and says how many more there are.
func some(words []string, more string) string {
	const named = 3
	if len(words) <= named {
		return strings.Join(words, ", ")
	}
	return fmt.Sprintf("%s and %d more %s", strings.Join(words[:named], ", "), len(words)-named, more)
}

func seriesWords(all []series) string {
	words := make([]string, len(all))
	for i, s := range all {
		words[i] = s.String()
	}
	slices.Sort(words)
	return some(words, "series")
}

// shorten makes one line of bounded length of what a person wrote, or a server said.
func shorten(text string) string {
	const limit = 300
	return plan.Clip(plan.OneLine(text), limit)
}
