package agent

import (
	"context"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/record"
	"k8s.io/klog/v2"

	"github.com/rebootd/rebootd/pkg/circuit"
	"github.com/rebootd/rebootd/pkg/config"
	"github.com/rebootd/rebootd/pkg/fleet"
	"github.com/rebootd/rebootd/pkg/gate"
	"github.com/rebootd/rebootd/pkg/host"
	"github.com/rebootd/rebootd/pkg/kube"
	"github.com/rebootd/rebootd/pkg/lock"
	"github.com/rebootd/rebootd/pkg/node"
	"github.com/rebootd/rebootd/pkg/node/drain"
	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/pkg/schedule"
	"github.com/rebootd/rebootd/pkg/sentinel"
	"github.com/rebootd/rebootd/pkg/tell"
)

// name is what rebootd calls itself towards the API server: in Events, managedFields and the user agent.
const name = "rebootd"

// Build makes an agent from its configuration. It sends no request, and of the host it reads no more than what system it is. What it
// starts in the background (file events, the sending of Events) ends with ctx.
func Build(ctx context.Context, c config.Config, version string, reg prometheus.Registerer, log logrus.FieldLogger) (*Agent, error) {
	where := &tell.Where{}
	entry := log.WithField("node", c.NodeName)
	entry.Logger.AddHook(where)
	log = entry
	metrics := measure(c, version, reg)
	client, others, podsMeta, err := connect(c, version, metrics, log)
	if err != nil {
		return nil, err
	}
	machine := host.New(host.Options{
		Namespace: host.Namespace(c.CommandNamespace), BootIDFile: c.BootIDFile,
		// The one place that opens the way to PID 1.
		AllowSignal: c.RebootMethod == "signal" && !c.DryRun,
	})
	rebooter, check, err := rebooter(c, machine)
	if err != nil {
		return nil, err
	}
	pods, err := blockingPods(c, podsMeta)
	if err != nil {
		return nil, err
	}
	costly, healthy, err := remoteGates(c, version)
	if err != nil {
		return nil, err
	}
	hooks, hooksCheck, err := hooks(c, machine, version, log)
	if err != nil {
		return nil, err
	}
	quiet, err := silencer(c, version, time.Now)
	if err != nil {
		return nil, err
	}
	drainer := drainerOf(c, client, pods, metrics, log)
	skew := skewGate(c, client, time.Now)
	asking := sentinels(c, machine, log, time.Now)
	present, kuredLock := kureds(c, client, time.Now)
	a := New(Parts{
		NodeName:      c.NodeName,
		Identity:      identity(machine),
		Writer:        node.Writer{Nodes: client.Nodes(), Manager: name, Now: time.Now},
		Groups:        lockGroups(c, client, others),
		ControlPlanes: controlPlanes(c, client),
		LockTTL:       lock.TTL(c.LockTTL),
		Circuit:       breaker(c, client),
		Pause:         gate.Pause{ConfigMaps: client.ConfigMaps(c.Namespace), Namespace: c.Namespace, Now: time.Now},
		Pods:          pods, Kured: present, KuredLock: kuredLock,
		MaxUnavailable: c.MaxUnavailable.Of,
		LockGroup:      c.LockGroup, LockGroupLabel: c.LockGroupLabel, OrderLabel: c.OrderByLabel, Fleet: others,
		Drainer:     drainer,
		Rebooter:    rebooter,
		Sentinels:   asking,
		Gates:       gates(c, func() error { return firstError([]func() error{check, hooksCheck}) }),
		CostlyGates: append(costly, costlyGates(c, skew, drainer)...), HealthyGates: healthy,
		Hooks:   hooks,
		Silence: quiet,
		Skew:    skew,
		BootID:  machine.BootID,
		Daemons: daemons(c, client), BootedAt: bootedAt,
		Volumes: volumes(c.NodeName, client),
		Policy:  policy(c), Period: c.Period,
		DryRun: c.DryRun,
		Tell:   teller(ctx, c, client, metrics, log),
		Log:    log,
		Where:  where,
		Now:    time.Now,
		Chance: mathrand.Float64,
	})
	watchFiles(ctx, asking, a.Wake)
	return a, nil
}

func watchFiles(ctx context.Context, asking []Sentinel, wake func()) {
	for _, s := range asking {
		if file, ok := s.(sentinel.File); ok {
			go file.Events(ctx, wake)
		}
	}
}

func lockGroups(c config.Config, client *kube.Client, others *fleet.Reader) func(name, members string) *lock.Group {
	return func(name, members string) *lock.Group {
		return &lock.Group{
			Leases: client.Leases(c.Namespace), Namespace: c.Namespace, Name: name,
			Slots: c.Concurrency.Number,
			Count: func(ctx context.Context) (slots, nodes int, err error) {
				n, err := others.Count(ctx, members)
				return c.Concurrency.Of(n), n, err
			},
		}
	}
}

func controlPlanes(c config.Config, client *kube.Client) *lock.Group {
	return &lock.Group{
		Leases: client.Leases(c.Namespace), Namespace: c.Namespace,
		Name: "control-plane", Only: lock.ControlPlaneSlot, Slots: 1,
	}
}

func drainerOf(c config.Config, client *kube.Client, pods gate.Pods, metrics *tell.Metrics, log logrus.FieldLogger) *drain.Drainer {
	return drain.New(DrainClient(client), drain.Options{
		NodeName: c.NodeName, GracePeriodSeconds: c.DrainGracePeriod, PodSelector: c.DrainPodSelector, LastSelector: c.DrainLastSelector,
		SkipWaitForDeleteSeconds: c.SkipWaitForDeleteTimeout, Hold: pods.Why, Answered: metrics.Evicted,
		Chance: mathrand.Float64,
	}, log)
}

// DrainClient is what a drain needs, of this client.
func DrainClient(client *kube.Client) drain.Client {
	return drain.Client{
		Core: client.Core(), Pods: client.Pods(corev1.NamespaceAll),
		DaemonSet: func(ctx context.Context, namespace, name string) (*appsv1.DaemonSet, error) {
			return client.DaemonSets(namespace).Get(ctx, name, metav1.GetOptions{})
		},
		Budgets: func(ctx context.Context, namespace string) (*policyv1.PodDisruptionBudgetList, error) {
			return client.Budgets(namespace).List(ctx, metav1.ListOptions{})
		},
	}
}

// connect makes the client. Its own rate limit is off: the API server's priority and fairness does that
// better, and a drain of a hundred pods must not crawl.
func connect(c config.Config, version string, metrics *tell.Metrics, log logrus.FieldLogger) (*kube.Client, *fleet.Reader, gate.Metadata, error) {
	// The API machinery logs through klog; its lines belong into this stream, where they are seldom wanted.
	klog.SetLogger(tell.Library(log, time.Now))
	if c.Kubeconfig != "" {
		if _, err := clientcmd.LoadFromFile(c.Kubeconfig); err != nil { // its words are a decoder's
			return nil, nil, nil, fmt.Errorf("--kubeconfig: %q is no kubeconfig, a YAML file with clusters, users and contexts", c.Kubeconfig)
		}
	}
	rc, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig)
	if err != nil && c.Kubeconfig == "" {
		return nil, nil, nil, fmt.Errorf("this is not a pod with a service account, so --kubeconfig must say how to reach the API server: %w", err)
	}
	if err != nil {
		return nil, nil, nil, fmt.Errorf("--kubeconfig %q: %w", c.Kubeconfig, err)
	}
	rc.QPS = -1
	rc.UserAgent = name + "/" + version
	rc.ContentType = runtime.ContentTypeProtobuf
	rc.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	rc.Wrap(metrics.Requests)
	rc.WarningHandler = rest.NoWarnings{}
	client, err := kube.New(rc)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("making a client for the API server: %w", err)
	}
	return client, &fleet.Reader{Nodes: client.Keeping(fleet.Reads(c.OrderByLabel)), OrderLabel: c.OrderByLabel}, client.Metadata("pods"), nil
}

func blockingPods(c config.Config, pods gate.Metadata) (gate.Pods, error) {
	p := gate.Pods{Metadata: pods, NodeName: c.NodeName, Hold: node.HoldAnnotation, DoNotDisrupt: c.RespectDoNotDisrupt, Now: time.Now}
	for _, text := range c.BlockingPodSelectors {
		s, err := labels.Parse(text)
		if err != nil {
			return p, fmt.Errorf("--blocking-pod-selector %q: %w", text, err)
		}
		p.Selectors = append(p.Selectors, s)
	}
	return p, nil
}

// daemons is nil if they aren't to be waited for.
func daemons(c config.Config, client *kube.Client) *node.Daemons {
	if !c.WaitForDaemonSets {
		return nil
	}
	hostname, _ := os.Hostname() // a pod's is its name, unless it is in the host's network: then it is waited for like any other
	return &node.Daemons{
		Pods: client.Pods(corev1.NamespaceAll), NodeName: c.NodeName, Selector: c.DaemonSetSelector, Self: c.Namespace + "/" + hostname,
	}
}

func volumes(nodeName string, client *kube.Client) *node.Volumes {
	attachments := client.Attachments()
	return &node.Volumes{
		NodeName: nodeName, Pods: client.Pods(corev1.NamespaceAll),
		Claim: func(ctx context.Context, namespace, name string) (*corev1.PersistentVolumeClaim, error) {
			return client.Claims(namespace).Get(ctx, name, metav1.GetOptions{})
		},
		Volume: func(ctx context.Context, name string) (*corev1.PersistentVolume, error) {
			return client.Volumes().Get(ctx, name, metav1.GetOptions{})
		},
		Attachment: func(ctx context.Context, name string) (*storagev1.VolumeAttachment, error) {
			return attachments.Get(ctx, name, metav1.GetOptions{})
		},
	}
}

func bootedAt() (time.Time, error) {
	up, err := sentinel.Uptime{}.Up()
	if err != nil {
		return time.Time{}, fmt.Errorf("reading how long the machine has been up: %w", err)
	}
	return time.Now().Add(-up), nil
}

func breaker(c config.Config, client *kube.Client) *circuit.Breaker {
	if c.FailureThreshold == 0 {
		return nil
	}
	return &circuit.Breaker{
		ConfigMaps: client.ConfigMaps(c.Namespace), Namespace: c.Namespace, Now: time.Now,
		Rules: circuit.Rules{Threshold: c.FailureThreshold, Reset: c.CircuitReset},
	}
}

// rebooter is the configured way to reboot, and the check whether it could work.
func rebooter(c config.Config, machine *host.Host) (Rebooter, func() error, error) {
	if c.RebootMethod == "signal" {
		return host.Signal{Host: machine, Number: c.RebootSignal}, machine.CheckSignal, nil
	}
	argv, err := host.ParseCommand(c.RebootCommand)
	if err != nil {
		return nil, nil, fmt.Errorf("--reboot-command %q: %w", c.RebootCommand, err)
	}
	return host.Command{Host: machine, Argv: argv, Timeout: c.CommandTimeout}, lookup(machine, "--reboot-command", argv[0]), nil
}

// measure makes the metrics, with what is known before the first look.
func measure(c config.Config, version string, reg prometheus.Registerer) *tell.Metrics {
	m := tell.NewMetrics(reg, c.NodeName, version)
	var options []tell.Option
	for _, kv := range c.Effective() {
		options = append(options, tell.Option(kv))
	}
	m.Configured(options, "node-name", "metrics-host")
	m.Windows(func(now time.Time) tell.Opening { return opening(c.Schedule(), now) })
	return m
}

// opening is what the windows say of a moment.
func opening(s schedule.Schedule, now time.Time) tell.Opening {
	o := tell.Opening{Open: s.At(now, 0).Open}
	next := s.Next(now, 1)
	if len(next) > 0 {
		o.Opens = next[0].Start
	}
	if o.Open {
		o.Closes, _ = s.Closes(now, schedule.Horizon)
	} else if len(next) > 0 {
		o.Closes = next[0].End
	}
	return o
}

func teller(ctx context.Context, c config.Config, client *kube.Client, metrics *tell.Metrics, log logrus.FieldLogger) *tell.Teller {
	t := &tell.Teller{Log: log, Metrics: metrics, Now: time.Now}
	t.Notices = notices(c, t.Metrics, log, t.Now)
	if !c.DryRun {
		events := record.NewBroadcaster(record.WithContext(ctx))
		events.StartRecordingToSink(kube.Sink{Client: client})
		context.AfterFunc(ctx, events.Shutdown)
		t.Events = events.NewRecorder(client.Scheme(), corev1.EventSource{Component: name, Host: c.NodeName})
	}
	return t
}

// identity names this process, with the boot at its end: an agent of another boot can't be alive.
func identity(machine *host.Host) string {
	bootID, err := machine.BootID()
	if err != nil {
		bootID = "unknown"
	}
	where, err := os.Hostname()
	if err != nil {
		where = "unknown"
	}
	return fmt.Sprintf("%s/%s@%s", where, rand.Text()[:8], bootID)
}

// gates are what every node that waits asks.
func gates(c config.Config, check func() error) []Gate {
	return []Gate{
		gate.Hold{Annotation: node.HoldAnnotation},
		gate.Autoscaler{},
		gate.Window{Schedule: c.Schedule(), Margin: c.WindowMargin, Annotation: node.StateAnnotation, Now: time.Now},
		gate.Command{Check: check},
	}
}

func policy(c config.Config) plan.Policy {
	marks := plan.ForAutoscalers()
	if c.ExcludeFromLoadBalancers {
		marks = append(marks, plan.ForLoadBalancers())
	}
	return plan.Policy{
		Marks: marks, AsKured: asKured(c), LoadBalancerDelay: c.LoadBalancerDelay,
		DrainDelay: c.DrainDelay, DrainTimeout: c.DrainTimeout, OnDrainTimeout: plan.OnDrainTimeout(c.OnDrainTimeout),
		VolumeDetachTimeout: c.VolumeDetachTimeout,
		RebootDelay:         c.RebootDelay, RebootTimeout: c.RebootTimeout, RebootAttempts: c.RebootAttempts, CommandTimeout: c.CommandTimeout, RetryDelay: 10 * time.Second,
		SteadyTime: c.SteadyTime, SettleTime: max(c.SettleTime, c.LockReleaseDelay),
		GateGrace: c.GateGrace, TurnTime: 10 * time.Minute,
		BackOff: c.BackOff, BackOffMax: c.BackOffMax,
		MaxReboots: c.MaxReboots, MaxRebootsPer: c.MaxRebootsPer, Taint: c.PreferNoScheduleTaint,
	}
}
