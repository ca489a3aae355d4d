package sentinel

import (
	"context"
	"fmt"
	"hash/fnv"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/rebootd/rebootd/pkg/plan"
)

// uptimeFile is the kernel's, the same in every container.
const uptimeFile = "/proc/uptime"

// Uptime asks for a reboot of a machine that has been up for long. A part of the limit, a tenth at most, is taken off by
// the node's name, so that machines which were started together don't fall due together.
type Uptime struct {
	Limit time.Duration
	// Node is the name that spreads the limit.
	Node string
	// File is read in the place of /proc/uptime, if it isn't empty.
	File string
}

// Look compares the time since the boot, as the kernel counts it, with this node's limit.
func (u Uptime) Look(context.Context) plan.Wanted {
	by := []string{"uptime"}
	up, err := u.Up()
	if err != nil {
		return unknown(fmt.Sprintf("reading how long the machine has been up (--max-uptime): %v", err), by)
	}
	if due := u.Due(); up >= due {
		return plan.Wanted{Answer: plan.Yes, Reason: plan.RebootRequired, By: by, Message: fmt.Sprintf(
			"The machine has been up for %s; this node's limit is %s (--max-uptime=%s, less up to a tenth by the node's name).",
			rounded(up), rounded(due), u.Limit)}
	}
	return plan.Wanted{Answer: plan.No, Reason: plan.NotRequired, Message: "The machine has not been up for too long.", By: by}
}

// Due is this node's own limit.
func (u Uptime) Due() time.Duration {
	h := fnv.New32a()
	_, _ = h.Write([]byte(u.Node)) // a hash.Hash never returns an error
	return u.Limit - time.Duration(float64(u.Limit)/10*float64(h.Sum32())/(1<<32))
}

// Up is how long the machine has been up.
func (u Uptime) Up() (time.Duration, error) {
	file := u.File
	if file == "" {
		file = uptimeFile
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(text), " ")
	const longest = 1e9 // seconds; 30 years
	seconds, err := strconv.ParseFloat(strings.TrimSpace(first), 64)
	if err != nil || !(seconds >= 0 && seconds < longest) {
		return 0, fmt.Errorf("%s says %q, not a number of seconds", file, first)
	}
	return time.Duration(seconds * float64(time.Second)), nil
}

// rounded changes seldom, so that the message does too.
func rounded(d time.Duration) time.Duration {
	for _, unit := range []time.Duration{time.Hour, time.Minute} {
		if d >= 10*unit {
			return d.Truncate(unit)
		}
	}
	return d.Truncate(time.Second)
}
