package view

import (
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/rebootd/rebootd/pkg/kured"
	"github.com/rebootd/rebootd/pkg/plan"
)

// Kured is what is known of a kured that runs in the same cluster.
type Kured struct {
	Namespace string `json:"namespace"`
	DaemonSet string `json:"daemonSet"`
	// Holders hold its lock.
	Holders []KuredHolder `json:"holders,omitempty"`
	// Unreadable is why its lock can't be read.
	Unreadable string `json:"unreadable,omitempty"`
}

// KuredHolder is one node that holds kured's lock.
type KuredHolder struct {
	Node  string    `json:"node"`
	Since time.Time `json:"since,omitzero"`
	// Unschedulable is whether it was cordoned before.
	Unschedulable bool `json:"unschedulable,omitempty"`
}

// KuredNode is what kured writes on a node with --annotate-nodes, as it stands there.
type KuredNode struct {
	InProgress string `json:"inProgress,omitempty"`
	Needed     string `json:"mostRecentlyNeeded,omitempty"`
}

// newKured is what kured's DaemonSet says. A lock that has expired is held by nobody.
func newKured(d *appsv1.DaemonSet, now time.Time) *Kured {
	if d == nil {
		return nil
	}
	k := &Kured{Namespace: d.Namespace, DaemonSet: d.Name}
	l, err := kured.Of(d, kured.LockKey(d))
	if err != nil {
		k.Unreadable = strings.TrimSuffix(err.Error(), ".")
	}
	for _, e := range l.Entries {
		if e.NodeID != "" && !e.Expired(now) {
			k.Holders = append(k.Holders, KuredHolder{Node: e.NodeID, Since: e.Created, Unschedulable: e.Metadata.Unschedulable})
		}
	}
	return k
}

func kuredNode(annotations map[string]string) *KuredNode {
	k := KuredNode{InProgress: annotations[plan.KuredInProgress], Needed: annotations[plan.KuredMostRecent]}
	if k == (KuredNode{}) {
		return nil
	}
	return &k
}

// String says what it is and who holds its lock.
func (k *Kured) String() string {
	where := fmt.Sprintf("kured runs here too (DaemonSet %s/%s)", k.Namespace, k.DaemonSet)
	switch {
	case k.Unreadable != "":
		return fmt.Sprintf("%s; its lock can't be read: %s.", where, k.Unreadable)
	case len(k.Holders) == 0:
		return where + "; nobody holds its lock."
	case len(k.Holders) == 1 && k.Holders[0].Node == "manual":
		return where + "; it is paused by hand (lock of node \"manual\")."
	}
	holders := make([]string, 0, len(k.Holders))
	for _, h := range k.Holders {
		text := h.Node
		if !h.Since.IsZero() {
			text += " since " + Stamp(h.Since)
		}
		holders = append(holders, text)
	}
	return where + "; its lock is held by " + strings.Join(holders, ", ") + "."
}
