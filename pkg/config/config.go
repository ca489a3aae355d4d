// Package config holds every option of the agent once: its name, default, check and meaning.
//
// The table that starts at options is the only place that an option is described in; parsing, help, the
// Markdown reference with its examples and the list of effective values are all made from it. To add an option, add
// a field to Config and an entry to its group; a rule that joins several options goes to rules.go.
package config

import (
	"regexp"
	"time"

	"github.com/prometheus/alertmanager/pkg/labels"

	"github.com/rebootd/rebootd/pkg/schedule"
	"github.com/rebootd/rebootd/pkg/tell/notify"
)

// DefaultSentinel is the file that asks for a reboot where nothing else was said.
const DefaultSentinel = "/var/run/reboot-required"

// Config is what the agent runs with. Parse fills it; a value from Parse has passed every check.
type Config struct {
	// NodeName is the name of the Node object that this agent acts for.
	NodeName string
	// Kubeconfig is a path in the agent's own file system; "" means the pod's service account.
	Kubeconfig string
	// Namespace is where the Leases and ConfigMaps are.
	Namespace string

	// RebootSentinels are absolute paths on the host: a reboot is wanted while one of the files exists. Empty: they were
	// not given, so SentinelPreset chooses, or else it is DefaultSentinel.
	RebootSentinels []string
	// SentinelCommand is a command line in shell quoting, whose exit code says whether a reboot is wanted; "" means none.
	// With it, no file counts.
	SentinelCommand string
	// SentinelYes and SentinelNo are its exit codes that mean so. SentinelNo may be empty: every other code up to 125.
	SentinelYes, SentinelNo []int
	// SentinelPreset names a family of operating systems, or is "auto" or "".
	SentinelPreset string
	// MaxUptime is how long a machine may be up before it is rebooted; 0: for ever.
	MaxUptime time.Duration
	// Period is how often the sentinels are looked at besides file events; at least 1 s.
	Period time.Duration

	// GateGrace is how long a node that is already cordoned waits for a gate that closed before it
	// gives up; 0 gives up at once.
	GateGrace time.Duration
	// BlockingPodSelectors are label selectors: a pod on this node that one of them matches holds it back.
	BlockingPodSelectors []string
	// RespectDoNotDisrupt is whether Karpenter's annotation on a pod does so too.
	RespectDoNotDisrupt bool
	// Windows are when a reboot may begin, Freezes when it may not; Schedule joins them with kured's window.
	Windows []schedule.Window
	Freezes []schedule.Freeze
	// TimeZone is the one that windows and freezes are written in.
	TimeZone *time.Location
	// WindowMargin is how long before the end of a window no node is cordoned any more.
	WindowMargin time.Duration
	// RebootDays, StartTime and EndTime are kured's window; 0 and nil where they aren't given.
	RebootDays         schedule.Weekdays
	StartTime, EndTime *schedule.Clock

	// PrometheusURL is where alerts and queries are asked for; "": nowhere. PrometheusHTTPConfig is a file in Prometheus'
	// http_config format for it, or "".
	PrometheusURL, PrometheusHTTPConfig string
	// AlertFilter matches names of alerts, anywhere in them, that don't hold a reboot back, or with AlertFilterMatchOnly the only
	// ones that do; nil: all do. AlertFiringOnly passes over pending ones.
	AlertFilter          *regexp.Regexp
	AlertFilterMatchOnly bool
	AlertFiringOnly      bool
	// AlertmanagerURLs are the members of one cluster; none: Alertmanager is not asked.
	AlertmanagerURLs       []string
	AlertmanagerHTTPConfig string
	// AlertMatchers say which of Alertmanager's alerts count: all matchers of any of the lists; none: all alerts do.
	AlertMatchers []labels.Matchers
	// SilenceAlerts is whether the alerts about a node that is out are silenced, and SilenceLinger for how long after it is back.
	SilenceAlerts bool
	SilenceLinger time.Duration
	// SilenceMatchers are of one silence each, with placeholders; none: the default ones.
	SilenceMatchers []labels.Matchers
	// BlockQueries hold a reboot back while they find something, HealthyQueries the slot after it until they are true.
	BlockQueries, HealthyQueries []Query

	// Concurrency is how many nodes of the lock group may be out at once, or which share of them.
	Concurrency Amount
	// MaxUnavailable is how many nodes of the lock group may be out of service, whoever took them out; zero: no limit.
	MaxUnavailable Amount
	// LockTTL is how long a slot may go without a renewal before others free it; 0: for ever, else at least a minute.
	LockTTL time.Duration
	// LockGroupLabel is a label key; a node that carries it is in the lock group of its value. "": none.
	LockGroupLabel string
	// OrderByLabel is a label key: nodes that share its value go one after another.
	OrderByLabel string
	// LockGroup is a DNS label of at most 40 characters, part of the Leases' names.
	LockGroup string

	// DrainDelay is the wait between taking the lock and the drain.
	DrainDelay time.Duration
	// ExcludeFromLoadBalancers marks a node that is out for external load balancers.
	ExcludeFromLoadBalancers bool
	// LoadBalancerDelay is the wait between the cordon and the first eviction.
	LoadBalancerDelay time.Duration
	// DrainTimeout is how long a drain may take; 0 means no limit.
	DrainTimeout time.Duration
	// OnDrainTimeout is "abort", "delete" or "reboot": what becomes of a drain that took longer.
	OnDrainTimeout string
	// PDBPreflight is "explain", "hold" or "off": what a budget does before the cordon that would refuse an eviction.
	PDBPreflight string
	// DrainGracePeriod is in seconds; negative means each pod's own, 0 means no grace at all.
	DrainGracePeriod int
	// DrainPodSelector is a label selector for the pods to drain; "" means all.
	DrainPodSelector string
	// DrainLastSelector is a label selector for the pods that go when all others are gone; "" means none.
	DrainLastSelector string
	// SkipWaitForDeleteTimeout is in seconds: the drain doesn't wait for pods that have been
	// deleting for longer; 0 means it waits for all.
	SkipWaitForDeleteTimeout int
	// VolumeDetachTimeout is how long a drained node waits until its volumes are detached; 0: not at all.
	VolumeDetachTimeout time.Duration
	// BackOff is the wait after an attempt that was given up; it doubles each time.
	BackOff time.Duration
	// BackOffMax is what BackOff grows to at most.
	BackOffMax time.Duration

	// RebootMethod is "command" or "signal".
	RebootMethod string
	// RebootCommand is a command line in shell quoting; not empty with RebootMethod "command".
	RebootCommand string
	// RebootSignal is the number of the signal that RebootMethod "signal" sends to the host's PID 1.
	RebootSignal int
	// RebootDelay is the wait between the drain and the reboot.
	RebootDelay time.Duration
	// RebootTimeout is how long after the reboot command an unchanged boot ID is told as a timeout.
	RebootTimeout time.Duration
	// RebootAttempts is how often a reboot command that is known to have failed is run; at least 1.
	RebootAttempts int
	// MaxReboots is how many reboots that didn't clear what asked for them are made within
	// MaxRebootsPer; 0 means no limit.
	MaxReboots    int
	MaxRebootsPer time.Duration
	// FailureThreshold is after how many nodes in a row that failed after the reboot command the whole cluster
	// stops; 0: never. CircuitReset is after how long it goes on by itself; 0: only a person lets it.
	FailureThreshold int
	CircuitReset     time.Duration
	// DryRun decides and tells as usual, but takes no lock and cordons, drains and reboots nothing.
	DryRun bool

	// SteadyTime is how long the node must be Ready without a break before it is uncordoned.
	SteadyTime time.Duration
	// WaitForDaemonSets holds the uncordon until the pods of DaemonSets are ready; DaemonSetSelector is a label selector for the
	// pods that count, "" means all.
	WaitForDaemonSets bool
	DaemonSetSelector string
	// SettleTime is how long the slot is held after the uncordon. The longer of SettleTime and
	// LockReleaseDelay counts.
	SettleTime time.Duration
	// VersionSkew is "stop" or "ignore": what versions of kubelet and API server that don't go together do.
	VersionSkew string
	// LockReleaseDelay is kured's name for SettleTime.
	LockReleaseDelay time.Duration

	// HooksBeforeDrain, HooksBeforeReboot and HooksAfterReboot are done in their order.
	HooksBeforeDrain, HooksBeforeReboot, HooksAfterReboot []Hook
	// HookFailure is "hold" or "warn": what a failing hook does that doesn't say so itself.
	HookFailure string
	// HookTimeout is how long one try may take.
	HookTimeout time.Duration
	// HookHTTPConfig is the path of a file in the format of Prometheus' http_config, for the requests of hooks; "" means none.
	HookHTTPConfig string

	// CommandNamespace says where commands run: "host" or "own".
	CommandNamespace string
	// CommandTimeout is how long any one command may run.
	CommandTimeout time.Duration
	// HostRoot is where the host's files are seen by the agent, an absolute path.
	HostRoot string
	// BootIDFile is an absolute path in the agent's own file system.
	BootIDFile string

	// PreferNoScheduleTaint is the key of a taint; "": none.
	PreferNoScheduleTaint string

	// LogLevel is "trace", "debug", "info", "warn" or "error".
	LogLevel string
	// LogFormat is "text" or "json".
	LogFormat string
	// MetricsHost is the address that metrics are served on; "" means all.
	MetricsHost string
	// MetricsPort is the port that metrics are served on; 0 means not at all.
	MetricsPort int
	// HealthPort is where /healthz and /readyz are served, in the clear; 0: with the metrics.
	HealthPort int
	// WebConfigFile is a path in the agent's own file system: TLS and who may read the metrics; "": anybody, in the clear.
	WebConfigFile string

	// NotifyURLs are where notices go to; they are secrets. NotifyOn are the events that are sent, NotifyTemplates their texts.
	NotifyURLs      []string
	NotifyOn        []notify.Event
	NotifyTemplates []string
	// NotifyBlockedAfter is how long a node must be held back for a notice; 0: there is none.
	NotifyBlockedAfter time.Duration
	// ClusterName is what notices call the cluster; "": nothing.
	ClusterName string

	// ForceReboot is kured's word for OnDrainTimeout "reboot".
	ForceReboot bool
	// AnnotateNodes sets kured's annotations on the Node.
	AnnotateNodes bool
	// PreRebootNodeLabels are set with the cordon, PostRebootNodeLabels with the uncordon.
	PreRebootNodeLabels, PostRebootNodeLabels []Label
	// DSNamespace and DSName say where kured's DaemonSet is; DSName "": there is none. LockAnnotation is the key of its lock.
	DSNamespace, DSName, LockAnnotation string
	// KuredInterlock holds kured's lock, too; else nothing is done while kured's DaemonSet exists.
	KuredInterlock bool

	// Warnings are lines for the log about environment variables that look like options but are
	// none. They are set even when Parse fails.
	Warnings []string

	effective []KV
	notify    notices
}

// KV is one option as it is in effect.
type KV struct {
	// Name is the option's name, without dashes.
	Name string
	// Value is as it was given, or masked.
	Value string
	// Source is the flag or environment variable that set it, or "default".
	Source string
}

// Effective lists every option in the order of the help; nil for a Config that isn't from Parse.
func (c Config) Effective() []KV { return c.effective }
