package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/sirupsen/logrus/hooks/test"

	"github.com/rebootd/rebootd/pkg/config"
	"github.com/rebootd/rebootd/pkg/host"
	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/pkg/sentinel"
)

// choose is what a configuration makes of a host whose os-release is this.
func choose(t *testing.T, release string, change func(*config.Config)) ([]Sentinel, []string) {
	t.Helper()
	c := config.Config{NodeName: "n1", HostRoot: t.TempDir(), CommandNamespace: "own", Period: time.Minute, CommandTimeout: time.Minute, SentinelYes: []int{0}}
	if release != "" {
		for _, dir := range []string{"usr", "usr/lib"} {
			if err := os.Mkdir(filepath.Join(c.HostRoot, dir), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(c.HostRoot, "usr/lib/os-release"), []byte(release), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	change(&c)
	log, hook := test.NewNullLogger()
	all := sentinels(c, host.New(host.Options{Namespace: host.Namespace(c.CommandNamespace), MountNS: "/nowhere"}), log, time.Now)
	var logged []string
	for _, e := range hook.AllEntries() {
		logged = append(logged, e.Level.String()+" "+e.Message)
	}
	return all, logged
}

func TestSentinels(t *testing.T) {
	for _, tt := range []struct {
		name    string
		release string
		change  func(*config.Config)
		says    string
		warns   string
		asks    []string
	}{
		{"by default", "", func(*config.Config) {}, "the file /var/run/reboot-required, the annotations", "", []string{"file /var/run/reboot-required"}},
		{"two files", "ID=sles", func(c *config.Config) {
			c.RebootSentinels, c.SentinelPreset = []string{"/run/a", "/run/b"}, "auto"
		}, "the file /run/a, the file /run/b,", "", []string{"file /run/a", "file /run/b"}},
		{"a command", "", func(c *config.Config) { c.SentinelCommand = "sh -c 'exit 1'" },
			"the command sh -c 'exit 1',", "", []string{"command sh -c 'exit 1'"}},
		{"a command and a file", "", func(c *config.Config) { c.SentinelCommand, c.RebootSentinels = "false", []string{"/x"} },
			"the command false,", "--reboot-sentinel is ignored because", []string{"command false"}},
		{"debian", "ID=ubuntu\nID_LIKE=debian", func(c *config.Config) { c.SentinelPreset = "auto" },
			"the file /var/run/reboot-required,", "", []string{"file /var/run/reboot-required"}},
		{"rhel", "ID=rocky\nID_LIKE='rhel centos'", func(c *config.Config) { c.SentinelPreset = "auto" },
			"the command needs-restarting -r, the command dnf needs-restarting -r,", "", []string{"command needs-restarting -r"}},
		{"suse by name", "ID=debian", func(c *config.Config) { c.SentinelPreset = "suse" },
			"the file /var/run/reboot-needed, the command zypper needs-rebooting,", "", []string{"file /var/run/reboot-needed", "command zypper needs-rebooting"}},
		{"a system that nobody knows", "ID=arch", func(c *config.Config) { c.SentinelPreset = "auto" },
			"What asks", `the system "arch" is none that it knows; name a preset`, []string{"nothing"}},
		{"no os-release", "", func(c *config.Config) { c.SentinelPreset = "auto" }, "What asks", "os-release: no such file", []string{"nothing"}},
		{"no way into the host", "", func(c *config.Config) {
			c.SentinelPreset, c.CommandNamespace, c.HostRoot = "auto", "host", "/"
		}, "What asks", "reading /etc/os-release in the host's mount namespace", []string{"nothing"}},
		{"no way into the host, but its files", "ID=flatcar", func(c *config.Config) {
			c.SentinelPreset, c.CommandNamespace = "auto", "host"
		}, "the file /var/run/reboot-required,", "", []string{"file /var/run/reboot-required"}},
		{"uptime", "", func(c *config.Config) { c.MaxUptime = 1000 * time.Hour }, "an uptime of 9", "", []string{"file /var/run/reboot-required", "uptime"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			all, logged := choose(t, tt.release, tt.change)
			var asks []string
			for _, s := range all {
				asks = append(asks, s.Look(t.Context()).By...)
			}
			if strings.Join(asks, ",") != strings.Join(tt.asks, ",") {
				t.Errorf("asks %q, want %q", asks, tt.asks)
			}
			text := strings.Join(logged, "\n")
			warned := strings.Contains(text, logrus.WarnLevel.String()+" ") || strings.Contains(text, logrus.ErrorLevel.String()+" ")
			if !strings.Contains(text, tt.says) || !strings.Contains(text, tt.warns) || warned != (tt.warns != "") {
				t.Errorf("logged\n%s", text)
			}
		})
	}
}

// What runs in the machine comes back as it is: yes, no, a signal, a timeout, a command that isn't there.
func TestRunner(t *testing.T) {
	c := config.Config{CommandTimeout: 300 * time.Millisecond}
	run := runner(c, host.New(host.Options{Namespace: host.NamespaceOwn}))
	for _, tt := range []struct {
		argv []string
		want sentinel.Exit
		says string
	}{
		{[]string{"sh", "-c", "echo hi; exit 3"}, sentinel.Exit{Exited: true, Code: 3, Output: "hi\n"}, "exited with 3"},
		{[]string{"true"}, sentinel.Exit{Exited: true}, ""},
		{[]string{"sh", "-c", "kill -SEGV $$"}, sentinel.Exit{}, "killed by SIGSEGV"},
		{[]string{"sleep", "60"}, sentinel.Exit{}, "not ended after"},
		{[]string{"no-such-command"}, sentinel.Exit{Missing: true}, "not found"},
		{[]string{"/no/such/command"}, sentinel.Exit{Missing: true}, "no such file"},
		{[]string{"/etc/passwd"}, sentinel.Exit{}, "permission denied"},
	} {
		got := run(t.Context(), tt.argv)
		err := got.Err
		if got.Err = nil; got != tt.want || (err != nil) != (tt.says != "") || err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%v: got %+v, %v", tt.argv, got, err)
		}
	}
}

// A sentinel's answer counts only if it was asked for after the step became due.
func TestUnsure(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	var asked []time.Time
	b := &beside{asked: func(since time.Time) bool { asked = append(asked, since); return len(asked) > 1 }}
	a := &Agent{Parts: Parts{Sentinels: []Sentinel{b}, Now: func() time.Time { return now }}}
	cordon, wait := plan.Action{Do: plan.DoCordon}, plan.Action{Do: plan.DoWait}
	first := a.unsure(plan.Observation{}, cordon, a.sure())
	now = now.Add(time.Minute)
	second := a.unsure(plan.Observation{}, cordon, a.sure())
	if !first || second || !asked[0].Equal(asked[1]) || asked[0].IsZero() {
		t.Errorf("unsure %v, then %v; asked for %v", first, second, asked)
	}
	if !a.unsure(plan.Observation{}, cordon, false) {
		t.Error("sure, though no answer had come when this look began")
	}
	if a.unsure(plan.Observation{}, wait, true) || len(asked) != 2 {
		t.Error("asked for nothing")
	}
	announce := plan.Action{Do: plan.DoWrite, Record: plan.Record{Phase: plan.Rebooting, Attempts: 1}}
	if a.unsure(plan.Observation{}, announce, a.sure()); len(asked) != 3 || !asked[2].Equal(now) {
		t.Errorf("asked for %v", asked)
	}
}

type beside struct {
	Beside
	asked func(time.Time) bool
}

func (b *beside) Asked(since time.Time) bool { return b.asked(since) }
