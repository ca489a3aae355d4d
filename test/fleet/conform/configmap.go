package conform

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
)

// configMap is what the circuit does: compare-and-swap of one ConfigMap, and a watch of it by its name.
func configMap(t *testing.T, a API) {
	ctx, name := t.Context(), a.Prefix+"-config"
	only := metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", name).String()}
	_, err := a.ConfigMaps.Get(ctx, name, metav1.GetOptions{})
	is(t, "got before it is there", err, apierrors.IsNotFound)
	fresh := &corev1.ConfigMap{ObjectMeta: a.meta("config"), Data: map[string]string{"n": "1"}}
	first, err := a.ConfigMaps.Create(ctx, fresh, metav1.CreateOptions{})
	must(t, err)
	_, err = a.ConfigMaps.Create(ctx, fresh, metav1.CreateOptions{})
	is(t, "created twice", err, apierrors.IsAlreadyExists)

	all, err := a.ConfigMaps.List(ctx, only)
	must(t, err)
	if len(all.Items) != 1 || all.Items[0].UID != first.UID {
		t.Fatalf("listed by name: %+v", all.Items)
	}
	only.ResourceVersion = all.ResourceVersion
	w, err := a.ConfigMaps.Watch(ctx, only)
	must(t, err)
	defer w.Stop()

	same, err := a.ConfigMaps.Update(ctx, first.DeepCopy(), metav1.UpdateOptions{})
	must(t, err)
	if same.ResourceVersion != first.ResourceVersion {
		t.Error("an update that changes nothing made a new version")
	}
	set := func(from *corev1.ConfigMap, n string) (*corev1.ConfigMap, error) {
		m := from.DeepCopy()
		m.Data = map[string]string{"n": n}
		return a.ConfigMaps.Update(ctx, m, metav1.UpdateOptions{})
	}
	second, err := set(first, "2")
	must(t, err)
	_, err = set(first, "3")
	is(t, "updated on an old version", err, apierrors.IsConflict)
	if now, err := a.ConfigMaps.Get(ctx, name, metav1.GetOptions{}); err != nil || now.Data["n"] != "2" || now.ResourceVersion != second.ResourceVersion {
		t.Errorf("after a conflict: %+v, %v", now, err)
	}
	select {
	case e := <-w.ResultChan():
		if m, ok := e.Object.(*corev1.ConfigMap); !ok || m.Data["n"] != "2" || m.ResourceVersion != second.ResourceVersion {
			t.Errorf("watched: %+v", e)
		}
	case <-time.After(10 * time.Second):
		t.Error("the watch says nothing")
	}
}
