package kured

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// tries is how often a write is tried anew that somebody else's came in between. The next look tries again.
const tries = 5

// DaemonSets is the client: client-go's typed one for the namespace fits.
type DaemonSets interface {
	Get(ctx context.Context, name string, o metav1.GetOptions) (*appsv1.DaemonSet, error)
	Patch(ctx context.Context, name string, pt types.PatchType, data []byte, o metav1.PatchOptions, subresources ...string) (*appsv1.DaemonSet, error)
}

// Interlock holds kured's lock for one node. Its methods are for one goroutine.
type Interlock struct {
	DaemonSets      DaemonSets
	Namespace, Name string
	// Annotation is the lock's key.
	Annotation string
	// Node is the node's name.
	Node string
	// Manager names who writes, in managedFields.
	Manager string
	// Gone reports whether there is no Node of that name.
	Gone func(ctx context.Context, node string) (bool, error)
	Now  func() time.Time

	// written is the entry that this process wrote; none if it asked for anything since whose outcome isn't known.
	written Entry
}

// Take makes sure that the lock is held for this node, by a live read; so many nodes of rebootd's may be out. It is nil, too, if there is no
// kured. The error is a [TakenError] if others hold it.
//
// An entry that this very process hasn't written is written anew: a request to take it out may still be on its way, and would be
// carried out later. After that it is refused, for the DaemonSet is another version.
func (i *Interlock) Take(ctx context.Context, rebootd int) error {
	gone := map[string]bool{}
	for range tries {
		d, l, err := i.read(ctx)
		if err != nil || d == nil {
			return err
		}
		limit, err := Concurrency(d)
		if err != nil {
			return err
		}
		if i.stands(l, limit) {
			return nil
		}
		next, err := l.With(i.Node, Limits{Kured: limit, Rebootd: rebootd}, func(n string) bool { return gone[n] }, i.Now())
		if taken := new(TakenError); errors.As(err, &taken) {
			if more, err := i.look(ctx, l, gone); err != nil {
				return err
			} else if more {
				continue
			}
		}
		if err != nil {
			return err
		}
		i.written = Entry{}
		switch err := i.write(ctx, d, next); {
		case apierrors.IsConflict(err):
		case err != nil:
			return err
		default:
			i.written = mine(next, i.Node)
			return nil
		}
	}
	return fmt.Errorf("others change kured's DaemonSet %s/%s all the time", i.Namespace, i.Name)
}

// stands reports whether the lock holds the very entry that this process wrote, in the form that kured reads.
func (i *Interlock) stands(l Lock, kured int) bool {
	e := mine(l, i.Node)
	return e.NodeID != "" && e.NodeID == i.written.NodeID && e.Created.Equal(i.written.Created) && (l.several || kured == 1)
}

func mine(l Lock, node string) Entry {
	for _, e := range l.Entries {
		if e.NodeID == prefix+node {
			return e
		}
	}
	return Entry{}
}

// look finds out which of the nodes of rebootd that hold the lock are gone. Nobody would ever release it for them.
func (i *Interlock) look(ctx context.Context, l Lock, gone map[string]bool) (more bool, err error) {
	for _, node := range l.Nodes() {
		if node == i.Node || gone[node] {
			continue
		}
		if gone[node], err = i.Gone(ctx, node); err != nil {
			return false, err
		}
		more = more || gone[node]
	}
	return more, nil
}

// Release takes this node out of the lock, if it stands there. confirm is asked before that is written.
func (i *Interlock) Release(ctx context.Context, confirm func() error) error {
	for range tries {
		d, l, err := i.read(ctx)
		if err != nil || d == nil {
			return err
		}
		next, changed := l.Without(i.Node)
		if !changed {
			return nil
		}
		if err := confirm(); err != nil {
			return err
		}
		i.written = Entry{}
		if err := i.write(ctx, d, next); !apierrors.IsConflict(err) {
			return err
		}
	}
	return fmt.Errorf("others change kured's DaemonSet %s/%s all the time", i.Namespace, i.Name)
}

// read is nil if there is no kured; rebootd's own DaemonSet is none, whatever its name.
func (i *Interlock) read(ctx context.Context) (*appsv1.DaemonSet, Lock, error) {
	d, err := i.DaemonSets.Get(ctx, i.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, Lock{}, nil
	}
	if err != nil {
		return nil, Lock{}, fmt.Errorf("get DaemonSet %s/%s (--ds-namespace, --ds-name): %w", i.Namespace, i.Name, err)
	}
	if Ours(d, i.Annotation) {
		return nil, Lock{}, nil
	}
	l, err := Of(d, i.Annotation)
	return d, l, err
}

// Of is the lock that a DaemonSet carries.
func Of(d *appsv1.DaemonSet, annotation string) (Lock, error) {
	text, there := d.Annotations[annotation]
	if !there {
		return Lock{}, nil
	}
	l, err := Parse(text)
	if err != nil {
		return Lock{}, fmt.Errorf("annotation %s of DaemonSet %s/%s: %w. If no node is out of service: kubectl annotate daemonset -n %s %s %s-",
			annotation, d.Namespace, d.Name, err, d.Namespace, d.Name, annotation)
	}
	return l, nil
}

func (i *Interlock) write(ctx context.Context, d *appsv1.DaemonSet, l Lock) error {
	var text any // null takes the annotation off
	if s := l.String(); s != "" {
		text = s
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": d.UID, "resourceVersion": d.ResourceVersion, "annotations": map[string]any{i.Annotation: text},
	}})
	if err != nil {
		return fmt.Errorf("encoding kured's lock: %w", err)
	}
	if _, err := i.DaemonSets.Patch(ctx, i.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: i.Manager}); err != nil {
		return fmt.Errorf("patch DaemonSet %s/%s (--kured-interlock): %w", i.Namespace, i.Name, err)
	}
	return nil
}
