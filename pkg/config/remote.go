package config

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/prometheus/alertmanager/matcher/parse"
	"github.com/prometheus/alertmanager/pkg/labels"

	"github.com/rebootd/rebootd/pkg/remote"
)

// Query is PromQL and what it is called in messages.
type Query struct{ Name, PromQL string }

func remoteOptions(c *Config) group {
	return group{"Alerts and queries", append([]option{
		{
			name: "prometheus-url", value: serverURL(&c.PrometheusURL), defText: "none",
			meaning: "The Prometheus, or what speaks its API, whose active alerts hold a reboot back.",
			example: "http://prometheus.monitoring:9090",
		},
		{
			name: "prometheus-http-config", value: httpConfig(&c.PrometheusHTTPConfig), defText: "none",
			meaning: "A file in the format of Prometheus' http_config, with TLS, authentication, headers and proxy for --prometheus-url.",
			example: "/etc/rebootd/prometheus/http.yaml", beside: "prometheus-url=https://prometheus.example.com",
		},
		{
			name: "alert-filter-regexp", value: pattern(&c.AlertFilter), defText: "none",
			meaning: "Alerts of --prometheus-url whose names this regular expression matches, anywhere in them, don't hold a reboot back.",
			example: "^(Watchdog|InfoInhibitor)$", beside: "prometheus-url=http://prometheus.monitoring:9090",
		},
		{
			name: "alert-filter-match-only", value: boolean(&c.AlertFilterMatchOnly), def: "false",
			meaning: "The other way round: only alerts whose names --alert-filter-regexp matches hold a reboot back.",
			example: "true", beside: "alert-filter-regexp=^(Etcd|Ceph)\nprometheus-url=http://prometheus.monitoring:9090",
		},
		{
			name: "alert-firing-only", value: boolean(&c.AlertFiringOnly), def: "false",
			meaning: "Alerts of --prometheus-url that are only pending don't hold a reboot back.",
			example: "true", beside: "prometheus-url=http://prometheus.monitoring:9090",
		},
		{
			name: "alertmanager-url", value: addresses(&c.AlertmanagerURLs), defText: "none",
			meaning: "The Alertmanager whose active alerts hold a reboot back, except silenced and inhibited ones. Repeatable, or a " +
				"list with commas, for the members of one cluster: one that answers suffices, and an alert that any has counts.",
			example: "http://alertmanager-0.alertmanager:9093\nhttp://alertmanager-1.alertmanager:9093",
		},
		{
			name: "alertmanager-http-config", value: httpConfig(&c.AlertmanagerHTTPConfig), defText: "none",
			meaning: "Like --prometheus-http-config, for --alertmanager-url.",
			example: "/etc/rebootd/alertmanager/http.yaml", beside: "alertmanager-url=https://alertmanager.example.com",
		},
		{
			name: "alert-matcher", value: each("matchers", "\n", parseMatchers, &c.AlertMatchers), defText: "all alerts",
			meaning: "Which alerts of --alertmanager-url hold a reboot back, such as 'severity=~\"critical|page\",team!=\"dev\"': those that all " +
				"matchers match. Repeatable, and any suffices then; in the environment, one on each line.",
			example: `severity=~"critical|page",team!="dev"` + "\n" + `alertname="EtcdNoLeader"`, beside: "alertmanager-url=http://alertmanager.monitoring:9093",
		},
		{
			name: "block-query", value: each("name=PromQL", "\n", parseQuery, &c.BlockQueries), defText: "none",
			meaning: "PromQL that holds a reboot back while it finds a series whose value isn't 0, such as 'ceph=ceph_health_status > 0'. " +
				"Repeatable; in the environment, one on each line. Needs --prometheus-url.",
			example: "ceph=ceph_health_status > 0 or absent(ceph_health_status)", beside: "prometheus-url=http://prometheus.monitoring:9090",
		},
	}, silenceOptions(c)...)}
}

func remoteRules(c *Config) []rule {
	return append(silenceRules(c), []rule{
		needs("prometheus-http-config", c.PrometheusHTTPConfig != "", "prometheus-url", c.PrometheusURL != ""),
		needs("block-query", len(c.BlockQueries) > 0, "prometheus-url", c.PrometheusURL != ""),
		needs("healthy-query", len(c.HealthyQueries) > 0, "prometheus-url", c.PrometheusURL != ""),
		needs("alertmanager-http-config", c.AlertmanagerHTTPConfig != "", "alertmanager-url", len(c.AlertmanagerURLs) > 0),
		needs("alert-matcher", len(c.AlertMatchers) > 0, "alertmanager-url", len(c.AlertmanagerURLs) > 0),
		twice("block-query", c.BlockQueries),
		twice("healthy-query", c.HealthyQueries),
	}...)
}

func needs(option string, given bool, other string, there bool) rule {
	return rule{[]string{option, other}, given && !there, fmt.Sprintf("needs --%s", other)}
}

func twice(option string, queries []Query) rule {
	seen := map[string]bool{}
	for _, q := range queries {
		if seen[q.Name] {
			return rule{[]string{option}, true, fmt.Sprintf("two queries are named %s", q.Name)}
		}
		seen[q.Name] = true
	}
	return rule{options: []string{option}}
}

// serverURL takes one URL; "" is none, as with kured.
func serverURL(to *string) value {
	v := checked(to, "URL", func(s string) error {
		if s == "" {
			return nil
		}
		return remote.CheckURL(s)
	})
	v.mask = remote.MaskURL
	return v
}

// addresses takes URLs, one each time or several with commas between them.
func addresses(to *[]string) value {
	return value{placeholder: "URL", list: true, mask: remote.MaskURL, set: func(s string) error {
		for one := range strings.SplitSeq(s, ",") {
			if err := remote.CheckURL(one); err != nil {
				return err
			}
			*to = append(*to, one)
		}
		return nil
	}}
}

// httpConfig takes the path of a file that is right now.
func httpConfig(to *string) value {
	return checked(to, "path", func(s string) error {
		if err := remote.CheckConfig(s); err != nil {
			return fmt.Errorf("a file in the format of Prometheus' http_config: %w", err)
		}
		return nil
	})
}

// pattern takes a regular expression; "" is none.
func pattern(to **regexp.Regexp) value {
	return value{placeholder: "regexp", set: func(s string) error {
		*to = nil
		if s == "" {
			return nil
		}
		re, err := regexp.Compile(s)
		if err != nil {
			return fmt.Errorf("a regular expression such as ^(Watchdog|InfoInhibitor)$ (%w)", err)
		}
		*to = re
		return nil
	}}
}

// parseMatchers reads matchers as Alertmanager does: in today's form, or else in the one before.
func parseMatchers(s string) (labels.Matchers, error) {
	list, err := parse.Matchers(s)
	if err != nil {
		if old, oldErr := labels.ParseMatchers(s); oldErr == nil {
			list, err = old, nil
		}
	}
	const what = `matchers as in Alertmanager, such as severity=~"critical|page"`
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s (%w)", what, err)
	case len(list) == 0, !utf8.ValidString(s):
		return nil, errors.New(what)
	}
	return list, nil
}

// parseQuery reads name=PromQL. PromQL alone never looks like that: in it, = stands only within braces, or next to another sign.
func parseQuery(s string) (Query, error) {
	name, promQL, _ := strings.Cut(s, "=")
	q := Query{strings.TrimSpace(name), strings.TrimSpace(promQL)}
	switch {
	case !regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$`).MatchString(q.Name), q.PromQL == "", strings.ContainsAny(q.PromQL[:1], "=~"):
		return q, errors.New("a name, = and PromQL, such as 'ceph=ceph_health_status > 0'")
	case onlyZeros(q.PromQL):
		return q, errors.New("PromQL with a value that tells: every series that this one finds has the value 0, which counts as false; " +
			"write == bool 0")
	}
	return q, nil
}

// onlyZeros recognizes a comparison with 0 that lets nothing but zeros through. It is what one writes in the rule of an alert,
// where any series counts, and would never hold anything back here.
func onlyZeros(promQL string) bool {
	ends := regexp.MustCompile(`==\s*[-+]?0+(\.0*)?$`)
	joins := regexp.MustCompile(`(?i)\b(and|or|unless)\b`)
	return ends.MatchString(promQL) && !joins.MatchString(promQL)
}
