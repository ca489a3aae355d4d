//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
)

// observer sees what becomes of all Nodes, independently of rebootd: one watch, whose changes come in the order in which
// they were made. It goes on over outages of the API server.
type observer struct {
	nodes corev1client.NodeInterface
	mu    sync.Mutex
	last  map[string]sight
	all   []sight
}

// sight is a Node as it was from some moment on.
type sight struct {
	at     time.Time
	node   string
	out    string // why it is out of service; empty: it is in service
	bootID string // as the kubelet says
}

func observe(ctx context.Context, nodes corev1client.NodeInterface) *observer {
	o := &observer{nodes: nodes, last: map[string]sight{}}
	go func() {
		for ctx.Err() == nil {
			o.look(ctx)
			select {
			case <-ctx.Done():
			case <-time.After(200 * time.Millisecond):
			}
		}
	}()
	return o
}

// look lists and watches until the watch breaks.
func (o *observer) look(ctx context.Context) {
	list, err := o.nodes.List(ctx, metav1.ListOptions{})
	if err != nil {
		return
	}
	gone := o.names()
	for i := range list.Items {
		o.note(&list.Items[i])
		delete(gone, list.Items[i].Name)
	}
	for name := range gone {
		o.add(sight{node: name, out: "no Node"})
	}
	w, err := o.nodes.Watch(ctx, metav1.ListOptions{ResourceVersion: list.ResourceVersion})
	if err != nil {
		return
	}
	defer w.Stop()
	for event := range w.ResultChan() {
		n, ok := event.Object.(*corev1.Node)
		switch {
		case !ok:
			return
		case event.Type == watch.Deleted:
			o.add(sight{node: n.Name, out: "no Node"})
		default:
			o.note(n)
		}
	}
}

func (o *observer) note(n *corev1.Node) {
	var why []string
	if n.Spec.Unschedulable {
		why = append(why, "cordoned")
	}
	if c := condition(n, corev1.NodeReady); c.Status != corev1.ConditionTrue {
		why = append(why, "not ready")
	}
	o.add(sight{node: n.Name, out: strings.Join(why, ", "), bootID: n.Status.NodeInfo.BootID})
}

// add notes a sight if it differs from the last.
func (o *observer) add(s sight) {
	o.mu.Lock()
	defer o.mu.Unlock()
	old, known := o.last[s.node]
	s.at = old.at
	if known && s == old {
		return
	}
	s.at = time.Now()
	o.last[s.node] = s
	o.all = append(o.all, s)
}

func (o *observer) names() map[string]bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	names := map[string]bool{}
	for name := range o.last {
		names[name] = true
	}
	return names
}

// mark is the present moment, for since.
func (o *observer) mark() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.all)
}

// since is what was seen of these nodes since then, oldest first.
func (o *observer) since(mark int, nodes []string) []sight {
	o.mu.Lock()
	defer o.mu.Unlock()
	var all []sight
	for _, s := range o.all[mark:] {
		if slices.Contains(nodes, s.node) {
			all = append(all, s)
		}
	}
	return all
}

// mostOut is how many nodes were out at once at the most. At the beginning all were in service.
func mostOut(sights []sight) int {
	out, most := map[string]bool{}, 0
	for _, s := range sights {
		if s.out == "" {
			delete(out, s.node)
		} else {
			out[s.node] = true
		}
		most = max(most, len(out))
	}
	return most
}

// boots are the boot IDs of a node, each once, in their order.
func boots(sights []sight, node string) []string {
	var ids []string
	for _, s := range sights {
		if s.node == node && s.bootID != "" {
			ids = append(ids, s.bootID)
		}
	}
	return slices.Compact(ids)
}

// story tells it line by line.
func story(sights []sight) string {
	var b strings.Builder
	for _, s := range sights {
		state := "in service"
		if s.out != "" {
			state = "out: " + s.out
		}
		fmt.Fprintf(&b, "%s  %-6s %-28s boot %.8s\n", s.at.Format("15:04:05.0"), s.node, state, s.bootID)
	}
	return b.String()
}
