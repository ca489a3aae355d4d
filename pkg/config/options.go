package config

import (
	"io/fs"
	"math"
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
	secret   bool // the value is never shown
	// show is what is shown of a value; nil: all of it.
	meaning string // a whole sentence
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
		},
		{
			name: "kubeconfig", value: readable(&c.Kubeconfig), defText: "the pod's service account",
			meaning: "The kubeconfig file to reach the API server with.",
		},
		{
			name: "namespace", value: dnsLabel(&c.Namespace, 63),
			def:     podNamespace(os.DirFS("/var/run/secrets/kubernetes.io/serviceaccount")),
			defText: "the pod's own, else rebootd",
			meaning: "The namespace of the Leases and ConfigMaps that the agents share.",
		},
	}}
}

func triggerOptions(c *Config) group {
	return group{"What asks for a reboot", []option{
		{
			name: "reboot-sentinel", value: emptyIsUnset(absolutePaths(&c.RebootSentinels)), defText: DefaultSentinel,
			meaning: "A file whose existence asks for a reboot, as a path on the host. Repeatable, or a list with commas: " +
				"any of them suffices.",
		},
		{
			name: "reboot-sentinel-command", value: command(&c.SentinelCommand), defText: "none",
			meaning: "A command whose exit code says whether a reboot is wanted; it runs every --period, in --command-namespace. " +
				"With it, --reboot-sentinel is ignored, as with kured.",
		},
		{
			name: "sentinel-command-yes", value: exitCodes(&c.SentinelYes), def: "0",
			meaning: "The exit codes of --reboot-sentinel-command that ask for a reboot. Repeatable, or a list with commas.",
		},
		{
			name: "sentinel-command-no", value: exitCodes(&c.SentinelNo), defText: "every other code up to 125",
			meaning: "The exit codes of --reboot-sentinel-command that ask for none. All codes that are in neither list, a signal, " +
				"a command that isn't there and one that takes longer than --command-timeout mean unknown: then there is no reboot.",
		},
		{
			name: "sentinel-preset", def: "", defText: "none",
			value: choice(&c.SentinelPreset, "auto", "debian", "rhel", "suse", "flatcar", "amazon-linux"),
			meaning: "Look at what this family of operating systems has for it, a file or a command; auto reads the host's " +
				"os-release. --reboot-sentinel and --reboot-sentinel-command win.",
		},
		{
			name: "max-uptime", value: duration(&c.MaxUptime, 0), def: "0",
			meaning: "Ask for a reboot of a machine that has been up for so long, less up to a tenth by the node's name, so that " +
				"machines started together don't fall due together; 0 means never.",
		},
		{
			name: "period", value: duration(&c.Period, time.Second), def: "1m",
			meaning: "How often to look for a reason to reboot, besides whenever a sentinel file changes.",
		},
	}}
}

func gateOptions(c *Config) group {
	return group{"What holds a reboot back", append(windowOptions(c), []option{
		{
			name: "gate-grace", value: duration(&c.GateGrace, 0), def: "5m",
			meaning: "How long a node that is already cordoned waits for a gate that has closed to open " +
				"again before it gives up and goes back into service.",
		},
		{
			name: "blocking-pod-selector", value: each("selector", "\n", podSelector, &c.BlockingPodSelectors), defText: "none",
			meaning: "A label selector: no reboot begins while a pod on this node matches it that has not ended, whatever runs it. " +
				"May be given several times, and any of them suffices. In the environment, one on each line.",
		},
		{
			name: "respect-do-not-disrupt", value: boolean(&c.RespectDoNotDisrupt), def: "true",
			meaning: "Whether a pod with Karpenter's annotation karpenter.sh/do-not-disrupt holds its node back too.",
		},
	}...)}
}

func lockOptions(c *Config) group {
	return group{"Lock", []option{
		{
			name: "concurrency", value: amount(&c.Concurrency), def: "1",
			meaning: "How many nodes of the lock group may be out of service at once: a number, or a percentage " +
				"of the group's nodes, rounded down but at least 1.",
		},
		{
			name: "max-unavailable", value: amount(&c.MaxUnavailable), defText: "no limit",
			meaning: "How many nodes of the lock group may be out of service, this one included and whoever took them " +
				"out: not Ready, cordoned, or about to be; a number or a percentage.",
		},
		{
			name: "lock-ttl", value: duration(&c.LockTTL, 0), def: "0",
			meaning: "Free the slot of a node that has not renewed it for so long; 0 means never. Danger: a node that can't " +
				"be reached may still be out of service, so more nodes than --concurrency may be out at once.",
		},
		{
			name: "lock-group", value: dnsLabel(&c.LockGroup, 40), def: "default",
			meaning: "The group of nodes that this node takes turns with.",
		},
		{
			name: "lock-group-label", value: labelKey(&c.LockGroupLabel), defText: "none",
			meaning: "A node label, such as the node pool's: nodes with the same value are a lock group of their own, " +
				"those without it are in --lock-group.",
		},
		{
			name: "order-by-label", value: labelKey(&c.OrderByLabel), def: "topology.kubernetes.io/zone",
			meaning: "A node label: nodes with the same value go one after another, before those with another one.",
		},
	}}
}

func drainOptions(c *Config) group {
	return group{"Drain", []option{
		{
			name: "drain-delay", value: duration(&c.DrainDelay, 0), def: "0",
			meaning: "How long to wait between taking the lock and the drain.",
		},
		{
			name: "exclude-from-load-balancers", value: boolean(&c.ExcludeFromLoadBalancers), def: "false",
			meaning: "Mark the node from the cordon to the uncordon with the label node.kubernetes.io/exclude-from-external-load-balancers, " +
				"so that load balancers outside the cluster send it nothing.",
		},
		{
			name: "load-balancer-delay", value: duration(&c.LoadBalancerDelay, 0), def: "0",
			meaning: "How long to wait between the cordon and the first eviction, so that load balancers have taken note; it doesn't " +
				"count against --drain-timeout.",
		},
		{
			name: "drain-timeout", value: duration(&c.DrainTimeout, 0), def: "30m",
			meaning: "How long a drain may take; 0 means no limit. --on-drain-timeout says what follows.",
		},
		{
			name: "pdb-preflight", value: choice(&c.PDBPreflight, "explain", "hold", "off"), def: "explain",
			meaning: "Before the cordon, ask the API server whether PodDisruptionBudgets would refuse the evictions, and explain why; or " +
				"hold the node back, uncordoned, while they would.",
		},
		{
			name: "on-drain-timeout", value: choice(&c.OnDrainTimeout, "abort", "delete", "reboot"), defText: "abort",
			meaning: "What follows a drain that took too long: go back into service and back off; or delete the pods " +
				"that could not be evicted, past their disruption budgets, and give up if that takes as long again; " +
				"or reboot under the pods that are left.",
		},
		{
			name: "drain-grace-period", value: number(&c.DrainGracePeriod, "seconds", math.MinInt32), def: "-1",
			meaning: "How many seconds a pod gets to end; a negative number means as many as the pod says itself.",
		},
		{
			name: "drain-pod-selector", value: labelSelector(&c.DrainPodSelector), defText: "all pods",
			meaning: "Drain only pods whose labels match this selector.",
		},
		{
			name: "drain-last-selector", value: labelSelector(&c.DrainLastSelector), defText: "none",
			meaning: "Leave pods whose labels match this selector alone until all others are gone: storage daemons, or volume plugins that " +
				"are no DaemonSet.",
		},
		{
			name: "skip-wait-for-delete-timeout", def: "0",
			value: number(&c.SkipWaitForDeleteTimeout, "seconds", 0),
			meaning: "Don't wait for pods that have been deleting for longer than this many seconds; " +
				"0 means wait for all.",
		},
		{
			name: "volume-detach-timeout", value: duration(&c.VolumeDetachTimeout, 0), def: "2m",
			meaning: "How long a drained node waits until its volumes are detached, before it is rebooted all the same; 0 means it doesn't wait.",
		},
		{
			name: "back-off", value: duration(&c.BackOff, time.Second), def: "5m",
			meaning: "How long a node waits for its next try after a failed drain; it doubles with each failure.",
		},
		{
			name: "back-off-max", value: duration(&c.BackOffMax, time.Second), def: "2h",
			meaning: "The longest that the wait after failed drains grows to.",
		},
	}}
}

func rebootOptions(c *Config) group {
	return group{"Reboot", []option{
		{
			name: "reboot-method", value: choice(&c.RebootMethod, "command", "signal"), def: "command",
			meaning: "Whether to reboot by running a command or by sending a signal to the host's PID 1.",
		},
		{
			name: "reboot-command", value: command(&c.RebootCommand), def: "/bin/systemctl reboot",
			meaning: "The command that reboots the host.",
		},
		{
			name: "reboot-signal", value: signal(&c.RebootSignal), def: "39",
			meaning: "The signal that reboots the host, as a number or a name; 39 is systemd's SIGRTMIN+5.",
		},
		{
			name: "reboot-delay", value: duration(&c.RebootDelay, 0), def: "0",
			meaning: "How long to wait between the drain and the reboot.",
		},
		{
			name: "reboot-timeout", value: duration(&c.RebootTimeout, time.Second), def: "15m",
			meaning: "How long after the reboot command to report a node whose boot ID hasn't changed; " +
				"the node stays out of service and keeps its slot.",
		},
		{
			name: "reboot-attempts", value: number(&c.RebootAttempts, "number", 1), def: "3",
			meaning: "How often to run a reboot command that fails before the node goes back into service.",
		},
		{
			name: "max-reboots", value: between(&c.MaxReboots, "number", 0, 10), def: "3",
			meaning: "How many reboots that don't clear what asks for them are made within --max-reboots-per " +
				"before the node stops and says so; 0 means no limit.",
		},
		{
			name: "max-reboots-per", value: duration(&c.MaxRebootsPer, time.Second), def: "24h",
			meaning: "The time that --max-reboots counts in.",
		},
		{
			name: "failure-threshold", value: number(&c.FailureThreshold, "number", 0), def: "3",
			meaning: "After how many nodes in a row that are not back and healthy --reboot-timeout after their reboot " +
				"command the whole cluster stops rebooting; 0 means never.",
		},
		{
			name: "circuit-reset", value: duration(&c.CircuitReset, 0), def: "0",
			meaning: "How long a cluster that stopped after --failure-threshold failures stays stopped; 0 means until " +
				"a person deletes the ConfigMap rebootd-circuit.",
		},
		{
			name: "dry-run", value: boolean(&c.DryRun), def: "false",
			meaning: "Decide and report as usual, but never lock, cordon, drain or reboot.",
		},
	}}
}

func afterOptions(c *Config) group {
	return group{"After the reboot", []option{
		{
			name: "steady-time", value: duration(&c.SteadyTime, 0), def: "10s",
			meaning: "How long the node must be Ready without a break before it is uncordoned.",
		},
		{
			name: "wait-for-daemonsets", value: boolean(&c.WaitForDaemonSets), def: "true",
			meaning: "Uncordon the node only when its DaemonSets' pods are ready too, but for those that were not before.",
		},
		{
			name: "daemonset-selector", value: labelSelector(&c.DaemonSetSelector), defText: "all pods",
			meaning: "Wait only for DaemonSets' pods whose labels match this selector.",
		},
		{
			name: "settle-time", value: duration(&c.SettleTime, 0), def: "0",
			meaning: "How long to keep the lock after the uncordon.",
		},
		{
			name: "lock-release-delay", value: duration(&c.LockReleaseDelay, 0), def: "0",
			meaning: "The same as --settle-time; the longer of the two counts.",
		},
		{
			name: "healthy-query", value: each("name=PromQL", "\n", parseQuery, &c.HealthyQueries), defText: "none",
			meaning: "PromQL that must be true after --settle-time before the lock is freed, such as 'ceph=ceph_health_status == bool 0': " +
				"at least one series, and none that is 0 or not a number. Repeatable; in the environment, one on each line. Needs --prometheus-url.",
		},
		{
			name: "version-skew", value: choice(&c.VersionSkew, "stop", "ignore"), def: "stop",
			meaning: "What a kubelet does that is newer than the API server, or more than three minor versions older: stop the roll, by " +
				"not starting with the node, or by keeping its slot when it came back so; or nothing.",
		},
	}}
}

func commandOptions(c *Config) group {
	return group{"Commands", []option{
		{
			name: "command-namespace", value: choice(&c.CommandNamespace, "host", "own"), def: "host",
			meaning: "Whether commands run in the namespaces of the host or in the agent's own.",
		},
		{
			name: "command-timeout", value: duration(&c.CommandTimeout, time.Second), def: "2m",
			meaning: "How long a command may run. A reboot command that takes longer is left to run, for it may yet " +
				"reboot the machine.",
		},
		{
			name: "host-root", value: absolutePath(&c.HostRoot), def: "/",
			meaning: "Where the agent sees the host's files: the chart mounts the sentinel's directory below it.",
		},
		{
			name: "boot-id-file", value: absolutePath(&c.BootIDFile), def: "/proc/sys/kernel/random/boot_id",
			meaning: "The file that holds the kernel's boot ID, as a path in the agent's own file system.",
		},
	}}
}

func outputOptions(c *Config) group {
	return group{"Output", []option{
		{
			name: "log-level", value: choice(&c.LogLevel, "trace", "debug", "info", "warn", "error"), def: "info",
			meaning: "The least severity that is logged.",
		},
		{
			name: "log-format", value: emptyIsUnset(choice(&c.LogFormat, "text", "json")), def: "text",
			meaning: "The form of the log's lines.",
		},
		{
			name: "metrics-host", value: emptyIsUnset(address(&c.MetricsHost)), defText: "all addresses",
			meaning: "The address to serve metrics on.",
		},
		{
			name: "metrics-port", value: between(&c.MetricsPort, "port", 0, 65535), def: "8080",
			meaning: "The port to serve metrics on; 0 means none.",
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
