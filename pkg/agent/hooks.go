package agent

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/pkg/hook"
	"github.com/rebootd/rebootd/pkg/node"
	"github.com/rebootd/rebootd/pkg/plan"
)

const (
	hookRetryFirst = 2 * time.Second
	hookRetryMost  = time.Minute
	// warnTries is how often a hook is tried that need not succeed.
	warnTries = 3
)

// Hooks are what the cluster's owner wants done around a reboot.
type Hooks struct {
	At map[plan.HookPoint][]hook.Hook
	// Timeout is how long one try may take.
	Timeout time.Duration
	// Namespace is told to the hooks.
	Namespace string
}

// hookWork is the hooks of one point that run beside the loop, one after another. A run never begins before the one before it
// has ended.
type hookWork struct {
	mu     sync.Mutex
	cancel context.CancelFunc
	ended  chan struct{}
	run    hookRun
	now    plan.HookState
}

// hookRun is what hooks are run for: one attempt to reboot, one phase of it, one point.
type hookRun struct {
	phase    plan.Phase
	outSince int64
	lease    string
	point    plan.HookPoint
}

func hookRunOf(r plan.Record, point plan.HookPoint) hookRun {
	return hookRun{phase: r.Phase, outSince: r.OutSince.UnixNano(), lease: r.LeaseUID, point: point}
}

// state is how far the hooks are for this record. Those of another attempt or phase are ended, and forgotten.
func (h *hookWork) state(r plan.Record) plan.HookState {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.run != hookRunOf(r, h.run.point) {
		h.forget()
	}
	return h.now
}

// forget asks what runs to end. It doesn't wait for that: the loop must go on.
func (h *hookWork) forget() {
	if h.cancel != nil {
		h.cancel()
	}
	h.run, h.now = hookRun{}, plan.HookState{}
}

// begun reports whether the hooks run, or have run, for this.
func (h *hookWork) begun(run hookRun) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.run == run
}

// stop ends the hooks and waits for that.
func (h *hookWork) stop() {
	h.mu.Lock()
	h.forget()
	ended := h.ended
	h.mu.Unlock()
	if ended != nil {
		<-ended
	}
}

func (h *hookWork) start(a *Agent, n *corev1.Node, o plan.Observation, point plan.HookPoint) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.forget()
	before, ended := h.ended, make(chan struct{})
	var ctx context.Context
	ctx, h.cancel = context.WithCancel(context.Background())
	h.ended, h.run = ended, hookRunOf(o.Record, point)
	h.now = plan.HookState{Point: point, Work: plan.Running}
	r := hookRunner{Agent: a, work: h, run: h.run, node: n, facts: facts(a, o, point)}
	go func() {
		defer close(ended)
		if before != nil {
			<-before
		}
		r.all(ctx)
	}()
}

// facts are what the hooks of a point get to know.
func facts(a *Agent, o plan.Observation, point plan.HookPoint) hook.Facts {
	r := o.Record
	f := hook.Facts{
		Version: hook.Version, Hook: string(point), Node: a.NodeName, Phase: string(r.Phase), BootID: o.BootID, FromBootID: r.FromBootID,
		Reason: string(o.Wanted.Reason), Message: o.Wanted.Message, AskedBy: r.AskedBy,
		Namespace: a.Hooks.Namespace, Slot: r.Slot, OutSince: r.OutSince,
	}
	switch {
	case point != plan.AfterReboot:
		f.Packages = o.Wanted.Packages
	case r.Phase == plan.Required:
		f.Outcome = hook.Aborted
		if b := r.BackOff; b != nil && o.Wanted.Answer != plan.No {
			f.Reason, f.Message = string(b.Reason), b.Cause
		}
	default:
		f.Outcome, f.Reason = hook.Rebooted, string(plan.RebootSucceeded)
		f.Message = fmt.Sprintf("Rebooted: the boot ID changed from %s to %s.", r.FromBootID, r.BootID)
	}
	return f
}

// hookRunner runs the hooks of one point.
type hookRunner struct {
	*Agent
	work  *hookWork
	run   hookRun
	node  *corev1.Node
	facts hook.Facts
}

func (r hookRunner) all(ctx context.Context) {
	for _, h := range r.Hooks.At[r.run.point] {
		if !r.persist(ctx, h) {
			return
		}
		r.set(plan.HookState{Point: r.run.point, Work: plan.Running})
	}
	r.set(plan.HookState{Point: r.run.point, Work: plan.Done})
	r.Wake()
}

// set notes how far the hooks are, unless they have been forgotten meanwhile.
func (r hookRunner) set(s plan.HookState) {
	r.work.mu.Lock()
	defer r.work.mu.Unlock()
	if r.work.run == r.run {
		r.work.now = s
	}
}

// persist tries one hook until it succeeds, or need not. It returns false when it is to end.
func (r hookRunner) persist(ctx context.Context, h hook.Hook) bool {
	wait := hookRetryFirst
	var failingSince time.Time
	for try := 1; ; try++ {
		err := r.once(ctx, h, try)
		if ctx.Err() != nil {
			return false
		}
		if err == nil {
			return true
		}
		text := fmt.Sprintf("%s failed: %s.", h.Name, strings.TrimSuffix(err.Error(), "."))
		if try == 1 {
			r.Tell.Happened(r.node, r.run.phase, plan.HookFailed, text)
		}
		switch {
		case h.Hold && failingSince.IsZero():
			failingSince = r.Now()
		case !h.Hold && try == warnTries:
			r.Log.WithField("hook", r.facts.Hook).Warnf("%s failed %d times; going on without it.", h.Name, try)
			return true
		}
		r.set(plan.HookState{Point: r.run.point, Work: plan.Running, Message: text, FailingSince: failingSince})
		r.Wake()
		select {
		case <-ctx.Done():
			return false
		case <-time.After(wait + r.upTo(wait/4)):
		}
		wait = min(2*wait, hookRetryMost)
	}
}

func (r hookRunner) once(ctx context.Context, h hook.Hook, try int) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	limited, cancel := context.WithTimeoutCause(ctx, r.Hooks.Timeout, fmt.Errorf("it did not end within %s (--hook-timeout)", r.Hooks.Timeout))
	defer cancel()
	facts := r.facts
	facts.Try = try
	began := r.Now()
	err := h.Run(limited, facts)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		err = context.Cause(limited)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	r.Tell.Metrics.HookRan(r.facts.Hook, err == nil)
	log := r.Log.WithFields(logrus.Fields{
		"hook": r.facts.Hook, "try": try, "outcome": r.facts.Outcome, "seconds": r.Now().Sub(began).Round(time.Millisecond).Seconds(),
	})
	if err != nil {
		log.WithError(err).Warnf("%s failed.", h.Name)
		return err
	}
	log.Infof("%s succeeded.", h.Name)
	return nil
}

// runHooks starts the hooks of a step, unless they run already. Those before the reboot are started only while the slot is held:
// proved by a live read, as for the drain. Nor while a write may still come that gives the reboot up.
func (a *Agent) runHooks(ctx context.Context, n *corev1.Node, o plan.Observation, step plan.Action, tale node.Tale) (time.Duration, error) {
	a.Tell.Say(n, o.Record.Phase, step.Reason, step.Message)
	if a.hooks.begun(hookRunOf(o.Record, step.Hook)) {
		return step.Again, nil
	}
	if step.Hook != plan.AfterReboot {
		if a.mayGiveUp(n) {
			return time.Second, a.overtake(ctx, n, tale)
		}
		if err := a.check(ctx, o.Record); err != nil {
			return step.Again, a.lost(err, o.Record)
		}
	}
	a.hooks.start(a, n, o, step.Hook)
	return step.Again, nil
}
