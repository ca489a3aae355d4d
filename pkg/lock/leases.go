package lock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rebootd/rebootd/pkg/mirror"
)

// What is on a slot's Lease.
const (
	// GroupLabel names its lock group.
	GroupLabel = "rebootd.io/lock-group"
	// SlotsAnnotation is how many slots the group had when this one was taken.
	SlotsAnnotation = "rebootd.io/slots"
	// TakenByAnnotation is the process that took it.
	TakenByAnnotation = "rebootd.io/taken-by"
	// NextAnnotation and WaitingAnnotation are written when it is freed: who comes next, and how many wait.
	NextAnnotation    = "rebootd.io/next"
	WaitingAnnotation = "rebootd.io/waiting"
)

// ErrTaken is returned by Take when no slot could be had: all are held, or somebody was quicker.
var ErrTaken = errors.New("no slot is free")

// ErrDoubtful is returned by Take when the node holds a slot that this process doesn't trust.
var ErrDoubtful = errors.New("this node holds a slot that may be about to be freed")

// ErrLost is returned by Check when the slot isn't held any more.
var ErrLost = errors.New("the slot is lost")

// Leases is the part of client-go's typed client that the slots need. It is bound to one namespace.
type Leases interface {
	Create(ctx context.Context, l *coordinationv1.Lease, o metav1.CreateOptions) (*coordinationv1.Lease, error)
	Delete(ctx context.Context, name string, o metav1.DeleteOptions) error
	Get(ctx context.Context, name string, o metav1.GetOptions) (*coordinationv1.Lease, error)
	List(ctx context.Context, o metav1.ListOptions) (*coordinationv1.LeaseList, error)
	Watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error)
	Patch(ctx context.Context, name string, pt types.PatchType, data []byte, o metav1.PatchOptions,
		subresources ...string) (*coordinationv1.Lease, error)
}

// Group is one lock group as one node sees it.
type Group struct {
	Leases    Leases
	Namespace string // named in errors only
	Name      string
	// Only, if set, is the Lease's name of a group that has this one slot.
	Only string
	// Slots is how many nodes may be out at once: at least 1. 0 means that Count says so.
	Slots int
	// Count says how many nodes may be out at once where that depends on how many there are, and how many there are. It
	// reads consistently.
	Count func(ctx context.Context) (slots, nodes int, err error)
	// Also is another group whose Leases are watched too.
	Also string
	// By names the process that takes.
	By string

	// counted is what Count said last, at countedAt.
	counted   int
	countedAt time.Time
	// given are the slots that this process has begun to free.
	given map[types.UID]bool
	// last are the slots that were held when that was last read consistently.
	last []Slot
	// known are the slots as FromLeases has read them, and some that are gone.
	known map[types.UID]*Slot
}

// Last are the slots that the last consistent read showed; right after a take it is one that came after the take.
func (g *Group) Last() []Slot { return g.last }

// Source lists and watches the group's Leases.
func (g *Group) Source() mirror.Source {
	return mirror.Select(g.Leases, mirror.Selectors{Labels: g.watched()}, g.explain)
}

// FromLeases reads the slots that these Leases stand for. A Lease that only looks like one is passed over. Most are as they were the
// last time, and aren't read again.
func (g *Group) FromLeases(leases []*coordinationv1.Lease) []Slot {
	if len(g.known) > 2*len(leases) {
		g.known = nil
	}
	if g.known == nil {
		g.known = make(map[types.UID]*Slot, len(leases))
	}
	var held []Slot
	for _, l := range leases {
		known := g.known[l.UID]
		if known == nil || known.Version != l.ResourceVersion {
			s, ok := g.slot(l)
			if !ok {
				continue
			}
			known = &s
			g.known[l.UID] = known
		}
		held = append(held, *known)
	}
	return held
}

// Forget drops what FromLeases keeps.
func (g *Group) Forget() { g.known = nil }

// Trusts reports whether a slot of this node's can be relied on: this process took it, and has not begun to free it. Any other
// may vanish at any time, because a request to free it may still be on its way, from this process or an earlier one.
func (g *Group) Trusts(s Slot) bool { return s.By == g.By && !g.given[s.UID] }

// Take takes a slot for a node, the first of the wanted ones that is free, or finds the one that it holds already; nil wants any. It returns
// ErrTaken when there is none to be had, and ErrDoubtful when it holds one that can't be relied on, which is to be released first. When the answer to the
// create is lost, a live read settles what happened. After any other error a slot may be held; the next Take finds it.
func (g *Group) Take(ctx context.Context, node string, uid types.UID, want []int) (*coordinationv1.Lease, error) {
	held, leases, err := g.live(ctx)
	if err != nil {
		return nil, err
	}
	if mine, extra, ok := Mine(held, node, uid); ok {
		if !g.Trusts(mine) {
			return nil, fmt.Errorf("%w: %s", ErrDoubtful, mine.Name)
		}
		return leases[mine.UID], g.giveBack(ctx, extra)
	}
	return g.takeFree(ctx, held, node, uid, want)
}

// Keep is Take for a node that is out of service already: whatever it holds was not freed by anyone.
func (g *Group) Keep(ctx context.Context, node string, uid types.UID) error {
	held, err := g.Held(ctx)
	if err != nil {
		return err
	}
	if _, _, ok := Mine(held, node, uid); !ok {
		_, err = g.takeFree(ctx, held, node, uid, nil)
	}
	return err
}

// quicker is how often somebody else may be quicker before a take gives up, where other slots are free.
const quicker = 3

// takeFree takes a slot that nobody held a moment ago.
func (g *Group) takeFree(ctx context.Context, held []Slot, node string, uid types.UID, want []int) (*coordinationv1.Lease, error) {
	if g.Slots == 0 && len(held) >= g.Known(held) {
		return nil, ErrTaken // those who took them have counted
	}
	n, err := g.count(ctx)
	if err != nil {
		return nil, err
	}
	for range quicker {
		i, ok := choose(Free(held, n), want)
		if !ok {
			return nil, ErrTaken
		}
		_, createErr := g.Leases.Create(ctx, g.lease(i, n, node, uid), metav1.CreateOptions{})
		var leases map[types.UID]*coordinationv1.Lease
		if held, leases, err = g.live(ctx); err != nil {
			return nil, err
		}
		mine, _, ok := Mine(held, node, uid)
		switch {
		case ok && Surplus(held, mine, n):
			return nil, errors.Join(ErrTaken, g.Free(ctx, mine.Name, mine.UID))
		case ok:
			return leases[mine.UID], nil
		case createErr == nil:
			return nil, ErrTaken // freed again
		case !apierrors.IsAlreadyExists(createErr):
			return nil, g.explain("create", createErr)
		case slices.Contains(Free(held, n), i):
			return nil, g.inTheWay(ctx, g.leaseName(i))
		}
	}
	return nil, ErrTaken
}

// inTheWay tells a slot that somebody else was quicker to take from a Lease that only has its name.
func (g *Group) inTheWay(ctx context.Context, name string) error {
	l, err := g.Leases.Get(ctx, name, metav1.GetOptions{})
	if err == nil && l.Labels[GroupLabel] != g.Name {
		return fmt.Errorf("the Lease %s/%s is in the way: it has a slot's name, but not its label %s; rename or delete it",
			g.Namespace, name, g.selector())
	}
	return ErrTaken
}

// giveBack frees what this node holds beyond its one slot.
func (g *Group) giveBack(ctx context.Context, extra []Slot) error {
	for _, s := range extra {
		if err := g.Free(ctx, s.Name, s.UID); err != nil {
			return err
		}
	}
	return nil
}

// Check proves by a live read that the slot is still held under this UID. ErrLost: it isn't. Any other error: not known.
func (g *Group) Check(ctx context.Context, name string, uid types.UID) error {
	l, err := g.Leases.Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return fmt.Errorf("%w: Lease %s/%s is gone", ErrLost, g.Namespace, name)
	case err != nil:
		return g.explain("get", err)
	case l.UID != uid || l.DeletionTimestamp != nil:
		return fmt.Errorf("%w: Lease %s/%s is held by %s now", ErrLost, g.Namespace, name, holder(l))
	}
	return nil
}

// Free gives a slot back. One that is gone already, or has become somebody else's, is no error; a conflict alone doesn't prove that.
func (g *Group) Free(ctx context.Context, name string, uid types.UID) error {
	if g.given == nil {
		g.given = map[types.UID]bool{}
	}
	g.given[uid] = true
	err := g.Leases.Delete(ctx, name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) && errors.Is(g.Check(ctx, name, uid), ErrLost) {
		return nil
	}
	return g.explain("delete", err)
}

// HandOver writes into a slot that is about to be freed who comes next. Everyone who waits sees it in the deletion.
func (g *Group) HandOver(ctx context.Context, name string, uid types.UID, h Handover) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid":         uid,
		"annotations": map[string]string{NextAnnotation: h.Next, WaitingAnnotation: strconv.Itoa(h.Waiting)},
	}})
	if err != nil {
		return fmt.Errorf("encoding a patch of Lease %s: %w", name, err)
	}
	_, err = g.Leases.Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{})
	return g.explain("patch", err)
}

// HandoverOf reads from a freed slot's Lease who comes next. False: it was freed without a word.
func HandoverOf(l *coordinationv1.Lease, at time.Time) (Handover, bool) {
	waiting, err := strconv.Atoi(l.Annotations[WaitingAnnotation])
	return Handover{Next: l.Annotations[NextAnnotation], Waiting: max(waiting, 0), At: at}, err == nil
}

// Held reads consistently which slots are held.
func (g *Group) Held(ctx context.Context) ([]Slot, error) {
	held, _, err := g.live(ctx)
	return held, err
}

// Release frees whatever this node holds of the group. None is no error. Between the look at what it holds and the end of that, it
// asks whether it may.
func (g *Group) Release(ctx context.Context, node string, uid types.UID, may func() error) error {
	held, err := g.Held(ctx)
	if err != nil {
		return err
	}
	mine, extra, ok := Mine(held, node, uid)
	if !ok {
		return nil
	}
	if err := may(); err != nil {
		return err
	}
	return g.giveBack(ctx, append(extra, mine))
}

// live reads the group's slots consistently: no resourceVersion, so never from a cache that lags.
func (g *Group) live(ctx context.Context) ([]Slot, map[types.UID]*coordinationv1.Lease, error) {
	list, err := g.Leases.List(ctx, metav1.ListOptions{LabelSelector: g.selector()})
	if err != nil {
		return nil, nil, g.explain("list", err)
	}
	var held []Slot
	byUID := map[types.UID]*coordinationv1.Lease{}
	for i := range list.Items {
		l := &list.Items[i]
		if s, ok := g.slot(l); ok {
			held = append(held, s)
			byUID[l.UID] = l
		}
	}
	g.last = held
	return held, byUID, nil
}

func (g *Group) lease(i, n int, node string, uid types.UID) *coordinationv1.Lease {
	now := metav1.NowMicro()
	l := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{
			Name:        g.leaseName(i),
			Labels:      map[string]string{GroupLabel: g.Name},
			Annotations: map[string]string{SlotsAnnotation: strconv.Itoa(n)},
			// Never blockOwnerDeletion: it would hold up the deletion of the Node.
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: corev1.SchemeGroupVersion.String(), Kind: "Node", Name: node, UID: uid,
			}},
		},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: &node, AcquireTime: &now},
	}
	if g.By != "" {
		l.Annotations[TakenByAnnotation] = g.By
	}
	return l
}

func (g *Group) leaseName(i int) string {
	if g.Only != "" {
		return g.Only
	}
	return Name(g.Name, i)
}

// Index is the number of the slot that a Lease of the group stands for; 0 for any other.
func (g *Group) Index(lease string) int {
	i, _ := g.index(lease)
	return i
}

func (g *Group) index(lease string) (int, bool) {
	if g.Only != "" {
		return 0, lease == g.Only
	}
	return index(g.Name, lease)
}

func (g *Group) slot(l *coordinationv1.Lease) (Slot, bool) {
	i, ok := g.index(l.Name)
	if !ok {
		return Slot{}, false
	}
	s := read(l)
	s.Index = i
	return s, true
}

func read(l *coordinationv1.Lease) Slot {
	s := Slot{Name: l.Name, UID: l.UID, Node: holder(l), Created: l.CreationTimestamp.Time, Version: l.ResourceVersion, By: l.Annotations[TakenByAnnotation], Next: l.Annotations[NextAnnotation]}
	s.Slots, _ = strconv.Atoi(l.Annotations[SlotsAnnotation]) // absent or changed by hand: not known
	for _, owner := range l.OwnerReferences {
		if owner.Kind == "Node" && owner.Name == s.Node {
			s.NodeUID = owner.UID
		}
	}
	return s
}

func (g *Group) watched() string {
	if g.Also == "" {
		return g.selector()
	}
	return fmt.Sprintf("%s in (%s,%s)", GroupLabel, g.Name, g.Also)
}

func (g *Group) selector() string { return GroupLabel + "=" + g.Name }

func (g *Group) explain(verb string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s Leases in namespace %s: %w", verb, g.Namespace, err)
}

func holder(l *coordinationv1.Lease) string {
	if l.Spec.HolderIdentity == nil {
		return ""
	}
	return *l.Spec.HolderIdentity
}
