package mirror

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

func object(uid, version string) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n-" + uid, UID: types.UID(uid), ResourceVersion: version}}
}

func versions(t *testing.T, m *Mirror[*corev1.Node]) map[string]string {
	t.Helper()
	items, err := m.Items()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, o := range items {
		got[string(o.UID)] = o.ResourceVersion
	}
	return got
}

// Never an older version over a newer one, whoever brings it, and never back what was dropped.
func TestOrder(t *testing.T) {
	var gone []string
	m := New("test", Source{}, &corev1.Node{}, func(n *corev1.Node) { gone = append(gone, string(n.UID)) })
	s := (*store[*corev1.Node])(m)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := m.Items(); !errors.Is(err, ErrNotSynced) {
		t.Errorf("before the first list: %v", err)
	}
	must(s.Replace([]any{object("a", "5"), object("b", "6")}, "6"))
	m.Put(object("a", "9"))
	must(s.Update(object("a", "7"))) // the watch is behind
	if v := versions(t, m); v["a"] != "9" || v["b"] != "6" {
		t.Errorf("%v", v)
	}
	must(s.Update(object("a", "10"))) // 10 is newer than 9
	m.Drop("b")
	must(s.Update(object("b", "8")))
	if v := versions(t, m); v["a"] != "10" || len(v) != 1 {
		t.Errorf("%v", v)
	}
	must(s.Delete(object("b", "11")))
	must(s.Replace([]any{object("c", "12")}, "12"))
	if v := versions(t, m); len(v) != 1 || v["c"] != "12" {
		t.Errorf("%v", v)
	}
	if len(gone) != 1 || gone[0] != "b" {
		t.Errorf("told of %v", gone)
	}
	select {
	case <-m.Changed():
	default:
		t.Error("nobody was woken")
	}
}

// A list that fails says why, and is tried until it works.
func TestErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var works atomic.Bool
		forbidden := errors.New("nodes is forbidden")
		m := New("test", Source{
			List: func(context.Context, metav1.ListOptions) (runtime.Object, error) {
				if !works.Load() {
					return nil, forbidden
				}
				return &corev1.NodeList{ListMeta: metav1.ListMeta{ResourceVersion: "1"}, Items: []corev1.Node{*object("a", "1")}}, nil
			},
			Watch: func(_ context.Context, o metav1.ListOptions) (watch.Interface, error) {
				if !works.Load() || o.SendInitialEvents != nil {
					return nil, forbidden
				}
				return watch.NewRaceFreeFake(), nil
			},
		}, &corev1.Node{}, nil)
		done := make(chan struct{})
		go func() { defer close(done); m.Run(ctx) }()
		time.Sleep(time.Minute)
		synctest.Wait()
		if _, err := m.Items(); !errors.Is(err, forbidden) {
			t.Errorf("while it fails: %v", err)
		}
		works.Store(true)
		time.Sleep(time.Minute)
		synctest.Wait()
		if v := versions(t, m); v["a"] != "1" || m.Err() != nil {
			t.Errorf("when it works: %v, %v", v, m.Err())
		}
		cancel()
		<-done
	})
}

// A mirror that is needed only for a time is made anew each time, wakes whoever needs it, and leaves nothing running.
func TestNeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lists, woken := 0, atomic.Int32{}
		source := Source{
			List: func(context.Context, metav1.ListOptions) (runtime.Object, error) {
				lists++
				return &corev1.NodeList{ListMeta: metav1.ListMeta{ResourceVersion: "1"}, Items: []corev1.Node{*object("a", "1")}}, nil
			},
			Watch: func(_ context.Context, o metav1.ListOptions) (watch.Interface, error) {
				if o.SendInitialEvents != nil {
					return nil, errors.New("not supported")
				}
				return watch.NewRaceFreeFake(), nil
			},
		}
		var n Needed[*corev1.Node]
		n.Stop()
		n.Put(object("b", "2"))
		n.Drop("b")
		for round := 1; round <= 2; round++ {
			if _, err := n.Items(); !errors.Is(err, ErrNotSynced) {
				t.Errorf("before it runs: %v", err)
			}
			for range 2 { // the second is nothing
				n.Start(t.Context(), func() { woken.Add(1) }, func() *Mirror[*corev1.Node] { return New("test", source, &corev1.Node{}, nil) })
			}
			synctest.Wait()
			if items, err := n.Items(); err != nil || len(items) != 1 || lists != round {
				t.Errorf("round %d: %v, %v after %d lists", round, items, err, lists)
			}
			before := woken.Load()
			n.Put(object("b", "2"))
			synctest.Wait()
			n.Drop("a")
			synctest.Wait()
			if items, _ := n.Items(); len(items) != 1 || items[0].UID != "b" || woken.Load() != before+2 {
				t.Errorf("round %d: %v, woken %d times", round, items, woken.Load()-before)
			}
			n.Stop() // the bubble's end fails if anything still runs
		}
	})
}
