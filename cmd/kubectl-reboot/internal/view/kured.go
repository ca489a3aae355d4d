package view

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
)

// What kured writes.
const (
	kuredLock       = "weave.works/kured-node-lock"
	kuredInProgress = "weave.works/kured-reboot-in-progress"
	kuredNeeded     = "weave.works/kured-most-recent-reboot-needed"
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

type kuredOwner struct {
	NodeID   string `json:"nodeID"`
	Metadata struct {
		Unschedulable bool `json:"unschedulable"`
	} `json:"metadata"`
	Created time.Time `json:"created"`
	TTL     int64     `json:"TTL"`
}

func newKured(d *appsv1.DaemonSet, now time.Time) *Kured {
	if d == nil {
		return nil
	}
	k := &Kured{Namespace: d.Namespace, DaemonSet: d.Name}
	holders, err := parseKuredLock(d.Annotations[kuredLock], now)
	if err != nil {
		k.Unreadable = err.Error()
	}
	k.Holders = holders
	return k
}

// parseKuredLock reads the annotation in its form for one holder and in that for several. An expired lock is held by nobody.
func parseKuredLock(text string, now time.Time) ([]KuredHolder, error) {
	if text == "" {
		return nil, nil
	}
	var either struct {
		kuredOwner
		Locks []kuredOwner `json:"locks"`
	}
	if err := json.Unmarshal([]byte(text), &either); err != nil {
		return nil, fmt.Errorf("annotation %s: %w", kuredLock, err)
	}
	owners := either.Locks
	if either.NodeID != "" {
		owners = append(owners, either.kuredOwner)
	}
	var holders []KuredHolder
	for _, o := range owners {
		expired := o.TTL > 0 && now.After(o.Created.Add(time.Duration(o.TTL)))
		if o.NodeID != "" && !expired {
			holders = append(holders, KuredHolder{Node: o.NodeID, Since: o.Created, Unschedulable: o.Metadata.Unschedulable})
		}
	}
	return holders, nil
}

func kuredNode(annotations map[string]string) *KuredNode {
	k := KuredNode{InProgress: annotations[kuredInProgress], Needed: annotations[kuredNeeded]}
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
