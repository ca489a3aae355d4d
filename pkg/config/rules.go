package config

import (
	"fmt"
	"slices"
	"time"
)

// rule joins several options. It is only looked at when each of them is right by itself.
type rule struct {
	options []string // the first is the one to name
	broken  bool
	text    string
}

// rules are all that options must fulfil together.
func rules(c *Config) []rule {
	return append(slices.Concat(windowRules(c), remoteRules(c), kuredRules(c)), []rule{
		{
			[]string{"sentinel-command-no", "sentinel-command-yes"}, common(c.SentinelYes, c.SentinelNo) != "",
			fmt.Sprintf("%s is also in --sentinel-command-yes; a code means only one of the two", common(c.SentinelYes, c.SentinelNo)),
		},
		{
			[]string{"sentinel-command-yes"}, len(c.SentinelYes) == 0,
			"must not be empty, or no reboot is ever asked for",
		},
		{
			[]string{"sentinel-command-yes", "reboot-sentinel-command"}, c.SentinelCommand == "" && !slices.Equal(c.SentinelYes, []int{0}),
			"is only for --reboot-sentinel-command, which isn't set",
		},
		{
			[]string{"sentinel-command-no", "reboot-sentinel-command"}, c.SentinelCommand == "" && len(c.SentinelNo) > 0,
			"is only for --reboot-sentinel-command, which isn't set",
		},
		{
			[]string{"back-off", "back-off-max"}, c.BackOff > c.BackOffMax,
			fmt.Sprintf("%v is longer than --back-off-max, %v", c.BackOff, c.BackOffMax),
		},
		{
			[]string{"web-config-file", "metrics-port"}, c.WebConfigFile != "" && c.MetricsPort == 0,
			"is for --metrics-port, which is 0",
		},
		{
			[]string{"health-port", "metrics-port"}, c.HealthPort > 0 && c.HealthPort == c.MetricsPort,
			"is --metrics-port already; leave it out to have both on one port",
		},
		{
			[]string{"lock-ttl"}, c.LockTTL > 0 && c.LockTTL < time.Minute,
			fmt.Sprintf("%v is not allowed: 0, or at least 1m", c.LockTTL),
		},
		{
			[]string{"on-drain-timeout", "drain-timeout"}, c.OnDrainTimeout != "" && c.OnDrainTimeout != "abort" && c.DrainTimeout == 0,
			fmt.Sprintf("%s needs a --drain-timeout above 0, or no drain ever takes too long", c.OnDrainTimeout),
		},
		{
			[]string{"daemonset-selector", "wait-for-daemonsets"}, c.DaemonSetSelector != "" && !c.WaitForDaemonSets,
			"says which are waited for, but --wait-for-daemonsets=false waits for none",
		},
		{
			[]string{"reboot-command", "reboot-method"}, c.RebootMethod == "command" && c.RebootCommand == "",
			"must not be empty while --reboot-method is command",
		},
	}...)
}
