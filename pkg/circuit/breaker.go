package circuit

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rebootd/rebootd/pkg/mirror"
)

// Name is the ConfigMap that the failures are in.
const Name = "rebootd-circuit"

// ConfigMaps is the client: client-go's typed one for the agents' namespace fits.
type ConfigMaps interface {
	Get(ctx context.Context, name string, o metav1.GetOptions) (*corev1.ConfigMap, error)
	List(ctx context.Context, o metav1.ListOptions) (*corev1.ConfigMapList, error)
	Watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error)
	Create(ctx context.Context, m *corev1.ConfigMap, o metav1.CreateOptions) (*corev1.ConfigMap, error)
	Update(ctx context.Context, m *corev1.ConfigMap, o metav1.UpdateOptions) (*corev1.ConfigMap, error)
}

// Breaker keeps the state in its ConfigMap.
type Breaker struct {
	ConfigMaps ConfigMaps
	Namespace  string
	Rules      Rules
	Now        func() time.Time
}

// Source lists and watches the one ConfigMap.
func (b *Breaker) Source() mirror.Source {
	only := fields.OneTermEqualSelector("metadata.name", Name).String()
	return mirror.Select(b.ConfigMaps, mirror.Selectors{Fields: only}, b.explain)
}

// Why says why nobody may reboot: one sentence, empty if the circuit is closed. An error: that can't be known.
func (b *Breaker) Why(m *corev1.ConfigMap) (string, error) {
	if m == nil {
		return "", nil
	}
	s, err := Parse(m.Data)
	if err != nil {
		return "", b.unreadable(err)
	}
	if !b.Rules.Open(s, b.Now()) {
		return "", nil
	}
	until := ""
	if b.Rules.Reset > 0 {
		until = fmt.Sprintf(", or wait until %s (--circuit-reset)", s.Opened.Add(b.Rules.Reset).UTC().Format(time.RFC3339))
	}
	return fmt.Sprintf("%d nodes in a row failed after their reboot command, so no node of the cluster reboots since %s: %s. "+
		"When that is put right: kubectl delete configmap -n %s %s, or kubectl reboot circuit reset%s.",
		len(s.Failures), s.Opened.UTC().Format(time.RFC3339), s, b.Namespace, Name, until), nil
}

// Failed counts a failure, once. It reports whether that opened the circuit.
func (b *Breaker) Failed(ctx context.Context, f Failure) (opened bool, err error) {
	err = b.change(ctx, func(s State) (State, bool) {
		after, changed := b.Rules.Failed(s, f, b.Now())
		opened = changed && s.Opened.IsZero() && !after.Opened.IsZero()
		return after, changed
	})
	return opened && err == nil, err
}

// Lost counts failures that nodes can't count themselves, but only if they are enough to open the circuit, with those that are
// counted: they are seen again as long as they last. It reports whether that opened it.
func (b *Breaker) Lost(ctx context.Context, all []Failure) (opened bool, err error) {
	err = b.change(ctx, func(s State) (State, bool) {
		after := s
		for _, f := range all {
			after, _ = b.Rules.Failed(after, f, b.Now())
		}
		opened = b.Rules.Open(after, b.Now()) && !b.Rules.Open(s, b.Now())
		return after, opened
	})
	return opened && err == nil, err
}

// Succeeded ends a row of failures that has not opened the circuit.
func (b *Breaker) Succeeded(ctx context.Context) error {
	return b.change(ctx, func(s State) (State, bool) { return b.Rules.Succeeded(s, b.Now()) })
}

// change is one compare-and-swap. A conflict is returned as any error is: whoever wants the change comes again.
func (b *Breaker) change(ctx context.Context, next func(State) (State, bool)) error {
	m, err := b.get(ctx)
	if err != nil {
		return err
	}
	var s State
	if m != nil {
		if s, err = Parse(m.Data); err != nil {
			return b.unreadable(err) // to overwrite it could close the circuit
		}
	}
	after, changed := next(s)
	if !changed {
		return nil
	}
	if m == nil {
		m = &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: Name, Namespace: b.Namespace}, Data: after.Data()}
		_, err = b.ConfigMaps.Create(ctx, m, metav1.CreateOptions{})
		return b.explain("create", err)
	}
	m = m.DeepCopy()
	m.Data = after.Data()
	_, err = b.ConfigMaps.Update(ctx, m, metav1.UpdateOptions{})
	return b.explain("update", err)
}

// get returns nil when there is none.
func (b *Breaker) get(ctx context.Context) (*corev1.ConfigMap, error) {
	m, err := b.ConfigMaps.Get(ctx, Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return m, b.explain("get", err)
}

func (b *Breaker) unreadable(err error) error {
	return fmt.Errorf("ConfigMap %s/%s: %w; to begin afresh: kubectl delete configmap -n %s %s, or kubectl reboot circuit reset", b.Namespace, Name, err, b.Namespace, Name)
}

func (b *Breaker) explain(verb string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s ConfigMap %s/%s: %w", verb, b.Namespace, Name, err)
}
