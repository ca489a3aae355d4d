package kured

import (
	"path"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// What kured writes, under the names that it has by default.
const (
	// LockAnnotation is on kured's DaemonSet; --lock-annotation names another one.
	LockAnnotation = "weave.works/kured-node-lock"
	// Taint is the key that kured documents for --prefer-no-schedule-taint; there is none by default.
	Taint = "weave.works/kured-node-reboot"
	// Manager is how kured is named in managedFields: it names itself nowhere, so it is by its binary's name.
	Manager = "kured"
)

const (
	app      = "kured"
	appLabel = "app.kubernetes.io/name"
	oldLabel = "name" // of kured's plain manifest
	nodeID   = "KURED_NODE_ID"
	// ourNode is the variable that every DaemonSet of rebootd has, and no kured.
	ourNode = "REBOOTD_NODE_NAME"
)

// Is reports whether the DaemonSet is kured's, whatever its name: by what it runs, and else by its name, labels and lock. What runs
// rebootd isn't.
func Is(d *appsv1.DaemonSet) bool {
	if Container(d) != nil {
		return true
	}
	if RunsRebootd(d) {
		return false
	}
	_, locked := d.Annotations[LockAnnotation]
	labels := d.Spec.Template.Labels
	return locked || d.Name == app || d.Labels[appLabel] == app || labels[appLabel] == app || labels[oldLabel] == app
}

// Container is the container that runs kured; nil if none does so for sure.
func Container(d *appsv1.DaemonSet) *corev1.Container {
	all := d.Spec.Template.Spec.Containers
	if i := slices.IndexFunc(all, runsKured); i >= 0 {
		return &all[i]
	}
	return nil
}

func runsKured(c corev1.Container) bool {
	if len(c.Command) > 0 && path.Base(c.Command[0]) == app {
		return true
	}
	name, _ := imageOf(c)
	if strings.HasPrefix(name, app) {
		return true
	}
	has := func(name string) bool {
		return slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == name })
	}
	return has(nodeID) && !has(ourNode) && name != "rebootd" // rebootd takes that variable, too
}

// imageOf is the last word of the image's name, and its tag.
func imageOf(c corev1.Container) (name, tag string) {
	image, _, _ := strings.Cut(c.Image, "@")
	name, tag, _ = strings.Cut(path.Base(image), ":")
	return name, tag
}

// LockKey is the annotation that is the lock of this kured, as its options say.
func LockKey(d *appsv1.DaemonSet) string {
	if c := Container(d); c != nil {
		settings, _ := Settings(*c)
		for _, s := range settings {
			if s.Flag == "lock-annotation" && s.Value() != "" {
				return s.Value()
			}
		}
	}
	return LockAnnotation
}

// Version is kured's, as the image's tag says it; empty if that says none.
func Version(d *appsv1.DaemonSet) string {
	if c := Container(d); c != nil {
		_, tag := imageOf(*c)
		return tag
	}
	return ""
}

// RunsRebootd reports whether the DaemonSet is one of rebootd, whatever its name.
func RunsRebootd(d *appsv1.DaemonSet) bool {
	return slices.ContainsFunc(d.Spec.Template.Spec.Containers, func(c corev1.Container) bool {
		return slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == ourNode })
	})
}

// Ours reports whether a DaemonSet is rebootd's own though it has kured's name. One that carries kured's lock isn't, whatever it runs: it was
// kured's, whose pods may be there still.
func Ours(d *appsv1.DaemonSet, annotation string) bool {
	_, locked := d.Annotations[annotation]
	return RunsRebootd(d) && Container(d) == nil && !locked
}
