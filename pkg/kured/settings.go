package kured

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// kind is what a flag of kured's takes.
type kind int

const (
	text kind = iota
	boolean
	list
)

// flags are all of kured 1.23.
func flags() map[string]kind {
	all := map[string]kind{
		"alert-filter-match-only": boolean, "alert-firing-only": boolean, "annotate-nodes": boolean, "force-reboot": boolean,
		"blocking-pod-selector": list, "post-reboot-node-labels": list, "pre-reboot-node-labels": list, "reboot-days": list,
	}
	for _, name := range []string{
		"alert-filter-regexp", "concurrency", "drain-delay", "drain-grace-period", "drain-pod-selector", "drain-timeout", "ds-name", "ds-namespace",
		"end-time", "lock-annotation", "lock-release-delay", "lock-ttl", "log-format", "message-template-drain", "message-template-reboot",
		"message-template-uncordon", "metrics-host", "metrics-port", "node-id", "notify-url", "period", "prefer-no-schedule-taint", "prometheus-url",
		"reboot-command", "reboot-delay", "reboot-method", "reboot-sentinel", "reboot-sentinel-command", "reboot-signal",
		"skip-wait-for-delete-timeout", "slack-channel", "slack-hook-url", "slack-username", "start-time", "time-zone",
	} {
		all[name] = text
	}
	return all
}

// Setting is an option as a container of kured's gives it.
type Setting struct {
	Flag string
	// Values are one, or several of a list. References to variables whose value stands there are resolved.
	Values []string
	// Variable is the environment variable that it comes from; empty: an argument.
	Variable string
	// From is where the variable's value comes from if it doesn't stand there; then there are no Values.
	From *corev1.EnvVarSource
	// Open are variables that Values refer to as $(NAME) and whose values don't stand there.
	Open []string
	// Doubt is what isn't sure about it, as a sentence; empty: nothing.
	Doubt string
}

// Value is the one that counts.
func (s Setting) Value() string {
	if len(s.Values) == 0 {
		return ""
	}
	return s.Values[len(s.Values)-1]
}

// Settings are kured's options by the container's arguments and environment, and what among them isn't one of kured's.
func Settings(c corev1.Container) (settings []Setting, unknown []string) {
	r := reader{c: c, found: map[string]*Setting{}}
	r.arguments()
	r.variables(slices.Clone(r.order))
	for _, name := range r.order {
		settings = append(settings, *r.found[name])
	}
	return settings, r.unknown
}

// reader collects the options of a container.
type reader struct {
	c       corev1.Container
	found   map[string]*Setting
	order   []string
	unknown []string
}

func (r *reader) arguments() {
	known := flags()
	args := slices.Concat(r.c.Command, r.c.Args)
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		args = args[1:] // the program
	}
	for i := 0; i < len(args); i++ {
		name, value, joined := strings.Cut(strings.TrimPrefix(args[i], "--"), "=")
		of, ok := known[name]
		switch {
		case !ok || !strings.HasPrefix(args[i], "--"):
			r.unknown = append(r.unknown, args[i])
			continue
		case joined:
		case of == boolean:
			value = "true"
		case i+1 < len(args):
			i++
			value = args[i]
		}
		r.argument(name, of, value)
	}
}

func (r *reader) argument(name string, of kind, value string) {
	value, open := expand(unquoted(value), r.c.Env)
	s := r.found[name]
	if s == nil {
		s = &Setting{Flag: name}
		r.found[name], r.order = s, append(r.order, name)
	}
	if of != list {
		s.Values, s.Open = nil, nil
	}
	s.Values, s.Open = append(s.Values, value), append(s.Open, open...)
}

func (r *reader) variables(fromArguments []string) {
	known := flags()
	for _, e := range r.c.Env {
		name, ok := strings.CutPrefix(e.Name, "KURED_")
		name = strings.ReplaceAll(strings.ToLower(name), "_", "-")
		switch _, is := known[name]; {
		case !ok:
			continue
		case !is:
			r.unknown = append(r.unknown, e.Name)
			continue
		case e.ValueFrom == nil && unquoted(e.Value) == "":
			continue
		}
		s := environment(e, name, r.c.Env)
		if before := r.found[name]; before == nil {
			r.order = append(r.order, name)
		} else if slices.Contains(fromArguments, name) && !slices.Equal(before.Values, s.Values) {
			s.Doubt = fmt.Sprintf("--%s has one value among the arguments and another one in %s. With newer releases of kured the environment wins, with older "+
				"ones the flag; here is the environment's.", name, e.Name)
		}
		r.found[name] = s
	}
}

func environment(e corev1.EnvVar, flag string, env []corev1.EnvVar) *Setting {
	s := &Setting{Flag: flag, Variable: e.Name, From: e.ValueFrom}
	if e.ValueFrom == nil {
		value, open := expand(unquoted(e.Value), env)
		s.Values, s.Open = []string{value}, open
	}
	return s
}

// unquoted takes quotes for no value that have nothing between them: kured's manifest has them so in lines that one is to uncomment.
func unquoted(value string) string {
	if value == `""` || value == `''` {
		return ""
	}
	return value
}

// expand resolves references to variables as the kubelet does. Those whose value doesn't stand there stay, and are named; what is no
// reference stays as it is.
func expand(value string, env []corev1.EnvVar) (expanded string, open []string) {
	expanded = regexp.MustCompile(`\$?\$\([A-Za-z_][A-Za-z0-9_.-]*\)`).ReplaceAllStringFunc(value, func(ref string) string {
		name := strings.TrimSuffix(ref[strings.Index(ref, "(")+1:], ")")
		i := slices.IndexFunc(env, func(e corev1.EnvVar) bool { return e.Name == name })
		switch {
		case strings.HasPrefix(ref, "$$"):
			return ref[1:]
		case i < 0:
			return ref
		case env[i].ValueFrom == nil && !strings.Contains(env[i].Value, "$("):
			return env[i].Value
		}
		open = append(open, name)
		return ref
	})
	return expanded, open
}
