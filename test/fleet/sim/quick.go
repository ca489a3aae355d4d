package sim

import (
	"bytes"
	"encoding/json"
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// nodePatch is what nearly all patches of a Node consist of.
type nodePatch struct {
	Metadata struct {
		UID             types.UID          `json:"uid"`
		ResourceVersion string             `json:"resourceVersion"`
		Annotations     map[string]*string `json:"annotations"`
		Labels          map[string]*string `json:"labels"`
	} `json:"metadata"`
	Spec struct {
		Unschedulable *bool `json:"unschedulable"`
	} `json:"spec"`
	Status struct {
		NodeInfo struct {
			BootID *string `json:"bootID"`
		} `json:"nodeInfo"`
		Conditions []corev1.NodeCondition `json:"conditions"`
	} `json:"status"`
}

// quick applies such a patch as the strategic merge would, at a tenth of its cost; false: it is another kind of patch.
func quick(old Object, patch []byte) (Object, bool) {
	n, ok := old.(*corev1.Node)
	if !ok {
		return nil, false
	}
	var p nodePatch
	strict := json.NewDecoder(bytes.NewReader(patch))
	strict.DisallowUnknownFields()
	if strict.Decode(&p) != nil || bytes.Contains(patch, []byte(`"$`)) {
		return nil, false
	}
	after := n.DeepCopy()
	if p.Metadata.UID != "" {
		after.UID = p.Metadata.UID
	}
	if p.Metadata.ResourceVersion != "" {
		after.ResourceVersion = p.Metadata.ResourceVersion
	}
	after.Annotations = merged(after.Annotations, p.Metadata.Annotations)
	after.Labels = merged(after.Labels, p.Metadata.Labels)
	switch on := p.Spec.Unschedulable; {
	case on != nil:
		after.Spec.Unschedulable = *on
	case bytes.Contains(patch, []byte(`"unschedulable":null`)):
		after.Spec.Unschedulable = false
	}
	if id := p.Status.NodeInfo.BootID; id != nil {
		after.Status.NodeInfo.BootID = *id
	}
	for _, c := range p.Status.Conditions {
		if !mergeCondition(after, c) {
			return nil, false
		}
	}
	return after, true
}

// mergeCondition takes in a condition that is whole, or is the first of its type, or says no more than a status; false: it is none of
// these.
func mergeCondition(n *corev1.Node, c corev1.NodeCondition) bool {
	for i := range n.Status.Conditions {
		old := &n.Status.Conditions[i]
		if old.Type != c.Type {
			continue
		}
		switch {
		case c.Reason == "" && c.Message == "" && c.LastHeartbeatTime.IsZero() && c.LastTransitionTime.IsZero():
			old.Status = c.Status
		case c.Reason != "" && c.Message != "" && !c.LastHeartbeatTime.IsZero() && !c.LastTransitionTime.IsZero():
			c.LastHeartbeatTime, c.LastTransitionTime = c.LastHeartbeatTime.Rfc3339Copy(), c.LastTransitionTime.Rfc3339Copy()
			*old = c
		default:
			return false
		}
		return c.Status != ""
	}
	c.LastHeartbeatTime, c.LastTransitionTime = c.LastHeartbeatTime.Rfc3339Copy(), c.LastTransitionTime.Rfc3339Copy()
	n.Status.Conditions = append(n.Status.Conditions, c)
	return c.Type != "" && c.Status != ""
}

// merged is a map after a merge: null takes a key away.
func merged(old map[string]string, patch map[string]*string) map[string]string {
	if len(patch) == 0 {
		return old
	}
	after := maps.Clone(old)
	for key, value := range patch {
		if value == nil {
			delete(after, key)
			continue
		}
		if after == nil {
			after = map[string]string{}
		}
		after[key] = *value
	}
	if len(after) == 0 {
		return nil
	}
	return after
}
