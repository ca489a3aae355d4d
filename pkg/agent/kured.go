package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rebootd/rebootd/pkg/config"
	"github.com/rebootd/rebootd/pkg/gate"
	"github.com/rebootd/rebootd/pkg/kube"
	"github.com/rebootd/rebootd/pkg/kured"
	"github.com/rebootd/rebootd/pkg/plan"
)

// KuredLock is the lock that a kured beside takes turns by. It is held from the slot's take to its end, within it.
type KuredLock interface {
	// Take makes sure that it is held for this node, while so many of rebootd's nodes may be out. A *kured.TakenError: others hold it.
	Take(ctx context.Context, rebootd int) error
	// Release gives it back, if it is held. confirm is asked before that is done.
	Release(ctx context.Context, confirm func() error) error
}

// interlock is what this process knows of kured's lock.
type interlock struct {
	// may is whether it may be held: an earlier process may have left it, or have asked for it.
	may bool
	// verdict is what the last take said, at that time and at that version of kured's DaemonSet as far as it was seen.
	verdict *plan.Verdict
	at      time.Time
	version string
}

// askInterlock is the gate that holds kured's lock. It is taken when all other gates are open, so that no kured waits for a node
// that waits itself, and looked after until the reboot command has run.
func (a *Agent) askInterlock(ctx context.Context, n *corev1.Node, o plan.Observation, how asking, others []plan.Verdict) []plan.Verdict {
	l := &a.interlock
	switch {
	case a.KuredLock == nil:
		return nil
	case !plan.AskCostly(o):
		l.verdict = nil
		return nil
	case o.Record.Phase == plan.Required && plan.Closed(others, o.Wanted):
		l.verdict = nil
		if err := a.leaveKured(ctx, n); err != nil {
			a.Log.WithError(err).Warn("kured's lock is kept though this node waits.")
		}
		return nil
	}
	version := a.kuredVersion()
	if how != live && l.verdict != nil && l.version == version && a.Now().Sub(l.at).Abs() < a.costlyEvery() {
		return []plan.Verdict{*l.verdict}
	}
	v := a.takeKured(ctx)
	l.verdict, l.at, l.version = &v, a.Now(), version
	return []plan.Verdict{v}
}

// kuredVersion is the version of kured's DaemonSet that the watch has seen: with another one there may be another answer.
func (a *Agent) kuredVersion() string {
	if a.kured == nil {
		return ""
	}
	found, _ := a.kured.objects.Items() // an error closes the gate that rests on the watch
	if len(found) == 0 {
		return ""
	}
	return found[0].ResourceVersion
}

func (a *Agent) takeKured(ctx context.Context) plan.Verdict {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	v := plan.Verdict{Gate: "kured's lock", Open: true, Everyone: true, Costly: true}
	held, err := a.slots.group.Held(ctx)
	if err != nil {
		return unanswered(v, err)
	}
	a.interlock.may = true
	err = a.KuredLock.Take(ctx, a.slots.group.Known(held))
	if taken := new(kured.TakenError); errors.As(err, &taken) {
		v.Open, v.Reason = false, plan.KuredPresent
		v.Message = fmt.Sprintf("Waiting for kured: %v (--kured-interlock).", taken)
		return v
	}
	if err != nil {
		a.slots.lateUntil = a.Now().Add(lateTake) // it may come yet
		return unanswered(v, err)
	}
	return v
}

// leaveKured gives kured's lock back, if this node may hold it.
func (a *Agent) leaveKured(ctx context.Context, n *corev1.Node) error {
	if !a.interlock.may || a.DryRun {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if err := a.KuredLock.Release(ctx, a.confirming(ctx, n)); err != nil {
		return fmt.Errorf("giving back kured's lock: %w", err)
	}
	a.interlock.may = a.Now().Before(a.slots.lateUntil)
	return nil
}

// kureds are the gate of a kured that is installed, and its lock if rebootd works beside it.
func kureds(c config.Config, client *kube.Client, now func() time.Time) (Rule[*appsv1.DaemonSet], KuredLock) {
	if c.DSName == "" {
		return nil, nil
	}
	sets := client.DaemonSets(c.DSNamespace)
	present := gate.Kured{
		DaemonSets: sets, Namespace: c.DSNamespace, Name: c.DSName,
		Ours: func(d *appsv1.DaemonSet) bool { return kured.Ours(d, c.LockAnnotation) },
	}
	if !c.KuredInterlock {
		return present, nil
	}
	present.Beside = besideKured(c.LockAnnotation, now)
	return present, &kured.Interlock{
		DaemonSets: sets, Namespace: c.DSNamespace, Name: c.DSName, Annotation: c.LockAnnotation, Node: c.NodeName, Manager: name, Now: now,
		Gone: func(ctx context.Context, node string) (bool, error) {
			_, err := client.Nodes().Get(ctx, node, metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				return true, nil
			}
			return false, err
		},
	}
}

// besideKured says what keeps every node from working beside kured. Who holds its lock otherwise is asked only by the node whose turn it is,
// or else all that wait would have to tell of each of kured's turns.
func besideKured(annotation string, now func() time.Time) func(*appsv1.DaemonSet) (string, error) {
	return func(d *appsv1.DaemonSet) (string, error) {
		if _, err := kured.Concurrency(d); err != nil {
			return "", err
		}
		l, err := kured.Of(d, annotation)
		if err != nil || !l.Manual(now()) {
			return "", err
		}
		return fmt.Sprintf("A person holds kured's lock by the name manual. To let it go: kubectl annotate daemonset -n %s %s %s-",
			d.Namespace, d.Name, annotation), nil
	}
}

// asKured is what the Node carries for programs that were made for kured.
func asKured(c config.Config) plan.AsKured {
	marks := func(labels []config.Label) []plan.Mark {
		var all []plan.Mark
		for _, l := range labels {
			all = append(all, plan.Mark{Kind: plan.Label, Key: l.Key, Value: l.Value})
		}
		return all
	}
	return plan.AsKured{Annotate: c.AnnotateNodes, Before: marks(c.PreRebootNodeLabels), After: marks(c.PostRebootNodeLabels)}
}
