package kube

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	utilnet "k8s.io/apimachinery/pkg/util/net"
)

// patience is a transport for an agent of many: who was told by the API server to come back in a while comes back some time, by chance, after that.
// client-go keeps to Retry-After to the second, so all that were refused in one second would come back in one second.
type patience struct{ next http.RoundTripper }

// latestStill is how much later, at most; it is no more than what the API server said.
const latestStill = 10 * time.Second

var _ utilnet.RoundTripperWrapper = patience{}

func patient(next http.RoundTripper) http.RoundTripper { return patience{next} }

// WrappedRoundTripper is the transport within.
func (p patience) WrappedRoundTripper() http.RoundTripper { return p.next }

// RoundTrip implements http.RoundTripper.
func (p patience) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := p.next.RoundTrip(req)
	if err != nil || evicts(req) || resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode < http.StatusInternalServerError {
		return resp, err
	}
	seconds, err := strconv.Atoi(resp.Header.Get("Retry-After"))
	if err != nil || seconds <= 0 {
		return resp, nil //nolint:nilerr // not told to come back: a client sees that, too, and doesn't
	}
	most := time.Duration(min(seconds, int(latestStill/time.Second))) * time.Second
	later := time.NewTimer(rand.N(most)) //nolint:gosec // it spreads, and keeps no secret
	defer later.Stop()
	select {
	case <-req.Context().Done():
	case <-later.C:
	}
	return resp, nil
}

// evicts: what refuses an eviction is a budget, and the drain knows when to try again.
func evicts(req *http.Request) bool { return strings.HasSuffix(req.URL.Path, "/eviction") }
