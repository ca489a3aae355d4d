package config

import (
	"io/fs"
	"os"
	"strings"
	"time"
)

// option is all there is to know about one option.
type option struct {
	name  string
	alias string // another name that is as good; "" for none
	value value
	def   string // the default as a user would write it; "" leaves the field at its zero value
	// defText says in words what the default is, where def is empty or differs between machines.
	defText  string
	required bool
	secret   bool   // the value is never shown
	meaning  string // a whole sentence
	// example is a realistic value for the reference, or several on a line each; beside are flags that it needs or makes sense with,
	// as name=value on a line each.
	example, beside string
}

func (o option) names() []string {
	if o.alias == "" {
		return []string{o.name}
	}
	return []string{o.name, o.alias}
}

// masked is a value of the option as it may be shown.
func (o option) masked(v string) string {
	if o.value.mask == nil {
		return v
	}
	return o.value.mask(v)
}

// isBool says whether the flag alone, without a value, means true.
func (o option) isBool() bool { return o.value.placeholder == "" }

// defaultText is what help and reference say of the default.
func (o option) defaultText() string {
	switch {
	case o.required:
		return "required"
	case o.defText != "":
		return o.defText
	default:
		return o.def
	}
}

// group is a heading of the help and the reference.
type group struct {
	title   string
	options []option
}

// options is the table of all options; setting them fills c.
func options(c *Config) []group {
	return []group{
		clusterOptions(c),
		triggerOptions(c),
		gateOptions(c),
		remoteOptions(c),
		lockOptions(c),
		drainOptions(c),
		rebootOptions(c),
		afterOptions(c),
		hookOptions(c),
		commandOptions(c),
		outputOptions(c),
		notifyOptions(c),
		kuredOptions(c),
	}
}

func clusterOptions(c *Config) group {
	return group{"Cluster", []option{
		{
			name: "node-name", alias: "node-id", value: dnsSubdomain(&c.NodeName), required: true,
			meaning: "The name of the node that this agent runs on.",
			example: "worker-1",
		},
		{
			name: "kubeconfig", value: readable(&c.Kubeconfig), defText: "the pod's service account",
			meaning: "The kubeconfig file to reach the API server with.",
			example: "/etc/rebootd/kubeconfig",
		},
		{
			name: "namespace", value: dnsLabel(&c.Namespace, 63),
			def:     podNamespace(os.DirFS("/var/run/secrets/kubernetes.io/serviceaccount")),
			defText: "the pod's own, else rebootd",
			meaning: "The namespace of the Leases and ConfigMaps that the agents share.",
			example: "kube-system",
		},
	}}
}

func triggerOptions(c *Config) group {
	return group{"What asks for a reboot", []option{
		{
			name: "reboot-sentinel", value: emptyIsUnset(absolutePaths(&c.RebootSentinels)), defText: DefaultSentinel,
			meaning: "A file whose existence asks for a reboot, as a path on the host. Repeatable, or a list with commas: " +
				"any of them suffices.",
			example: "/var/run/reboot-required\n/var/run/firmware/reboot-required",
		},
		{
			name: "reboot-sentinel-command", value: command(&c.SentinelCommand), defText: "none",
			meaning: "A command whose exit code says whether a reboot is wanted; it runs every --period, in --command-namespace. " +
				"With it, --reboot-sentinel is ignored, as with kured.",
			example: "needs-restarting -r", beside: "sentinel-command-yes=1\nsentinel-command-no=0",
		},
		{
			name: "sentinel-command-yes", value: exitCodes(&c.SentinelYes), def: "0",
			meaning: "The exit codes of --reboot-sentinel-command that ask for a reboot. Repeatable, or a list with commas.",
			example: "102", beside: "reboot-sentinel-command=zypper needs-rebooting",
		},
		{
			name: "sentinel-command-no", value: exitCodes(&c.SentinelNo), defText: "every other code up to 125",
			meaning: "The exit codes of --reboot-sentinel-command that ask for none. All codes that are in neither list, a signal, " +
				"a command that isn't there and one that takes longer than --command-timeout mean unknown: then there is no reboot.",
			example: "0", beside: "reboot-sentinel-command=zypper needs-rebooting\nsentinel-command-yes=102",
		},
		{
			name: "sentinel-preset", def: "", defText: "none",
			value: choice(&c.SentinelPreset, "auto", "debian", "rhel", "suse", "flatcar", "amazon-linux"),
			meaning: "Look at what this family of operating systems has for it, a file or a command; auto reads the host's " +
				"os-release. --reboot-sentinel and --reboot-sentinel-command win.",
			example: "auto",
		},
		{
			name: "max-uptime", value: duration(&c.MaxUptime, 0), def: "0",
			meaning: "Ask for a reboot of a machine that has been up for so long, less up to a tenth by the node's name, so that " +
				"machines started together don't fall due together; 0 means never.",
			example: "720h",
		},
		{
			name: "period", value: duration(&c.Period, time.Second), def: "1m",
			meaning: "How often to look for a reason to reboot, besides whenever a sentinel file changes. By chance it is up to a quarter sooner, so that not all nodes look at once.",
			example: "5m",
		},
	}}
}

func gateOptions(c *Config) group {
	return group{"What holds a reboot back", append(windowOptions(c), []option{
		{
			name: "gate-grace", value: duration(&c.GateGrace, 0), def: "5m",
			meaning: "How long a node that is already cordoned waits for a gate that has closed to open " +
				"again before it gives up and goes back into service.",
			example: "10m",
		},
		{
			name: "blocking-pod-selector", value: each("selector", "\n", podSelector, &c.BlockingPodSelectors), defText: "none",
			meaning: "A label selector: no reboot begins while a pod on this node matches it that has not ended, whatever runs it. " +
				"May be given several times, and any of them suffices. In the environment, one on each line.",
			example: "app=batch,tier=1\napp.kubernetes.io/component=database",
		},
		{
			name: "respect-do-not-disrupt", value: boolean(&c.RespectDoNotDisrupt), def: "true",
			meaning: "Whether a pod with Karpenter's annotation karpenter.sh/do-not-disrupt holds its node back too.",
			example: "false",
		},
	}...)}
}

func lockOptions(c *Config) group {
	return group{"Lock", []option{
		{
			name: "concurrency", value: amount(&c.Concurrency), def: "1",
			meaning: "How many nodes of the lock group may be out of service at once: a number, or a percentage " +
				"of the group's nodes, rounded down but at least 1.",
			example: "10%",
		},
		{
			name: "max-unavailable", value: amount(&c.MaxUnavailable), defText: "no limit",
			meaning: "How many nodes of the lock group may be out of service, this one included and whoever took them " +
				"out: not Ready, cordoned, or about to be; a number or a percentage.",
			example: "20%",
		},
		{
			name: "lock-ttl", value: duration(&c.LockTTL, 0), def: "0",
			meaning: "Free the slot of a node that has not renewed it for so long; 0 means never. Danger: a node that can't " +
				"be reached may still be out of service, so more nodes than --concurrency may be out at once.",
			example: "30m",
		},
		{
			name: "lock-group", value: dnsLabel(&c.LockGroup, 40), def: "default",
			meaning: "The group of nodes that this node takes turns with.",
			example: "gpu",
		},
		{
			name: "lock-group-label", value: labelKey(&c.LockGroupLabel), defText: "none",
			meaning: "A node label, such as the node pool's: nodes with the same value are a lock group of their own, " +
				"those without it are in --lock-group.",
			example: "cloud.google.com/gke-nodepool",
		},
		{
			name: "order-by-label", value: labelKey(&c.OrderByLabel), def: "topology.kubernetes.io/zone",
			meaning: "A node label: nodes with the same value go one after another, before those with another one.",
			example: "example.com/rack",
		},
	}}
}

func rebootOptions(c *Config) group {
	return group{"Reboot", []option{
		{
			name: "reboot-method", value: choice(&c.RebootMethod, "command", "signal"), def: "command",
			meaning: "Whether to reboot by running a command or by sending a signal to the host's PID 1.",
			example: "signal",
		},
		{
			name: "reboot-command", value: command(&c.RebootCommand), def: "/bin/systemctl reboot",
			meaning: "The command that reboots the host.",
			example: "/sbin/shutdown -r now",
		},
		{
			name: "reboot-signal", value: signal(&c.RebootSignal), def: "39",
			meaning: "The signal that reboots the host, as a number or a name; 39 is systemd's SIGRTMIN+5.",
			example: "SIGINT", beside: "reboot-method=signal",
		},
		{
			name: "reboot-delay", value: duration(&c.RebootDelay, 0), def: "0",
			meaning: "How long to wait between the drain and the reboot.",
			example: "30s",
		},
		{
			name: "reboot-timeout", value: duration(&c.RebootTimeout, time.Second), def: "15m",
			meaning: "How long after the reboot command to report a node whose boot ID hasn't changed; " +
				"the node stays out of service and keeps its slot.",
			example: "30m",
		},
		{
			name: "reboot-attempts", value: number(&c.RebootAttempts, "number", 1), def: "3",
			meaning: "How often to run a reboot command that fails before the node goes back into service.",
			example: "5",
		},
		{
			name: "max-reboots", value: between(&c.MaxReboots, "number", 0, 10), def: "3",
			meaning: "How many reboots that don't clear what asks for them are made within --max-reboots-per " +
				"before the node stops and says so; 0 means no limit.",
			example: "1",
		},
		{
			name: "max-reboots-per", value: duration(&c.MaxRebootsPer, time.Second), def: "24h",
			meaning: "The time that --max-reboots counts in.",
			example: "72h",
		},
		{
			name: "failure-threshold", value: number(&c.FailureThreshold, "number", 0), def: "3",
			meaning: "After how many nodes in a row that are not back and healthy --reboot-timeout after their reboot " +
				"command the whole cluster stops rebooting; 0 means never.",
			example: "2",
		},
		{
			name: "circuit-reset", value: duration(&c.CircuitReset, 0), def: "0",
			meaning: "How long a cluster that stopped after --failure-threshold failures stays stopped; 0 means until " +
				"a person deletes the ConfigMap rebootd-circuit.",
			example: "12h",
		},
		{
			name: "dry-run", value: boolean(&c.DryRun), def: "false",
			meaning: "Only log what would be done: write nothing to the API server, and never take a slot, cordon, drain or reboot.",
			example: "true",
		},
	}}
}

func afterOptions(c *Config) group {
	return group{"After the reboot", []option{
		{
			name: "steady-time", value: duration(&c.SteadyTime, 0), def: "10s",
			meaning: "How long the node must be Ready without a break before it is uncordoned.",
			example: "30s",
		},
		{
			name: "wait-for-daemonsets", value: boolean(&c.WaitForDaemonSets), def: "true",
			meaning: "Uncordon the node only when its DaemonSets' pods are ready too, but for those that were not before.",
			example: "false",
		},
		{
			name: "daemonset-selector", value: labelSelector(&c.DaemonSetSelector), defText: "all pods",
			meaning: "Wait only for DaemonSets' pods whose labels match this selector.",
			example: "app!=flaky",
		},
		{
			name: "settle-time", value: duration(&c.SettleTime, 0), def: "0",
			meaning: "How long to keep the slot after the uncordon.",
			example: "5m",
		},
		{
			name: "lock-release-delay", value: duration(&c.LockReleaseDelay, 0), def: "0",
			meaning: "The same as --settle-time; the longer of the two counts.",
			example: "5m",
		},
		{
			name: "healthy-query", value: each("name=PromQL", "\n", parseQuery, &c.HealthyQueries), defText: "none",
			meaning: "PromQL that must be true after --settle-time before the slot is freed, such as 'ceph=ceph_health_status == bool 0': " +
				"at least one series, and none that is 0 or not a number. Repeatable; in the environment, one on each line. Needs --prometheus-url.",
			example: "ceph=ceph_health_status == bool 0", beside: "settle-time=2m\nprometheus-url=http://prometheus.monitoring:9090",
		},
		{
			name: "version-skew", value: choice(&c.VersionSkew, "stop", "ignore"), def: "stop",
			meaning: "What a kubelet does that is newer than the API server, or more than three minor versions older: stop the roll, by " +
				"not starting with the node, or by keeping its slot when it came back so; or nothing.",
			example: "ignore",
		},
	}}
}

func commandOptions(c *Config) group {
	return group{"Commands", []option{
		{
			name: "command-namespace", value: choice(&c.CommandNamespace, "host", "own"), def: "host",
			meaning: "Whether commands run in the namespaces of the host or in the agent's own.",
			example: "own",
		},
		{
			name: "command-timeout", value: duration(&c.CommandTimeout, time.Second), def: "2m",
			meaning: "How long a command may run. A reboot command that takes longer is left to run, for it may yet " +
				"reboot the machine.",
			example: "5m",
		},
		{
			name: "host-root", value: absolutePath(&c.HostRoot), def: "/",
			meaning: "Where the agent sees the host's files: the chart mounts the sentinel's directory below it.",
			example: "/host",
		},
		{
			name: "boot-id-file", value: absolutePath(&c.BootIDFile), def: "/proc/sys/kernel/random/boot_id",
			meaning: "The file that holds the kernel's boot ID, as a path in the agent's own file system.",
			example: "/host/proc/sys/kernel/random/boot_id",
		},
	}}
}

func outputOptions(c *Config) group {
	return group{"Output", []option{
		{
			name: "prefer-no-schedule-taint", value: taintKey(&c.PreferNoScheduleTaint), defText: "none",
			meaning: "The key of a taint of effect PreferNoSchedule that a node carries while a reboot is wanted, so that new pods rather go " +
				"elsewhere; rebootd's own name for it is rebootd.io/reboot-required. A taint of this key is taken off when none is wanted, whoever put it there.",
			example: "rebootd.io/reboot-required",
		},
		{
			name: "log-level", value: choice(&c.LogLevel, "trace", "debug", "info", "warn", "error"), def: "info",
			meaning: "The least severity that is logged.",
			example: "debug",
		},
		{
			name: "log-format", value: emptyIsUnset(choice(&c.LogFormat, "text", "json")), def: "text",
			meaning: "The form of the log's lines.",
			example: "json",
		},
		{
			name: "metrics-host", value: emptyIsUnset(address(&c.MetricsHost)), defText: "all addresses",
			meaning: "The address to serve metrics on.",
			example: "127.0.0.1",
		},
		{
			name: "metrics-port", value: between(&c.MetricsPort, "port", 0, 65535), def: "8080",
			meaning: "The port to serve metrics on, and /healthz and /readyz unless they have --health-port; 0 means none.",
			example: "9110",
		},
		{
			name: "health-port", value: between(&c.HealthPort, "port", 0, 65535), def: "0",
			meaning: "A port of its own for /healthz and /readyz, always without TLS and login, for probes that have neither; " +
				"0 means that they are served with the metrics.",
			example: "8081",
		},
		{
			name: "web-config-file", value: webConfig(&c.WebConfigFile), defText: "none",
			meaning: "A web configuration file as Prometheus' exporters take it: TLS and login for --metrics-port. It is read again for every connection.",
			example: "/etc/rebootd/web.yaml",
		},
	}}
}

// podNamespace reads the namespace that Kubernetes writes into each pod.
func podNamespace(serviceAccount fs.FS) string {
	content, err := fs.ReadFile(serviceAccount, "namespace")
	if name := strings.TrimSpace(string(content)); err == nil && name != "" {
		return name
	}
	return "rebootd"
}
