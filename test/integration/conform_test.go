package integration

import (
	"crypto/rand"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/metadata"

	"github.com/rebootd/rebootd/test/fleet/conform"
)

// The same is played against the simulation's API server in test/fleet/sim.
func TestConformance(t *testing.T) {
	t.Parallel()
	f := shared(t)
	metas, err := metadata.NewForConfig(f.Config())
	if err != nil {
		t.Fatal(err)
	}
	ns := f.namespace(t)
	conform.Run(t, conform.API{
		Nodes: f.client.CoreV1().Nodes(), Leases: f.client.CoordinationV1().Leases(ns),
		Metas:      metas.Resource(corev1.SchemeGroupVersion.WithResource("nodes")),
		ConfigMaps: f.client.CoreV1().ConfigMaps(ns),
		Prefix:     "conform-" + strings.ToLower(rand.Text()[:6]),
	})
}
