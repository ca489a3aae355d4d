package gate

import (
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rebootd/rebootd/pkg/plan"
)

func TestHold(t *testing.T) {
	h := Hold{Annotation: "rebootd.io/hold"}
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}
	if v := h.Ask(t.Context(), n); !v.Open {
		t.Errorf("without the annotation: %+v", v)
	}
	for _, why := range []string{"rebuilding the index", ""} {
		n.Annotations = map[string]string{"rebootd.io/hold": why}
		v := h.Ask(t.Context(), n)
		if v.Open || v.Reason != plan.Held || v.Everyone || !strings.Contains(v.Message, why) || !strings.Contains(v.Message, "kubectl annotate node n rebootd.io/hold-, or kubectl reboot unhold n") {
			t.Errorf("held because of %q: %+v", why, v)
		}
	}
}

func TestCommand(t *testing.T) {
	if v := (Command{Check: func() error { return nil }}).Ask(t.Context(), nil); !v.Open {
		t.Errorf("%+v", v)
	}
	v := Command{Check: func() error { return errors.New("--reboot-command: no such file") }}.Ask(t.Context(), nil)
	if v.Open || v.Reason != plan.GateError || !strings.Contains(v.Message, "--reboot-command") {
		t.Errorf("%+v", v)
	}
}
