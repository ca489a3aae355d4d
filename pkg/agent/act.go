package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rebootd/rebootd/pkg/lock"
	"github.com/rebootd/rebootd/pkg/node"
	"github.com/rebootd/rebootd/pkg/node/drain"
	"github.com/rebootd/rebootd/pkg/plan"
)

// act takes the step and tells of it. It returns how soon the next turn is due.
func (a *Agent) act(ctx context.Context, n *corev1.Node, o plan.Observation, step plan.Action) (time.Duration, error) {
	if !evicts(step) {
		a.drain.stop()
	}
	if step.Do != plan.DoTake {
		a.slots.turns.over()
	}
	if a.DryRun {
		return a.pretendTo(n, o, step), nil
	}
	if wait := a.notAllAtOnce(o, step); wait > 0 {
		return wait, nil
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	tale := node.Tale{Wanted: o.Wanted.Answer, Reason: step.Reason, Message: step.Told, Marks: step.Marks}
	switch step.Do {
	case plan.DoTake, plan.DoFree:
		if a.doubtful == n.ResourceVersion {
			return time.Second, a.overtake(ctx, n, tale)
		}
		if step.Do == plan.DoTake {
			return a.take(ctx, n, o.Record.Reason)
		}
		return atOnce, a.free(ctx, n, o, step)
	case plan.DoDrain, plan.DoReboot:
		return a.work(ctx, n, o, step, tale)
	case plan.DoHook:
		return a.runHooks(ctx, n, o, step, tale)
	case plan.DoTell, plan.DoWrite, plan.DoTaint, plan.DoUncordon:
		return atOnce, a.write(n, o, step, a.writing(ctx, n, step, tale))
	case plan.DoFail:
		return atOnce, a.fail(ctx, n, o, step)
	case plan.DoCordon:
		if err := a.check(ctx, step.Record); err != nil {
			return atOnce, a.lost(err, step.Record)
		}
		return atOnce, a.write(n, o, step, a.writing(ctx, n, step, tale))
	default:
		a.Tell.Say(n, o.Record.Phase, step.Reason, step.Message)
		return a.countAll(ctx, o, step.Again), nil
	}
}

// writing is the request that a step is.
func (a *Agent) writing(ctx context.Context, n *corev1.Node, step plan.Action, tale node.Tale) func() (*corev1.Node, error) {
	return func() (*corev1.Node, error) {
		switch step.Do {
		case plan.DoTell:
			return a.Writer.Tell(ctx, n, tale)
		case plan.DoTaint:
			return a.Writer.Taint(ctx, n, step.Record, step.Untaint)
		case plan.DoCordon:
			return a.Writer.Cordon(ctx, n, step.Record, tale)
		case plan.DoUncordon:
			return a.Writer.Uncordon(ctx, n, step.Record, tale)
		default:
			return a.Writer.Write(ctx, n, step.Record, tale)
		}
	}
}

// evicts reports whether a drain may go on during the step. Everything else stops it, above all a
// gate that closed.
func evicts(step plan.Action) bool {
	switch step.Reason {
	case plan.Draining, plan.BlockedByPDB, plan.BlockedByHook, plan.DrainFailed:
		return step.Do == plan.DoDrain || step.Do == plan.DoHook || step.Do == plan.DoWrite && step.Record.Phase == plan.Drain
	default:
		return step.Do == plan.DoDrain
	}
}

// write writes to the Node. A conflict means that what was decided on is out of date: look again. After any other
// error the write may have happened; the next turn begins with a live read.
func (a *Agent) write(n *corev1.Node, o plan.Observation, step plan.Action, do func() (*corev1.Node, error)) error {
	asked := a.Now()
	after, err := do()
	if err != nil {
		a.unsettled = true
		if apierrors.IsConflict(err) {
			return nil
		}
		a.doubtful, a.givingUp = n.ResourceVersion, givesUp(step) || a.mayGiveUp(n)
		if announces(o.Record, step.Record) {
			a.command.hope(step.Record)
		}
		return err
	}
	a.self.Put(after)
	a.confirmed = confirmed{version: after.ResourceVersion, at: asked}
	phase := o.Record.Phase
	switch step.Do {
	case plan.DoTaint: // says nothing about why the node waits
		a.Log.Info(step.Message)
		return nil
	case plan.DoTell:
	default:
		phase = step.Record.Phase
		a.wrote(o, step.Record)
	}
	a.Tell.Say(n, phase, step.Reason, step.Message)
	return nil
}

// givesUp reports whether a step gives the node back, or begins to.
func givesUp(step plan.Action) bool {
	return step.Do != plan.DoTell && step.Record.Phase != plan.Drain && step.Record.Phase != plan.Rebooting
}

// mayGiveUp reports whether a write may still come that gives the reboot up.
func (a *Agent) mayGiveUp(n *corev1.Node) bool { return a.givingUp && a.doubtful == n.ResourceVersion }

// overtake makes sure that a write whose outcome is unknown doesn't come any more, by one that makes its version an old one. The API
// server may carry out a request long after its sender gave up: a cordon must not come when the slot is gone, or
// another.
func (a *Agent) overtake(ctx context.Context, n *corev1.Node, tale node.Tale) error {
	after, err := a.Writer.Overtake(ctx, n, tale)
	if err != nil {
		a.unsettled = true
		if apierrors.IsConflict(err) {
			return nil
		}
		return err
	}
	a.self.Put(after)
	return nil
}

// announces reports whether the reboot command comes next.
func announces(before, after plan.Record) bool {
	return after.Phase == plan.Rebooting && after.Attempts > before.Attempts
}

// wrote notes what follows from a record that has just been written by this very process.
func (a *Agent) wrote(o plan.Observation, after plan.Record) {
	if announces(o.Record, after) {
		a.command.announced()
	}
	a.Tell.Metrics.Moved(o, after)
}

// free hands the slot on: it says who comes next, then it lets go. To name nobody is no reason to keep it.
func (a *Agent) free(ctx context.Context, n *corev1.Node, o plan.Observation, step plan.Action) error {
	if o.Record.Succeeded() {
		a.succeeded(ctx)
	}
	if err := a.leaveControlPlanes(ctx, n); err != nil {
		return err
	}
	if err := a.leaveKured(ctx, n); err != nil {
		return err
	}
	if err := a.name(ctx, n, o.Slot); err != nil {
		a.Log.WithError(err).Warn("The slot is freed without naming who comes next.")
	}
	if err := a.confirm(ctx, n); err != nil {
		return err
	}
	if err := a.slots.group.Free(ctx, o.Slot.Name, types.UID(o.Slot.LeaseUID)); err != nil {
		return err
	}
	a.slots.leases.Drop(types.UID(o.Slot.LeaseUID)) // a look follows, which finds what else this node may hold of the group
	a.Log.WithField("slot", o.Slot.Name).Info("Freed the slot. " + step.Message)
	return nil
}

// lost lets the next look see that the slot is gone, if it is.
func (a *Agent) lost(err error, r plan.Record) error {
	if errors.Is(err, lock.ErrLost) {
		a.slots.leases.Drop(types.UID(r.LeaseUID))
		return nil
	}
	return err
}

// checkFor proves that the slot is still held. For the drain the cordon's proof will do, if it was a moment ago; the reboot command
// has its own.
func (a *Agent) checkFor(ctx context.Context, step plan.Action, r plan.Record) error {
	s := &a.slots
	if step.Do == plan.DoDrain && s.proved != "" && s.proved == types.UID(r.LeaseUID) && a.Now().Sub(s.provedAt).Abs() < costlyFresh {
		return nil
	}
	return a.check(ctx, r)
}

// work starts the drain or the reboot command, unless it is under way. Both are started only after a live
// read has proved that the slot is still held; for the drain that may be the cordon's, of the second before. And only when no
// write that says that the reboot is given up can still come.
func (a *Agent) work(ctx context.Context, n *corev1.Node, o plan.Observation, step plan.Action, tale node.Tale) (time.Duration, error) {
	a.Tell.Say(n, o.Record.Phase, step.Reason, step.Message)
	way := drain.Evict
	if step.Delete {
		way = drain.Delete
	}
	if a.drain.way != way {
		a.drain.stop()
	}
	if step.Do == plan.DoDrain && a.drain.begun(a.Now()) || step.Do == plan.DoReboot && a.command.running() {
		return step.Again, nil
	}
	if a.mayGiveUp(n) {
		return time.Second, a.overtake(ctx, n, tale)
	}
	if err := a.checkFor(ctx, step, o.Record); err != nil {
		return step.Again, a.lost(err, o.Record)
	}
	if step.Do == plan.DoDrain {
		a.drain.start(a, way)
		return step.Again, nil
	}
	if err := a.confirm(ctx, n); err != nil {
		return step.Again, err
	}
	a.command.start(a, n)
	return step.Again, nil
}

// confirmed is what the API server said of the Node last, in the answer to a write of this process's.
type confirmed struct {
	version string    // of the Node then
	at      time.Time // when the write was sent
}

// confirm proves that the Node is still the one that the reboot, or the end of a slot, was decided on, that its
// record says so, and that no other agent has taken over. (One that has may hold another slot by now, and be out under it.) It reads the Node
// live, unless what was decided on is the API server's own answer of a moment ago.
func (a *Agent) confirm(ctx context.Context, n *corev1.Node) error {
	if said := a.confirmed; n.ResourceVersion == said.version && a.Now().Sub(said.at).Abs() < costlyFresh && a.claim.holds(n) {
		return nil
	}
	live, err := a.Writer.Nodes.Get(ctx, n.Name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("get Node %s: %w", n.Name, err)
	}
	a.self.Put(live)
	if live.UID != n.UID || live.Annotations[node.StateAnnotation] != n.Annotations[node.StateAnnotation] || !a.claim.holds(live) {
		return fmt.Errorf("the Node %s has changed since it was looked at: looking again", n.Name)
	}
	return nil
}

func (a *Agent) confirming(ctx context.Context, n *corev1.Node) func() error {
	return func() error { return a.confirm(ctx, n) }
}

// pretendTo tells what the step would do. Only the record's way up to the take is played, in memory.
func (a *Agent) pretendTo(n *corev1.Node, o plan.Observation, step plan.Action) time.Duration {
	dry := a.memory.dry
	message := step.Message
	again := step.Again
	switch step.Do {
	case plan.DoWait, plan.DoTell:
	case plan.DoWrite:
		if dry != nil && (step.Record.Phase == plan.Idle || step.Record.Phase == plan.Required) {
			dry.record = step.Record
			dry.told = plan.Told{Reason: step.Reason, Message: step.Told, At: a.Now()}
			again = atOnce
		}
	case plan.DoTaint: // the way goes on after it
		if dry != nil {
			dry.record, dry.tainted = step.Record, true
		}
		return atOnce
	case plan.DoTake:
		message = fmt.Sprintf("Would now take a slot of lock group %s, cordon and drain this node, and reboot it by %s.", a.slots.group.Name, a.Rebooter)
	default:
		message = fmt.Sprintf("Would now do the step %q: %s", step.Do, step.Message)
	}
	a.Tell.Say(n, o.Record.Phase, step.Reason, "Dry run: "+message)
	return again
}
