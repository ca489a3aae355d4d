package gate

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/rebootd/rebootd/pkg/mirror"
	"github.com/rebootd/rebootd/pkg/plan"
)

// doNotDisrupt is Karpenter's annotation: "true", or how long after the pod's start it holds.
const doNotDisrupt = "karpenter.sh/do-not-disrupt"

// Metadata is a client for the metadata of pods in all namespaces.
type Metadata = mirror.Lister[*metav1.PartialObjectMetadataList]

// Pods is closed while a pod on this node must not be disturbed. All pods count that have not ended, also those that a drain would
// leave alone, and those that are being deleted: until it is gone, such a pod is putting something away.
type Pods struct {
	Metadata Metadata
	NodeName string
	// Hold is the annotation, or label, that holds unless its value is "false"; the value is the reason.
	Hold string
	// Selectors are --blocking-pod-selector: what any of them matches holds.
	Selectors []labels.Selector
	// DoNotDisrupt is whether Karpenter's annotation holds too.
	DoNotDisrupt bool
	Now          func() time.Time
}

// Source lists and watches the node's pods that have not ended.
func (p Pods) Source() mirror.Source {
	only := fields.AndSelectors(
		fields.OneTermEqualSelector("spec.nodeName", p.NodeName),
		fields.OneTermNotEqualSelector("status.phase", string(corev1.PodSucceeded)),
		fields.OneTermNotEqualSelector("status.phase", string(corev1.PodFailed)),
	).String()
	return mirror.Select(p.Metadata, mirror.Selectors{Fields: only}, p.explain)
}

// Judge looks for pods that hold.
func (p Pods) Judge(found []*metav1.PartialObjectMetadata) plan.Verdict {
	v := plan.Verdict{Gate: "pods", Open: true}
	var holding []string
	var until time.Time
	forever := false
	for _, pod := range slices.SortedFunc(slices.Values(found), byName) {
		why, end := p.holds(pod)
		if why == "" {
			continue
		}
		if pod.DeletionTimestamp != nil {
			why += ", being deleted"
		}
		holding = append(holding, fmt.Sprintf("%s/%s (%s)", pod.Namespace, pod.Name, why))
		forever = forever || end.IsZero()
		if end.After(until) {
			until = end
		}
	}
	if len(holding) == 0 {
		return v
	}
	v.Open, v.Reason, v.Message = false, plan.BlockedByPod, holdingMessage(holding)
	if !forever {
		v.Until = until
	}
	return v
}

// Why says what holds the node by this pod; "": nothing.
func (p Pods) Why(pod metav1.Object) string {
	why, _ := p.holds(pod)
	return why
}

// holds says what holds the node by this pod, and until when if that is known.
func (p Pods) holds(pod metav1.Object) (why string, until time.Time) {
	for _, kind := range []struct {
		name string
		of   map[string]string
	}{{"annotation", pod.GetAnnotations()}, {"label", pod.GetLabels()}} {
		if reason, ok := kind.of[p.Hold]; ok && strings.TrimSpace(reason) != "false" {
			return fmt.Sprintf("%s %s=%q", kind.name, p.Hold, shorten(reason)), time.Time{}
		}
	}
	for _, s := range p.Selectors {
		if s.Matches(labels.Set(pod.GetLabels())) {
			return fmt.Sprintf("--blocking-pod-selector=%s", s), time.Time{}
		}
	}
	if !p.DoNotDisrupt {
		return "", time.Time{}
	}
	value := pod.GetAnnotations()[doNotDisrupt]
	what := fmt.Sprintf("annotation %s=%q", doNotDisrupt, shorten(value))
	if value == "true" {
		return what, time.Time{}
	}
	// When the pod started isn't in its metadata, so its creation has to do.
	if d, err := time.ParseDuration(value); err == nil {
		if until = pod.GetCreationTimestamp().Add(d); p.Now().Before(until) {
			return what, until
		}
	}
	return "", time.Time{}
}

// holdingMessage names the first few.
func holdingMessage(holding []string) string {
	const named = 3
	who := "1 pod on this node holds it back"
	if len(holding) > 1 {
		who = fmt.Sprintf("%d pods on this node hold it back", len(holding))
	}
	text := strings.Join(holding[:min(named, len(holding))], ", ")
	if more := len(holding) - named; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Sprintf("%s: %s. It goes on when none is left that does: when they have ended, or that is taken off them.", who, text)
}

func byName(a, b *metav1.PartialObjectMetadata) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

func (p Pods) explain(verb string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s the pods of node %s: %w", verb, p.NodeName, err)
}
