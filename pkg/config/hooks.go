package config

import (
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/kballard/go-shellquote"
)

// Hook is one thing that the cluster's owner wants done around a reboot.
type Hook struct {
	// Argv is a command line; empty for a request to URL.
	Argv []string
	URL  string
	// Failure is "hold" or "warn", or "" for what HookFailure says.
	Failure string
}

func hookOptions(c *Config) group {
	const how = " A command line, which runs in --command-namespace, or an http or https URL, which gets a POST; with hold: or warn: " +
		"in front, --hook-failure doesn't count for it. May be given several times; in the environment, one on each line."
	return group{"Hooks", []option{
		{
			name: "hook-before-drain", value: hooks(&c.HooksBeforeDrain), defText: "none",
			meaning: "What to do when the node is cordoned, before the first eviction." + how,
			example: `sh -c "ceph osd set-group noout $REBOOTD_NODE"` + "\n" + "https://lb.example.com/v1/rebootd",
		},
		{
			name: "hook-before-reboot", value: hooks(&c.HooksBeforeReboot), defText: "none",
			meaning: "What to do when the node is drained, before the reboot command; as --hook-before-drain.",
			example: "warn:/usr/local/bin/flush-cache",
		},
		{
			name: "hook-after-reboot", value: hooks(&c.HooksAfterReboot), defText: "none",
			meaning: "What to do when the node has rebooted and is healthy, before it is uncordoned; and after a hook before the reboot, when " +
				"the node goes back into service without one. As --hook-before-drain.",
			example: `sh -c "ceph osd unset-group noout $REBOOTD_NODE"` + "\n" + "warn:https://chat.example.com/hooks/rebootd",
		},
		{
			name: "hook-failure", value: choice(&c.HookFailure, "hold", "warn"), def: "hold",
			meaning: "What a failing hook does: hold the node until it succeeds, before the reboot for no longer than --gate-grace, " +
				"after which the node goes back into service; or only warn, after three tries.",
			example: "warn",
		},
		{
			name: "hook-timeout", value: duration(&c.HookTimeout, time.Second), def: "2m",
			meaning: "How long one try of a hook may take before it counts as failed.",
			example: "5m",
		},
		{
			name: "hook-http-config", value: httpConfig(&c.HookHTTPConfig), defText: "none",
			meaning: "A file in the format of Prometheus' http_config, with the TLS, authentication and headers for hooks that are URLs.",
			example: "/etc/rebootd/hooks/http.yaml", beside: "hook-before-drain=https://lb.example.com/v1/rebootd",
		},
	}}
}

// hooks takes hooks, one each time or several on a line each.
func hooks(to *[]Hook) value {
	return value{placeholder: "[warn:]command|URL", list: true, mask: maskHook, set: func(s string) error {
		for line := range strings.SplitSeq(strings.TrimSpace(s), "\n") {
			if line = strings.TrimSpace(line); line == "" && s != "" {
				continue
			}
			h, err := parseHook(line)
			if err != nil {
				return err
			}
			*to = append(*to, h)
		}
		return nil
	}}
}

func parseHook(s string) (Hook, error) {
	h := Hook{}
	for _, failure := range []string{"hold", "warn"} {
		if rest, ok := strings.CutPrefix(s, failure+":"); ok {
			h.Failure, s = failure, strings.TrimSpace(rest)
			break
		}
	}
	if isURL(s) {
		u, err := url.Parse(s)
		if err != nil || u.Hostname() == "" || strings.ContainsAny(s, " \t") {
			return Hook{}, errors.New("a URL such as https://example.com/hook, without blanks")
		}
		h.URL = s
		return h, nil
	}
	words, err := shellquote.Split(s)
	if err != nil || len(words) == 0 || words[0] == "" {
		return Hook{}, errors.New("a command and its arguments, quoted as for a shell, or an http or https URL")
	}
	h.Argv = words
	return h, nil
}

func isURL(s string) bool {
	scheme, _, ok := strings.Cut(s, "://")
	return ok && (strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https"))
}

// maskHook shows of a URL its host and of a command its name: both often have secrets in the rest.
func maskHook(s string) string {
	var shown []string
	for line := range strings.SplitSeq(s, "\n") {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		scheme, rest, ok := strings.Cut(line, "://")
		first, more, _ := strings.Cut(strings.ReplaceAll(scheme, "\t", " "), " ")
		switch {
		case ok && more == "": // a URL
			host := rest[:len(rest)-len(strings.TrimLeftFunc(rest, func(r rune) bool { return !strings.ContainsRune("/?#", r) }))]
			shown = append(shown, scheme+"://"+host[strings.LastIndex(host, "@")+1:]+"/***")
		case first == line:
			shown = append(shown, first)
		default:
			shown = append(shown, first+" ***")
		}
	}
	return strings.Join(shown, "\n")
}
