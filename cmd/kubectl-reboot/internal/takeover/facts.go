// Package takeover works out what somebody who comes from kured needs: what kured's DaemonSet runs with as values of rebootd's chart, what
// will differ, and what kured left behind in the cluster. It reads nothing itself, so that every case is a table of values.
package takeover

import (
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/pkg/kured"
)

// Facts is what was read of the cluster.
type Facts struct {
	Now time.Time
	// Kureds and Rebootds are the DaemonSets of either.
	Kureds, Rebootds []appsv1.DaemonSet
	// Meant are those of Kureds whose options are wanted.
	Meant []appsv1.DaemonSet
	// KuredPods and RebootdPods are the pods of either that haven't ended, of their DaemonSets or left over.
	KuredPods, RebootdPods []corev1.Pod
	// Nodes are all, with their managedFields.
	Nodes []corev1.Node
	// Taints are keys of kured's --prefer-no-schedule-taint that somebody named.
	Taints []string
	// Unread says what couldn't be read, as sentences.
	Unread []string
	// Blind is why it can't be known whether kured still runs; empty: it is known.
	Blind string
}

// Namespace is rebootd's.
func (f Facts) Namespace() string {
	if len(f.Rebootds) > 0 {
		return f.Rebootds[0].Namespace
	}
	return "rebootd"
}

// Step is something that is left to a person.
type Step struct {
	Text string
	// Command does it; empty: there is none.
	Command string
}

// running says that kured is still there; empty: it isn't, as far as could be read.
func (f Facts) running() string {
	if len(f.Kureds) > 0 {
		return fmt.Sprintf("kured is still installed (%s)", places(f.Kureds))
	}
	if len(f.KuredPods) > 0 {
		p := f.KuredPods[0]
		return fmt.Sprintf("kured's DaemonSet is gone, but pods of it still run (%s/%s on node %s)", p.Namespace, p.Name, p.Spec.NodeName)
	}
	return ""
}

func places(sets []appsv1.DaemonSet) string {
	all := make([]string, 0, len(sets))
	for _, d := range sets {
		all = append(all, "DaemonSet "+place(&d))
	}
	return strings.Join(all, ", ")
}

func place(d *appsv1.DaemonSet) string { return d.Namespace + "/" + d.Name }

// taints are the keys of the taints that are kured's.
func (f Facts) taints() []string {
	all := append([]string{kured.Taint}, f.Taints...)
	for _, d := range f.Kureds {
		if key := option(&d, "prefer-no-schedule-taint"); key != "" {
			all = append(all, key)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// option is the value of a flag that a kured or a rebootd has among its arguments and variables.
func option(d *appsv1.DaemonSet, flag string) string {
	if all := options(d, flag); len(all) > 0 {
		return all[len(all)-1]
	}
	return ""
}

// options are all of its values, the one that counts last.
func options(d *appsv1.DaemonSet, flag string) []string {
	var all []string
	for _, c := range d.Spec.Template.Spec.Containers {
		for _, prefix := range []string{"KURED_", "REBOOTD_"} {
			for _, e := range c.Env {
				if e.Name == prefix+strings.ToUpper(strings.ReplaceAll(flag, "-", "_")) && e.Value != "" {
					all = append(all, e.Value)
				}
			}
		}
		args := slices.Concat(c.Command, c.Args)
		for i, arg := range args {
			name, v, joined := strings.Cut(arg, "=")
			switch {
			case name != "--"+flag:
				continue
			case !joined && i+1 < len(args) && !strings.HasPrefix(args[i+1], "--"):
				v = args[i+1]
			case !joined:
				v = "true"
			}
			all = append(all, strings.Trim(v, `"'`))
		}
	}
	return all
}

// nodeLabels are those of an option, by key.
func nodeLabels(d *appsv1.DaemonSet, flag string) map[string]string {
	all := map[string]string{}
	for _, text := range options(d, flag) {
		for one := range strings.SplitSeq(text, ",") {
			if key, value, ok := strings.Cut(strings.TrimSpace(one), "="); ok {
				all[key] = value
			}
		}
	}
	return all
}
