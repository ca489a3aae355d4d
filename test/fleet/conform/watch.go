package conform

import (
	"slices"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

func (a API) ours() metav1.ListOptions {
	return metav1.ListOptions{LabelSelector: label + "=" + a.Prefix}
}

func list(t *testing.T, a API) {
	first, second := a.lease(t, "list-1"), a.lease(t, "list-2")
	all, err := a.Leases.List(t.Context(), a.ours())
	must(t, err)
	if len(all.Items) != 2 || all.Items[0].Name != first.Name || newer(t, second.ResourceVersion, all.ResourceVersion) {
		t.Errorf("listed %d, version %s", len(all.Items), all.ResourceVersion)
	}
	none, err := a.Leases.List(t.Context(), metav1.ListOptions{LabelSelector: label + "=" + a.Prefix + ",!" + label})
	must(t, err)
	if len(none.Items) != 0 {
		t.Errorf("listed %d", len(none.Items))
	}
	_, err = a.Leases.List(t.Context(), metav1.ListOptions{LabelSelector: "a=="})
	if err != nil {
		t.Errorf("an empty value may be selected: %v", err)
	}
	_, err = a.Leases.List(t.Context(), metav1.ListOptions{LabelSelector: "=,="})
	is(t, "listed by no selector", err, apierrors.IsBadRequest)
	n := a.node(t, "list")
	a.node(t, "list-other")
	nodes, err := a.Nodes.List(t.Context(), metav1.ListOptions{FieldSelector: "metadata.name=" + n.Name})
	must(t, err)
	if len(nodes.Items) != 1 || nodes.Items[0].UID != n.UID {
		t.Errorf("%d Nodes", len(nodes.Items))
	}
	a.each(t, n)
}

// each reads Nodes one by one; there are two, of which this is the first.
func (a API) each(t *testing.T, n *corev1.Node) {
	var whole, metas []types.UID
	must(t, a.Each.EachNode(t.Context(), a.ours(), func(n *corev1.Node) {
		if n.Status.Size() > 0 || n.Name == "" {
			whole = append(whole, n.UID)
		}
	}))
	must(t, a.Each.EachNodeMetadata(t.Context(), a.ours(), func(n *metav1.PartialObjectMetadata) { metas = append(metas, n.UID) }))
	if len(whole) != 2 || whole[0] != n.UID || !slices.Equal(whole, metas) {
		t.Errorf("one by one: %v and %v, the first is %s", whole, metas, n.UID)
	}
	none := 0
	must(t, a.Each.EachNode(t.Context(), metav1.ListOptions{LabelSelector: label + "=" + a.Prefix + ",!" + label}, func(*corev1.Node) { none++ }))
	err := a.Each.EachNodeMetadata(t.Context(), metav1.ListOptions{LabelSelector: "=,="}, func(*metav1.PartialObjectMetadata) { none++ })
	is(t, "read one by one by no selector", err, apierrors.IsBadRequest)
	if none > 0 {
		t.Errorf("%d Nodes where there are none", none)
	}
	if n, err := a.Each.CountNodes(t.Context(), a.ours().LabelSelector); err != nil || n != 2 {
		t.Errorf("counted %d Nodes of the selector: %v", n, err)
	}
	counted, listed := 0, 1
	for range 20 { // others come and go meanwhile
		n, err := a.Each.CountNodes(t.Context(), "")
		must(t, err)
		if counted, listed = n, a.all(t); counted == listed {
			return
		}
	}
	t.Errorf("counted %d Nodes where %d are listed", counted, listed)
}

// all is how many Nodes there are.
func (a API) all(t *testing.T) int {
	list, err := a.Nodes.List(t.Context(), metav1.ListOptions{})
	must(t, err)
	return len(list.Items)
}

// events takes what a watch sends.
type events struct {
	t *testing.T
	w watch.Interface
}

func (a API) watch(t *testing.T, o metav1.ListOptions) events {
	t.Helper()
	w, err := a.Leases.Watch(t.Context(), o)
	must(t, err)
	t.Cleanup(w.Stop)
	return events{t, w}
}

func (e events) next(want watch.EventType) *coordinationv1.Lease {
	e.t.Helper()
	for {
		select {
		case got, open := <-e.w.ResultChan():
			l, ok := got.Object.(*coordinationv1.Lease)
			if got.Type == watch.Bookmark && want != watch.Bookmark {
				continue
			}
			if !open || !ok || got.Type != want {
				e.t.Fatalf("%v %v, want %s", got.Type, got.Object, want)
			}
			return l
		case <-time.After(30 * time.Second):
			e.t.Fatalf("no event, want %s", want)
		}
	}
}

func (a API) change(t *testing.T, name string, meta map[string]any) *coordinationv1.Lease {
	t.Helper()
	l, err := a.Leases.Patch(t.Context(), name, types.MergePatchType, patch(map[string]any{"metadata": meta}), metav1.PatchOptions{})
	must(t, err)
	return l
}

func watchFromVersion(t *testing.T, a API) {
	before := a.lease(t, "watch-1")
	o := a.ours()
	o.ResourceVersion = before.ResourceVersion
	l := a.lease(t, "watch-2")
	after := a.change(t, l.Name, map[string]any{"annotations": map[string]any{"a": "2"}})
	w := a.watch(t, o)
	must(t, a.Leases.Delete(t.Context(), l.Name, metav1.DeleteOptions{}))
	if got := w.next(watch.Added); got.UID != l.UID || got.ResourceVersion != l.ResourceVersion || got.Annotations["a"] != "1" {
		t.Errorf("added: %+v", got.ObjectMeta)
	}
	if got := w.next(watch.Modified); got.ResourceVersion != after.ResourceVersion || got.Annotations["a"] != "2" {
		t.Errorf("modified: %+v", got.ObjectMeta)
	}
	if got := w.next(watch.Deleted); got.UID != l.UID || !newer(t, got.ResourceVersion, after.ResourceVersion) || got.Annotations["a"] != "2" {
		t.Errorf("a deletion tells the last state, under a version of its own: %+v", got.ObjectMeta)
	}
}

// watchSelected: what ceases to match is deleted for the watch, as it was; what comes to match is added.
func watchSelected(t *testing.T, a API) {
	l := a.lease(t, "select")
	o := a.ours()
	o.ResourceVersion = l.ResourceVersion
	w := a.watch(t, o)
	gone := a.change(t, l.Name, map[string]any{"labels": map[string]any{label: nil}, "annotations": map[string]any{"a": "2"}})
	if got := w.next(watch.Deleted); got.ResourceVersion != gone.ResourceVersion || got.Labels[label] != a.Prefix || got.Annotations["a"] != "1" {
		t.Errorf("ceased to match: %+v", got.ObjectMeta)
	}
	back := a.change(t, l.Name, map[string]any{"labels": map[string]any{label: a.Prefix}})
	if got := w.next(watch.Added); got.ResourceVersion != back.ResourceVersion {
		t.Errorf("came to match: %+v", got.ObjectMeta)
	}
}

func watchInitial(t *testing.T, a API) {
	l := a.lease(t, "initial")
	o, yes := a.ours(), true
	o.SendInitialEvents, o.ResourceVersionMatch, o.AllowWatchBookmarks = &yes, metav1.ResourceVersionMatchNotOlderThan, true
	w := a.watch(t, o)
	if got := w.next(watch.Added); got.UID != l.UID {
		t.Errorf("at first: %+v", got.ObjectMeta)
	}
	mark := w.next(watch.Bookmark)
	if mark.Annotations[metav1.InitialEventsAnnotationKey] != "true" || newer(t, l.ResourceVersion, mark.ResourceVersion) {
		t.Errorf("the end of the beginning: %+v", mark.ObjectMeta)
	}
	after := a.change(t, l.Name, map[string]any{"annotations": map[string]any{"a": "2"}})
	if got := w.next(watch.Modified); got.ResourceVersion != after.ResourceVersion {
		t.Errorf("then: %+v", got.ObjectMeta)
	}
}

// watchFromNow: without a version a watch begins with what there is.
func watchFromNow(t *testing.T, a API) {
	l := a.lease(t, "now")
	w := a.watch(t, a.ours())
	if got := w.next(watch.Added); got.UID != l.UID {
		t.Errorf("at first: %+v", got.ObjectMeta)
	}
	must(t, a.Leases.Delete(t.Context(), l.Name, metav1.DeleteOptions{}))
	if got := w.next(watch.Deleted); got.UID != l.UID {
		t.Errorf("then: %+v", got.ObjectMeta)
	}
}
