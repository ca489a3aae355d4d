package node

import (
	"reflect"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rebootd/rebootd/pkg/plan"
)

func TestObserveRequests(t *testing.T) {
	for _, tt := range []struct {
		annotations map[string]string
		want        []plan.Request
	}{
		{nil, nil},
		{map[string]string{"rebootd.io/hold": "x"}, nil},
		{map[string]string{"rebootd.io/request": "a b"}, []plan.Request{{Text: "a b"}}},
		{map[string]string{"rebootd.io/request-now": ""}, []plan.Request{{Now: true}}},
		{map[string]string{"rebootd.io/request-now": "b", "rebootd.io/request": "a"}, []plan.Request{{Text: "a"}, {Text: "b", Now: true}}},
	} {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", Annotations: tt.annotations}}
		seen, r, err := Observe("n", n)
		if err != nil || !reflect.DeepEqual(seen.Requests, tt.want) || r.Phase != "" {
			t.Errorf("%v: got %v, %s, %v", tt.annotations, seen.Requests, r, err)
		}
	}
}
