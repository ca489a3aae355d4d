package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/sirupsen/logrus"

	"github.com/rebootd/rebootd/pkg/config"
	"github.com/rebootd/rebootd/pkg/hook"
	"github.com/rebootd/rebootd/pkg/host"
	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/pkg/remote"
)

// hooks are those that were configured. The check fails when a command isn't there that the node would wait for.
func hooks(c config.Config, machine *host.Host, version string, log logrus.FieldLogger) (all Hooks, check func() error, err error) {
	all = Hooks{At: map[plan.HookPoint][]hook.Hook{}, Timeout: c.HookTimeout, Namespace: c.Namespace}
	given := map[plan.HookPoint][]config.Hook{
		plan.BeforeDrain: c.HooksBeforeDrain, plan.BeforeReboot: c.HooksBeforeReboot, plan.AfterReboot: c.HooksAfterReboot,
	}
	client, err := remote.Client(c.HookHTTPConfig, name+"/"+version)
	if err != nil {
		return Hooks{}, nil, fmt.Errorf("--hook-http-config: %w", err)
	}
	urls := false
	var lookups []func() error
	for _, point := range plan.HookPoints() {
		for i, g := range given[point] {
			h := hook.Hook{Hold: cmp.Or(g.Failure, c.HookFailure) == "hold"}
			what := commandName(g.Argv)
			if g.URL == "" {
				h.Run = hook.Command(g.Argv, hookRunnerOf(machine))
			} else {
				urls = true
				what, h.Run = "POST "+hook.Mask(g.URL), hook.Post(g.URL, client, name+"/"+version)
			}
			h.Name = fmt.Sprintf("Hook %d of --hook-%s (%s)", i+1, point, what)
			all.At[point] = append(all.At[point], h)
			if h.Hold && g.URL == "" {
				lookups = append(lookups, lookup(machine, "--hook-"+string(point), g.Argv[0]))
			}
		}
	}
	if c.HookHTTPConfig != "" && !urls {
		log.Warn("--hook-http-config has no effect: no hook is a URL.")
	}
	return all, func() error { return firstError(lookups) }, nil
}

func firstError(checks []func() error) error {
	for _, check := range checks {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// lookup fails when a command of an option isn't there.
func lookup(machine *host.Host, option, argv0 string) func() error {
	return func() error {
		if err := machine.Lookup(argv0); err != nil {
			return fmt.Errorf("%s: %w", option, err)
		}
		return nil
	}
}

// commandName shows no more than a command's name: its arguments may hold secrets.
func commandName(argv []string) string {
	shown := host.Quote(argv[:min(1, len(argv))])
	if len(argv) > 1 {
		shown += " …"
	}
	return shown
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
