package kured

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

func TestConcurrency(t *testing.T) {
	env := func(value string) []corev1.EnvVar { return []corev1.EnvVar{{Name: "KURED_CONCURRENCY", Value: value}} }
	for _, tt := range []struct {
		name string
		c    corev1.Container
		want int
		err  string
	}{
		{name: "not said", c: corev1.Container{Args: []string{"--ds-name=kured"}}, want: 1},
		{name: "a flag", c: corev1.Container{Args: []string{"--concurrency=3", "--period=1m"}}, want: 3},
		{name: "a flag in the command", c: corev1.Container{Command: []string{"/usr/bin/kured", "--concurrency", "2"}}, want: 2},
		{name: "the last flag counts", c: corev1.Container{Args: []string{"--concurrency=3", "--concurrency=1"}}, want: 1},
		{name: "zero", c: corev1.Container{Args: []string{"--concurrency=0"}}, want: 1},
		{name: "the environment", c: corev1.Container{Env: env("2")}, want: 2},
		{name: "an empty environment", c: corev1.Container{Env: env(""), Args: []string{"--concurrency=2"}}, want: 2},
		{name: "both", c: corev1.Container{Env: env("2"), Args: []string{"--concurrency=2"}}, want: 2},
		{name: "both, but not the same", c: corev1.Container{Env: env("2"), Args: []string{"--concurrency=1"}}, err: "make them the same"},
		{name: "a variable in a flag", c: corev1.Container{Args: []string{"--concurrency=$(N)"}}, err: `"$(N)", which is no number`},
		{name: "no value", c: corev1.Container{Args: []string{"--concurrency"}}, err: "which is no number"},
		{name: "from elsewhere", c: corev1.Container{Env: []corev1.EnvVar{{Name: "KURED_CONCURRENCY", ValueFrom: &corev1.EnvVarSource{}}}}, err: "isn't read"},
		{name: "perhaps from elsewhere", c: corev1.Container{EnvFrom: []corev1.EnvFromSource{{}}}, err: "isn't read"},
		{name: "a flag beside what comes from elsewhere", c: corev1.Container{EnvFrom: []corev1.EnvFromSource{{}}, Env: env("4")}, want: 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := &appsv1.DaemonSet{}
			d.Spec.Template.Spec.Containers = []corev1.Container{{Name: "sidecar"}, tt.c}
			n, err := Concurrency(d)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("%d, %v", n, err)
				}
				return
			}
			if err != nil || n != tt.want {
				t.Errorf("%d, want %d: %v", n, tt.want, err)
			}
		})
	}
}
