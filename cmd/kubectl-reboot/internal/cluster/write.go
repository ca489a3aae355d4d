package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rebootd/rebootd/pkg/circuit"
	"github.com/rebootd/rebootd/pkg/pause"
)

// manager names the plugin in managedFields.
const manager = "kubectl-reboot"

// DryRun is how far a write goes.
type DryRun int

// The three ways.
const (
	// Write writes.
	Write DryRun = iota
	// OnlyClient sends nothing that writes.
	OnlyClient
	// OnlyServer lets the server check the write, and do nothing.
	OnlyServer
)

func (d DryRun) options() []string {
	if d == OnlyServer {
		return []string{metav1.DryRunAll}
	}
	return nil
}

// User is the name that the API server knows the user by; empty when it doesn't say.
func (c *Client) User(ctx context.Context) string {
	me, err := c.Kube.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return ""
	}
	return me.Status.UserInfo.Username
}

// Node reads one Node.
func (c *Client) Node(ctx context.Context, name string) (*corev1.Node, error) {
	n, err := c.Kube.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	return n, explain(err, "get", "nodes", " ("+name+")")
}

// Annotate sets annotations on a Node; a nil value removes one.
func (c *Client) Annotate(ctx context.Context, n *corev1.Node, annotations map[string]any, how DryRun) (*corev1.Node, error) {
	if how == OnlyClient {
		n = n.DeepCopy()
		for key, value := range annotations {
			if text, ok := value.(string); ok {
				metav1.SetMetaDataAnnotation(&n.ObjectMeta, key, text)
			} else {
				delete(n.Annotations, key)
			}
		}
		return n, nil
	}
	// The UID: a Node that was deleted and created again is another one.
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": n.UID, "annotations": annotations}})
	if err != nil {
		return nil, err
	}
	after, err := c.Kube.CoreV1().Nodes().Patch(ctx, n.Name, types.MergePatchType, patch,
		metav1.PatchOptions{FieldManager: manager, DryRun: how.options()})
	return after, explain(err, "patch", "nodes", " ("+n.Name+")")
}

// Pause pauses reboots in the whole cluster. What an earlier pause said is gone.
func (c *Client) Pause(ctx context.Context, reason, until string, how DryRun) (*corev1.ConfigMap, error) {
	ns, err := c.FindNamespace(ctx)
	if err != nil {
		return nil, err
	}
	data := map[string]string{pause.PausedKey: "true"}
	patch := map[string]any{pause.PausedKey: "true", pause.ReasonKey: nil, pause.UntilKey: nil}
	if reason != "" {
		data[pause.ReasonKey], patch[pause.ReasonKey] = reason, reason
	}
	if until != "" {
		data[pause.UntilKey], patch[pause.UntilKey] = until, until
	}
	m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: pause.ConfigMap, Namespace: ns}, Data: data}
	if how == OnlyClient {
		return m, nil
	}
	api := c.Kube.CoreV1().ConfigMaps(ns)
	// Twice: somebody may create or delete it at the same time.
	for try := 0; ; try++ {
		after, err := c.patchControl(ctx, ns, patch, how)
		if !apierrors.IsNotFound(err) {
			return after, err
		}
		after, err = api.Create(ctx, m, metav1.CreateOptions{FieldManager: manager, DryRun: how.options()})
		if !apierrors.IsAlreadyExists(err) || try > 0 {
			return after, explain(err, "create", "configmaps", inNamespace(ns))
		}
	}
}

func (c *Client) patchControl(ctx context.Context, ns string, data map[string]any, how DryRun) (*corev1.ConfigMap, error) {
	patch, err := json.Marshal(map[string]any{"data": data})
	if err != nil {
		return nil, err
	}
	m, err := c.Kube.CoreV1().ConfigMaps(ns).Patch(ctx, pause.ConfigMap, types.MergePatchType, patch,
		metav1.PatchOptions{FieldManager: manager, DryRun: how.options()})
	return m, explain(err, "patch", "configmaps", inNamespace(ns))
}

// ErrNothing says that there is nothing to undo.
var ErrNothing = errors.New("nothing to do")

// Resume ends a pause. Keys that are others' stay. ErrNothing: reboots aren't paused.
func (c *Client) Resume(ctx context.Context, how DryRun) (*corev1.ConfigMap, error) {
	ns, err := c.FindNamespace(ctx)
	if err != nil {
		return nil, err
	}
	m, err := c.Kube.CoreV1().ConfigMaps(ns).Get(ctx, pause.ConfigMap, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, ErrNothing
	case err != nil:
		return nil, explain(err, "get", "configmaps", inNamespace(ns))
	}
	keys := map[string]any{pause.PausedKey: nil, pause.ReasonKey: nil, pause.UntilKey: nil}
	some := false
	for key := range keys {
		_, there := m.Data[key]
		some = some || there
	}
	switch {
	case !some:
		return nil, ErrNothing
	case how == OnlyClient:
		for key := range keys {
			delete(m.Data, key)
		}
		return m, nil
	}
	return c.patchControl(ctx, ns, keys, how)
}

// Slot reads the Lease of a slot.
func (c *Client) Slot(ctx context.Context, ns, name string) (*coordinationv1.Lease, error) {
	l, err := c.Kube.CoordinationV1().Leases(ns).Get(ctx, name, metav1.GetOptions{})
	return l, explain(err, "get", "leases.coordination.k8s.io", inNamespace(ns))
}

// Release frees a slot, if it is still the one that was looked at.
func (c *Client) Release(ctx context.Context, l *coordinationv1.Lease, how DryRun) error {
	if how == OnlyClient {
		return nil
	}
	err := c.Kube.CoordinationV1().Leases(l.Namespace).Delete(ctx, l.Name,
		metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &l.UID}, DryRun: how.options()})
	if apierrors.IsConflict(err) {
		return fmt.Errorf("slot %s is not the one any more that was shown (another node has taken it since), so it was left alone", l.Name)
	}
	return explain(err, "delete", "leases.coordination.k8s.io", inNamespace(l.Namespace))
}

// Circuit reads the circuit's ConfigMap. ErrNothing: there is none.
func (c *Client) Circuit(ctx context.Context) (*corev1.ConfigMap, error) {
	ns, err := c.FindNamespace(ctx)
	if err != nil {
		return nil, err
	}
	m, err := c.Kube.CoreV1().ConfigMaps(ns).Get(ctx, circuit.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, ErrNothing
	}
	return m, explain(err, "get", "configmaps", inNamespace(ns))
}

// ResetCircuit forgets the failures, if they are still those that were looked at.
func (c *Client) ResetCircuit(ctx context.Context, m *corev1.ConfigMap, how DryRun) error {
	if how == OnlyClient {
		return nil
	}
	err := c.Kube.CoreV1().ConfigMaps(m.Namespace).Delete(ctx, m.Name, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: &m.UID, ResourceVersion: &m.ResourceVersion}, DryRun: how.options(),
	})
	if apierrors.IsConflict(err) {
		return errors.New("the circuit has changed since it was shown (another node failed, or somebody closed it), so it was left alone; look again")
	}
	return explain(err, "delete", "configmaps", inNamespace(m.Namespace))
}

// BareName is a node's name without "node/" before it, as kubectl takes it.
func BareName(arg string) string {
	for _, prefix := range []string{"node/", "nodes/", "no/"} {
		if name, ok := strings.CutPrefix(arg, prefix); ok {
			return name
		}
	}
	return arg
}
