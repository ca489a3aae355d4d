package gate

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rebootd/rebootd/pkg/plan"
)

type marks = map[string]string

func pod(name string, annotations, labels marks) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Namespace: "ns", Name: name, Annotations: annotations, Labels: labels, CreationTimestamp: metav1.NewTime(noon()),
	}}
}

func noon() time.Time { return time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC) }

func podsGate(t *testing.T, selectors ...string) Pods {
	t.Helper()
	p := Pods{NodeName: "n", Hold: "rebootd.io/hold", DoNotDisrupt: true, Now: func() time.Time { return noon().Add(10 * time.Minute) }}
	for _, text := range selectors {
		s, err := labels.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		p.Selectors = append(p.Selectors, s)
	}
	return p
}

func TestPodsThatHold(t *testing.T) {
	p := podsGate(t, "app=db,tier=1", "batch")
	ending := pod("p", marks{"rebootd.io/hold": "x"}, nil)
	ending.DeletionTimestamp = &metav1.Time{Time: noon()}
	for name, tt := range map[string]struct {
		pod  *metav1.PartialObjectMetadata
		says string // "": it doesn't hold
	}{
		"nothing on it":           {pod("p", nil, nil), ""},
		"annotation":              {pod("p", marks{"rebootd.io/hold": "moving\nshards"}, nil), `ns/p (annotation rebootd.io/hold="moving shards")`},
		"annotation, empty":       {pod("p", marks{"rebootd.io/hold": ""}, nil), `ns/p (annotation rebootd.io/hold="")`},
		"annotation, false":       {pod("p", marks{"rebootd.io/hold": "false"}, nil), ""},
		"label":                   {pod("p", nil, marks{"rebootd.io/hold": "true"}), `ns/p (label rebootd.io/hold="true")`},
		"label, false":            {pod("p", nil, marks{"rebootd.io/hold": "false"}), ""},
		"label beside a false":    {pod("p", marks{"rebootd.io/hold": "false"}, marks{"rebootd.io/hold": "x"}), "label"},
		"being deleted":           {ending, `annotation rebootd.io/hold="x", being deleted)`},
		"another annotation":      {pod("p", marks{"rebootd.io/holds": "x"}, nil), ""},
		"first selector":          {pod("p", nil, marks{"app": "db", "tier": "1"}), "--blocking-pod-selector=app=db,tier=1)"},
		"half of it":              {pod("p", nil, marks{"app": "db"}), ""},
		"second selector":         {pod("p", nil, marks{"batch": ""}), "--blocking-pod-selector=batch)"},
		"selectors mean labels":   {pod("p", marks{"batch": "x"}, nil), ""},
		"a false hold, selected":  {pod("p", marks{"rebootd.io/hold": "false"}, marks{"batch": ""}), "--blocking-pod-selector"},
		"do not disrupt":          {pod("p", marks{"karpenter.sh/do-not-disrupt": "true"}, nil), `annotation karpenter.sh/do-not-disrupt="true"`},
		"do disrupt":              {pod("p", marks{"karpenter.sh/do-not-disrupt": "false"}, nil), ""},
		"not for 15 minutes":      {pod("p", marks{"karpenter.sh/do-not-disrupt": "15m"}, nil), `do-not-disrupt="15m"`},
		"not for 10 minutes":      {pod("p", marks{"karpenter.sh/do-not-disrupt": "10m"}, nil), ""},
		"do not disrupt, a label": {pod("p", nil, marks{"karpenter.sh/do-not-disrupt": "true"}), ""},
	} {
		t.Run(name, func(t *testing.T) {
			v := p.Judge([]*metav1.PartialObjectMetadata{pod("free", nil, nil), tt.pod})
			if v.Gate != "pods" || v.Open != (tt.says == "") || v.Everyone || v.Costly || v.Skippable {
				t.Errorf("%+v", v)
			}
			if !v.Open && (v.Reason != plan.BlockedByPod || !strings.Contains(v.Message, "1 pod on this node holds it back") || !strings.Contains(v.Message, tt.says)) {
				t.Errorf("%+v", v)
			}
			if (p.Why(tt.pod) == "") != v.Open {
				t.Errorf("the drain is told %q", p.Why(tt.pod))
			}
		})
	}
	p.DoNotDisrupt = false
	if v := p.Judge([]*metav1.PartialObjectMetadata{pod("p", marks{"karpenter.sh/do-not-disrupt": "true"}, nil)}); !v.Open {
		t.Errorf("with --respect-do-not-disrupt=false: %+v", v)
	}
}

func TestPodsAreNamed(t *testing.T) {
	p := podsGate(t, "app")
	var pods []*metav1.PartialObjectMetadata
	for _, i := range []int{5, 2, 1, 4, 3} {
		pods = append(pods, pod(fmt.Sprintf("p%d", i), nil, marks{"app": ""}))
	}
	v := p.Judge(pods)
	want := "5 pods on this node hold it back: ns/p1 (--blocking-pod-selector=app), ns/p2 (--blocking-pod-selector=app), " +
		"ns/p3 (--blocking-pod-selector=app) and 2 more. It goes on"
	if !strings.HasPrefix(v.Message, want) || pods[0].Name != "p5" {
		t.Errorf("%s", v.Message)
	}
}

// When all that hold do so for a time that is known, so is when to look again.
func TestPodsThatHoldForATime(t *testing.T) {
	p := podsGate(t, "app")
	fifteen, hour := pod("a", marks{"karpenter.sh/do-not-disrupt": "15m"}, nil), pod("b", marks{"karpenter.sh/do-not-disrupt": "1h"}, nil)
	if v := p.Judge([]*metav1.PartialObjectMetadata{hour, fifteen}); !v.Until.Equal(noon().Add(time.Hour)) {
		t.Errorf("%+v", v)
	}
	if v := p.Judge([]*metav1.PartialObjectMetadata{hour, fifteen, pod("c", nil, marks{"app": ""})}); v.Open || !v.Until.IsZero() {
		t.Errorf("%+v", v)
	}
}

func TestPodsOfThisNode(t *testing.T) {
	p, m := podsGate(t), &recorded{}
	p.Metadata = m
	s := p.Source()
	_, _ = s.List(t.Context(), metav1.ListOptions{})
	_, _ = s.Watch(t.Context(), metav1.ListOptions{AllowWatchBookmarks: true})
	const want = "spec.nodeName=n,status.phase!=Succeeded,status.phase!=Failed"
	if len(m.asked) != 2 || m.asked[0].FieldSelector != want || m.asked[1].FieldSelector != want || !m.asked[1].AllowWatchBookmarks {
		t.Errorf("%+v", m.asked)
	}
}

// recorded keeps what is asked for.
type recorded struct{ asked []metav1.ListOptions }

func (r *recorded) List(_ context.Context, o metav1.ListOptions) (*metav1.PartialObjectMetadataList, error) {
	r.asked = append(r.asked, o)
	return &metav1.PartialObjectMetadataList{}, nil
}

func (r *recorded) Watch(_ context.Context, o metav1.ListOptions) (watch.Interface, error) {
	r.asked = append(r.asked, o)
	return watch.NewEmptyWatch(), nil
}
