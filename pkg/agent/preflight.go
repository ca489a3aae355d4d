package agent

import (
	"context"
	"sync"
	"time"

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
func skewGate(c config.Config, client *kube.Client, now func() time.Time) Gate {
	if c.VersionSkew == "ignore" {
		return nil
	}
	return gate.Skew{Server: remembered(client.ServerVersion, now)}
}

// versionFor is how long the API server's version is remembered: less than until a closed gate is asked again, if --period is no shorter.
const versionFor = costlyEvery / 2

// remembered asks again only after some time.
func remembered(ask func(context.Context) (string, error), now func() time.Time) func(context.Context) (string, error) {
	var mu sync.Mutex
	var last string
	var at time.Time
	return func(ctx context.Context) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		if last != "" && now().Sub(at).Abs() < versionFor {
			return last, nil
		}
		answer, err := ask(ctx)
		if err != nil {
			return "", err
		}
		last, at = answer, now()
		return last, nil
	}
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
