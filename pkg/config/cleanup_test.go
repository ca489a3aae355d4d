package config

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseCleanup(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	if _, err := ParseCleanup([]string{"--help"}, nil, &b); !errors.Is(err, ErrHelp) || !strings.Contains(b.String(), "--daemonset=namespace/name") {
		t.Errorf("%v: %s", err, b.String())
	}
	c, err := ParseCleanup([]string{"--daemonset=a/b,c/d", "--daemonset=e/f", "--prefer-no-schedule-taint=x,example.com/y", "--namespace=n", "--agents-timeout=0"}, nil, io.Discard)
	if err != nil || !slices.Equal(c.DaemonSets, []Named{{"a", "b"}, {"c", "d"}, {"e", "f"}}) || !slices.Equal(c.Taints, []string{"x", "example.com/y"}) ||
		c.Namespace != "n" || c.AgentsTimeout != 0 || c.Timeout != 4*time.Minute || c.DSName != "kured" || c.KuredInterlock {
		t.Errorf("%+v, %v", c, err)
	}
	_, err = ParseCleanup([]string{"--daemonset=rebootd", "--prefer-no-schedule-taint=a b", "--agents-timeout=1m", "--timeout=30s", "--period=1m", "--node-selector=a in b"}, nil, io.Discard)
	wantProblems(t, err, `--daemonset: "rebootd" is not allowed: namespace/name`, `--node-selector: "a in b" is not allowed`,
		`--prefer-no-schedule-taint: "a b" is not allowed`, "--agents-timeout: 1m0s leaves nothing of --timeout, 30s", "--period: there is no such flag")
}
