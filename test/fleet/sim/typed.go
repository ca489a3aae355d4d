package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rebootd/rebootd/pkg/lock"
)

// pointer is a pointer to an object of type T.
type pointer[T any] interface {
	*T
	Object
}

// Typed is the typed client of one kind, with the methods of client-go's.
type Typed[T any, P pointer[T]] struct {
	*Client
	kind      Kind
	namespace string
}

// The typed clients there are; a list is made by each of its own.
type (
	// Nodes is for Nodes.
	Nodes struct {
		Typed[corev1.Node, *corev1.Node]
	}
	// Leases is for Leases.
	Leases struct {
		Typed[coordinationv1.Lease, *coordinationv1.Lease]
	}
	// ConfigMaps is for ConfigMaps.
	ConfigMaps struct {
		Typed[corev1.ConfigMap, *corev1.ConfigMap]
	}
)

// Nodes is the client for Nodes.
func (c *Client) Nodes() Nodes { return Nodes{Typed[corev1.Node, *corev1.Node]{c, NodeKind, ""}} }

// Leases is the client for Leases. The server has one namespace for them.
func (c *Client) Leases(namespace string) Leases {
	return Leases{Typed[coordinationv1.Lease, *coordinationv1.Lease]{c, LeaseKind, namespace}}
}

// ConfigMaps is the client for ConfigMaps. The server has one namespace for them.
func (c *Client) ConfigMaps(namespace string) ConfigMaps {
	return ConfigMaps{Typed[corev1.ConfigMap, *corev1.ConfigMap]{c, ConfigMapKind, namespace}}
}

func (c Typed[T, P]) call(ctx context.Context, verb, name string, f func() (Object, error)) (P, error) {
	var o Object
	err := c.do(ctx, Call{Verb: verb, Kind: c.kind, Name: name}, func() error {
		var err error
		o, err = f()
		return err
	})
	if err != nil {
		return nil, err
	}
	return o.(P), nil
}

// Get reads one object.
func (c Typed[T, P]) Get(ctx context.Context, name string, _ metav1.GetOptions) (P, error) {
	return c.call(ctx, "get", name, func() (Object, error) { return c.server.Get(c.kind, name) })
}

// Create makes a new object.
func (c Typed[T, P]) Create(ctx context.Context, o P, _ metav1.CreateOptions) (P, error) {
	fresh := o.DeepCopyObject().(P)
	fresh.SetNamespace(c.namespace)
	return c.call(ctx, "create", o.GetName(), func() (Object, error) { return fresh, c.server.Create(c.Client, c.kind, fresh) })
}

// Update replaces an object.
func (c Typed[T, P]) Update(ctx context.Context, o P, _ metav1.UpdateOptions) (P, error) {
	return c.call(ctx, "update", o.GetName(), func() (Object, error) { return c.server.Update(c.Client, c.kind, o) })
}

// Delete deletes an object.
func (c Typed[T, P]) Delete(ctx context.Context, name string, o metav1.DeleteOptions) error {
	return c.do(ctx, Call{Verb: "delete", Kind: c.kind, Name: name}, func() error {
		return c.server.Remove(c.Client, c.kind, name, o.Preconditions)
	})
}

// Patch changes an object.
func (c Typed[T, P]) Patch(ctx context.Context, name string, pt types.PatchType, data []byte, _ metav1.PatchOptions, sub ...string) (P, error) {
	status := slices.Equal(sub, []string{"status"})
	if pt != types.StrategicMergePatchType && pt != types.MergePatchType || len(sub) > 0 && !status {
		return nil, fmt.Errorf("patch of type %s, of %q", pt, sub)
	}
	return c.call(ctx, "patch", name, func() (Object, error) { return c.server.Patch(c.Client, c.kind, name, pt, data, status) })
}

// Patch changes a Node. Whoever does says in managedFields who it is.
func (c Nodes) Patch(ctx context.Context, name string, pt types.PatchType, data []byte, o metav1.PatchOptions, sub ...string) (*corev1.Node, error) {
	if o.FieldManager == "" {
		return nil, errors.New("patch of a Node by nobody")
	}
	return c.Typed.Patch(ctx, name, pt, data, o, sub...)
}

// Watch watches.
func (c Typed[T, P]) Watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	return c.watch(ctx, c.kind, o)
}

// items lists.
func (c Typed[T, P]) items(ctx context.Context, o metav1.ListOptions) ([]T, metav1.ListMeta, error) {
	found, meta, err := c.list(ctx, c.kind, o)
	var items []T
	for _, o := range found {
		items = append(items, *o.(P))
	}
	return items, meta, err
}

func (c *Client) list(ctx context.Context, kind Kind, o metav1.ListOptions) ([]Object, metav1.ListMeta, error) {
	var found []Object
	var version string
	err := c.do(ctx, Call{Verb: "list", Kind: kind, Name: o.FieldSelector}, func() error {
		match, err := selector(o)
		if err == nil {
			found, version = c.server.listOf(kind, match, c.age(o))
		}
		return err
	})
	if err != nil {
		found = nil
	}
	return found, metav1.ListMeta{ResourceVersion: version}, err
}

// age is how old the answer to a list is. One without a version is consistent, one with "0" is not.
func (c *Client) age(o metav1.ListOptions) time.Duration {
	if c.Stale == nil || o.ResourceVersion != "0" {
		return 0
	}
	return c.Stale()
}

// List lists Nodes.
func (c Nodes) List(ctx context.Context, o metav1.ListOptions) (*corev1.NodeList, error) {
	items, meta, err := c.items(ctx, o)
	return &corev1.NodeList{ListMeta: meta, Items: items}, err
}

// List lists Leases.
func (c Leases) List(ctx context.Context, o metav1.ListOptions) (*coordinationv1.LeaseList, error) {
	items, meta, err := c.items(ctx, o)
	return &coordinationv1.LeaseList{ListMeta: meta, Items: items}, err
}

// List lists ConfigMaps.
func (c ConfigMaps) List(ctx context.Context, o metav1.ListOptions) (*corev1.ConfigMapList, error) {
	items, meta, err := c.items(ctx, o)
	return &corev1.ConfigMapList{ListMeta: meta, Items: items}, err
}

// EachNode calls take for each Node of a list.
func (c Nodes) EachNode(ctx context.Context, o metav1.ListOptions, take func(*corev1.Node)) error {
	found, _, err := c.list(ctx, NodeKind, o)
	for _, n := range found {
		take(n.(*corev1.Node))
	}
	return err
}

// EachNodeMetadata calls take for the metadata of each.
func (c Nodes) EachNodeMetadata(ctx context.Context, o metav1.ListOptions, take func(*metav1.PartialObjectMetadata)) error {
	return c.EachNode(ctx, o, func(n *corev1.Node) { take(&metav1.PartialObjectMetadata{ObjectMeta: n.ObjectMeta}) })
}

// CountNodes is how many Nodes a selector matches.
func (c Nodes) CountNodes(ctx context.Context, selector string) (int, error) {
	found, _, err := c.list(ctx, NodeKind, metav1.ListOptions{LabelSelector: selector})
	return len(found), err
}

// ConfigMap is a new ConfigMap.
func ConfigMap(name string, data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "ns"}, Data: data}
}

// Data is what a ConfigMap holds.
func Data(o Object) map[string]string { return o.(*corev1.ConfigMap).Data }

// OrphanedSlot is a slot whose owner was deleted without it.
func OrphanedSlot(name, group, holder string) *coordinationv1.Lease {
	return &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "ns", Labels: map[string]string{lock.GroupLabel: group}},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &holder},
	}
}
