// Package fleet reads what one node needs to know of the others: how many there are in its lock group, who waits
// for a slot, who is out of service. It is asked only by a node whose turn it is, or who hands its turn on; each
// question is one list.
package fleet

import (
	"context"
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rebootd/rebootd/pkg/plan"
)

// What is read on other Nodes.
const (
	stateAnnotation    = "rebootd.io/state"
	PriorityAnnotation = "rebootd.io/priority"
	requiredLabel      = "rebootd.io/reboot-required"
)

// Nodes reads Nodes one after another, consistently and each in one request, and never has all of them in memory: package kube's client fits.
type Nodes interface {
	EachNode(ctx context.Context, o metav1.ListOptions, take func(*corev1.Node)) error
	EachNodeMetadata(ctx context.Context, o metav1.ListOptions, take func(*metav1.PartialObjectMetadata)) error
	CountNodes(ctx context.Context, selector string) (int, error)
}

// Waiter is a node that waits for nothing but a slot.
type Waiter struct {
	Node         string
	Priority     int
	ControlPlane bool
	Zone         string
	// Since is since when it has wanted its reboot.
	Since time.Time
}

// Reads reports whether a label or an annotation of this key is looked at on other Nodes, where orderLabel is the label of their zones.
func Reads(orderLabel string) func(key string) bool {
	return func(key string) bool {
		switch key {
		case stateAnnotation, PriorityAnnotation, requiredLabel, controlPlaneLabel, masterLabel, orderLabel:
			return true
		default:
			return false
		}
	}
}

// Reader reads Nodes.
type Reader struct {
	Nodes Nodes
	// OrderLabel is the label whose value is a node's zone.
	OrderLabel string
}

// Count is how many Nodes the selector matches.
func (r *Reader) Count(ctx context.Context, members string) (int, error) {
	n, err := r.Nodes.CountNodes(ctx, members)
	if err != nil {
		return 0, fmt.Errorf("list Nodes: %w", err)
	}
	return n, nil
}

// Waiting lists those of the selector's Nodes that wait for nothing but a slot. Who is held back by something else, or
// backs off, is left out: to be named would cost the others their time.
func (r *Reader) Waiting(ctx context.Context, members string) ([]Waiter, error) {
	selector := requiredLabel + "=true"
	if members != "" {
		selector += "," + members
	}
	var found []Waiter
	err := r.Nodes.EachNodeMetadata(ctx, metav1.ListOptions{LabelSelector: selector}, func(n *metav1.PartialObjectMetadata) {
		if w, waits := r.waiter(n); waits {
			found = append(found, w)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("list Nodes that wait: %w", err)
	}
	return found, nil
}

func (r *Reader) waiter(n *metav1.PartialObjectMetadata) (Waiter, bool) {
	record, err := plan.ParseRecord(n.Annotations[stateAnnotation])
	if err != nil || !record.Waits() {
		return Waiter{}, false
	}
	priority, _ := Priority(n.Annotations) // one that is no number counts as none; its own agent says so
	return Waiter{
		Node: n.Name, Priority: priority, Since: record.RequiredSince,
		ControlPlane: ControlPlane(n.Labels), Zone: n.Labels[r.OrderLabel],
	}, true
}

// Priority is what a Node's annotation says of its place among those that wait; none is 0.
func Priority(annotations map[string]string) (int, error) {
	text, ok := annotations[PriorityAnnotation]
	if !ok {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("annotation %s=%q is no whole number, so it counts as 0", PriorityAnnotation, text)
	}
	return n, nil
}
