// Package view computes what the plugin shows from what was read of the cluster: who is out, who waits and in what order, what holds
// each one back, how long it will take. It reads nothing itself, so that every case is a table of values.
package view

import (
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
)

// Source is one thing that is read.
type Source string

// What is read, in the words of the sentence that says that it couldn't be.
const (
	Leases     Source = "who holds a slot"
	Control    Source = "whether reboots are paused"
	Circuit    Source = "whether the circuit is open"
	Pods       Source = "whether the agents run"
	Agents     Source = "how the agents are configured"
	OtherKured Source = "whether kured runs too"
	Events     Source = "what the Events tell"
)

// Unread is a source that could not be read.
type Unread struct {
	What Source
	// Why is a clause that names the verb and the resource: "you may not list pods in namespace rebootd".
	Why string
}

// Sentence says what isn't shown, and why.
func (u Unread) Sentence() string {
	return "Not shown: " + string(u.What) + "; " + u.Why + "."
}

// Facts is all that was read of the cluster, about one moment. What is in Unread is missing in the rest.
type Facts struct {
	Now       time.Time
	Namespace string
	Nodes     []corev1.Node
	// Leases, Pods and Agents (the DaemonSets) are rebootd's, in its namespace.
	Leases []coordinationv1.Lease
	Pods   []corev1.Pod
	Agents []appsv1.DaemonSet
	// Control and Circuit are nil where there is no such ConfigMap.
	Control, Circuit *corev1.ConfigMap
	// Kured is nil where it doesn't run.
	Kured *appsv1.DaemonSet
	// Events are those about Nodes that rebootd sent.
	Events []corev1.Event
	Unread []Unread
}

// read reports whether a source could be read.
func (f Facts) read(s Source) bool {
	return !slices.ContainsFunc(f.Unread, func(u Unread) bool { return u.What == s })
}
