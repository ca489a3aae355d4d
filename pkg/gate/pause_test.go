package gate

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/pkg/plan"
)

func control(pairs ...string) *corev1.ConfigMap {
	m := &corev1.ConfigMap{Data: map[string]string{}}
	for i := 0; i < len(pairs); i += 2 {
		m.Data[pairs[i]] = pairs[i+1]
	}
	return m
}

func TestPause(t *testing.T) {
	const resume = "kubectl delete configmap -n ns rebootd-control, or kubectl reboot resume"
	now := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	p := Pause{Namespace: "ns", Now: func() time.Time { return now }}
	if v := p.Judge(nil); !v.Open {
		t.Errorf("without a ConfigMap: %+v", v)
	}
	for name, tt := range map[string]struct {
		m     *corev1.ConfigMap
		want  plan.Reason // "": open
		says  []string
		until time.Time
	}{
		"empty":              {m: control()},
		"paused":             {control("paused", "true"), plan.Paused, []string{"until somebody lets them go on", resume}, time.Time{}},
		"with a newline":     {control("paused", "true\n"), plan.Paused, nil, time.Time{}},
		"with a reason":      {control("paused", "true", "reason", "black\n  friday "), plan.Paused, []string{`reason "black friday"`}, time.Time{}},
		"with a long reason": {control("paused", "true", "reason", strings.Repeat("ä", 500)), plan.Paused, []string{"ä…\""}, time.Time{}},
		"with an end": {control("paused", "true", "until", "2030-01-01T14:00:00+01:00\n"), plan.Paused,
			[]string{"until 2030-01-01T13:00:00Z", resume}, now.Add(time.Hour)},
		"until now":           {m: control("paused", "true", "until", "2030-01-01T12:00:00Z")},
		"until before":        {m: control("paused", "true", "until", "2029-01-01T12:00:00Z")},
		"without an end":      {control("paused", "true", "until", " "), plan.Paused, []string{"until somebody"}, time.Time{}},
		"not paused":          {m: control("paused", "false", "reason", "was", "until", "tomorrow")},
		"yes":                 {control("paused", "yes"), plan.GateError, []string{"ConfigMap ns/rebootd-control", `key paused is "yes"`, `"true" or "false"`, resume}, time.Time{}},
		"capitals":            {control("paused", "True"), plan.GateError, []string{`key paused is "True"`}, time.Time{}},
		"nothing":             {control("paused", ""), plan.GateError, []string{`key paused is ""`}, time.Time{}},
		"only a reason":       {control("reason", "x"), plan.GateError, []string{"key paused is missing"}, time.Time{}},
		"a key misspelled":    {control("paused", "false", "pause", "true"), plan.GateError, []string{"key pause isn't known", "paused, reason and until"}, time.Time{}},
		"no text":             {&corev1.ConfigMap{BinaryData: map[string][]byte{"paused": {0xff}}}, plan.GateError, []string{"key paused is no text"}, time.Time{}},
		"an end that is none": {control("paused", "true", "until", "tomorrow"), plan.GateError, []string{`key until is "tomorrow"`, "2030-01-31T18:00:00Z"}, time.Time{}},
	} {
		t.Run(name, func(t *testing.T) {
			v := p.Judge([]*corev1.ConfigMap{tt.m})
			if v.Gate != "pause" || v.Open != (tt.want == "") || v.Reason != tt.want || !v.Everyone || v.Skippable || v.Costly || !v.Until.Equal(tt.until) {
				t.Errorf("%+v", v)
			}
			for _, text := range tt.says {
				if !strings.Contains(v.Message, text) {
					t.Errorf("%q does not say %q", v.Message, text)
				}
			}
			if len(v.Message) > 600 {
				t.Errorf("a message of %d bytes", len(v.Message))
			}
		})
	}
}

// Whatever is written there, it is a pause, none, or an error that says what to do.
func FuzzPause(f *testing.F) {
	f.Add("true", "why", "2030-01-01T12:00:00Z")
	f.Add("false", "", "x")
	f.Add("yes", "\xff", "")
	p := Pause{Namespace: "ns", Now: time.Now}
	f.Fuzz(func(t *testing.T, paused, reason, until string) {
		v := p.Judge([]*corev1.ConfigMap{control("paused", paused, "reason", reason, "until", until)})
		switch v.Reason {
		case plan.Paused:
			if strings.TrimSpace(paused) != "true" || v.Open {
				t.Errorf("%+v", v)
			}
		case plan.GateError:
			if v.Open {
				t.Errorf("%+v", v)
			}
		case "":
			if !v.Open || strings.TrimSpace(paused) != "false" && strings.TrimSpace(until) == "" {
				t.Errorf("%+v", v)
			}
		default:
			t.Errorf("%+v", v)
		}
		if !v.Open && (strings.ContainsAny(v.Message, "\n\t") || strings.TrimSpace(v.Message) != v.Message || strings.ToValidUTF8(v.Message, "") != v.Message) {
			t.Errorf("message %q", v.Message)
		}
	})
}
