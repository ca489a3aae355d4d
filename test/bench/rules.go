package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// lag is how much later the observer may see one kind of objects than the other: it has a watch for each.
const lag = 2 * time.Second

// wrong notes a promise that was broken.
func (o *observer) wrong(format string, args ...any) {
	o.wrongs = append(o.wrongs, fmt.Sprintf(format, args...))
}

// soon notes a broken promise if something isn't so after the lag. The lock is held, then too.
func (o *observer) soon(ok func() bool, format string, args ...any) {
	time.AfterFunc(lag, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		if !ok() {
			o.wrong(format, args...)
		}
	})
}

// returns looks at a node that was uncordoned: it has rebooted, and is Ready.
func (o *observer) returns(t trip, n *corev1.Node) {
	switch {
	case t.boot == n.Status.NodeInfo.BootID:
		o.wrong("%s was uncordoned in the boot that it was cordoned in", n.Name)
	case !ready(n):
		o.wrong("%s was uncordoned and not Ready", n.Name)
	}
}

// ends looks at a node whose slot is free: it was out only while it held it.
func (o *observer) ends(t trip) {
	for _, step := range []struct {
		what        string
		first, then time.Time
	}{
		{"was cordoned before it held a slot", t.taken, t.cordoned},
		{"was Ready again before its cordon", t.cordoned, t.ready},
		{"was uncordoned before it was Ready", t.ready, t.uncordoned},
		{"gave up its slot before it was uncordoned", t.uncordoned, t.end},
	} {
		if step.first.IsZero() || step.then.Add(lag).Before(step.first) {
			o.wrong("%s %s", t.node, step.what)
		}
	}
}

// broken is an error that says which promises were broken so far; nil: none. limit is how many nodes may be out of service at once.
func (o *observer) broken(limit int) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := o.wrongs
	if o.most > limit {
		all = append(all, fmt.Sprintf("%d nodes were out of service at once, %d may be", o.most, limit))
	}
	if len(all) == 0 {
		return nil
	}
	return errors.New("promises were broken: " + strings.Join(all, "; "))
}

// content is whether a Node says that no reboot is required.
func content(n *corev1.Node) bool { return wanted(n.Name, corev1.ConditionFalse)(n) }

// over is an error that says what isn't as it should be when each machine has rebooted once and all is over; nil: all is.
func (w *world) over(all []*machine) error {
	var wrong []string
	trips, _ := w.seen.saw()
	times := map[string]int{}
	for _, t := range trips {
		times[t.node]++
	}
	for _, m := range all {
		if n := times[m.name]; n != 1 {
			wrong = append(wrong, fmt.Sprintf("%s was out of service %d times", m.name, n))
		}
		if n := w.marks.times(m.name); n != 1 {
			wrong = append(wrong, fmt.Sprintf("the reboot command of %s ran %d times", m.name, n))
		}
	}
	if n := w.seen.count(cordoned); n > 0 {
		wrong = append(wrong, fmt.Sprintf("%d nodes are still cordoned", n))
	}
	if n := len(all) - w.seen.count(content); n > 0 {
		wrong = append(wrong, fmt.Sprintf("%d nodes don't say that no reboot is required", n))
	}
	if len(wrong) == 0 {
		return nil
	}
	return errors.New(strings.Join(wrong, "; "))
}
