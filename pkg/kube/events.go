package kube

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Sink is where client-go's event recorder sends Events. That looks at the types of errors, so they are passed on as they come.
type Sink struct{ Client *Client }

// sinkTimeout bounds one request: the recorder has no context for it.
const sinkTimeout = 30 * time.Second

func sent(do func(context.Context) (*corev1.Event, error)) (*corev1.Event, error) {
	ctx, cancel := context.WithTimeout(context.Background(), sinkTimeout)
	defer cancel()
	return do(ctx)
}

// Create creates an Event.
func (s Sink) Create(e *corev1.Event) (*corev1.Event, error) {
	return sent(func(ctx context.Context) (*corev1.Event, error) {
		return s.Client.Events(e.Namespace).Create(ctx, e, metav1.CreateOptions{})
	})
}

// Update replaces an Event.
func (s Sink) Update(e *corev1.Event) (*corev1.Event, error) {
	return sent(func(ctx context.Context) (*corev1.Event, error) {
		return s.Client.Events(e.Namespace).Update(ctx, e, metav1.UpdateOptions{})
	})
}

// Patch changes an Event that was sent before: the same has happened again.
func (s Sink) Patch(e *corev1.Event, data []byte) (*corev1.Event, error) {
	return sent(func(ctx context.Context) (*corev1.Event, error) {
		return s.Client.Events(e.Namespace).Patch(ctx, e.Name, types.StrategicMergePatchType, data, metav1.PatchOptions{})
	})
}
