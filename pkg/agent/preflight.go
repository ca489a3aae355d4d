package agent

import (
	"context"

	"github.com/rebootd/rebootd/pkg/config"
	"github.com/rebootd/rebootd/pkg/gate"
	"github.com/rebootd/rebootd/pkg/kube"
	"github.com/rebootd/rebootd/pkg/node"
	"github.com/rebootd/rebootd/pkg/node/drain"
)

// costlyGates are what only the node asks whose turn it is.
func costlyGates(c config.Config, skew Gate, drainer *drain.Drainer) []Gate {
	var all []Gate
	if skew != nil {
		all = append(all, skew)
	}
	if c.PDBPreflight != "off" {
		all = append(all, gate.Budgets{Refused: refused(drainer), Hold: c.PDBPreflight == "hold", Annotation: node.StateAnnotation})
	}
	return all
}

// skewGate is nil if the versions don't matter.
func skewGate(c config.Config, client *kube.Client) Gate {
	if c.VersionSkew == "ignore" {
		return nil
	}
	return gate.Skew{Server: client.ServerVersion}
}

func refused(drainer *drain.Drainer) func(context.Context) ([]string, error) {
	return func(ctx context.Context) ([]string, error) {
		obstacles, err := drainer.Preflight(ctx)
		said := make([]string, 0, len(obstacles))
		for _, o := range obstacles {
			said = append(said, o.String())
		}
		return said, err
	}
}
