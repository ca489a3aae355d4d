package config

import (
	"fmt"
	"regexp"
	"strings"
)

// introductions say what the options of a group are about, by its title, and where more is told: links are relative to docs/.
func introductions() map[string]string {
	return map[string]string{
		"Cluster": "Which node an agent works for, and how it reaches the API server.",
		"What asks for a reboot": "Files, commands and the uptime; a person asks by an annotation on the Node, without any option. " +
			"Several may ask, and any of them suffices: see [what asks for a reboot](operations.md#what-asks-for-a-reboot).",
		"What holds a reboot back": "[Windows](windows.md) say when a reboot may begin. People hold reboots back without any option, by a ConfigMap " +
			"or an annotation: see [hold reboots back](operations.md#hold-reboots-back). [Gates](gates.md#all-gates) lists all that can hold a node back.",
		"Alerts and queries": "What Prometheus and Alertmanager must not say before a reboot, or must say after it: see [gates](gates.md), and the " +
			"[recipes](recipes.md) for Ceph, Longhorn, etcd and others.",
		"Lock": "How many nodes may be out at once, and in what order they go: see [how many at once](operations.md#how-many-at-once).",
		"Drain": "How the pods leave the node, and what follows when they don't: see [a drain takes too long](operations.md#a-drain-takes-too-long), " +
			"[load balancers](operations.md#load-balancers), [volumes](operations.md#volumes) and [what goes last](operations.md#what-goes-last).",
		"Reboot": "How the machine is rebooted, and when to stop trying: see [a node is out and doesn't come back](operations.md#a-node-is-out-and-doesnt-come-back) " +
			"and [the whole cluster has stopped](operations.md#the-whole-cluster-has-stopped).",
		"After the reboot": "What must be so before the node is uncordoned, and what before the next node may go: see " +
			"[DaemonSets after the reboot](operations.md#daemonsets-after-the-reboot) and [queries after the reboot](gates.md#queries-after-the-reboot).",
		"Hooks":      "What you have done on a node's way through a reboot: see [hooks](hooks.md).",
		"Commands":   "Where the sentinel command, the reboot command and hooks that are commands run, and what the agent sees of the host.",
		"Output":     "The log, and where [metrics](metrics.md) are served.",
		"Notices":    "Who is told by chat, mail or webhook, and of what: see [notices](notifications.md).",
		"From kured": "What rebootd does as kured does it, and how it gets on with a kured that is still there: see [migrating from kured](migrating-from-kured.md).",
	}
}

// Markdown is the reference of all options, a heading for each.
func Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\nThe examples are written for a shell; in the `args` of a container each line is one item, without the quotes. With "+
		"[Helm](install.md#with-helm), every flag is a value under `configuration`, in camel case: `--gate-grace` is `configuration.gateGrace`. Durations are "+
		"written as 90s, 5m or 1h30m. What is wrong is refused at start, all of it at once.\n", environmentRule)
	for _, g := range options(&Config{}) {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", g.title, introductions()[g.title])
		for _, o := range g.options {
			b.WriteString(o.reference())
		}
	}
	return b.String()
}

// reference is all that the reference says of the option.
func (o option) reference() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n### --%s\n\n%s\n\n", o.name, link(o.meaning, o.name))
	fmt.Fprintf(&b, "- Flag: `%s`", o.synopsis())
	switch {
	case o.alias != "":
		fmt.Fprintf(&b, "; `--%s` is the same", o.alias)
	case o.isBool():
		fmt.Fprintf(&b, " or `--%s=false`", o.name)
	}
	def := o.defaultText()
	if def == o.def {
		def = "`" + def + "`"
	}
	def = link(def, o.name)
	if o.required {
		def = "none; it is required"
	}
	fmt.Fprintf(&b, "\n- Default: %s\n- Environment: `%s`\n", def, variable("REBOOTD_", o.name))
	if o.secret {
		b.WriteString("- Secret: its value is never shown\n")
	}
	fmt.Fprintf(&b, "\n```sh\n%s\n```\n", o.exampleFlags())
	return b.String()
}

// link makes links of the flags in a text, but of that of the option itself. What is code or a template stays as it is.
func link(text, self string) string {
	if strings.HasPrefix(text, "`") {
		return text
	}
	if strings.Contains(text, "{{") {
		return "`" + text + "`"
	}
	return regexp.MustCompile(`--[a-z]+(-[a-z]+)*`).ReplaceAllStringFunc(text, func(flag string) string {
		if flag == "--"+self {
			return "`" + flag + "`"
		}
		return fmt.Sprintf("[`%s`](#%s)", flag, flag)
	})
}

// exampleFlags is the example as for a shell, with the flags beside it.
func (o option) exampleFlags() string {
	var flags []string
	for line := range strings.Lines(o.example) {
		flags = append(flags, o.name+"="+strings.TrimSuffix(line, "\n"))
	}
	for line := range strings.Lines(o.beside) {
		flags = append(flags, strings.TrimSuffix(line, "\n"))
	}
	for i, flag := range flags {
		name, val, _ := strings.Cut(flag, "=")
		flags[i] = "--" + name
		if val != "true" { // a flag alone means so
			flags[i] += "=" + quote(val)
		}
	}
	return strings.Join(flags, "\n")
}

// quote is the value as it is written for a shell.
func quote(val string) string {
	if regexp.MustCompile(`^[\w@%+=:,./-]+$`).MatchString(val) {
		return val
	}
	return "'" + strings.ReplaceAll(val, "'", `'\''`) + "'"
}
