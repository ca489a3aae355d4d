package gate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rebootd/rebootd/pkg/mirror"
	"github.com/rebootd/rebootd/pkg/plan"
)

// ControlName is the ConfigMap that people write; agents only read it. Its keys are these.
const (
	ControlName = "rebootd-control"
	pausedKey   = "paused"
	reasonKey   = "reason"
	untilKey    = "until"
)

// ConfigMaps is the client: client-go's typed one for the agents' namespace fits.
type ConfigMaps interface {
	List(ctx context.Context, o metav1.ListOptions) (*corev1.ConfigMapList, error)
	Watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error)
}

// Pause is closed while a person says so for the whole cluster, by the ConfigMap rebootd-control.
type Pause struct {
	ConfigMaps ConfigMaps
	Namespace  string
	Now        func() time.Time
}

// Source lists and watches the one ConfigMap.
func (p Pause) Source() mirror.Source {
	only := fields.OneTermEqualSelector(metav1.ObjectNameField, ControlName).String()
	return mirror.Source{
		List: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.FieldSelector = only
			list, err := p.ConfigMaps.List(ctx, o)
			return list, p.explain("list", err)
		},
		Watch: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.FieldSelector = only
			w, err := p.ConfigMaps.Watch(ctx, o)
			return w, p.explain("watch", err)
		},
	}
}

// Judge reads the ConfigMap. None is no pause.
func (p Pause) Judge(found []*corev1.ConfigMap) plan.Verdict {
	v := plan.Verdict{Gate: "pause", Open: true, Everyone: true}
	if len(found) == 0 {
		return v
	}
	w, err := readWord(found[0])
	switch {
	case err != nil:
		v.Open, v.Reason = false, plan.GateError
		v.Message = fmt.Sprintf("Whether reboots are paused can't be known: ConfigMap %s/%s: %v. To go on: %s", p.Namespace, ControlName, err, p.resume())
	case w.paused && (w.until.IsZero() || p.Now().Before(w.until)):
		v.Open, v.Reason, v.Until = false, plan.Paused, w.until
		v.Message = p.message(w)
	}
	return v
}

func (p Pause) message(w word) string {
	how := "until somebody lets them go on"
	if !w.until.IsZero() {
		how = "until " + w.until.UTC().Format(time.RFC3339)
	}
	if w.reason != "" {
		how += fmt.Sprintf(", reason %q", w.reason)
	}
	return fmt.Sprintf("Reboots are paused in the whole cluster by ConfigMap %s/%s, %s. To go on now: %s", p.Namespace, ControlName, how, p.resume())
}

func (p Pause) resume() string {
	return fmt.Sprintf("kubectl delete configmap -n %s %s", p.Namespace, ControlName)
}

func (p Pause) explain(verb string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s ConfigMap %s/%s: %w", verb, p.Namespace, ControlName, err)
}

// word is what a person wrote.
type word struct {
	paused bool
	reason string
	until  time.Time // zero: for ever
}

// readWord reads strictly: what looks like a pause and isn't written as one must not be taken for none.
func readWord(m *corev1.ConfigMap) (word, error) {
	for _, key := range slices.Sorted(maps.Keys(m.BinaryData)) {
		return word{}, fmt.Errorf("key %s is no text in UTF-8", key)
	}
	for _, key := range slices.Sorted(maps.Keys(m.Data)) {
		if key != pausedKey && key != reasonKey && key != untilKey {
			return word{}, fmt.Errorf("key %s isn't known: only paused, reason and until are", key)
		}
	}
	if len(m.Data) == 0 {
		return word{}, nil
	}
	paused, said := m.Data[pausedKey]
	switch strings.TrimSpace(paused) {
	case "false":
		return word{}, nil
	case "true":
	default:
		if !said {
			return word{}, errors.New(`key paused is missing: "true" or "false"`)
		}
		return word{}, fmt.Errorf(`key paused is %q: only "true" or "false" is allowed`, oneLine(paused))
	}
	w := word{paused: true, reason: oneLine(m.Data[reasonKey])}
	if text := strings.TrimSpace(m.Data[untilKey]); text != "" {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return word{}, fmt.Errorf("key until is %q: only a time such as 2030-01-31T18:00:00Z or 2030-01-31T18:00:00+02:00 is allowed", oneLine(text))
		}
		w.until = at
	}
	return w, nil
}

// oneLine makes one line of bounded length of what a person wrote.
func oneLine(text string) string {
	const most = 200 // bytes
	return clip(strings.Join(strings.Fields(text), " "), most)
}
