package gate

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rebootd/rebootd/pkg/plan"
)

func TestAutoscaler(t *testing.T) {
	now := metav1.Now()
	for _, tt := range []struct {
		node corev1.Node
		says string // "": open
	}{
		{corev1.Node{}, ""},
		{corev1.Node{Spec: corev1.NodeSpec{Taints: []corev1.Taint{{Key: "a"}, {Key: "DeletionCandidateOfClusterAutoscaler", Value: "1"}}}}, ""},
		{corev1.Node{Spec: corev1.NodeSpec{Taints: []corev1.Taint{{Key: "a"}, {Key: "ToBeDeletedByClusterAutoscaler", Value: "1"}}}},
			"the Cluster Autoscaler (taint ToBeDeletedByClusterAutoscaler)"},
		{corev1.Node{Spec: corev1.NodeSpec{Taints: []corev1.Taint{{Key: "karpenter.sh/disruption", Value: "disrupting"}}}},
			"Karpenter (taint karpenter.sh/disruption=disrupting)"},
		{corev1.Node{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: &now}}, "deletionTimestamp"},
	} {
		v := Autoscaler{}.Ask(t.Context(), &tt.node)
		closed := !v.Open && v.Reason == plan.BlockedByAutoscaler
		if v.Open != (tt.says == "") || !v.Open && !closed || !strings.Contains(v.Message, tt.says) || v.Everyone || v.Costly || v.Skippable || v.Gate == "" {
			t.Errorf("%+v: %+v", tt.node, v)
		}
	}
}
