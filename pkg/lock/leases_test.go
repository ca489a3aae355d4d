package lock

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// memory is a namespace of Leases that creates and deletes as honestly as the API server. step is called before each
// request, so that a test can let others act in between.
type memory struct {
	Leases
	byName map[string]*coordinationv1.Lease
	uids   int
	now    time.Time
	step   func(verb string) error
}

func newMemory() *memory {
	return &memory{byName: map[string]*coordinationv1.Lease{}, now: time.Unix(1000, 0), step: func(string) error { return nil }}
}

func (m *memory) Create(_ context.Context, l *coordinationv1.Lease, _ metav1.CreateOptions) (*coordinationv1.Lease, error) {
	err := m.step("create")
	if _, ok := m.byName[l.Name]; ok {
		return nil, apierrors.NewAlreadyExists(schema.GroupResource{Resource: "leases"}, l.Name)
	}
	if errors.Is(err, errNeverArrived) {
		return nil, err
	}
	m.uids++
	made := l.DeepCopy()
	made.UID, made.CreationTimestamp = types.UID(fmt.Sprint(m.uids)), metav1.NewTime(m.now.Truncate(time.Second))
	m.byName[l.Name] = made
	return made, err
}

func (m *memory) Delete(_ context.Context, name string, o metav1.DeleteOptions) error {
	if err := m.step("delete"); err != nil {
		return err
	}
	l, ok := m.byName[name]
	switch {
	case !ok:
		return apierrors.NewNotFound(schema.GroupResource{Resource: "leases"}, name)
	case *o.Preconditions.UID != l.UID:
		return apierrors.NewConflict(schema.GroupResource{Resource: "leases"}, name, errors.New("other UID"))
	}
	delete(m.byName, name)
	return nil
}

func (m *memory) List(context.Context, metav1.ListOptions) (*coordinationv1.LeaseList, error) {
	if err := m.step("list"); err != nil {
		return nil, err
	}
	list := &coordinationv1.LeaseList{}
	for _, l := range m.byName {
		list.Items = append(list.Items, *l.DeepCopy())
	}
	return list, nil
}

func (m *memory) Get(_ context.Context, name string, _ metav1.GetOptions) (*coordinationv1.Lease, error) {
	if l, ok := m.byName[name]; ok {
		return l, nil
	}
	return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "leases"}, name)
}

var (
	errNeverArrived = errors.New("timeout, never arrived")
	errAnswerLost   = errors.New("timeout, answer lost")
)

func group(m *memory, n int) *Group { return &Group{Leases: m, Namespace: "ns", Name: "g", Slots: n} }

func TestTakeAndFree(t *testing.T) {
	m := newMemory()
	g := group(m, 1)
	l, err := g.Take(t.Context(), "a", "a-uid", nil)
	if err != nil || l.Name != "rebootd-g-0" || l.OwnerReferences[0].UID != "a-uid" || l.OwnerReferences[0].BlockOwnerDeletion != nil {
		t.Fatalf("%+v, %v", l, err)
	}
	if again, err := g.Take(t.Context(), "a", "a-uid", nil); err != nil || again.UID != l.UID {
		t.Errorf("one node, one slot: %v, %v", again, err)
	}
	if _, err := g.Take(t.Context(), "b", "b-uid", nil); !errors.Is(err, ErrTaken) {
		t.Errorf("the second: %v", err)
	}
	if err := g.Check(t.Context(), l.Name, l.UID); err != nil {
		t.Error(err)
	}
	if err := g.Check(t.Context(), l.Name, "another"); !errors.Is(err, ErrLost) {
		t.Errorf("another Lease of that name: %v", err)
	}
	if err := g.Free(t.Context(), l.Name, "another"); err != nil || len(m.byName) != 1 {
		t.Errorf("somebody else's slot was freed: %v", err)
	}
	if err := g.Free(t.Context(), l.Name, l.UID); err != nil || len(m.byName) != 0 {
		t.Errorf("not freed: %v", err)
	}
	if err := g.Check(t.Context(), l.Name, l.UID); !errors.Is(err, ErrLost) {
		t.Errorf("after the end: %v", err)
	}
}

// A create whose answer is lost is settled by reading: it happened, or it didn't.
func TestTakeUnknownOutcome(t *testing.T) {
	for _, lost := range []error{errAnswerLost, errNeverArrived} {
		m := newMemory()
		m.step = func(verb string) error {
			if verb == "create" {
				return lost
			}
			return nil
		}
		l, err := group(m, 1).Take(t.Context(), "a", "a-uid", nil)
		if arrived := errors.Is(lost, errAnswerLost); (err == nil) != arrived || (l != nil) != arrived {
			t.Errorf("%v: %v, %v", lost, l, err)
		}
	}
}

// Whatever is taken and freed in between any two requests, agents of the same number never hold more than that, and
// of different numbers never more than the largest.
func TestNeverMoreThanN(t *testing.T) {
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 1))
		m := newMemory()
		mixed := seed%2 == 1
		most := 1 + r.IntN(3)
		number := func() int {
			if mixed {
				return 1 + r.IntN(most)
			}
			return most
		}
		act := func() {
			node := string(rune('a' + r.IntN(6)))
			g := group(m, number())
			if r.IntN(3) == 0 {
				for name, l := range m.byName {
					if holder(l) == node {
						_ = g.Free(t.Context(), name, l.UID)
						break
					}
				}
				return
			}
			if _, err := g.Take(t.Context(), node, types.UID(node+"-uid"), [][]int{nil, {r.IntN(4)}, {r.IntN(4), r.IntN(4)}}[r.IntN(3)]); err != nil && !errors.Is(err, ErrTaken) {
				t.Fatal(err)
			}
		}
		depth := 0
		m.step = func(string) error {
			m.now = m.now.Add(time.Duration(r.IntN(700)) * time.Millisecond)
			if depth < 3 && r.IntN(3) == 0 {
				depth++
				act()
				depth--
			}
			return nil
		}
		for range 20 {
			act()
			if len(m.byName) > most {
				t.Fatalf("seed %d: %d slots are held, at most %d may be", seed, len(m.byName), most)
			}
		}
	}
}

// Where several slots are free, one that somebody else was quicker to take is no reason to go without.
func TestSomebodyWasQuicker(t *testing.T) {
	m := newMemory()
	others := 0
	m.step = func(verb string) error {
		if verb == "create" && others < 2 {
			others++
			_, err := group(m, 3).Take(t.Context(), fmt.Sprint("other", others), types.UID(fmt.Sprint("uid", others)), []int{1, 2, 0})
			return err
		}
		return nil
	}
	if l, err := group(m, 3).Take(t.Context(), "a", "a-uid", []int{1, 2, 0}); err != nil || holder(l) != "a" || len(m.byName) != 3 {
		t.Errorf("%v, %v; %d slots are held", l, err, len(m.byName))
	}
	if _, err := group(m, 3).Take(t.Context(), "b", "b-uid", []int{1}); !errors.Is(err, ErrTaken) {
		t.Errorf("a fourth of three: %v", err)
	}
}

// A slot that is kept for somebody isn't taken by whoever wanted another one and came too late.
func TestKeptSlotIsLeftAlone(t *testing.T) {
	m := newMemory()
	quick := false
	m.step = func(verb string) error {
		if verb == "create" && !quick {
			quick = true
			_, err := group(m, 2).Take(t.Context(), "quick", "quick-uid", []int{1})
			return err
		}
		return nil
	}
	if _, err := group(m, 2).Take(t.Context(), "late", "late-uid", []int{1}); !errors.Is(err, ErrTaken) || len(m.byName) != 1 {
		t.Errorf("%v; %d slots are held", err, len(m.byName))
	}
}

// Nobody counts the nodes to find out what those who hold the slots have counted.
func TestFullGroupIsNotCounted(t *testing.T) {
	m, counted := newMemory(), 0
	share := func() *Group {
		g := group(m, 0)
		g.Count = func(context.Context) (slots, nodes int, err error) { counted++; return 2, 40, nil }
		return g
	}
	for i, node := range []string{"a", "b", "c", "d"} {
		if _, err := share().Take(t.Context(), node, types.UID(node+"-uid"), nil); (err == nil) != (i < 2) || i >= 2 && !errors.Is(err, ErrTaken) {
			t.Errorf("%s: %v", node, err)
		}
	}
	if counted != 2 {
		t.Errorf("counted %d times for two slots", counted)
	}
}

// A slot that couldn't be deleted is not taken for somebody else's because the answer was a conflict.
func TestFreeRefused(t *testing.T) {
	m := newMemory()
	g := group(m, 1)
	l, err := g.Take(t.Context(), "a", "a-uid", nil)
	if err != nil {
		t.Fatal(err)
	}
	m.step = func(verb string) error {
		if verb == "delete" {
			return apierrors.NewConflict(schema.GroupResource{Resource: "leases"}, l.Name, errors.New("said for no reason"))
		}
		return nil
	}
	if err := g.Free(t.Context(), l.Name, l.UID); err == nil {
		t.Error("the slot is still held, and nobody was told")
	}
	m.step = func(string) error { return nil }
	if err := g.Free(t.Context(), l.Name, l.UID); err != nil || len(m.byName) != 0 {
		t.Errorf("%v; %d slots are held", err, len(m.byName))
	}
}

// A Lease that has changed is read anew, and one that hasn't isn't; nothing is kept of those that are gone for good.
func TestFromLeases(t *testing.T) {
	g := &Group{Name: "g"}
	lease := func(name, uid, version, next string) *coordinationv1.Lease {
		holder := "node-" + uid
		return &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(uid), ResourceVersion: version, Annotations: map[string]string{NextAnnotation: next}},
			Spec:       coordinationv1.LeaseSpec{HolderIdentity: &holder},
		}
	}
	for _, step := range []struct {
		name   string
		leases []*coordinationv1.Lease
		want   string
	}{
		{"two", []*coordinationv1.Lease{lease("rebootd-g-0", "a", "1", ""), lease("rebootd-g-1", "b", "2", "")}, "0 node-a , 1 node-b , "},
		{"the same", []*coordinationv1.Lease{lease("rebootd-g-0", "a", "1", ""), lease("rebootd-g-1", "b", "2", "")}, "0 node-a , 1 node-b , "},
		{"one names somebody", []*coordinationv1.Lease{lease("rebootd-g-0", "a", "3", "x"), lease("rebootd-g-1", "b", "2", "")}, "0 node-a x, 1 node-b , "},
		{"taken by another", []*coordinationv1.Lease{lease("rebootd-g-0", "c", "4", "")}, "0 node-c , "},
		{"one that only looks like a slot", []*coordinationv1.Lease{lease("rebootd-g-00", "d", "5", ""), lease("rebootd-other-0", "e", "6", "")}, ""},
		{"the same once more", []*coordinationv1.Lease{lease("rebootd-g-00", "d", "5", ""), lease("rebootd-other-0", "e", "6", "")}, ""},
		{"none", nil, ""},
	} {
		got, held := "", g.FromLeases(step.leases)
		for i := range held {
			got += fmt.Sprintf("%d %s %s, ", held[i].Index, held[i].Node, held[i].Next)
			held[i].Next = "a caller's own affair"
		}
		if got != step.want {
			t.Errorf("%s: got %q, want %q", step.name, got, step.want)
		}
	}
	for i := range 1000 {
		g.FromLeases([]*coordinationv1.Lease{lease("rebootd-g-0", fmt.Sprint("u", i), "1", "")})
	}
	if len(g.known) > 3 {
		t.Errorf("%d are kept of one", len(g.known))
	}
}
