package agent

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	k8swatch "k8s.io/apimachinery/pkg/watch"

	"github.com/rebootd/rebootd/pkg/lock"
	"github.com/rebootd/rebootd/pkg/mirror"
	"github.com/rebootd/rebootd/pkg/plan"
)

// anyClosed is closed by any object at all. What is there now, and what its watch shows, are set apart.
type anyClosed struct {
	now   *[]corev1.ConfigMap
	err   *error
	reads *int
}

func (r anyClosed) Source() mirror.Source {
	return mirror.Source{
		List: func(context.Context, metav1.ListOptions) (runtime.Object, error) {
			*r.reads++
			return &corev1.ConfigMapList{ListMeta: metav1.ListMeta{ResourceVersion: "1"}, Items: slices.Clone(*r.now)}, *r.err
		},
		Watch: func(_ context.Context, o metav1.ListOptions) (k8swatch.Interface, error) {
			if o.SendInitialEvents != nil {
				return nil, errors.New("not supported")
			}
			return k8swatch.NewRaceFreeFake(), nil
		},
	}
}

func (anyClosed) Judge(found []*corev1.ConfigMap) plan.Verdict {
	return plan.Verdict{Gate: "any", Open: len(found) == 0, Reason: plan.Paused, Message: "It is there."}
}

// What is read counts beside what is watched: a no of either is one, for no longer than it has to.
func TestWatched(t *testing.T) {
	object := corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{UID: "1", ResourceVersion: "2"}}
	type world struct {
		now   []corev1.ConfigMap
		err   error
		reads int
		w     *watched[*corev1.ConfigMap]
	}
	step := func(f func(*world)) func(*world, *testing.T) { return func(w *world, _ *testing.T) { f(w) } }
	there := step(func(w *world) { w.now = []corev1.ConfigMap{object} })
	gone := step(func(w *world) { w.now = nil })
	shown := step(func(w *world) { w.w.objects.Put(&object) })
	notShown := step(func(w *world) { w.w.objects.Drop(object.UID) })
	fails := step(func(w *world) { w.err = errors.New("no answer") })
	passes := func(d time.Duration) func(*world, *testing.T) { return step(func(*world) { time.Sleep(d) }) }
	ask := func(how asking, open bool, reads int) func(*world, *testing.T) {
		return func(w *world, t *testing.T) {
			t.Helper()
			w.reads = 0
			v := w.w.ask(t.Context(), how)
			if len(v) != 1 || v[0].Open != open || w.reads != reads {
				t.Errorf("asked (%d): %+v after %d reads, want open %v after %d", how, v, w.reads, open, reads)
			}
		}
	}
	for name, steps := range map[string][]func(*world, *testing.T){
		"open":                     {ask(byWatch, true, 0), ask(underSlot, true, 0), ask(live, true, 1)},
		"the watch lags":           {there, ask(underSlot, true, 0), ask(live, false, 1), ask(underSlot, false, 0), ask(byWatch, false, 0)},
		"it lags for long":         {there, ask(live, false, 1), passes(lagging), ask(underSlot, false, 1), ask(underSlot, false, 0)},
		"without the slot":         {there, ask(live, false, 1), passes(lagging), ask(byWatch, true, 0)},
		"it is gone, never shown":  {there, ask(live, false, 1), gone, passes(lagging), ask(underSlot, true, 1)},
		"the watch has caught up":  {there, ask(live, false, 1), shown, ask(underSlot, false, 0), gone, notShown, ask(underSlot, true, 1)},
		"caught up, no slot":       {there, ask(live, false, 1), shown, ask(byWatch, false, 0), gone, notShown, ask(byWatch, true, 0)},
		"the watch is behind":      {shown, ask(live, false, 1), ask(underSlot, false, 0), notShown, ask(underSlot, true, 0)},
		"shown and gone meanwhile": {shown, there, ask(live, false, 1), gone, notShown, ask(underSlot, true, 1)},
		"there again at once":      {there, ask(live, false, 1), shown, ask(underSlot, false, 0), notShown, ask(underSlot, false, 1), ask(underSlot, false, 0)},
		"it can't be read":         {fails, ask(live, false, 1), ask(underSlot, false, 0)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				world := &world{}
				world.w = watch("any", anyClosed{&world.now, &world.err, &world.reads}, &corev1.ConfigMap{}, time.Now)
				if world.w.synced() {
					t.Error("synced before it was started")
				}
				world.w.start(t.Context(), func() {})
				defer world.w.stop()
				synctest.Wait()
				for _, step := range steps {
					step(world, t)
				}
			})
		})
	}
}

// A gate that isn't there says nothing.
func TestWatchedNothing(t *testing.T) {
	var w *watched[*corev1.ConfigMap]
	w.start(t.Context(), func() {})
	if !w.synced() || len(w.ask(t.Context(), live)) > 0 {
		t.Error("it says something")
	}
	w.stop()
}

// However the gates are asked, they answer in the order of the documentation: the first that is closed is what a node says that it waits for. What is
// read is read at the same time.
func TestGatesAnswerInTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := New(Parts{
			Now: time.Now, ControlPlanes: &lock.Group{}, Gates: []Gate{fixed("hold"), fixed("window")},
			Pause: closed[*corev1.ConfigMap]{"pause", 3 * time.Second}, Kured: closed[*appsv1.DaemonSet]{"kured", time.Second},
			Pods: closed[*metav1.PartialObjectMetadata]{"pods", 2 * time.Second},
		})
		a.circuit = watch("circuit", closed[*corev1.ConfigMap]{"circuit", 4 * time.Second}, &corev1.ConfigMap{}, time.Now)
		a.circuit.start(t.Context(), a.Wake)
		a.pause.start(t.Context(), a.Wake)
		a.kured.start(t.Context(), a.Wake)
		a.pods.start(t.Context(), a.Wake)
		time.Sleep(10 * time.Second) // all have been read
		for _, how := range []asking{byWatch, underSlot, live} {
			began := time.Now()
			var names []string
			for _, v := range a.askCheap(t.Context(), nil, how) {
				names = append(names, v.Gate)
			}
			if want := []string{"circuit", "pause", "kured", "hold", "window", "pods"}; !slices.Equal(names, want) {
				t.Errorf("asked (%d): %v, want %v", how, names, want)
			}
			if took := time.Since(began); how == live && took != 4*time.Second {
				t.Errorf("read for %s: one after the other?", took)
			}
		}
		a.circuit.stop()
		a.pause.stop()
		a.kured.stop()
		a.pods.stop()
	})
}

// fixed is a gate that is closed.
type fixed string

func (g fixed) Ask(context.Context, *corev1.Node) plan.Verdict {
	return plan.Verdict{Gate: string(g), Reason: plan.OutsideWindow}
}

// closed is a rule that is closed, whatever there is, and takes its time to be read.
type closed[T mirror.Object] struct {
	name  string
	takes time.Duration
}

func (c closed[T]) Source() mirror.Source {
	return mirror.Source{
		List: func(context.Context, metav1.ListOptions) (runtime.Object, error) {
			time.Sleep(c.takes)
			return &corev1.ConfigMapList{ListMeta: metav1.ListMeta{ResourceVersion: "1"}}, nil
		},
		Watch: func(_ context.Context, o metav1.ListOptions) (k8swatch.Interface, error) {
			if o.SendInitialEvents != nil {
				return nil, errors.New("not supported")
			}
			return k8swatch.NewRaceFreeFake(), nil
		},
	}
}

func (c closed[T]) Judge([]T) plan.Verdict { return plan.Verdict{Gate: c.name, Reason: plan.Paused} }
