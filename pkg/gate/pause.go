package gate

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"github.com/rebootd/rebootd/pkg/mirror"
	"github.com/rebootd/rebootd/pkg/pause"
	"github.com/rebootd/rebootd/pkg/plan"
)

// Pause is closed while a person says so for the whole cluster, by the ConfigMap rebootd-control.
type Pause struct {
	// ConfigMaps is the client for the agents' namespace.
	ConfigMaps mirror.Lister[*corev1.ConfigMapList]
	Namespace  string
	Now        func() time.Time
}

// Source lists and watches the one ConfigMap.
func (p Pause) Source() mirror.Source {
	only := fields.OneTermEqualSelector(metav1.ObjectNameField, pause.ConfigMap).String()
	return mirror.Select(p.ConfigMaps, mirror.Selectors{Fields: only}, p.explain)
}

// Judge reads the ConfigMap. None is no pause.
func (p Pause) Judge(found []*corev1.ConfigMap) plan.Verdict {
	v := plan.Verdict{Gate: "pause", Open: true, Everyone: true}
	if len(found) == 0 {
		return v
	}
	w, err := pause.Read(found[0])
	switch {
	case err != nil:
		v.Open, v.Reason = false, plan.GateError
		v.Message = fmt.Sprintf("Whether reboots are paused can't be known: ConfigMap %s/%s: %v. To go on: %s", p.Namespace, pause.ConfigMap, err, p.resume())
	case w.On(p.Now()):
		v.Open, v.Reason, v.Until = false, plan.Paused, w.Until
		v.Message = p.message(w)
	}
	return v
}

func (p Pause) message(w pause.Word) string {
	how := "until somebody lets them go on"
	if !w.Until.IsZero() {
		how = "until " + w.Until.UTC().Format(time.RFC3339)
	}
	if w.Reason != "" {
		how += fmt.Sprintf(", reason %q", w.Reason)
	}
	return fmt.Sprintf("Reboots are paused in the whole cluster by ConfigMap %s/%s, %s. To go on now: %s", p.Namespace, pause.ConfigMap, how, p.resume())
}

func (p Pause) resume() string {
	return fmt.Sprintf("kubectl delete configmap -n %s %s, or kubectl reboot resume", p.Namespace, pause.ConfigMap)
}

func (p Pause) explain(verb string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s ConfigMap %s/%s: %w", verb, p.Namespace, pause.ConfigMap, err)
}
