package config

import (
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rebootd/rebootd/pkg/tell/notify"
)

// baseline is what --node-name=n1 --namespace=ns alone gives.
func baseline() Config {
	return Config{
		NodeName:            "n1",
		Namespace:           "ns",
		SentinelYes:         []int{0},
		Period:              time.Minute,
		GateGrace:           5 * time.Minute,
		TimeZone:            time.UTC,
		Concurrency:         Amount{Number: 1},
		OrderByLabel:        "topology.kubernetes.io/zone",
		LockGroup:           "default",
		DrainTimeout:        30 * time.Minute,
		OnDrainTimeout:      "abort",
		DrainGracePeriod:    -1,
		BackOff:             5 * time.Minute,
		BackOffMax:          2 * time.Hour,
		RebootMethod:        "command",
		RebootCommand:       "/bin/systemctl reboot",
		RebootSignal:        39,
		RebootTimeout:       15 * time.Minute,
		RebootAttempts:      3,
		FailureThreshold:    3,
		MaxReboots:          3,
		MaxRebootsPer:       24 * time.Hour,
		HostRoot:            "/",
		SteadyTime:          10 * time.Second,
		VolumeDetachTimeout: 2 * time.Minute,
		CommandNamespace:    "host",
		CommandTimeout:      2 * time.Minute,
		BootIDFile:          "/proc/sys/kernel/random/boot_id",
		LogLevel:            "info",
		LogFormat:           "text",
		MetricsPort:         8080,
		NotifyOn:            notify.Events()[1:],
		NotifyBlockedAfter:  24 * time.Hour,
		RespectDoNotDisrupt: true,
		WaitForDaemonSets:   true,
		HookFailure:         "hold",
		HookTimeout:         2 * time.Minute,
		PDBPreflight:        "explain",
		VersionSkew:         "stop",
		DSNamespace:         "kube-system",
		DSName:              "kured",
		LockAnnotation:      "weave.works/kured-node-lock",
		SilenceLinger:       2 * time.Minute,
	}
}

func withBaseline(args ...string) []string {
	return append([]string{"--node-name=n1", "--namespace=ns"}, args...)
}

func TestAccepted(t *testing.T) {
	covered := map[string]bool{}
	elsewhere := map[string]bool{} // those that need another option: TestAcceptedWithURL
	for _, tt := range withURL(t) {
		elsewhere[strings.TrimPrefix(strings.SplitN(tt.args[0], "=", 2)[0], "--")] = true
	}
	for _, tt := range []struct {
		arg  string
		want func(*Config)
	}{
		{"--node-name=a.b", func(c *Config) { c.NodeName = "a.b" }},
		{"--kubeconfig=options.go", func(c *Config) { c.Kubeconfig = "options.go" }},
		{"--namespace=kube-system", func(c *Config) { c.Namespace = "kube-system" }},
		{"--reboot-sentinel=/run/x", func(c *Config) { c.RebootSentinels = []string{"/run/x"} }},
		{"--reboot-sentinel=/a,/b", func(c *Config) { c.RebootSentinels = []string{"/a", "/b"} }},
		{"--reboot-sentinel=/a,b/c,/d", func(c *Config) { c.RebootSentinels = []string{"/a,b/c", "/d"} }},
		{"--reboot-sentinel-command=needs-restarting -r", func(c *Config) { c.SentinelCommand = "needs-restarting -r" }},
		{"--sentinel-command-yes=0", func(*Config) {}},
		{"--sentinel-command-no=", func(*Config) {}},
		{"--sentinel-preset=amazon-linux", func(c *Config) { c.SentinelPreset = "amazon-linux" }},
		{"--sentinel-preset=auto", func(c *Config) { c.SentinelPreset = "auto" }},
		{"--max-uptime=720h", func(c *Config) { c.MaxUptime = 720 * time.Hour }},
		{"--period=1h", func(c *Config) { c.Period = time.Hour }},
		{"--notify-url=slack://hook:AAAAAAAAA-BBBBBBBBB-123456789123456789123456@webhook", func(c *Config) {
			c.NotifyURLs = []string{"slack://hook:AAAAAAAAA-BBBBBBBBB-123456789123456789123456@webhook"}
		}},
		{`--notify-url="generic://a"`, func(c *Config) { c.NotifyURLs = []string{"generic://a"} }},
		{"--notify-url=generic://a 'generic+https://b/c,d'", func(c *Config) { c.NotifyURLs = []string{"generic://a", "generic+https://b/c,d"} }},
		{"--notify-url=", func(*Config) {}},
		{"--notify-url-file=testdata/urls.txt", func(c *Config) { c.NotifyURLs = []string{"generic://a", "generic://b"} }},
		{"--notify-on=required,loop", func(c *Config) { c.NotifyOn = []notify.Event{notify.Required, notify.Loop} }},
		{"--notify-blocked-after=0", func(c *Config) { c.NotifyBlockedAfter = 0 }},
		{"--notify-template={{.Message}}", func(c *Config) { c.NotifyTemplates = []string{"{{.Message}}"} }},
		{"--notify-template=loop=a=b", func(c *Config) { c.NotifyTemplates = []string{"loop=a=b"} }},
		{"--cluster-name=prod, west", func(c *Config) { c.ClusterName = "prod, west" }},
		{"--message-template-drain=Draining node %s", func(c *Config) { c.NotifyTemplates = []string{"draining=Draining node {{.Node}}"} }},
		{"--message-template-reboot=Gone", func(c *Config) { c.NotifyTemplates = []string{"rebooting=Gone"} }},
		{"--message-template-uncordon=100%, %s", func(c *Config) { c.NotifyTemplates = []string{"back=100%, {{.Node}}"} }},
		{"--slack-hook-url=https://hooks.slack.com/services/AAAAAAAAA/BBBBBBBBB/123456789123456789123456", func(c *Config) {
			c.NotifyURLs = []string{"slack://hook:AAAAAAAAA-BBBBBBBBB-123456789123456789123456@webhook"}
		}},
		{"--slack-hook-url=", func(*Config) {}},
		{"--slack-username=kured", func(*Config) {}},
		{"--slack-channel=ops", func(c *Config) {
			c.Warnings = []string{"--slack-channel changes nothing: a hook of Slack posts to the channel that it was made for."}
		}},
		{"--gate-grace=0", func(c *Config) { c.GateGrace = 0 }},
		{"--blocking-pod-selector=app in (a,b),tier!=db", func(c *Config) { c.BlockingPodSelectors = []string{"app in (a,b),tier!=db"} }},
		{"--blocking-pod-selector=app=a\nrun", func(c *Config) { c.BlockingPodSelectors = []string{"app=a", "run"} }},
		{"--respect-do-not-disrupt=false", func(c *Config) { c.RespectDoNotDisrupt = false }},
		{"--respect-do-not-disrupt", func(*Config) {}},
		{"--window=mon-fri 22:00-04:00", func(c *Config) { c.Windows = windowsOf("mon-fri 22:00-04:00") }},
		{"--window=sat\nsun", func(c *Config) { c.Windows = windowsOf("sat", "sun") }},
		{"--freeze=2026-12-24", func(c *Config) { c.Freezes = freezesOf("2026-12-24") }},
		{"--freeze=a=2026-12-24,2027-01-01", func(c *Config) { c.Freezes = freezesOf("a=2026-12-24", "2027-01-01") }},
		{"--time-zone=Europe/Berlin", func(c *Config) { c.TimeZone = zoneOf("Europe/Berlin") }},
		{"--time-zone=Local", func(c *Config) { c.TimeZone = time.Local }},
		{"--time-zone=-05:30", func(c *Config) { c.TimeZone = time.FixedZone("-05:30", -19800) }},
		{"--window-margin=30m", func(c *Config) { c.WindowMargin = 30 * time.Minute }},
		{"--reboot-days=tuesday,4,Fr", func(c *Config) { c.RebootDays = 1<<2 | 1<<4 | 1<<5 }},
		{"--reboot-days=mo,,sa,", func(c *Config) { c.RebootDays = 1<<1 | 1<<6 }},
		{"--start-time=3pm", func(c *Config) { c.StartTime = clockOf(15 * time.Hour) }},
		{"--end-time=23:59:59", func(c *Config) { c.EndTime = clockOf(24*time.Hour - time.Second) }},
		{"--prometheus-url=http://p:9090/prometheus/", func(c *Config) { c.PrometheusURL = "http://p:9090/prometheus/" }},
		{"--prometheus-url=", func(*Config) {}},
		{"--alert-filter-regexp=^Watchdog$", func(c *Config) { c.AlertFilter = regexp.MustCompile("^Watchdog$") }},
		{"--alert-filter-regexp=", func(*Config) {}},
		{"--alert-filter-match-only", func(c *Config) { c.AlertFilterMatchOnly = true }},
		{"--alert-firing-only=true", func(c *Config) { c.AlertFiringOnly = true }},
		{"--alertmanager-url=http://a:9093,https://[::1]:9093/x", func(c *Config) {
			c.AlertmanagerURLs = []string{"http://a:9093", "https://[::1]:9093/x"}
		}},
		{"--concurrency=2147483647", func(c *Config) { c.Concurrency = Amount{Number: 2147483647} }},
		{"--max-unavailable=20%", func(c *Config) { c.MaxUnavailable = Amount{Percent: 20} }},
		{"--concurrency=5%", func(c *Config) { c.Concurrency = Amount{Percent: 5} }},
		{"--lock-group-label=example.com/pool", func(c *Config) { c.LockGroupLabel = "example.com/pool" }},
		{"--order-by-label=rack", func(c *Config) { c.OrderByLabel = "rack" }},
		{"--lock-group=9-a", func(c *Config) { c.LockGroup = "9-a" }},
		{"--drain-delay=90s", func(c *Config) { c.DrainDelay = 90 * time.Second }},
		{"--exclude-from-load-balancers", func(c *Config) { c.ExcludeFromLoadBalancers = true }},
		{"--load-balancer-delay=45s", func(c *Config) { c.LoadBalancerDelay = 45 * time.Second }},
		{"--on-drain-timeout=delete", func(c *Config) { c.OnDrainTimeout = "delete" }},
		{"--drain-timeout=0", func(c *Config) { c.DrainTimeout = 0 }},
		{"--drain-grace-period=0", func(c *Config) { c.DrainGracePeriod = 0 }},
		{"--drain-grace-period=-60", func(c *Config) { c.DrainGracePeriod = -60 }},
		{"--drain-pod-selector=a in (b, c),!d", func(c *Config) { c.DrainPodSelector = "a in (b, c),!d" }},
		{"--drain-last-selector=app=storage", func(c *Config) { c.DrainLastSelector = "app=storage" }},
		{"--drain-pod-selector=", func(*Config) {}},
		{"--skip-wait-for-delete-timeout=9", func(c *Config) { c.SkipWaitForDeleteTimeout = 9 }},
		{"--volume-detach-timeout=0", func(c *Config) { c.VolumeDetachTimeout = 0 }},
		{"--back-off=2h", func(c *Config) { c.BackOff = 2 * time.Hour }},
		{"--back-off-max=5m", func(c *Config) { c.BackOffMax = 5 * time.Minute }},
		{"--reboot-method=signal", func(c *Config) { c.RebootMethod = "signal" }},
		{`--reboot-command=sh -c "a b"`, func(c *Config) { c.RebootCommand = `sh -c "a b"` }},
		{"--reboot-signal=1", func(c *Config) { c.RebootSignal = 1 }},
		{"--reboot-signal=SIGRTMIN+5", func(*Config) {}},
		{"--reboot-signal=rtmin+6", func(c *Config) { c.RebootSignal = 40 }},
		{"--reboot-signal=SIGRTMIN", func(c *Config) { c.RebootSignal = 34 }},
		{"--reboot-signal=SIGRTMAX-2", func(c *Config) { c.RebootSignal = 62 }},
		{"--reboot-signal=SIGTERM", func(c *Config) { c.RebootSignal = 15 }},
		{"--reboot-delay=1ms", func(c *Config) { c.RebootDelay = time.Millisecond }},
		{"--reboot-timeout=1s", func(c *Config) { c.RebootTimeout = time.Second }},
		{"--reboot-attempts=1", func(c *Config) { c.RebootAttempts = 1 }},
		{"--max-reboots=0", func(c *Config) { c.MaxReboots = 0 }},
		{"--max-reboots-per=1s", func(c *Config) { c.MaxRebootsPer = time.Second }},
		{"--host-root=/host", func(c *Config) { c.HostRoot = "/host" }},
		{"--failure-threshold=0", func(c *Config) { c.FailureThreshold = 0 }},
		{"--circuit-reset=1h", func(c *Config) { c.CircuitReset = time.Hour }},
		{"--lock-ttl=30m", func(c *Config) { c.LockTTL = 30 * time.Minute }},
		{"--dry-run", func(c *Config) { c.DryRun = true }},
		{"--dry-run=true", func(c *Config) { c.DryRun = true }},
		{"--dry-run=false", func(*Config) {}},
		{"--steady-time=0s", func(c *Config) { c.SteadyTime = 0 }},
		{"--wait-for-daemonsets=false", func(c *Config) { c.WaitForDaemonSets = false }},
		{"--daemonset-selector=app!=flaky", func(c *Config) { c.DaemonSetSelector = "app!=flaky" }},
		{"--settle-time=1m", func(c *Config) { c.SettleTime = time.Minute }},
		{"--lock-release-delay=1m", func(c *Config) { c.LockReleaseDelay = time.Minute }},
		{"--version-skew=ignore", func(c *Config) { c.VersionSkew = "ignore" }},
		{"--pdb-preflight=hold", func(c *Config) { c.PDBPreflight = "hold" }},
		{"--hook-before-drain=ceph osd set 'no out'", func(c *Config) { c.HooksBeforeDrain = []Hook{{Argv: []string{"ceph", "osd", "set", "no out"}}} }},
		{"--hook-before-drain=a\n\n warn: b ", func(c *Config) {
			c.HooksBeforeDrain = []Hook{{Argv: []string{"a"}}, {Argv: []string{"b"}, Failure: "warn"}}
		}},
		{"--hook-before-reboot=https://u:p@h/x?y=z", func(c *Config) { c.HooksBeforeReboot = []Hook{{URL: "https://u:p@h/x?y=z"}} }},
		{"--hook-after-reboot=hold:HTTP://h", func(c *Config) { c.HooksAfterReboot = []Hook{{URL: "HTTP://h", Failure: "hold"}} }},
		{"--hook-after-reboot=curl http://h", func(c *Config) { c.HooksAfterReboot = []Hook{{Argv: []string{"curl", "http://h"}}} }},
		{"--hook-failure=warn", func(c *Config) { c.HookFailure = "warn" }},
		{"--hook-timeout=1s", func(c *Config) { c.HookTimeout = time.Second }},
		{"--hook-http-config=testdata/http.yaml", func(c *Config) {
			c.HookHTTPConfig = "testdata/http.yaml"
		}},
		{"--command-namespace=own", func(c *Config) { c.CommandNamespace = "own" }},
		{"--command-timeout=5m", func(c *Config) { c.CommandTimeout = 5 * time.Minute }},
		{"--boot-id-file=/b", func(c *Config) { c.BootIDFile = "/b" }},
		{"--log-level=debug", func(c *Config) { c.LogLevel = "debug" }},
		{"--log-format=json", func(c *Config) { c.LogFormat = "json" }},
		{"--metrics-host=::1", func(c *Config) { c.MetricsHost = "::1" }},
		{"--prefer-no-schedule-taint=weave.works/kured-node-reboot", func(c *Config) { c.PreferNoScheduleTaint = "weave.works/kured-node-reboot" }},
		{"--prefer-no-schedule-taint=rebootd.io/reboot-required:PreferNoSchedule", func(c *Config) { c.PreferNoScheduleTaint = "rebootd.io/reboot-required" }},
		{"--health-port=8081", func(c *Config) { c.HealthPort = 8081 }},
		{"--web-config-file=testdata/web.yaml", func(c *Config) { c.WebConfigFile = "testdata/web.yaml" }},
		{"--metrics-port=0", func(c *Config) { c.MetricsPort = 0 }},
		{"--metrics-host=", func(*Config) {}},
		{"--log-format=", func(*Config) {}},
		{"--reboot-sentinel=", func(*Config) {}},
		{"--time-zone=", func(*Config) {}},
		{"--message-template-drain=", func(*Config) {}},
		{"--force-reboot", func(c *Config) { c.ForceReboot, c.OnDrainTimeout = true, "reboot" }},
		{"--force-reboot=true", func(c *Config) { c.ForceReboot, c.OnDrainTimeout = true, "reboot" }},
		{"--force-reboot=false", func(*Config) {}},
		{"--annotate-nodes", func(c *Config) { c.AnnotateNodes = true }},
		{"--pre-reboot-node-labels=", func(*Config) {}},
		{"--post-reboot-node-labels=example.com/state=done, a=", func(c *Config) {
			c.PostRebootNodeLabels = []Label{{"example.com/state", "done"}, {"a", ""}}
		}},
		{"--ds-namespace=kured", func(c *Config) { c.DSNamespace = "kured" }},
		{"--ds-namespace=", func(*Config) {}},
		{"--ds-name=kured-fork", func(c *Config) { c.DSName = "kured-fork" }},
		{"--lock-annotation=example.com/lock", func(c *Config) { c.LockAnnotation = "example.com/lock" }},
		{"--lock-annotation=", func(*Config) {}},
		{"--kured-interlock", func(c *Config) { c.KuredInterlock = true }},
	} {
		t.Run(tt.arg, func(t *testing.T) {
			want := baseline()
			tt.want(&want)
			got, err := Parse(withBaseline(tt.arg), nil, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			wantConfig(t, got, want)

			name, val, hasValue := strings.Cut(strings.TrimPrefix(tt.arg, "--"), "=")
			covered[name] = true
			if !hasValue || name == "node-name" || name == "namespace" {
				return
			}
			got, err = Parse(withBaseline(), []string{variable("KURED_", name) + "=" + val}, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			wantConfig(t, got, want)
		})
	}
	for _, o := range newParser(options(&Config{})).options {
		if !covered[o.name] && !elsewhere[o.name] {
			t.Errorf("--%s has no case", o.name)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, tt := range []struct{ arg, want string }{
		{"--node-name=", `--node-name: "" is not allowed: lower-case letters`},
		{"--node-name=N1", `--node-name: "N1" is not allowed: lower-case letters`},
		{"--node-id=n2", "--node-name and --node-id: are the same option but have different values, \"n1\" and \"n2\""},
		{"--namespace=a.b", `--namespace: "a.b" is not allowed: 1 to 63 lower-case letters`},
		{"--reboot-sentinel=reboot", `--reboot-sentinel: "reboot" is not allowed: an absolute path`},
		{"--reboot-sentinel-command=sh 'x", `--reboot-sentinel-command: "sh 'x" is not allowed: a command`},
		{"--sentinel-command-yes=256", `--sentinel-command-yes: "256" is not allowed: exit codes from 0 to 255`},
		{"--sentinel-command-no=1,-1", `--sentinel-command-no: "1,-1" is not allowed: exit codes from 0 to 255`},
		{"--sentinel-command-yes=", "--sentinel-command-yes: must not be empty"},
		{"--sentinel-command-yes=1", "--sentinel-command-yes: is only for --reboot-sentinel-command"},
		{"--sentinel-command-no=1", "--sentinel-command-no: is only for --reboot-sentinel-command"},
		{"--sentinel-command-no=0", "--sentinel-command-no: 0 is also in --sentinel-command-yes"},
		{"--sentinel-preset=arch", `--sentinel-preset: "arch" is not allowed: auto or debian or rhel or suse or flatcar or amazon-linux`},
		{"--max-uptime=30d", `--max-uptime: "30d" is not allowed: 0 or a duration such as`},
		{"--boot-id-file=", `--boot-id-file: "" is not allowed: an absolute path`},
		{"--period=0", `--period: "0" is not allowed: a duration such as 90s, 5m or 1h30m, at least 1s`},
		{"--period=60", `--period: "60" is not allowed: a duration such as`},
		{"--drain-timeout=-1s", `--drain-timeout: "-1s" is not allowed: 0 or a duration such as`},
		{"--concurrency=0", `--concurrency: "0" is not allowed: a whole number from 1`},
		{"--concurrency=2147483648", `--concurrency: "2147483648" is not allowed: a whole number from 1`},
		{"--drain-grace-period=1m", `--drain-grace-period: "1m" is not allowed: a whole number`},
		{"--blocking-pod-selector=", `--blocking-pod-selector: "" is not allowed: a label selector such as app=web; an empty one`},
		{"--blocking-pod-selector=a=b\na in", `--blocking-pod-selector: "a=b\na in" is not allowed: in "a in": a label selector`},
		{"--respect-do-not-disrupt=maybe", `--respect-do-not-disrupt: "maybe" is not allowed: true or false`},
		{"--window=", `--window: "" is not allowed: a window such as "mon-fri 22:00-04:00"`},
		{"--window=sat 22-4", `--window: "sat 22-4" is not allowed: hours are written as 22:00-04:00`},
		{"--window=sat 22:00-22:00", `--window: "sat 22:00-22:00" is not allowed: the window must not end when it starts`},
		{"--window=sat\nsum", `--window: "sat\nsum" is not allowed: in "sum": weekdays are written as`},
		{"--window=RRULE:FREQ=DAILY", `--window: "RRULE:FREQ=DAILY" is not allowed: a rule needs DTSTART`},
		{"--freeze=xmas=2026-12-32", `--freeze: "xmas=2026-12-32" is not allowed: dates or times such as`},
		{"--freeze=2027-01-02..2026-12-20", `--freeze: "2027-01-02..2026-12-20" is not allowed: the end must come after`},
		{"--time-zone=Mars", `--time-zone: "Mars" is not allowed: a name such as UTC`},
		{"--reboot-days=", `--reboot-days: "" is not allowed: at least one day`},
		{"--reboot-days=,", `--reboot-days: "," is not allowed: at least one day`},
		{"--reboot-days=mo,7", `--reboot-days: "mo,7" is not allowed: at least one day`},
		{"--start-time=24:00", `--start-time: "24:00" is not allowed: a time of day`},
		{"--prefer-no-schedule-taint=a=b:NoSchedule", `--prefer-no-schedule-taint: "a=b:NoSchedule" is not allowed: a key such as rebootd.io/reboot-required`},
		{"--prefer-no-schedule-taint=:PreferNoSchedule", `--prefer-no-schedule-taint: ":PreferNoSchedule" is not allowed: a key such as`},
		{"--web-config-file=testdata/none.yaml", `--web-config-file: "testdata/none.yaml" is not allowed: a web configuration file as Prometheus' exporters take it: open`},
		{"--web-config-file=testdata/help.txt", `--web-config-file: "testdata/help.txt" is not allowed: a web configuration file as`},
		{"--health-port=8080", "--health-port: is --metrics-port already"},
		{"--health-port=65536", `--health-port: "65536" is not allowed: a whole number from 0 to 65535`},
		{"--metrics-port=65536", `--metrics-port: "65536" is not allowed: a whole number from 0 to 65535`},
		{"--lock-group=a.b", `--lock-group: "a.b" is not allowed: 1 to 40`},
		{"--lock-group=" + strings.Repeat("a", 41), `--lock-group: "aaaa`},
		{"--drain-pod-selector=a in", `--drain-pod-selector: "a in" is not allowed: a label selector`},
		{"--drain-last-selector=a in", `--drain-last-selector: "a in" is not allowed: a label selector`},
		{"--daemonset-selector=a in", `--daemonset-selector: "a in" is not allowed: a label selector`},
		{"--reboot-method=magic", `--reboot-method: "magic" is not allowed: command or signal`},
		{"--reboot-command=sh 'x", `--reboot-command: "sh 'x" is not allowed: a command`},
		{"--reboot-command='' x", `--reboot-command: "'' x" is not allowed: a command`},
		{"--reboot-command= ", `--reboot-command: " " is not allowed: a command`},
		{"--reboot-command=", "--reboot-command: must not be empty while --reboot-method is command"},
		{"--reboot-signal=65", `--reboot-signal: "65" is not allowed: a number from 1 to 64`},
		{"--reboot-signal=SIG", `--reboot-signal: "SIG" is not allowed`},
		{"--reboot-signal=SIGRTMIN-1", `--reboot-signal: "SIGRTMIN-1" is not allowed`},
		{"--reboot-signal=SIGRTMIN+31", `--reboot-signal: "SIGRTMIN+31" is not allowed`},
		{"--dry-run=maybe", `--dry-run: "maybe" is not allowed: true or false`},
		{"--hook-before-drain=", `--hook-before-drain: "" is not allowed: a command and its arguments`},
		{"--hook-before-drain=warn:", `--hook-before-drain: "warn:" is not allowed: a command and its arguments`},
		{"--hook-before-drain=sh 'token", `--hook-before-drain: "sh ***" is not allowed: a command and its arguments`},
		{"--hook-before-reboot=https:///token", `--hook-before-reboot: "https:///***" is not allowed: a URL such as`},
		{"--hook-after-reboot=https://h/a b", `--hook-after-reboot: "https://h/***" is not allowed: a URL such as`},
		{"--hook-failure=ignore", `--hook-failure: "ignore" is not allowed: hold or warn`},
		{"--hook-timeout=0", `--hook-timeout: "0" is not allowed: a duration such as`},
		{"--hook-http-config=options.go", `--hook-http-config: "options.go" is not allowed: a file in the format of Prometheus' http_config: yaml:`},
		{"--hook-http-config=testdata/none", `--hook-http-config: "testdata/none" is not allowed: a file in the format of Prometheus' http_config: open`},
		{"--pdb-preflight=on", `--pdb-preflight: "on" is not allowed: explain or hold or off`},
		{"--version-skew=warn", `--version-skew: "warn" is not allowed: stop or ignore`},
		{"--pre-reboot-node-labels=example.com/state", `--pre-reboot-node-labels: "example.com/state" is not allowed: key=value, such as`},
		{"--pre-reboot-node-labels=a=b,c=d=e", `--pre-reboot-node-labels: "a=b,c=d=e" is not allowed: key=value, such as`},
		{"--post-reboot-node-labels==x", `--post-reboot-node-labels: "=x" is not allowed: key=value, such as`},
		{"--post-reboot-node-labels=rebootd.io/reboot-required=x", `--post-reboot-node-labels: "rebootd.io/reboot-required=x" is not allowed: a key that`},
		{"--ds-name=Kured", `--ds-name: "Kured" is not allowed: lower-case letters`},
		{"--lock-annotation=a b", `--lock-annotation: "a b" is not allowed: a label's key`},
		{"--back-off=3h", "--back-off: 3h0m0s is longer than --back-off-max, 2h0m0s"},
		{"--period", "--period: needs a value, as in --period=duration"},
		{"-period=1m", "-period: there is no such flag; did you mean --period?"},
		{"--reboot_delay=1m", "--reboot_delay: there is no such flag; did you mean --reboot-delay?"},
		{"--frobnicate", "--frobnicate: there is no such flag"},
		{"--", "--: there is no such flag"},
		{"stray", `"stray": only flags are allowed`},
		{"--notify-url slack://hook:SECRET@webhook", "--notify-url …: a flag and its value are two arguments, or one with = between them, as in --notify-url=value"},
		{"--notify-url slack://hook:SECRET@webhook?a=b", "--notify-url …: a flag and its value"},
		{"slack://hook:SECRET@webhook", `"slack://***": only flags are allowed`},
	} {
		t.Run(tt.arg, func(t *testing.T) {
			_, err := Parse(withBaseline(tt.arg), nil, io.Discard)
			wantProblems(t, err, tt.want)
		})
	}
}
