//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/test/cluster/machine"
)

const (
	sentinel        = "/run/reboot-required"
	stateAnnotation = "rebootd.io/state"
	agentAnnotation = "rebootd.io/agent"
	requiredLabel   = "rebootd.io/reboot-required"
	groupLabel      = "rebootd.io/lock-group"
	conditionType   = corev1.NodeConditionType("RebootRequired")

	pollEvery = 200 * time.Millisecond
	// quick is enough for a step, reboot for a whole reboot with all its steps, on a slow machine.
	quick  = time.Minute
	reboot = 4 * time.Minute
)

// node is one machine and its Node, for one test.
type node struct {
	*machine.Machine
	t *testing.T
}

// eventually asks until look has nothing to complain of.
func eventually(t *testing.T, within time.Duration, what string, look func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	var why error
	for {
		err := look(ctx)
		if err == nil {
			return
		}
		if ctx.Err() == nil {
			why = err
		}
		select {
		case <-ctx.Done():
			t.Fatalf("not within %s: %s: %v", within, what, why)
		case <-time.After(pollEvery):
		}
	}
}

// eventually asks the Node until look has nothing to complain of, and returns it.
func (n *node) eventually(within time.Duration, what string, look func(*corev1.Node) error) *corev1.Node {
	n.t.Helper()
	var seen *corev1.Node
	eventually(n.t, within, n.Name()+" "+what, func(ctx context.Context) error {
		var err error
		if seen, err = n.get(ctx); err != nil {
			return err
		}
		return look(seen)
	})
	return seen
}

func (n *node) get(ctx context.Context) (*corev1.Node, error) {
	return lab.client.CoreV1().Nodes().Get(ctx, n.Name(), metav1.GetOptions{})
}

// now is the Node at this moment.
func (n *node) now() *corev1.Node {
	n.t.Helper()
	seen, err := n.get(n.t.Context())
	if err != nil {
		n.t.Fatal(err)
	}
	return seen
}

// run runs a shell command on the machine and returns what it printed.
func (n *node) run(command string) string {
	n.t.Helper()
	result, err := n.Exec(n.t.Context(), command)
	if err != nil || result.ExitCode != 0 {
		n.t.Fatalf("%s: %q: %v, exit code %d: %s%s", n.Name(), command, err, result.ExitCode, result.Stdout, result.Stderr)
	}
	return strings.TrimSpace(result.Stdout)
}

// insist runs a shell command that may be run twice: on a busy machine a connection may time out.
func (n *node) insist(command string) string {
	n.t.Helper()
	var out string
	eventually(n.t, quick, n.Name()+" runs "+command, func(ctx context.Context) error {
		result, err := n.Exec(ctx, command)
		if err == nil && result.ExitCode != 0 {
			err = fmt.Errorf("exit code %d: %s%s", result.ExitCode, result.Stdout, result.Stderr)
		}
		out = strings.TrimSpace(result.Stdout)
		return err
	})
	return out
}

// require makes the machine ask for a reboot, as its package manager would.
func (n *node) require() {
	n.t.Helper()
	n.insist("touch " + sentinel)
}

// bootID is what the kernel says.
func (n *node) bootID() string {
	n.t.Helper()
	return n.insist("cat /proc/sys/kernel/random/boot_id")
}

func (n *node) reaches(phase plan.Phase, within time.Duration) plan.Record {
	n.t.Helper()
	var r plan.Record
	n.eventually(within, "reaches phase "+string(phase), func(seen *corev1.Node) error {
		var err error
		if r, err = recordOf(seen); err == nil && r.Phase != phase {
			err = errors.New(summary(seen))
		}
		return err
	})
	return r
}

// says waits for a reason in the condition. It may be a while: a node doesn't go out while one of another test is away.
func (n *node) says(reason plan.Reason) {
	n.t.Helper()
	n.eventually(reboot, "says "+string(reason), func(seen *corev1.Node) error {
		if condition(seen, conditionType).Reason != string(reason) {
			return errors.New(summary(seen))
		}
		return nil
	})
}

// rebootedOnce waits until the node is through with a reboot, and checks that it was exactly one since the boot before,
// by the kernel and by the record's history. It returns the history's entry.
func (n *node) rebootedOnce(before string) plan.Reboot {
	n.t.Helper()
	var last plan.Reboot
	n.eventually(reboot, "has rebooted and is idle", func(seen *corev1.Node) error {
		r, err := recordOf(seen)
		if err != nil {
			return err
		}
		if len(r.History) > 0 {
			last = r.History[len(r.History)-1]
		}
		if r.Phase != plan.Idle || r.BootID == before {
			return errors.New(summary(seen))
		}
		return nil
	})
	if now := n.bootID(); now == before || last.From != before || last.To != now {
		n.t.Errorf("%s: not exactly one reboot: its boot was %s and is %s; the last in its history is from %s to %s",
			n.Name(), before, now, last.From, last.To)
	}
	return last
}

// lease is the slot that this node holds in a lock group.
func (n *node) lease(ctx context.Context, group string) (coordinationv1.Lease, error) {
	leases, err := lab.leases(ctx, group)
	if err != nil {
		return coordinationv1.Lease{}, err
	}
	for _, l := range leases {
		if holder(l) == n.Name() {
			return l, nil
		}
	}
	return coordinationv1.Lease{}, fmt.Errorf("%s holds no slot of lock group %s", n.Name(), group)
}

// cordon does what an administrator does.
func (n *node) cordon(on bool) {
	n.t.Helper()
	patch := fmt.Appendf(nil, `{"spec":{"unschedulable":%t}}`, on)
	_, err := lab.client.CoreV1().Nodes().Patch(n.t.Context(), n.Name(), types.MergePatchType, patch, metav1.PatchOptions{})
	if err != nil {
		n.t.Fatal(err)
	}
}

// leases are the slots that are held in a lock group; with an empty name, in any.
func (w *world) leases(ctx context.Context, group string) ([]coordinationv1.Lease, error) {
	selector := groupLabel
	if group != "" {
		selector += "=" + group
	}
	list, err := w.client.CoordinationV1().Leases(metav1.NamespaceAll).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}

func holder(l coordinationv1.Lease) string {
	if l.Spec.HolderIdentity == nil {
		return ""
	}
	return *l.Spec.HolderIdentity
}

func recordOf(n *corev1.Node) (plan.Record, error) {
	r, err := plan.ParseRecord(n.Annotations[stateAnnotation])
	if err != nil {
		return r, fmt.Errorf("record of %s: %w", n.Name, err)
	}
	return r, nil
}

func condition(n *corev1.Node, kind corev1.NodeConditionType) corev1.NodeCondition {
	for _, c := range n.Status.Conditions {
		if c.Type == kind {
			return c
		}
	}
	return corev1.NodeCondition{}
}

// summary is a Node in one line.
func summary(n *corev1.Node) string {
	r, err := recordOf(n)
	if err != nil {
		return err.Error()
	}
	c := condition(n, conditionType)
	return fmt.Sprintf("it is in phase %q, unschedulable %t, ready %s, and says %s: %s",
		r.Phase, n.Spec.Unschedulable, condition(n, corev1.NodeReady).Status, c.Reason, c.Message)
}
