package show

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
)

// lookEvery is how often all Nodes are read anew, besides the watch.
const lookEvery = time.Second

// Event is something to tell an Observer of; it does so itself, and returns the line to print, if any.
type Event struct {
	At  time.Duration
	Say func(*Observer) string
}

// Watch sends all that happens to the Nodes, and to the pods in a namespace, until ctx ends. Nodes
// are watched and, independently of that, listed every second. now is the time since the start.
func Watch(ctx context.Context, client kubernetes.Interface, podNamespace string, now func() time.Duration) <-chan Event {
	w := &watcher{client: client, now: now, to: make(chan Event, 1024)}
	go w.again(ctx, w.nodes)
	go w.again(ctx, func(ctx context.Context) error { return w.pods(ctx, podNamespace) })
	go w.glance(ctx)
	return w.to
}

type watcher struct {
	client kubernetes.Interface
	now    func() time.Duration
	to     chan Event
}

func (w *watcher) send(ctx context.Context, say func(*Observer) string) {
	select {
	case w.to <- Event{At: w.now(), Say: say}:
	case <-ctx.Done():
	}
}

// again repeats what ends with an error. A watch ends now and then; the list that follows tells
// what changed meanwhile.
func (w *watcher) again(ctx context.Context, work func(context.Context) error) {
	for ctx.Err() == nil {
		if err := work(ctx); err != nil {
			select {
			case <-time.After(200 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	}
}

func (w *watcher) nodes(ctx context.Context) error {
	list, err := w.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("listing Nodes: %w", err)
	}
	for i := range list.Items {
		w.node(ctx, &list.Items[i])
	}
	changes, err := w.client.CoreV1().Nodes().Watch(ctx, metav1.ListOptions{ResourceVersion: list.ResourceVersion})
	if err != nil {
		return fmt.Errorf("watching Nodes: %w", err)
	}
	defer changes.Stop()
	for event := range changes.ResultChan() {
		node, ok := event.Object.(*corev1.Node)
		switch {
		case !ok:
			return fmt.Errorf("watching Nodes: %v", event.Object)
		case event.Type == watch.Deleted:
			w.send(ctx, func(o *Observer) string { o.Wrong(node.Name + " was deleted"); return "" })
		default:
			w.node(ctx, node)
		}
	}
	return nil
}

func (w *watcher) node(ctx context.Context, n *corev1.Node) {
	at, seen := w.now(), Look(n)
	w.send(ctx, func(o *Observer) string { return o.See(at, seen) })
}

// pods counts every pod that is told to leave its node.
func (w *watcher) pods(ctx context.Context, namespace string) error {
	changes, err := w.client.CoreV1().Pods(namespace).Watch(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("watching pods: %w", err)
	}
	defer changes.Stop()
	for event := range changes.ResultChan() {
		pod, ok := event.Object.(*corev1.Pod)
		if !ok {
			return fmt.Errorf("watching pods: %v", event.Object)
		}
		if pod.DeletionTimestamp != nil || event.Type == watch.Deleted {
			w.send(ctx, func(o *Observer) string { o.Moved(string(pod.UID), pod.Spec.NodeName); return "" })
		}
	}
	return nil
}

func (w *watcher) glance(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		if list, err := w.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{}); err == nil {
			at, seen := w.now(), make([]Seen, 0, len(list.Items))
			for i := range list.Items {
				seen = append(seen, Look(&list.Items[i]))
			}
			w.send(ctx, func(o *Observer) string { o.Glance(at, seen); return "" })
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}
