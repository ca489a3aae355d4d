package kured

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestWhoseDaemonSet(t *testing.T) {
	set := func(change func(*appsv1.DaemonSet), containers ...corev1.Container) *appsv1.DaemonSet {
		d := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Name: "some", Labels: map[string]string{}, Annotations: map[string]string{}}}
		d.Spec.Template.Labels = map[string]string{}
		d.Spec.Template.Spec.Containers = containers
		if change != nil {
			change(d)
		}
		return d
	}
	named := func(name string) func(*appsv1.DaemonSet) { return func(d *appsv1.DaemonSet) { d.Name = name } }
	locked := func(d *appsv1.DaemonSet) { d.Annotations[LockAnnotation] = `{"nodeID":"a"}` }
	env := func(names ...string) (all []corev1.EnvVar) {
		for _, n := range names {
			all = append(all, corev1.EnvVar{Name: n})
		}
		return all
	}
	rebootd := corev1.Container{Image: "ghcr.io/rebootd/rebootd:v1", Env: env("REBOOTD_NODE_NAME")}
	for name, tt := range map[string]struct {
		d            *appsv1.DaemonSet
		kureds, ours bool
		version      string
	}{
		"another":                         {d: set(nil, corev1.Container{Image: "nginx:1"})},
		"kured's image":                   {d: set(nil, corev1.Container{Image: "ghcr.io/kubereboot/kured:1.23.0"}), kureds: true, version: "1.23.0"},
		"a mirror's, with a port":         {d: set(nil, corev1.Container{Image: "mirror:5000/x/kured:1.9@sha256:0"}), kureds: true, version: "1.9"},
		"a fork's":                        {d: set(nil, corev1.Container{Image: "mirror:5000/kured-arm"}), kureds: true},
		"its command":                     {d: set(nil, corev1.Container{Image: "all:1", Command: []string{"/usr/bin/kured"}}), kureds: true, version: "1"},
		"its variable":                    {d: set(nil, corev1.Container{Image: "all", Env: env("KURED_NODE_ID")}), kureds: true},
		"its name":                        {d: set(named("kured"), corev1.Container{Image: "all"}), kureds: true},
		"its label":                       {d: set(func(d *appsv1.DaemonSet) { d.Labels["app.kubernetes.io/name"] = "kured" }), kureds: true},
		"the plain manifest's label":      {d: set(func(d *appsv1.DaemonSet) { d.Spec.Template.Labels["name"] = "kured" }), kureds: true},
		"its lock":                        {d: set(locked), kureds: true},
		"beside others":                   {d: set(nil, corev1.Container{Image: "proxy"}, corev1.Container{Image: "kured"}), kureds: true},
		"rebootd":                         {d: set(nil, rebootd), ours: true},
		"rebootd under kured's name":      {d: set(named("kured"), rebootd), ours: true},
		"rebootd with kured's lock":       {d: set(locked, rebootd)},
		"rebootd and kured":               {d: set(nil, rebootd, corev1.Container{Image: "kured"}), kureds: true},
		"kured with rebootd's variable":   {d: set(nil, corev1.Container{Image: "kured", Env: env("REBOOTD_NODE_NAME")}), kureds: true},
		"rebootd's image, kured's values": {d: set(named("kured"), corev1.Container{Image: "x/rebootd", Env: env("KURED_NODE_ID")}), kureds: true},
		"rebootd with both variables":     {d: set(named("kured"), corev1.Container{Image: "x/mine", Env: env("KURED_NODE_ID", "REBOOTD_NODE_NAME")}), ours: true},
	} {
		if is, ours := Is(tt.d), Ours(tt.d, LockAnnotation); is != tt.kureds || ours != tt.ours {
			t.Errorf("%s: kured's %v, rebootd's %v", name, is, ours)
		}
		if v := Version(tt.d); v != tt.version {
			t.Errorf("%s: version %q", name, v)
		}
	}
}

func TestLockKey(t *testing.T) {
	d := &appsv1.DaemonSet{}
	if key := LockKey(d); key != LockAnnotation {
		t.Error(key)
	}
	d.Spec.Template.Spec.Containers = []corev1.Container{{Image: "kured", Args: []string{"--lock-annotation=example.com/lock"}}}
	if key := LockKey(d); key != "example.com/lock" {
		t.Error(key)
	}
}
