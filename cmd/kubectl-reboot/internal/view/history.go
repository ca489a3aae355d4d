package view

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// History is what happened to the nodes, the newest first.
type History struct {
	metav1.TypeMeta `json:",inline"`

	At    time.Time `json:"at"`
	Items []Past    `json:"items"`
	Notes []string  `json:"notes,omitempty"`
}

// Past is a reboot, from a record, or a warning, from an Event.
type Past struct {
	At   time.Time `json:"at"`
	Node string    `json:"node"`
	// What is "Rebooted", or the Event's reason.
	What string `json:"what"`
	// Took is how long a reboot kept the node out of service.
	Took metav1.Duration `json:"took,omitzero"`
	// Ours is false for a reboot that rebootd didn't order; Cleared whether it was no longer wanted afterwards.
	Ours    bool     `json:"ours,omitempty"`
	Cleared bool     `json:"cleared,omitempty"`
	By      []string `json:"by,omitempty"`
	Message string   `json:"message,omitempty"`
}

// Rebooted is what a Past is that is no warning.
const Rebooted = "Rebooted"

// DeepCopyObject makes a History printable by kubectl's printers; they don't change what they print.
func (h *History) DeepCopyObject() runtime.Object { c := *h; return &c }

// NewHistory joins the reboots in the records and the warnings in the Events, of the nodes in the status.
func NewHistory(s *Status, f Facts) *History {
	h := &History{TypeMeta: metav1.TypeMeta{APIVersion: APIVersion, Kind: "RebootHistory"}, At: s.At, Items: []Past{}}
	wanted := map[string]bool{}
	for _, n := range s.Nodes {
		wanted[n.Name] = true
		for _, b := range n.Reboots {
			h.Items = append(h.Items, Past{
				At: b.In, Node: n.Name, What: Rebooted, Took: metav1.Duration{Duration: b.In.Sub(b.Out)}, Ours: b.Ours, Cleared: b.Cleared, By: b.By,
			})
		}
	}
	for i := range f.Events {
		e := &f.Events[i]
		if e.Type != corev1.EventTypeWarning || e.InvolvedObject.Kind != "Node" || !wanted[e.InvolvedObject.Name] {
			continue
		}
		at := cmp.Or(e.LastTimestamp.Time, e.EventTime.Time, e.CreationTimestamp.Time)
		h.Items = append(h.Items, Past{At: at, Node: e.InvolvedObject.Name, What: e.Reason, Message: e.Message})
	}
	slices.SortStableFunc(h.Items, func(a, b Past) int { return cmp.Or(b.At.Compare(a.At), cmp.Compare(a.Node, b.Node)) })
	for _, u := range f.Unread {
		if u.What == Events {
			h.Notes = append(h.Notes, u.Sentence())
		}
	}
	return h
}

// Limit keeps the newest so many; 0: all.
func (h *History) Limit(n int) {
	if more := len(h.Items) - n; n > 0 && more > 0 {
		h.Items = h.Items[:n]
		h.Notes = append(h.Notes, fmt.Sprintf("%d older ones are not shown; --limit=0 shows all.", more))
	}
}
