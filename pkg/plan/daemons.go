package plan

import (
	"fmt"
	"strings"
	"time"
)

// daemonsLimit bounds the DaemonSets that a record remembers. anyDaemon stands for all of them, when more than that weren't ready.
const (
	daemonsLimit = 40
	anyDaemon    = "*"
)

// Daemon is a DaemonSet that has a pod on this node.
type Daemon struct {
	// Name is namespace/name.
	Name string
	// Ready is whether its pod is, by the last that the kubelet said; that may have been before the reboot.
	Ready bool
	// Containers tells its pod's containers from those of another boot: no container outlives one.
	Containers string
	// Started is when the first of the containers that run began to. Zero: none runs.
	Started time.Time
	// Why says in a few words why the pod isn't ready.
	Why string
}

// watched is the record with what is to be known of the DaemonSets after the reboot: the containers of each, or nothing of one
// whose pod isn't ready, for that one isn't waited for. Of what was ready at the cordon the drain itself may have made
// something unready since; it is waited for.
func (r Record) watched(daemons []Daemon) Record {
	if len(daemons) == 0 {
		return r
	}
	known, sick := map[string]string{}, 0
	for _, ready := range []bool{false, true} { // the unready first: they are what must be remembered
		for _, d := range daemons {
			before, knew := r.Daemons[d.Name]
			switch fit := !r.passes(d) && (d.Ready || knew && before != ""); {
			case fit != ready:
			case !fit:
				known[d.Name] = ""
				sick++
			case len(known) < daemonsLimit:
				known[d.Name] = d.Containers
			}
		}
	}
	if sick > daemonsLimit {
		known = map[string]string{anyDaemon: ""}
	}
	r.Daemons = known
	return r
}

// passes reports whether a DaemonSet isn't waited for after the reboot: it wasn't ready before either.
func (r Record) passes(d Daemon) bool {
	containers, known := r.Daemons[d.Name]
	_, all := r.Daemons[anyDaemon]
	return all || known && containers == ""
}

// unready says which DaemonSets' pods are not ready after the reboot, and why; empty if all are that are to be waited for.
func unready(o Observation) string {
	const named = 3
	var waits []string
	for _, d := range o.Daemons {
		switch {
		case o.Record.passes(d):
		case !d.Ready:
			waits = append(waits, fmt.Sprintf("%s (%s)", d.Name, d.Why))
		case stale(o, d):
			waits = append(waits, d.Name+" (the kubelet has not reported on it since the reboot)")
		}
	}
	if len(waits) == 0 {
		return ""
	}
	text := strings.Join(waits[:min(named, len(waits))], ", ")
	if more := len(waits) - named; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// stale reports whether what is said of the pod is of a boot that ended. Containers that ran before the reboot prove it, whatever
// the clock says; where they aren't known, or it has rebooted once more since, the time at which they started has to do.
func stale(o Observation, d Daemon) bool {
	before := o.Record.Daemons[d.Name]
	if before != "" && (d.Containers == before || o.BootID == o.Record.BootID) {
		return d.Containers == before
	}
	return d.Started.Before(o.BootedAt)
}
