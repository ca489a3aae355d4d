package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/rebootd/rebootd/pkg/config"
	"github.com/rebootd/rebootd/pkg/host"
	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/pkg/sentinel"
)

// Beside is a sentinel that finds out beside the loop, and answers with what it knows.
type Beside interface {
	Sentinel
	// Watch finds out, again and again, until ctx ends. It calls wake when there is news.
	Watch(ctx context.Context, wake func())
	// Asked reports whether there is an answer to a question that was asked at that time or later. If not, it asks.
	Asked(since time.Time) bool
}

// sentinels are what asks for a reboot, as configured: explicit files and commands win over a preset.
func sentinels(c config.Config, machine *host.Host, log logrus.FieldLogger, now func() time.Time) []Sentinel {
	var all []Sentinel
	preset, err := chosen(c, machine)
	if err != nil {
		all = append(all, sentinel.None{Why: err.Error()})
	}
	from := ""
	if preset.Name != "" {
		from = "--sentinel-preset=" + preset.Name
	}
	for _, path := range preset.Files {
		all = append(all, sentinel.File{Path: path, HostRoot: c.HostRoot, From: from})
	}
	if check := preset.Check; len(check.Argvs) > 0 {
		check.From = from
		all = append(all, sentinel.NewCommand(check, runner(c, machine), sentinel.Pace{Every: c.Period, Timeout: c.CommandTimeout, Now: now, Chance: mathrand.Float64}))
	}
	if c.MaxUptime > 0 {
		all = append(all, sentinel.Uptime{Limit: c.MaxUptime, Node: c.NodeName})
	}
	say(log, c, preset, err)
	return all
}

// chosen is what to look at: of the options if they say, else of the preset.
func chosen(c config.Config, machine *host.Host) (sentinel.Preset, error) {
	switch {
	case c.SentinelCommand != "":
		argv, err := host.ParseCommand(c.SentinelCommand)
		if err != nil {
			return sentinel.Preset{}, fmt.Errorf("--reboot-sentinel-command: %w", err)
		}
		return sentinel.Preset{Check: sentinel.Check{Argvs: [][]string{argv}, Yes: c.SentinelYes, No: c.SentinelNo}}, nil
	case len(c.RebootSentinels) > 0:
		return sentinel.Preset{Files: c.RebootSentinels}, nil
	case c.SentinelPreset == "":
		return sentinel.Preset{Files: []string{config.DefaultSentinel}}, nil
	}
	name := c.SentinelPreset
	if name == "auto" {
		text, err := osRelease(c, machine)
		if err == nil {
			name, err = sentinel.Detect(text)
		}
		if err != nil {
			return sentinel.Preset{}, fmt.Errorf("--sentinel-preset=auto: %w; name a preset, or set --reboot-sentinel or "+
				"--reboot-sentinel-command", err)
		}
	}
	preset, ok := sentinel.PresetOf(name)
	if !ok {
		return sentinel.Preset{}, fmt.Errorf("--sentinel-preset: there is no preset %q", name)
	}
	return preset, nil
}

// osRelease is the host's: where commands run, else below --host-root. (In a container, /etc/os-release is the image's.)
func osRelease(c config.Config, machine *host.Host) (string, error) {
	inHost := c.CommandNamespace == string(host.NamespaceHost)
	var problems []error
	for _, path := range []string{"/etc/os-release", "/usr/lib/os-release"} {
		if inHost {
			text, err := machine.ReadFile(path)
			if err == nil {
				return string(text), nil
			}
			problems = append(problems, err)
		}
		if !inHost || filepath.Clean(c.HostRoot) != "/" {
			text, err := os.ReadFile(filepath.Join(c.HostRoot, path))
			if err == nil {
				return string(text), nil
			}
			problems = append(problems, err)
		}
	}
	return "", problems[0]
}

// runner runs a sentinel's command on the machine.
func runner(c config.Config, machine *host.Host) func(context.Context, []string) sentinel.Exit {
	return func(ctx context.Context, argv []string) sentinel.Exit {
		r := machine.Run(ctx, argv, c.CommandTimeout)
		missing := !r.Started && (errors.Is(r.Err, exec.ErrNotFound) || errors.Is(r.Err, fs.ErrNotExist))
		return sentinel.Exit{Missing: missing, Exited: r.Exited, Code: r.ExitCode, Output: r.Output, Err: r.Err}
	}
}

// say tells at start what is looked at.
func say(log logrus.FieldLogger, c config.Config, p sentinel.Preset, err error) {
	if err != nil {
		log.Error("What asks for a reboot isn't known: " + err.Error())
	}
	if c.SentinelCommand != "" && len(c.RebootSentinels) > 0 {
		log.Warn("--reboot-sentinel is ignored because --reboot-sentinel-command is set, as with kured.")
	}
	var words []string
	for _, f := range p.Files {
		words = append(words, "the file "+f)
	}
	for _, argv := range p.Check.Argvs {
		words = append(words, "the command "+host.Quote(argv))
	}
	if c.MaxUptime > 0 {
		words = append(words, fmt.Sprintf("an uptime of %s", sentinel.Uptime{Limit: c.MaxUptime, Node: c.NodeName}.Due().Round(time.Second)))
	}
	words = append(words, "the annotations rebootd.io/request and rebootd.io/request-now")
	log.WithField("preset", cmp.Or(p.Name, "none")).Infof("What asks for a reboot of this node: %s.", strings.Join(words, ", "))
}

// unasked reports whether a sentinel beside the loop hasn't answered yet. Nothing is decided on that, except where a wish
// plays no part: its first answer is seconds away, and would follow an unknown that means nothing.
func (a *Agent) unasked(r plan.Record) bool {
	switch r.Phase {
	case plan.Recovering, plan.Aborting:
		return false
	default:
		return !a.asked(time.Time{})
	}
}

// asked reports whether every sentinel beside the loop has answered to a question of that time or later.
func (a *Agent) asked(since time.Time) bool {
	all := true
	for _, s := range a.Sentinels {
		if b, ok := s.(Beside); ok && !b.Asked(since) {
			all = false
		}
	}
	return all
}

// sure reports whether every sentinel beside the loop has answered since the step was due that goes out of service or to the
// reboot. It is looked at before the sentinels are: what comes in between may be another answer, that isn't decided on.
func (a *Agent) sure() bool { return a.memory.due.IsZero() || a.asked(a.memory.due) }

// unsure reports whether the step goes out of service, or to the reboot, on an answer from before the step was due. Then the
// sentinels beside the loop are asked once more.
func (a *Agent) unsure(o plan.Observation, step plan.Action, sure bool) bool {
	goes := step.Do == plan.DoCordon || step.Do == plan.DoWrite && announces(o.Record, step.Record)
	if !goes {
		a.memory.due = time.Time{}
		return false
	}
	if a.memory.due.IsZero() {
		a.memory.due = a.Now()
		sure = a.asked(a.memory.due)
	}
	return !sure
}
