// Package fleet reads what one node needs to know of the others: how many there are in its lock group, who waits
// for a slot, who is out of service. It is asked only by a node whose turn it is, or who hands its turn on; each
// question is one list.
package fleet

import (
	"context"
	"fmt"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rebootd/rebootd/pkg/plan"
)

// What is read on other Nodes.
const (
	stateAnnotation    = "rebootd.io/state"
	PriorityAnnotation = "rebootd.io/priority"
	requiredLabel      = "rebootd.io/reboot-required"
)

// Metadata lists the metadata of Nodes: client-go's metadata client fits.
type Metadata interface {
	List(ctx context.Context, o metav1.ListOptions) (*metav1.PartialObjectMetadataList, error)
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

// Reader reads Nodes.
type Reader struct {
	Metadata Metadata
	Nodes    Nodes
	// OrderLabel is the label whose value is a node's zone.
	OrderLabel string
}

// Count is how many Nodes the selector matches, read consistently.
func (r *Reader) Count(ctx context.Context, members string) (int, error) {
	n, o := 0, metav1.ListOptions{LabelSelector: members, Limit: pageSize}
	for {
		list, err := r.Metadata.List(ctx, o)
		if err != nil {
			return 0, fmt.Errorf("list Nodes: %w", err)
		}
		n += len(list.Items)
		if o.Continue = list.Continue; o.Continue == "" {
			return n, nil
		}
	}
}

// pageSize bounds the answer that is in memory at once: the metadata of a Node is some kilobytes.
const pageSize = 500

// Waiting lists those of the selector's Nodes that wait for nothing but a slot. Who is held back by something else, or
// backs off, is left out: to be named would cost the others their time.
func (r *Reader) Waiting(ctx context.Context, members string) ([]Waiter, error) {
	selector := requiredLabel + "=true"
	if members != "" {
		selector += "," + members
	}
	var found []Waiter
	o := metav1.ListOptions{LabelSelector: selector, Limit: pageSize}
	for {
		list, err := r.Metadata.List(ctx, o)
		if err != nil {
			return nil, fmt.Errorf("list Nodes that wait: %w", err)
		}
		for i := range list.Items {
			if w, waits := r.waiter(&list.Items[i]); waits {
				found = append(found, w)
			}
		}
		if o.Continue = list.Continue; o.Continue == "" {
			return found, nil
		}
	}
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
