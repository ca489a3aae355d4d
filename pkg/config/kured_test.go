package config

import (
	"io"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestKuredsOptionsTogether(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"--force-reboot", "--on-drain-timeout=abort"}, "--force-reboot: means --on-drain-timeout=reboot, but that says abort"},
		{[]string{"--force-reboot", "--on-drain-timeout=delete"}, "--force-reboot: means --on-drain-timeout=reboot, but that says delete"},
		{[]string{"--force-reboot", "--on-drain-timeout=reboot"}, ""},
		{[]string{"--force-reboot", "--drain-timeout=0"}, ""},
		{[]string{"--on-drain-timeout=reboot", "--drain-timeout=0"}, "--on-drain-timeout: reboot needs a --drain-timeout above 0"},
		{[]string{"--kured-interlock", "--ds-name="}, "--kured-interlock: needs --ds-name"},
		{[]string{"--ds-name="}, ""},
	} {
		_, err := Parse(withBaseline(tt.args...), nil, io.Discard)
		if tt.want != "" {
			wantProblems(t, err, tt.want)
		} else if err != nil {
			t.Errorf("%v: %v", tt.args, err)
		}
	}
}

func TestKuredsWarnings(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string // one warning; "": none
	}{
		{[]string{"--force-reboot", "--drain-timeout=0"}, "no drain ever takes too long"},
		{[]string{"--pre-reboot-node-labels=a=1,b=1", "--post-reboot-node-labels=a=2"}, "sets a, b and --post-reboot-node-labels a"},
		{[]string{"--pre-reboot-node-labels=a=1"}, "--post-reboot-node-labels nothing"},
		{[]string{"--pre-reboot-node-labels=a=1", "--pre-reboot-node-labels=b=1", "--post-reboot-node-labels=b=2,a=2"}, ""},
		{[]string{"--post-reboot-node-labels=a=1"}, ""},
		{[]string{"--reboot-sentinel=/sentinel/reboot-required", "--host-root=/host"}, "such as /var/run/reboot-required"},
		{[]string{"--reboot-sentinel=/sentinel/reboot-required", "--host-root=testdata/kured"}, ""}, // mounted as in kured's chart
		{[]string{"--reboot-sentinel=/sentinel/x", "--reboot-sentinel-command=true", "--host-root=/host"}, ""},
		{[]string{"--reboot-sentinel=/var/run/reboot-required", "--host-root=/host"}, ""},
	} {
		if i := slices.Index(tt.args, "--host-root=testdata/kured"); i >= 0 {
			dir := t.TempDir()
			if err := os.Mkdir(dir+"/sentinel", 0o755); err != nil {
				t.Fatal(err)
			}
			tt.args[i] = "--host-root=" + dir
		}
		c, err := Parse(withBaseline(tt.args...), nil, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(c.Warnings, "\n"); tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
			t.Errorf("%v: warnings %q, want %q", tt.args, got, tt.want)
		}
	}
}
