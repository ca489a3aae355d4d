package main

import (
	"context"
	"errors"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// observer watches all Nodes and slots, independently of the agents, and remembers when what happened.
type observer struct {
	mu    sync.Mutex
	nodes map[string]*sight
	out   map[string]bool
	// most is how many nodes were out of service at once.
	most int
	// freed are slots that were freed and whose successor has not cordoned yet: when, by the successor's name.
	freed map[string]time.Time
	// handed are the times from a freed slot to the cordon of the node that it was left to.
	handed []time.Duration
	// unnamed is how many slots were freed without a successor.
	unnamed int
	trips   []trip
}

// sight is what was last seen of a node.
type sight struct {
	node *corev1.Node
	trip trip
}

// trip is one node's way out of service and back.
type trip struct {
	node                                    string
	freed                                   time.Time // when the slot that it took was freed
	taken, cordoned, ready, uncordoned, end time.Time
}

func newObserver() *observer {
	return &observer{nodes: map[string]*sight{}, out: map[string]bool{}, freed: map[string]time.Time{}}
}

func (o *observer) start(ctx context.Context, client kubernetes.Interface) error {
	factory := informers.NewSharedInformerFactory(client, 0)
	nodes := factory.Core().V1().Nodes().Informer()
	leases := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(namespace))
	slots := leases.Coordination().V1().Leases().Informer()
	_, err := nodes.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(n any) { o.seeNode(n) },
		UpdateFunc: func(_, n any) { o.seeNode(n) },
	})
	if err == nil {
		_, err = slots.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(l any) { o.seeSlot(l, false) },
			DeleteFunc: func(l any) { o.seeSlot(l, true) },
		})
	}
	if err != nil {
		return err
	}
	factory.StartWithContext(ctx)
	leases.StartWithContext(ctx)
	if !cache.WaitForCacheSync(ctx.Done(), nodes.HasSynced, slots.HasSynced) {
		return errors.New("the observer doesn't see the nodes")
	}
	return nil
}

func (o *observer) seeNode(obj any) {
	n, ok := obj.(*corev1.Node)
	if !ok {
		return
	}
	now := time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.nodes[n.Name]
	if s == nil {
		s = &sight{}
		o.nodes[n.Name] = s
	}
	before := s.node
	s.node = n
	if n.Spec.Unschedulable || before != nil && !ready(n) {
		o.out[n.Name] = true
	} else {
		delete(o.out, n.Name)
	}
	o.most = max(o.most, len(o.out))
	if before == nil {
		return
	}
	switch {
	case n.Spec.Unschedulable && !before.Spec.Unschedulable:
		s.trip.node, s.trip.cordoned = n.Name, now
		if at, named := o.freed[n.Name]; named {
			o.handed = append(o.handed, now.Sub(at))
			s.trip.freed = at
			delete(o.freed, n.Name)
		}
	case !n.Spec.Unschedulable && before.Spec.Unschedulable:
		s.trip.uncordoned = now
	}
	if ready(n) && !ready(before) {
		s.trip.ready = now
	}
}

func (o *observer) seeSlot(obj any, gone bool) {
	if last, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = last.Obj
	}
	l, ok := obj.(*coordinationv1.Lease)
	if !ok || l.Spec.HolderIdentity == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.nodes[*l.Spec.HolderIdentity]
	switch {
	case s == nil:
	case !gone:
		s.trip = trip{taken: time.Now()}
	default:
		s.trip.end = time.Now()
		if !s.trip.uncordoned.IsZero() {
			o.trips = append(o.trips, s.trip)
		}
		if next := l.Annotations["rebootd.io/next"]; next != "" {
			o.freed[next] = time.Now()
		} else {
			o.unnamed++
		}
	}
}

func ready(n *corev1.Node) bool {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// begin forgets what was measured so far.
func (o *observer) begin() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.handed, o.trips, o.unnamed, o.most = nil, nil, 0, len(o.out)
}

// saw returns the trips and the handovers so far, and how many nodes were out at once at most.
func (o *observer) saw() (trips []trip, handed []time.Duration, most int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]trip{}, o.trips...), append([]time.Duration{}, o.handed...), o.most
}

// count is how many of the nodes are as wanted.
func (o *observer) count(ok func(*corev1.Node) bool) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := 0
	for _, s := range o.nodes {
		if s.node != nil && ok(s.node) {
			n++
		}
	}
	return n
}

// says is whether a Node's condition gives this reason.
func says(reason string) func(*corev1.Node) bool {
	return func(n *corev1.Node) bool { return reasonOf(n) == reason }
}

func reasonOf(n *corev1.Node) string {
	for _, c := range n.Status.Conditions {
		if c.Type == "RebootRequired" {
			return c.Reason
		}
	}
	return ""
}
