// Package agent is the loop that joins the parts: it looks at everything, asks package plan for one step,
// takes it, writes down what was done and looks again. What to do is decided there, how it is done in the packages
// it drives; only this one knows them all.
package agent

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rebootd/rebootd/pkg/circuit"
	"github.com/rebootd/rebootd/pkg/fleet"
	"github.com/rebootd/rebootd/pkg/host"
	"github.com/rebootd/rebootd/pkg/lock"
	"github.com/rebootd/rebootd/pkg/mirror"
	"github.com/rebootd/rebootd/pkg/node"
	"github.com/rebootd/rebootd/pkg/node/drain"
	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/pkg/tell"
)

const (
	// requestTimeout bounds every request, so that a silent API server can't stop the loop.
	requestTimeout = 10 * time.Second
	// gateTimeout bounds one gate's answer.
	gateTimeout = 10 * time.Second
	// longestSleep bounds the time between two turns; the liveness check rests on it.
	longestSleep = 30 * time.Second
	// healthyWithin is how old the last turn may be. A turn makes a handful of requests at most.
	healthyWithin = 2 * time.Minute
)

// Sentinel is one thing that may ask for a reboot.
type Sentinel interface {
	Look(ctx context.Context) plan.Wanted
}

// Gate is one thing that may hold a reboot back. The context that it gets ends after ten seconds; it has to answer then, and an
// answer that couldn't be had is a closed gate.
type Gate interface {
	Ask(ctx context.Context, n *corev1.Node) plan.Verdict
}

// Drainer empties the node of pods.
type Drainer interface {
	// Drain returns nil when no pod is left that has to go, and an error only when ctx has ended or it can't work.
	Drain(ctx context.Context, way drain.Way, report func(drain.Progress)) error
}

// Fleet is what is known of the other nodes.
type Fleet interface {
	// Count is how many Nodes a selector matches.
	Count(ctx context.Context, members string) (int, error)
	// Waiting lists the nodes of a selector that wait for nothing but a slot.
	Waiting(ctx context.Context, members string) ([]fleet.Waiter, error)
	// Others lists all nodes of a selector but this one.
	Others(ctx context.Context, self, members string) ([]plan.Other, error)
	// ControlPlanes lists all control planes but this node.
	ControlPlanes(ctx context.Context, self string) ([]plan.Other, error)
}

// Rebooter orders the reboot. Its String says in words how.
type Rebooter interface {
	Reboot(ctx context.Context) host.Result
	String() string
}

// Parts is what an agent is made of. All fields but Pause, Pods, Kured, KuredLock, Circuit, CostlyGates, HealthyGates, Daemons with BootedAt, Volumes,
// Hooks, Silence, Skew, Events, Where and DryRun must be set.
type Parts struct {
	NodeName string
	// Identity tells this process from any other agent that works, or worked, for the same node.
	Identity string

	Writer node.Writer
	// Groups makes the lock group of a name; the members are the Nodes that this selector matches, all if empty.
	Groups func(name, members string) *lock.Group
	// LockGroup is the group of a node without LockGroupLabel; else the label's value names it.
	LockGroup, LockGroupLabel string
	// ControlPlanes is the group of one slot that all control planes share.
	ControlPlanes *lock.Group
	// MaxUnavailable is how many of so many nodes may be out of service, whoever took them out; 0 is no limit.
	MaxUnavailable func(nodes int) int
	// LockTTL is how long a slot may go without a renewal; 0: for ever.
	LockTTL lock.TTL
	// Pause is a person's word for the whole cluster, Pods are those of this node that must not be disturbed; nil: there is no such gate.
	Pause Rule[*corev1.ConfigMap]
	Pods  Rule[*metav1.PartialObjectMetadata]
	// Kured is the kured that is installed beside; nil: none can be. KuredLock is held together with a slot; nil: it isn't.
	Kured     Rule[*appsv1.DaemonSet]
	KuredLock KuredLock
	// Circuit stops the whole cluster after failures in a row; nil: nothing does.
	Circuit *circuit.Breaker
	// Fleet reads the other nodes; OrderLabel is the label whose value is a node's zone.
	Fleet      Fleet
	OrderLabel string

	Drainer   Drainer
	Rebooter  Rebooter
	Sentinels []Sentinel
	// Gates are asked on every look, by every node that waits, and must not block; CostlyGates only under the slot, and
	// beside the loop.
	Gates, CostlyGates []Gate
	// HealthyGates are asked after the reboot and the settle time; all must be open before the slot is freed.
	HealthyGates []Gate
	BootID       func() (string, error)
	// Daemons reads the DaemonSets that are waited for after the reboot, by the time of the boot; nil: none is.
	Daemons  *node.Daemons
	BootedAt func() (time.Time, error)
	// Volumes knows the volumes that are attached; nil: they aren't waited for.
	Volumes *node.Volumes

	// Hooks are run around a reboot; Policy.Hooks is made from them.
	Hooks Hooks
	// Silence is of the alerts about this node; its zero value: they are none of our business.
	Silence Silence
	// Skew looks whether the versions of kubelet and API server go together, once the node has rebooted; nil: nothing does.
	Skew Gate

	Policy plan.Policy
	// Period is how often to look when nothing wakes the loop.
	Period time.Duration
	// DryRun writes nothing to the API server: no record, no slot, no Event.
	DryRun bool

	Tell *tell.Teller
	Log  logrus.FieldLogger
	// Where is told where the node stands, for the log's lines; nil: nobody is.
	Where *tell.Where
	// Now is the clock. It may jump.
	Now func() time.Time
	// Chance is a random number from 0 up to 1, which spreads what many agents would do in the same moment.
	Chance func() float64
}

// Agent works for one node. Only its own goroutine touches the fields below the mirror, or those that it waits for; what works in the
// background reports through the types that hold it.
type Agent struct {
	Parts
	self  *mirror.Mirror[*corev1.Node]
	woken chan struct{}
	beat  atomic.Int64 // Unix nanoseconds of the last turn
	ready atomic.Bool
	why   atomic.Value // string: why not ready

	slots   slots
	circuit *watched[*corev1.ConfigMap]
	pause   *watched[*corev1.ConfigMap]
	pods    *watched[*metav1.PartialObjectMetadata]
	kured   *watched[*appsv1.DaemonSet]
	daemons mirror.Needed[*corev1.Pod]
	claim   claim
	drain   drainWork
	command commandWork
	inquiry inquiry
	healthy inquiry
	hooks   hookWork
	silence silenceWork
	memory  memory
	// interlock is of kured's lock.
	interlock interlock
	trouble   trouble

	confirmed confirmed
	unsettled bool // a write's outcome is unknown: read before anything else
	// doubtful is the version of the Node that such a write was made on: as long as the Node has it, the write may still come.
	doubtful string
	// givingUp is whether that write gives the reboot up.
	givingUp bool
}

// New returns an agent. It does nothing before Run.
func New(p Parts) *Agent {
	a := &Agent{
		Parts: p,
		self:  mirror.New("node", node.Source(p.Writer.Nodes, p.NodeName), &corev1.Node{}, nil),
		woken: make(chan struct{}, 1),
	}
	if p.Circuit != nil {
		a.circuit = watch("circuit", circuitRule{p.Circuit}, &corev1.ConfigMap{}, p.Now)
	}
	if p.Pause != nil {
		a.pause = watch("pause", p.Pause, &corev1.ConfigMap{}, p.Now)
	}
	if p.Kured != nil {
		a.kured = watch("kured", p.Kured, &appsv1.DaemonSet{}, p.Now)
	}
	a.interlock.may = p.KuredLock != nil
	if p.Pods != nil {
		a.pods = watch("pods", p.Pods, &metav1.PartialObjectMetadata{}, p.Now)
	}
	a.inquiry.gates, a.healthy.gates = p.CostlyGates, p.HealthyGates
	a.Policy.Hooks = a.Hooks.points()
	a.claim.me, a.ControlPlanes.By = p.Identity, p.Identity
	a.slots.shared = true // an earlier process may have left it, or have asked for it
	a.slots.lateUntil = p.Now().Add(lateTake)
	a.trouble.log, a.trouble.chance = p.Log, p.Chance
	a.why.Store("not looked yet")
	a.beat.Store(p.Now().UnixNano())
	return a
}

// Run works until ctx ends. It gives nothing up then: the record on the Node is where the next start goes on. It
// returns only when all that it started has ended, except for a reboot command, which nothing stops.
func (a *Agent) Run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	defer a.drain.stop()
	defer a.slots.leases.Stop()
	defer a.hooks.stop()
	defer a.silence.stop()
	defer a.circuit.stop()
	defer a.inquiry.stop()
	defer a.pause.stop()
	defer a.kured.stop()
	defer a.pods.stop()
	defer a.healthy.stop()
	defer a.daemons.Stop()
	wg.Go(func() { a.self.Run(ctx) })
	wg.Go(func() { a.Tell.Run(ctx) })
	for _, s := range a.Sentinels {
		if b, ok := s.(Beside); ok {
			wg.Go(func() { b.Watch(ctx, a.Wake) })
		}
	}
	for ctx.Err() == nil {
		again := a.turn(ctx)
		a.beat.Store(a.Now().UnixNano())
		a.sleep(ctx, again)
	}
	a.leave()
}

// Wake makes the loop look again now. It may be called from any goroutine.
func (a *Agent) Wake() {
	select {
	case a.woken <- struct{}{}:
	default:
	}
}

// Healthy is nil while the loop turns.
func (a *Agent) Healthy() error {
	if age := a.Now().Sub(time.Unix(0, a.beat.Load())); age > healthyWithin {
		return fmt.Errorf("the loop has not turned for %s", age.Round(time.Second))
	}
	return nil
}

// Ready is nil once the agent has read its Node and looked at the sentinels.
func (a *Agent) Ready() error {
	if a.ready.Load() {
		return nil
	}
	return fmt.Errorf("%v", a.why.Load())
}

// sleep waits for something to change, but no longer than d; zero is as long as it is allowed.
func (a *Agent) sleep(ctx context.Context, d time.Duration) {
	d = a.sooner(d, a.spread(longestSleep))
	if every := a.LockTTL.Every(); every > 0 {
		d = min(d, a.spread(every)) // slots that were taken together are renewed apart
	}
	for _, soon := range []time.Duration{a.silence.soon(a.Now()), a.memory.detach.soon(a.Now())} {
		if soon > 0 {
			d = min(d, soon)
		}
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-a.woken:
	case <-a.self.Changed():
	}
}

// upTo is a part of d, by chance.
func (a *Agent) upTo(d time.Duration) time.Duration { return time.Duration(a.Chance() * float64(d)) }

// spread is three quarters of d, and a part of the rest by chance: what many agents do again and again, they don't do in step.
func (a *Agent) spread(d time.Duration) time.Duration { return d - d/4 + a.upTo(d/4) }

// atOnce is how a turn asks to be followed by the next without a pause.
const atOnce = time.Nanosecond

// turn is one round: look, decide, act. It returns how soon the next is due; zero is whenever something changes.
func (a *Agent) turn(ctx context.Context) time.Duration {
	a.stopLate()
	n, err := a.own(ctx)
	switch {
	case errors.Is(err, mirror.ErrNotSynced):
		return 0
	case err != nil:
		a.why.Store(err.Error())
		return a.trouble.with(err, a.Now())
	}
	if mine, again := a.stand(ctx, n); !mine {
		return again
	}
	sure := a.sure()
	o, err := a.observe(ctx, n)
	if err != nil {
		return 0
	}
	a.Tell.Looked(o)
	if a.Where != nil {
		a.Where.Set(o.Record)
	}
	a.ready.CompareAndSwap(false, n != nil)
	a.notePriority(n, o.Record.Phase)
	step := plan.Decide(o, a.Policy, a.Now())
	if a.unsure(o, step, sure) {
		return 0
	}
	if wait, outdated := a.outdated(n, o, step); outdated {
		return wait
	}
	again, err := a.act(ctx, n, o, step)
	if err != nil && ctx.Err() != nil {
		return 0 // this process is being stopped, mostly by the very reboot; the next one goes on
	}
	if err != nil {
		again := a.trouble.with(err, a.Now())
		a.tellTrouble(ctx, n, o, step, err)
		return again
	}
	a.trouble.over(a.Now())
	return again
}

// leave tells a second agent for this node, if one waits, that it may start at once. After a reboot command the next one is of
// another boot, which doesn't ask.
func (a *Agent) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	n := newest(a.self)
	if n == nil || a.DryRun || !a.claim.holds(n) {
		return
	}
	if _, record, err := node.Observe(a.NodeName, n); err != nil || record.Phase != plan.Rebooting {
		_, _ = a.Writer.Annotate(ctx, n, map[string]any{node.AgentAnnotation: nil}) // else it finds out by itself
	}
}
