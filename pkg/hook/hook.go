// Package hook has the cluster's owner's own work done on the way through a reboot: by a command in the host or by an HTTP
// request. When to run what is decided elsewhere.
package hook

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Hook is one thing to have done. It may be done more than once.
type Hook struct {
	// Name says in words which one it is, without secrets.
	Name string
	// Hold is whether the node waits for its success.
	Hold bool
	// Run does it once. It must end soon after ctx.
	Run func(ctx context.Context, f Facts) error
}

// Version is of the JSON that a request carries. Fields may be added under the same version.
const Version = 1

// Outcomes of a reboot, for the hooks after it.
const (
	Rebooted = "rebooted"
	Aborted  = "aborted"
)

// Facts are what a hook gets to know: a request as JSON, a command as environment variables.
type Facts struct {
	Version int `json:"version"`
	// Hook is the point: before-drain, before-reboot or after-reboot.
	Hook string `json:"hook"`
	Node string `json:"node"`
	// Phase is the record's.
	Phase string `json:"phase"`
	// BootID is the machine's own now; FromBootID is the one that ended, once it has rebooted.
	BootID     string `json:"bootID"`
	FromBootID string `json:"fromBootID,omitempty"`
	// Outcome is, after-reboot only, whether it has rebooted or gave up before.
	Outcome string `json:"outcome,omitempty"`
	// Reason and Message say why: what asks for the reboot, and with the outcome aborted, why it was given up.
	Reason  string `json:"reason"`
	Message string `json:"message"`
	// AskedBy names what asked for the reboot.
	AskedBy []string `json:"askedBy,omitempty"`
	// Packages want the reboot, before it only, where the sentinel names them.
	Packages []string `json:"packages,omitempty"`
	// Namespace and Slot name the Lease that lets the node be out.
	Namespace string `json:"namespace"`
	Slot      string `json:"slot,omitempty"`
	// OutSince is when the node was cordoned.
	OutSince time.Time `json:"outSince,omitzero"`
	// Try counts the tries of this hook in this process, from 1.
	Try int `json:"try"`
}

// Environ are the facts as variables, each of one line.
func (f Facts) Environ() []string {
	since := ""
	if !f.OutSince.IsZero() {
		since = f.OutSince.UTC().Format(time.RFC3339)
	}
	pairs := []struct{ name, value string }{
		{"HOOK", f.Hook}, {"NODE", f.Node}, {"PHASE", f.Phase}, {"BOOT_ID", f.BootID}, {"FROM_BOOT_ID", f.FromBootID},
		{"OUTCOME", f.Outcome}, {"REASON", f.Reason}, {"MESSAGE", f.Message}, {"ASKED_BY", strings.Join(f.AskedBy, "; ")},
		{"PACKAGES", strings.Join(f.Packages, " ")},
		{"NAMESPACE", f.Namespace}, {"SLOT", f.Slot}, {"OUT_SINCE", since}, {"TRY", fmt.Sprint(f.Try)},
	}
	var env []string
	for _, p := range pairs {
		// A NUL can't be in a variable at all: the command would not start.
		env = append(env, "REBOOTD_"+p.name+"="+strings.Join(strings.Fields(strings.ReplaceAll(p.value, "\x00", " ")), " "))
	}
	return env
}

// shorten bounds what goes into a message.
func shorten(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}
