package cleanup

import (
	"context"
	"errors"
	"fmt"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/rebootd/rebootd/pkg/circuit"
	"github.com/rebootd/rebootd/pkg/kured"
	"github.com/rebootd/rebootd/pkg/lock"
)

// freeSlots frees what no other installation holds. It comes after the Nodes: a node that is out holds its slot until it is back in service.
func (c *Cleaner) freeSlots(ctx context.Context, others agents) error {
	list, err := c.Leases.List(ctx, metav1.ListOptions{LabelSelector: lock.GroupLabel})
	if err != nil {
		return fmt.Errorf("list Leases in namespace %s: %w", c.Namespace, err)
	}
	var failed []error
	for i := range list.Items {
		l := &list.Items[i]
		if _, group := lock.GroupOf(l.Name); !group && l.Name != lock.ControlPlaneSlot {
			continue
		}
		theirs, err := c.theirs(ctx, holder(l), others)
		if err == nil && !theirs {
			err = c.Leases.Delete(ctx, l.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &l.UID}})
		}
		switch {
		case apierrors.IsNotFound(err), apierrors.IsConflict(err): // freed meanwhile, or somebody else's by now
		case err != nil:
			failed = append(failed, fmt.Errorf("slot %s of node %s: %w", l.Name, holder(l), err))
		case !theirs:
			c.tell("Lease %s/%s: deleted; node %s held this slot.", c.Namespace, l.Name, holder(l))
		}
	}
	return errors.Join(failed...)
}

// theirs reports whether another installation works on the node, or it wasn't put right. Nobody works on one that is gone.
func (c *Cleaner) theirs(ctx context.Context, name string, others agents) (bool, error) {
	if c.failed[name] != nil {
		return true, nil
	}
	if len(others) == 0 && c.Selector == nil || name == "" {
		return false, nil
	}
	n, err := c.Nodes.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("get Node %s: %w", name, err)
	}
	chosen := c.Selector == nil || c.Selector.Matches(labels.Set(n.Labels))
	return !chosen || others.on(n) != "", nil
}

// forgetFailures deletes the ConfigMap, unless others count in it.
func (c *Cleaner) forgetFailures(ctx context.Context, others agents) error {
	if others.share(c.Namespace) {
		return nil
	}
	err := c.ConfigMaps.Delete(ctx, circuit.Name, metav1.DeleteOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("delete ConfigMap %s/%s: %w", c.Namespace, circuit.Name, err)
	}
	c.tell("ConfigMap %s/%s: deleted.", c.Namespace, circuit.Name)
	return nil
}

// leaveKured takes the nodes out of kured's lock, so that kured doesn't wait for ever.
func (c *Cleaner) leaveKured(ctx context.Context, others agents) error {
	if c.Kured.Name == "" {
		return nil
	}
	sets := c.DaemonSets(c.Kured.Namespace)
	d, err := sets.Get(ctx, c.Kured.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("get kured's DaemonSet %s: %w", c.Kured, err)
	}
	held, err := kured.Of(d, c.KuredLock)
	if err != nil {
		return err
	}
	var failed []error
	for _, name := range held.Nodes() {
		theirs, err := c.theirs(ctx, name, others)
		if err == nil && !theirs {
			i := kured.Interlock{
				DaemonSets: sets, Namespace: c.Kured.Namespace, Name: c.Kured.Name, Annotation: c.KuredLock, Node: name, Manager: Manager, Now: c.Now,
			}
			err = i.Release(ctx, func() error { return nil })
		}
		switch {
		case err != nil:
			failed = append(failed, fmt.Errorf("kured's lock for node %s: %w", name, err))
		case !theirs:
			c.tell("DaemonSet %s: node %s taken out of kured's lock.", c.Kured, name)
		}
	}
	return errors.Join(failed...)
}

func holder(l *coordinationv1.Lease) string {
	if l.Spec.HolderIdentity == nil {
		return ""
	}
	return *l.Spec.HolderIdentity
}
