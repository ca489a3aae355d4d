package integration

import (
	"crypto/rand"
	"strings"
	"testing"

	"github.com/rebootd/rebootd/pkg/kube"
	"github.com/rebootd/rebootd/test/fleet/conform"
)

// The same is played against the simulation's API server in test/fleet/sim.
func TestConformance(t *testing.T) {
	t.Parallel()
	f := shared(t)
	each, err := kube.New(f.Config())
	if err != nil {
		t.Fatal(err)
	}
	ns := f.namespace(t)
	conform.Run(t, conform.API{
		Nodes: f.client.CoreV1().Nodes(), Leases: f.client.CoordinationV1().Leases(ns),
		Each:       each,
		ConfigMaps: f.client.CoreV1().ConfigMaps(ns),
		Prefix:     "conform-" + strings.ToLower(rand.Text()[:6]),
	})
}
