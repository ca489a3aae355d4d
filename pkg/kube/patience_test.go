package kube

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

type answers func(*http.Request) *http.Response

func (a answers) RoundTrip(req *http.Request) (*http.Response, error) { return a(req), nil }

func refusal(code int, after string) answers {
	return func(*http.Request) *http.Response {
		w := httptest.NewRecorder()
		if after != "" {
			w.Header().Set("Retry-After", after)
		}
		w.WriteHeader(code)
		return w.Result()
	}
}

// ask sends a request through the transport and says how long the answer took.
func ask(ctx context.Context, t *testing.T, path string, a answers) time.Duration {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://server"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	resp, err := patient(a).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return time.Since(begin)
}

// Of many who were told to come back in 8 s, each answer is held back by another time: they spread over as many seconds as were named.
func TestRefusedComeBackApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var took []time.Duration
		for range 1000 {
			took = append(took, ask(t.Context(), t, "/api/v1/nodes", refusal(http.StatusTooManyRequests, "8")))
		}
		slices.Sort(took)
		if first, last := took[0], took[len(took)-1]; first > 200*time.Millisecond || last < 7800*time.Millisecond || last > 8*time.Second {
			t.Errorf("held back from %s to %s, want all of 0 to 8 s", first, last)
		}
		if median := took[len(took)/2]; median < 3*time.Second || median > 5*time.Second {
			t.Errorf("held back by %s in the median, want about 4 s", median)
		}
	})
}

func TestPatienceIsForRefusalsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for what, took := range map[string]time.Duration{
			"an answer":                      ask(t.Context(), t, "/api/v1/nodes", refusal(http.StatusOK, "")),
			"an answer with the header":      ask(t.Context(), t, "/api/v1/nodes", refusal(http.StatusOK, "30")),
			"a refusal for good":             ask(t.Context(), t, "/api/v1/nodes", refusal(http.StatusForbidden, "")),
			"a refusal that names no time":   ask(t.Context(), t, "/api/v1/nodes", refusal(http.StatusTooManyRequests, "")),
			"a refusal that names a date":    ask(t.Context(), t, "/api/v1/nodes", refusal(http.StatusTooManyRequests, "Sun, 29 Nov 2026 10:00:00 GMT")),
			"a time that is over":            ask(t.Context(), t, "/api/v1/nodes", refusal(http.StatusServiceUnavailable, "0")),
			"an eviction that a budget bars": ask(t.Context(), t, "/api/v1/namespaces/a/pods/b/eviction", refusal(http.StatusTooManyRequests, "10")),
		} {
			if took > 0 {
				t.Errorf("%s was held back by %s", what, took)
			}
		}
	})
}

// Whatever the API server says, nobody is held back for longer than ten seconds by it.
func TestPatienceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, after := range []string{"3600", "9223372036854775807"} {
			if took := ask(t.Context(), t, "/api/v1/nodes", refusal(http.StatusTooManyRequests, after)); took > 10*time.Second {
				t.Errorf("%s s: held back by %s", after, took)
			}
		}
	})
}

// A request that nobody waits for any more ends.
func TestPatienceEndsWithTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if took := ask(ctx, t, "/api/v1/nodes", refusal(http.StatusTooManyRequests, "3600")); took > time.Second {
			t.Errorf("held back by %s, over the end of its time", took)
		}
	})
}
