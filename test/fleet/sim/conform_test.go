package sim_test

import (
	"testing"

	"github.com/rebootd/rebootd/test/fleet/conform"
	"github.com/rebootd/rebootd/test/fleet/sim"
)

// The same is played against a real API server in test/integration.
func TestConformance(t *testing.T) {
	c := sim.NewClient(sim.NewServer())
	conform.Run(t, conform.API{Nodes: c.Nodes(), Leases: c.Leases("ns"), Each: c.Nodes(), ConfigMaps: c.ConfigMaps("ns"), Prefix: "conform"})
}
