// Package conform says what of an API server the agent relies on. It is played against a real one and against the one in memory, so that
// what the simulation proves holds of the other too.
package conform

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rebootd/rebootd/pkg/circuit"
	"github.com/rebootd/rebootd/pkg/fleet"
	"github.com/rebootd/rebootd/pkg/lock"
	"github.com/rebootd/rebootd/pkg/node"
)

// What client-go's typed clients and the simulation's have in common.
type (
	// Nodes is a client for Nodes.
	Nodes interface {
		node.Nodes
		Create(ctx context.Context, n *corev1.Node, o metav1.CreateOptions) (*corev1.Node, error)
		Delete(ctx context.Context, name string, o metav1.DeleteOptions) error
	}
	// Leases is a client for Leases.
	Leases interface {
		lock.Leases
		Update(ctx context.Context, l *coordinationv1.Lease, o metav1.UpdateOptions) (*coordinationv1.Lease, error)
	}
)

// API is one API server.
type API struct {
	Nodes  Nodes
	Leases Leases
	Each   fleet.Nodes
	// ConfigMaps is for the same namespace.
	ConfigMaps circuit.ConfigMaps
	// Prefix begins every name, and is the value of the label by which they are told from others'.
	Prefix string
}

const label = "example.com/conform"

// Run plays everything.
func Run(t *testing.T, a API) {
	for _, part := range []struct {
		name string
		play func(*testing.T, API)
	}{
		{"Create", create}, {"PatchNode", patchNode}, {"PatchStatus", patchStatus}, {"PatchOnVersion", patchOnVersion}, {"PatchLease", patchLease},
		{"Update", update}, {"Delete", remove}, {"List", list}, {"WatchFromVersion", watchFromVersion}, {"WatchSelected", watchSelected},
		{"WatchInitial", watchInitial}, {"ConfigMap", configMap}, {"WatchFromNow", watchFromNow},
	} {
		t.Run(part.name, func(t *testing.T) { part.play(t, a) })
	}
}

func (a API) lease(t *testing.T, name string) *coordinationv1.Lease {
	t.Helper()
	l, err := a.Leases.Create(t.Context(), &coordinationv1.Lease{ObjectMeta: a.meta(name)}, metav1.CreateOptions{})
	must(t, err)
	t.Cleanup(func() { _ = a.Leases.Delete(context.Background(), l.Name, metav1.DeleteOptions{}) })
	return l
}

func (a API) node(t *testing.T, name string) *corev1.Node {
	t.Helper()
	n, err := a.Nodes.Create(t.Context(), &corev1.Node{ObjectMeta: a.meta(name)}, metav1.CreateOptions{})
	must(t, err)
	t.Cleanup(func() { _ = a.Nodes.Delete(context.Background(), n.Name, metav1.DeleteOptions{}) })
	return n
}

func (a API) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: a.Prefix + "-" + name, Labels: map[string]string{label: a.Prefix}, Annotations: map[string]string{"a": "1"}}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// is looks at the kind of an error.
func is(t *testing.T, what string, err error, kind func(error) bool) {
	t.Helper()
	if !kind(err) {
		t.Errorf("%s: %v (%v)", what, err, apierrors.ReasonForError(err))
	}
}

// newer is whether a version is a later one.
func newer(t *testing.T, version, than string) bool {
	t.Helper()
	a, err := strconv.ParseUint(version, 10, 64)
	must(t, err)
	b, err := strconv.ParseUint(than, 10, 64)
	must(t, err)
	return a > b
}

func patch(fields map[string]any) []byte {
	data, _ := json.Marshal(fields)
	return data
}

func create(t *testing.T, a API) {
	l := a.lease(t, "create")
	if l.UID == "" || l.ResourceVersion == "" || l.CreationTimestamp.IsZero() || l.CreationTimestamp.Nanosecond() != 0 {
		t.Errorf("created: %+v", l.ObjectMeta)
	}
	_, err := a.Leases.Create(t.Context(), &coordinationv1.Lease{ObjectMeta: a.meta("create")}, metav1.CreateOptions{})
	is(t, "created twice", err, apierrors.IsAlreadyExists)
	_, err = a.Leases.Get(t.Context(), a.Prefix+"-none", metav1.GetOptions{})
	is(t, "got what isn't there", err, apierrors.IsNotFound)
	got, err := a.Leases.Get(t.Context(), l.Name, metav1.GetOptions{})
	must(t, err)
	if got.UID != l.UID || got.ResourceVersion != l.ResourceVersion || got.Labels[label] != a.Prefix {
		t.Errorf("got %+v, created %+v", got.ObjectMeta, l.ObjectMeta)
	}
	versioned := &coordinationv1.Lease{ObjectMeta: a.meta("versioned")}
	versioned.ResourceVersion = "1"
	_, err = a.Leases.Create(t.Context(), versioned, metav1.CreateOptions{})
	if err == nil {
		t.Error("created with a version")
	}
}

// patchNode is a strategic merge patch of one; what it doesn't name stays.
func (a API) patchNode(t *testing.T, name string, fields map[string]any, sub ...string) (*corev1.Node, error) {
	t.Helper()
	return a.Nodes.Patch(t.Context(), name, types.StrategicMergePatchType, patch(fields), metav1.PatchOptions{FieldManager: "conform"}, sub...)
}

func patchNode(t *testing.T, a API) {
	n := a.node(t, "patch")
	n, err := a.patchNode(t, n.Name, map[string]any{
		"metadata": map[string]any{"uid": n.UID, "annotations": map[string]any{"b": "2"}},
		"spec":     map[string]any{"unschedulable": true},
		"status":   map[string]any{"nodeInfo": map[string]any{"bootID": "x"}},
	})
	must(t, err)
	if !n.Spec.Unschedulable || n.Annotations["a"] != "1" || n.Annotations["b"] != "2" || n.Status.NodeInfo.BootID != "" {
		t.Errorf("patched: %+v", n)
	}
	n, err = a.patchNode(t, n.Name, map[string]any{
		"metadata": map[string]any{"annotations": map[string]any{"a": nil}}, "spec": map[string]any{"unschedulable": nil},
	})
	must(t, err)
	if _, there := n.Annotations["a"]; n.Spec.Unschedulable || there {
		t.Errorf("taken off: %+v", n)
	}
	_, err = a.patchNode(t, a.Prefix+"-none", map[string]any{})
	is(t, "patched what isn't there", err, apierrors.IsNotFound)
	_, err = a.patchNode(t, n.Name, map[string]any{"metadata": map[string]any{"uid": "another", "annotations": map[string]any{"c": "3"}}})
	is(t, "patched on another UID", err, apierrors.IsInvalid)
	_, err = a.patchNode(t, n.Name, map[string]any{"metadata": map[string]any{"uid": "another", "resourceVersion": "1"}})
	is(t, "patched on another UID and version", err, apierrors.IsConflict)
}

func patchStatus(t *testing.T, a API) {
	n := a.node(t, "status")
	condition := func(kind, status string) map[string]any {
		return map[string]any{"type": kind, "status": status, "reason": "Test"}
	}
	set := func(conditions ...map[string]any) {
		t.Helper()
		var err error
		n, err = a.patchNode(t, n.Name, map[string]any{
			"metadata": map[string]any{"annotations": map[string]any{"b": "2"}, "labels": map[string]any{"c": "3"}},
			"spec":     map[string]any{"unschedulable": true},
			"status":   map[string]any{"nodeInfo": map[string]any{"bootID": "x"}, "conditions": conditions},
		}, "status")
		must(t, err)
	}
	set(condition("One", "True"), condition("Two", "True"))
	set(condition("One", "False"))
	found := map[corev1.NodeConditionType]corev1.ConditionStatus{}
	for _, c := range n.Status.Conditions {
		found[c.Type] = c.Status
	}
	if found["One"] != corev1.ConditionFalse || found["Two"] != corev1.ConditionTrue {
		t.Errorf("conditions %v: they are merged by their type", found)
	}
	if n.Spec.Unschedulable || n.Status.NodeInfo.BootID != "x" || n.Annotations["b"] != "2" || n.Labels["c"] != "3" {
		t.Errorf("a patch of the status writes metadata and no spec: %+v", n)
	}
}

// patchOnVersion retries when the server's own controllers were quicker.
func patchOnVersion(t *testing.T, a API) {
	n := a.node(t, "version")
	on := func(version, value string) (*corev1.Node, error) {
		return a.patchNode(t, n.Name, map[string]any{"metadata": map[string]any{
			"uid": n.UID, "resourceVersion": version, "annotations": map[string]any{"b": value}}})
	}
	var after *corev1.Node
	for try := range 10 {
		var err error
		n, err = a.Nodes.Get(t.Context(), n.Name, metav1.GetOptions{})
		must(t, err)
		if after, err = on(n.ResourceVersion, fmt.Sprint(try)); err == nil {
			break
		}
		is(t, "patched on a version", err, apierrors.IsConflict)
	}
	if after == nil || !newer(t, after.ResourceVersion, n.ResourceVersion) {
		t.Fatalf("version %s, after %+v", n.ResourceVersion, after)
	}
	_, err := on(n.ResourceVersion, "late")
	is(t, "patched on an old version", err, apierrors.IsConflict)
}

func patchLease(t *testing.T, a API) {
	l := a.lease(t, "patch")
	on := func(uid types.UID, value string) (*coordinationv1.Lease, error) {
		return a.Leases.Patch(t.Context(), l.Name, types.MergePatchType, patch(map[string]any{"metadata": map[string]any{
			"uid": uid, "annotations": map[string]any{"b": value}}}), metav1.PatchOptions{})
	}
	after, err := on(l.UID, "2")
	must(t, err)
	if after.Annotations["a"] != "1" || after.Annotations["b"] != "2" || !newer(t, after.ResourceVersion, l.ResourceVersion) {
		t.Errorf("patched: %+v", after.ObjectMeta)
	}
	again, err := on(l.UID, "2")
	must(t, err)
	if again.ResourceVersion != after.ResourceVersion {
		t.Errorf("a patch that changes nothing made version %s of %s", again.ResourceVersion, after.ResourceVersion)
	}
	_, err = on("another", "3")
	is(t, "patched on another UID", err, apierrors.IsInvalid)
}

func update(t *testing.T, a API) {
	l := a.lease(t, "update")
	changed := l.DeepCopy()
	changed.Annotations["b"] = "2"
	after, err := a.Leases.Update(t.Context(), changed, metav1.UpdateOptions{})
	must(t, err)
	if after.Annotations["b"] != "2" || !newer(t, after.ResourceVersion, l.ResourceVersion) {
		t.Errorf("updated: %+v", after.ObjectMeta)
	}
	changed.Annotations["b"] = "3"
	_, err = a.Leases.Update(t.Context(), changed, metav1.UpdateOptions{})
	is(t, "updated on an old version", err, apierrors.IsConflict)
	changed.Name = a.Prefix + "-none"
	_, err = a.Leases.Update(t.Context(), changed, metav1.UpdateOptions{})
	is(t, "updated by its UID what isn't there", err, apierrors.IsConflict)
}

func remove(t *testing.T, a API) {
	l := a.lease(t, "delete")
	on := func(uid types.UID) error {
		return a.Leases.Delete(t.Context(), l.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
	}
	is(t, "deleted on another UID", on("another"), apierrors.IsConflict)
	must(t, on(l.UID))
	is(t, "deleted twice", on(l.UID), apierrors.IsNotFound)
	again := a.lease(t, "delete")
	if again.UID == l.UID {
		t.Error("created anew with the same UID")
	}
	is(t, "deleted on the old UID", on(l.UID), apierrors.IsConflict)
}
