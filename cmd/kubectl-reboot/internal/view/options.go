package view

import (
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/pkg/config"
	"github.com/rebootd/rebootd/pkg/lock"
)

// options is what the plugin has to know of the agents' options.
type options struct {
	concurrency  config.Amount
	group        string
	groupLabel   string
	orderLabel   string
	settle       time.Duration
	circuitReset time.Duration
}

// known are the options that matter here; others may be newer than this plugin, and are passed over.
var known = []string{"concurrency", "lock-group", "lock-group-label", "order-by-label", "settle-time", "lock-release-delay", "circuit-reset"}

// readOptions reads the options as the first of the agents' DaemonSets gives them; what can't be read is as by default.
func readOptions(sets []appsv1.DaemonSet) options {
	var args []string
	if len(sets) > 0 {
		args = given(sets[0].Spec.Template.Spec.Containers)
	}
	c, err := config.Parse(append(args, "--node-name=any"), nil, nopWriter{})
	if err != nil {
		if c, err = config.Parse([]string{"--node-name=any"}, nil, nopWriter{}); err != nil {
			return options{concurrency: config.Amount{Number: 1}, group: "default"}
		}
	}
	return options{
		concurrency: c.Concurrency, group: c.LockGroup, groupLabel: c.LockGroupLabel, orderLabel: c.OrderByLabel,
		settle: max(c.SettleTime, c.LockReleaseDelay), circuitReset: c.CircuitReset,
	}
}

// given are the known options among a container's arguments and variables, as flags. A flag wins over the environment.
func given(containers []corev1.Container) []string {
	var fromEnv, fromArgs []string
	for _, c := range containers {
		if len(containers) > 1 && !strings.Contains(c.Name, "rebootd") {
			continue
		}
		for _, prefix := range []string{"KURED_", "REBOOTD_"} {
			for _, e := range c.Env {
				name, ok := strings.CutPrefix(e.Name, prefix)
				name = strings.ReplaceAll(strings.ToLower(name), "_", "-")
				if ok && e.Value != "" && slices.Contains(known, name) {
					fromEnv = append(fromEnv, "--"+name+"="+e.Value)
				}
			}
		}
		fromArgs = append(fromArgs, flags(slices.Concat(c.Command, c.Args))...)
	}
	return last(append(fromEnv, fromArgs...))
}

// flags are the known ones among the arguments, each as --name=value.
func flags(args []string) []string {
	var found []string
	for i, arg := range args {
		name, value, joined := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if !strings.HasPrefix(arg, "-") || !slices.Contains(known, name) {
			continue
		}
		if !joined && i+1 < len(args) {
			value = args[i+1]
		}
		found = append(found, "--"+name+"="+value)
	}
	return found
}

// last keeps of each flag the last one.
func last(flags []string) []string {
	var kept []string
	for i, f := range flags {
		name, _, _ := strings.Cut(f, "=")
		again := slices.ContainsFunc(flags[i+1:], func(later string) bool { return strings.HasPrefix(later, name+"=") })
		if !again {
			kept = append(kept, f)
		}
	}
	return kept
}

// groupOf is the lock group of a node with these labels.
func (o options) groupOf(labels map[string]string) string {
	if value := labels[o.groupLabel]; o.groupLabel != "" && value != "" {
		return lock.GroupName(value, o.group)
	}
	return o.group
}

type nopWriter struct{}

func (nopWriter) Write(b []byte) (int, error) { return len(b), nil }
