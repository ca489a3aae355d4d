package fleet

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A node that an autoscaler removes takes no pods, like one that is cordoned.
func TestOther(t *testing.T) {
	now := metav1.Now()
	ready := corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}}
	for name, tt := range map[string]struct {
		node corev1.Node
		out  bool
	}{
		"in service": {corev1.Node{}, false},
		"cordoned":   {corev1.Node{Spec: corev1.NodeSpec{Unschedulable: true}}, true},
		"deleted":    {corev1.Node{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: &now}}, true},
		"removed":    {corev1.Node{Spec: corev1.NodeSpec{Taints: []corev1.Taint{{Key: "karpenter.sh/disrupted"}}}}, true},
		"candidate":  {corev1.Node{Spec: corev1.NodeSpec{Taints: []corev1.Taint{{Key: "DeletionCandidateOfClusterAutoscaler"}}}}, false},
	} {
		tt.node.Status = ready
		if o := other(&tt.node); o.Unschedulable != tt.out || !o.Ready {
			t.Errorf("%s: %+v", name, o)
		}
	}
}
