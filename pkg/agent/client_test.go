package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/apimachinery/pkg/watch"
)

func merge(old *corev1.Node, patch []byte) (*corev1.Node, error) {
	was, err := json.Marshal(old)
	if err != nil {
		return nil, err
	}
	is, err := strategicpatch.StrategicMergePatch(was, patch, &corev1.Node{})
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	after := &corev1.Node{}
	return after, json.Unmarshal(is, after)
}

func same(a, b *corev1.Node) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return string(x) == string(y)
}

// nodes is the typed client for Nodes.
type nodes struct{ *client }

func byName(o metav1.ListOptions) func(object) bool {
	name, ok := strings.CutPrefix(o.FieldSelector, "metadata.name=")
	if !ok {
		return byLabel(o)
	}
	return func(o object) bool { return o.GetName() == name }
}

func (c nodes) Get(ctx context.Context, name string, _ metav1.GetOptions) (*corev1.Node, error) {
	out, err := c.begin(ctx, "get", nodeKind)
	if err != nil {
		return nil, err
	}
	o, err := c.s.get(nodeKind, name)
	if err != nil || out.after != nil {
		return nil, first(err, out.after)
	}
	return o.(*corev1.Node), nil
}

func (c nodes) List(ctx context.Context, o metav1.ListOptions) (*corev1.NodeList, error) {
	if _, err := c.begin(ctx, "list", nodeKind); err != nil {
		return nil, err
	}
	found, version := c.s.list(nodeKind, byName(o))
	list := &corev1.NodeList{ListMeta: metav1.ListMeta{ResourceVersion: version}}
	for _, o := range found {
		list.Items = append(list.Items, *o.(*corev1.Node))
	}
	return list, nil
}

func (c nodes) Watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	return c.watch(ctx, nodeKind, o, byName(o))
}

func (c nodes) Patch(ctx context.Context, name string, pt types.PatchType, data []byte, o metav1.PatchOptions, sub ...string) (*corev1.Node, error) {
	out, err := c.begin(ctx, "patch", nodeKind)
	if err != nil {
		return nil, err
	}
	if pt != types.StrategicMergePatchType || o.FieldManager == "" {
		return nil, fmt.Errorf("patch of type %s by %q", pt, o.FieldManager)
	}
	n, err := c.s.patchNode(name, data, reflect.DeepEqual(sub, []string{"status"}))
	if err != nil || out.after != nil {
		return nil, first(err, out.after)
	}
	return n, nil
}

// leases is the typed client for Leases.
type leases struct{ *client }

func byLabel(o metav1.ListOptions) func(object) bool {
	selector, err := labels.Parse(o.LabelSelector)
	return func(o object) bool { return err == nil && selector.Matches(labels.Set(o.GetLabels())) }
}

func (c leases) Create(ctx context.Context, l *coordinationv1.Lease, _ metav1.CreateOptions) (*coordinationv1.Lease, error) {
	out, err := c.begin(ctx, "create", leaseKind)
	if err != nil {
		return nil, err
	}
	l = l.DeepCopy()
	if err := first(c.s.create(leaseKind, l), out.after); err != nil {
		return nil, err
	}
	return l.DeepCopy(), nil
}

func (c leases) Delete(ctx context.Context, name string, o metav1.DeleteOptions) error {
	out, err := c.begin(ctx, "delete", leaseKind)
	if err != nil {
		return err
	}
	return first(c.s.remove(leaseKind, name, o.Preconditions.UID), out.after)
}

func (c leases) Get(ctx context.Context, name string, _ metav1.GetOptions) (*coordinationv1.Lease, error) {
	if _, err := c.begin(ctx, "get", leaseKind); err != nil {
		return nil, err
	}
	o, err := c.s.get(leaseKind, name)
	if err != nil {
		return nil, err
	}
	return o.(*coordinationv1.Lease), nil
}

func (c leases) List(ctx context.Context, o metav1.ListOptions) (*coordinationv1.LeaseList, error) {
	if _, err := c.begin(ctx, "list", leaseKind); err != nil {
		return nil, err
	}
	found, version := c.s.list(leaseKind, byLabel(o))
	list := &coordinationv1.LeaseList{ListMeta: metav1.ListMeta{ResourceVersion: version}}
	for _, o := range found {
		list.Items = append(list.Items, *o.(*coordinationv1.Lease))
	}
	return list, nil
}

func (c leases) Watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	return c.watch(ctx, leaseKind, o, byLabel(o))
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// Patch is a merge patch of annotations, which is all that is patched on a Lease.
func (c leases) Patch(ctx context.Context, name string, pt types.PatchType, data []byte, _ metav1.PatchOptions, _ ...string) (*coordinationv1.Lease, error) {
	out, err := c.begin(ctx, "patch", leaseKind)
	if err != nil {
		return nil, err
	}
	if pt != types.MergePatchType {
		return nil, fmt.Errorf("patch of type %s", pt)
	}
	l, err := c.s.annotateLease(name, data)
	if err != nil || out.after != nil {
		return nil, first(err, out.after)
	}
	return l, nil
}

// metas is the metadata client for Nodes.
type metas struct{ *client }

func (c metas) List(ctx context.Context, o metav1.ListOptions) (*metav1.PartialObjectMetadataList, error) {
	if _, err := c.begin(ctx, "list", nodeKind); err != nil {
		return nil, err
	}
	found, _ := c.s.list(nodeKind, byLabel(o))
	list := &metav1.PartialObjectMetadataList{}
	for _, o := range found {
		list.Items = append(list.Items, metav1.PartialObjectMetadata{ObjectMeta: o.(*corev1.Node).ObjectMeta})
	}
	return list, nil
}
