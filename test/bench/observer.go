package main

import (
	"context"
	"errors"
	"slices"
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
	// freed are the slots that were freed, and that nobody has cordoned for yet, in order.
	freed []left
	// handed are the times from a freed slot to the next node's cordon: the one's that it was left to or, where none was named, the first one's.
	handed []time.Duration
	// unnamed is how many of those slots were left to nobody.
	unnamed int
	trips   []trip
	wrongs  []string
}

// left is a slot that was freed: when, and to whom it was left.
type left struct {
	at   time.Time
	next string
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
	// boot is the boot ID that the node had at its cordon, next the node that its slot was left to.
	boot, next string
}

func newObserver() *observer {
	return &observer{nodes: map[string]*sight{}, out: map[string]bool{}}
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
		s.trip.node, s.trip.cordoned, s.trip.boot = n.Name, now, n.Status.NodeInfo.BootID
		o.goes(&s.trip)
		o.soon(func() bool { return !s.trip.taken.IsZero() || s.trip.cordoned != now }, "%s was cordoned without a slot", n.Name)
	case !n.Spec.Unschedulable && before.Spec.Unschedulable:
		s.trip.uncordoned = now
		o.returns(s.trip, n)
		if !s.trip.end.IsZero() { // that was seen first
			o.finish(s)
		}
	case !n.Spec.Unschedulable && !ready(n) && ready(before):
		o.wrong("%s went down without a cordon", n.Name)
	}
	if ready(n) && !ready(before) {
		s.trip.ready = now
	}
}

// goes takes in a cordon: one slot less is free.
func (o *observer) goes(t *trip) {
	i := slices.IndexFunc(o.freed, func(l left) bool { return l.next == t.node })
	if i < 0 {
		i = slices.IndexFunc(o.freed, func(l left) bool { return l.next == "" })
	}
	if i < 0 {
		i = 0 // the one that it was left to hasn't come
	}
	if i >= len(o.freed) {
		return // it had never been held
	}
	l := o.freed[i]
	o.freed = slices.Delete(o.freed, i, i+1)
	o.handed = append(o.handed, t.cordoned.Sub(l.at))
	t.freed = l.at
	if l.next == "" {
		o.unnamed++
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
	case !gone && s.trip.taken.IsZero():
		s.trip.taken = time.Now() // its cordon may have been seen already
	case !gone:
	case s.trip.cordoned.IsZero():
		s.trip = trip{} // it was given back
	default:
		s.trip.end, s.trip.next = time.Now(), l.Annotations["rebootd.io/next"]
		if !s.trip.uncordoned.IsZero() {
			o.finish(s)
			return
		}
		o.soon(func() bool { return !s.node.Spec.Unschedulable }, "%s is cordoned and gave up its slot", s.trip.node)
	}
}

// finish takes in a trip that is over.
func (o *observer) finish(s *sight) {
	o.ends(s.trip)
	o.trips = append(o.trips, s.trip)
	o.freed = append(o.freed, left{s.trip.end, s.trip.next})
	s.trip = trip{}
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
	o.handed, o.freed, o.trips, o.wrongs, o.unnamed, o.most = nil, nil, nil, nil, 0, len(o.out)
}

// saw returns the trips so far, and how many nodes were out at once at most.
func (o *observer) saw() (trips []trip, most int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.trips), o.most
}

// handovers are those so far, and how many of their slots were left to nobody by name.
func (o *observer) handovers() (took []time.Duration, unnamed int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.handed), o.unnamed
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
