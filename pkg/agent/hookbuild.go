package agent

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	promconfig "github.com/prometheus/common/config"
	"github.com/sirupsen/logrus"

	"github.com/rebootd/rebootd/pkg/config"
	"github.com/rebootd/rebootd/pkg/hook"
	"github.com/rebootd/rebootd/pkg/host"
	"github.com/rebootd/rebootd/pkg/plan"
)

// hooks are those that were configured.
func hooks(c config.Config, machine *host.Host, version string, log logrus.FieldLogger) (Hooks, error) {
	all := Hooks{At: map[plan.HookPoint][]hook.Hook{}, Timeout: c.HookTimeout, Namespace: c.Namespace}
	var client *http.Client
	for point, given := range map[plan.HookPoint][]config.Hook{
		plan.BeforeDrain: c.HooksBeforeDrain, plan.BeforeReboot: c.HooksBeforeReboot, plan.AfterReboot: c.HooksAfterReboot,
	} {
		for i, g := range given {
			h := hook.Hook{Hold: c.HookFailure == "hold"}
			if g.Failure != "" {
				h.Hold = g.Failure == "hold"
			}
			what := ""
			switch {
			case g.URL == "":
				what, h.Run = commandName(g.Argv), hook.Command(g.Argv, hookRunnerOf(machine))
			default:
				if client == nil {
					var err error
					if client, err = hookClient(c); err != nil {
						return Hooks{}, err
					}
				}
				what, h.Run = "POST "+hook.Mask(g.URL), hook.Post(g.URL, client, name+"/"+version)
			}
			h.Name = fmt.Sprintf("Hook %d of --hook-%s (%s)", i+1, point, what)
			all.At[point] = append(all.At[point], h)
		}
	}
	if c.HookHTTPConfig != nil && client == nil {
		log.Warn("--hook-http-config has no effect: no hook is a URL.")
	}
	return all, nil
}

// commandName shows no more than a command's name: its arguments may hold secrets.
func commandName(argv []string) string {
	if len(argv) == 1 {
		return host.Quote(argv)
	}
	return host.Quote(argv[:1]) + " …"
}

// hookRunnerOf runs a hook's command on the machine, until its context ends.
func hookRunnerOf(machine *host.Host) hook.Runner {
	return func(ctx context.Context, argv, env []string) (string, error) {
		r := machine.RunWith(ctx, argv, env, 0)
		if err := errors.Unwrap(r.Err); err != nil {
			return r.Output, err // without the command line, in which there may be secrets
		}
		return r.Output, r.Err
	}
}

func hookClient(c config.Config) (*http.Client, error) {
	with := promconfig.DefaultHTTPClientConfig
	if c.HookHTTPConfig != nil {
		with = *c.HookHTTPConfig
	}
	client, err := promconfig.NewClientFromConfig(with, name+"-hooks")
	if err != nil {
		return nil, fmt.Errorf("--hook-http-config: %w", err)
	}
	return client, nil
}

// points are the points that have hooks.
func (h Hooks) points() []plan.HookPoint {
	var points []plan.HookPoint
	for _, p := range plan.HookPoints() {
		if len(h.At[p]) > 0 {
			points = append(points, p)
		}
	}
	return points
}
