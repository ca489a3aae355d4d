package sim

import (
	"encoding/json"
	"errors"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apimachinery/pkg/watch"
)

// Patch changes an object: a strategic merge patch or a merge patch, of everything but the status, or, with status, of
// the status and the metadata.
func (s *Server) Patch(by *Client, kind Kind, name string, pt types.PatchType, patch []byte, status bool) (Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.objects[kind][name]
	if old == nil {
		return nil, apierrors.NewNotFound(kind, name)
	}
	after, err := apply(kind, old, pt, patch)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	return s.replace(by, kind, old, after, status)
}

// Update replaces an object.
func (s *Server) Update(by *Client, kind Kind, o Object) (Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.objects[kind][o.GetName()]
	switch {
	case old == nil && o.GetUID() != "":
		return nil, apierrors.NewConflict(kind, o.GetName(), errors.New("there is none of this UID"))
	case old == nil:
		return nil, apierrors.NewNotFound(kind, o.GetName())
	}
	after := o.DeepCopyObject().(Object)
	if after.GetResourceVersion() == "" { // as it is allowed for these kinds
		after.SetResourceVersion(old.GetResourceVersion())
	}
	if after.GetUID() == "" {
		after.SetUID(old.GetUID())
	}
	return s.replace(by, kind, old, after, false)
}

// replace wants the lock.
func (s *Server) replace(by *Client, kind Kind, old, after Object, status bool) (Object, error) {
	switch {
	case after.GetResourceVersion() != old.GetResourceVersion():
		return nil, apierrors.NewConflict(kind, old.GetName(), errors.New("the object has been modified"))
	case after.GetUID() != old.GetUID():
		return nil, apierrors.NewInvalid(schema.GroupKind{Group: kind.Group, Kind: kind.Resource}, old.GetName(),
			field.ErrorList{field.Invalid(field.NewPath("metadata", "uid"), after.GetUID(), "field is immutable")})
	}
	after.SetCreationTimestamp(old.GetCreationTimestamp())
	if n, ok := after.(*corev1.Node); ok {
		was := old.(*corev1.Node).DeepCopy()
		if status {
			n.Spec = was.Spec
		} else {
			n.Status = was.Status
		}
	}
	if apiequality.Semantic.DeepEqual(old, after) {
		return old.DeepCopyObject().(Object), nil
	}
	s.put(by, kind, watch.Modified, after)
	return after.DeepCopyObject().(Object), nil
}

func apply(kind Kind, old Object, pt types.PatchType, patch []byte) (Object, error) {
	strategic := pt == types.StrategicMergePatchType
	if strategic {
		if after, ok := quick(old, patch); ok {
			return after, nil
		}
	}
	return merge(kind, old, strategic, patch)
}

func merge(kind Kind, old Object, strategic bool, patch []byte) (Object, error) {
	was, err := json.Marshal(old)
	if err != nil {
		return nil, err
	}
	var is []byte
	if strategic {
		is, err = strategicpatch.StrategicMergePatch(was, patch, empty(kind))
	} else {
		is, err = jsonpatch.MergePatch(was, patch)
	}
	if err != nil {
		return nil, err
	}
	after := empty(kind)
	return after, json.Unmarshal(is, after)
}
