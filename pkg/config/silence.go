package config

import (
	"fmt"

	"github.com/prometheus/alertmanager/pkg/labels"

	"github.com/rebootd/rebootd/pkg/silence"
)

func silenceOptions(c *Config) []option {
	return []option{
		{
			name: "silence-alerts", value: boolean(&c.SilenceAlerts), def: "false",
			meaning: "Silence the alerts about this node in --alertmanager-url while it is out of service, so that they wake nobody and don't " +
				"hold the next node back.",
			example: "true",
			beside:  "alertmanager-url=http://alertmanager.monitoring:9093",
		},
		{
			name: "silence-matcher", value: each("matchers", "\n", parseSilence, &c.SilenceMatchers),
			defText: "node=\"{{.Node}}\", and instance=~\"({{.Node}}|{{.IP}})(:[0-9]+)?\"",
			meaning: "Which alerts --silence-alerts silences: those that all matchers match, in which {{.Node}} is the node's name and {{.IP}} its " +
				"internal address. Repeatable, for one silence each; in the environment, one on each line.",
			example: "node=\"{{.Node}}\",cluster=\"west\"",
			beside:  "alertmanager-url=http://alertmanager.monitoring:9093\nsilence-alerts=true",
		},
		{
			name: "silence-linger", value: duration(&c.SilenceLinger, 0), def: "2m",
			meaning: "How long alerts stay silent when the node is back in service: those that are over, and of which Alertmanager doesn't know yet.",
			example: "5m",
			beside:  "alertmanager-url=http://alertmanager.monitoring:9093\nsilence-alerts=true",
		},
	}
}

func silenceRules(c *Config) []rule {
	return []rule{
		needs("silence-alerts", c.SilenceAlerts, "alertmanager-url", len(c.AlertmanagerURLs) > 0),
		needs("silence-matcher", len(c.SilenceMatchers) > 0, "silence-alerts", c.SilenceAlerts),
	}
}

// parseSilence reads the matchers of one silence.
func parseSilence(s string) (labels.Matchers, error) {
	list, err := parseMatchers(s)
	if err != nil {
		return nil, err
	}
	if err := silence.Check(list); err != nil {
		return nil, fmt.Errorf(`matchers such as node="{{.Node}}" (%w)`, err)
	}
	return list, nil
}
