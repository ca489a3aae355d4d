package agent

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/pkg/host"
	"github.com/rebootd/rebootd/pkg/node/drain"
	"github.com/rebootd/rebootd/pkg/plan"
)

// drainWork is the drain that runs beside the loop, so that the loop goes on looking.
type drainWork struct {
	mu     sync.Mutex
	cancel context.CancelFunc
	ended  chan struct{}
	way    drain.Way
	now    plan.DrainState
	// failedAt is when a drain that couldn't work ended.
	failedAt time.Time
}

func (d *drainWork) state() plan.DrainState {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.now
}

// drainRetry is how long after a drain that couldn't work the next one is tried, or up to a quarter later.
const drainRetry = 10 * time.Second

// begun reports whether there is nothing to start: the drain is under way, or done and not forgotten, or has just failed.
func (d *drainWork) begun(now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	failed := d.now.Work == plan.Failed && now.Sub(d.failedAt).Abs() < drainRetry
	return d.now.Work == plan.Running || d.now.Work == plan.Done || failed
}

func (d *drainWork) set(s plan.DrainState) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now = s
}

func (d *drainWork) fail(err error, now time.Time) {
	d.set(plan.DrainState{Work: plan.Failed, Message: err.Error()})
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failedAt = now
}

func (d *drainWork) start(a *Agent, way drain.Way) {
	ctx, cancel := context.WithCancel(context.Background())
	d.cancel, d.ended, d.way = cancel, make(chan struct{}), way
	d.set(plan.DrainState{Work: plan.Running})
	go func() {
		defer close(d.ended)
		err := a.Drainer.Drain(ctx, way, func(p drain.Progress) {
			d.set(plan.DrainState{Work: plan.Running, Message: progress(p), Blocked: blockedByPDB(p)})
			a.Wake()
		})
		switch {
		case err == nil:
			d.set(plan.DrainState{Work: plan.Done, DoneSince: a.Now()})
		case ctx.Err() == nil:
			a.Log.WithError(err).Error("The drain can't work.")
			a.Tell.Metrics.DrainCantWork()
			d.fail(err, a.Now().Add(a.upTo(drainRetry/4)))
		}
		a.Wake()
	}()
}

// stop ends a drain, and forgets one that has ended, but for what it said last. It returns when no further eviction can be sent.
func (d *drainWork) stop() {
	if d.cancel == nil {
		return
	}
	d.cancel()
	<-d.ended
	d.cancel = nil
	d.set(plan.DrainState{Message: d.state().Message})
}

func progress(p drain.Progress) string {
	text := fmt.Sprintf("%d of %d pods are gone.", p.Gone, p.Total)
	switch p.Round {
	case 1:
		text += fmt.Sprintf(" Round 1 of 2; %d are left for the end (--drain-last-selector).", p.Last)
	case 2:
		text += " Round 2 of 2, those left for the end (--drain-last-selector)."
	}
	const named = 3
	var inTheWay []string
	for _, o := range p.Obstacles {
		if o.Reason != drain.Waiting && len(inTheWay) < named {
			inTheWay = append(inTheWay, o.String())
		}
	}
	if len(inTheWay) == 0 {
		return text
	}
	text += " In the way: " + strings.Join(inTheWay, "; ")
	if more := len(p.Obstacles) - len(inTheWay); more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return text + "."
}

func blockedByPDB(p drain.Progress) bool {
	for _, o := range p.Obstacles {
		if o.Reason == drain.PDB {
			return true
		}
	}
	return false
}

// commandWork is the reboot command that runs beside the loop.
type commandWork struct {
	mu      sync.Mutex
	tracked bool // this process knows what became of every attempt, or has noted its doubt
	attempt int  // the number of the one that runs, to tell a late end of an earlier one
	now     plan.CommandState
	// hoped is the announcement that was sent, and to which no answer came.
	hoped plan.Record
}

// state is what is known of the reboot command. A process that finds a node in Rebooting without having
// written so itself doesn't know whether the command has been run.
func (c *commandWork) state(r plan.Record) plan.CommandState {
	if r.Phase != plan.Rebooting {
		c.forget()
		return plan.CommandState{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if sameAnnouncement(c.hoped, r) {
		c.announce()
	}
	if !c.tracked {
		c.tracked, c.now = true, plan.CommandState{Work: plan.Doubtful, Doubt: true}
	}
	return c.now
}

// forget makes every earlier attempt one that this process knows nothing of.
func (c *commandWork) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tracked, c.now, c.hoped = false, plan.CommandState{}, plan.Record{}
	c.attempt++
}

// announced notes that the record now says that an attempt comes next.
func (c *commandWork) announced() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.announce()
}

func (c *commandWork) announce() {
	c.tracked, c.hoped = true, plan.Record{}
	c.now.Work = plan.NotStarted
}

// hope notes that the record may say so now: the answer was lost.
func (c *commandWork) hope(r plan.Record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hoped = r
}

// sameAnnouncement reports whether two records announce the same attempt.
func sameAnnouncement(a, b plan.Record) bool {
	return a.Attempts > 0 && a.Attempts == b.Attempts && a.LeaseUID == b.LeaseUID && a.LastAttempt.Equal(b.LastAttempt)
}

func (c *commandWork) running() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now.Work == plan.Running
}

func (c *commandWork) start(a *Agent, n *corev1.Node) {
	c.mu.Lock()
	c.attempt++
	c.now.Work = plan.Running
	attempt := c.attempt
	c.mu.Unlock()
	a.Log.WithField("method", a.Rebooter.String()).Warn("Rebooting this machine now.")
	go func() {
		// Not the loop's context: the reboot stops the agent, and the agent must not stop the reboot.
		res := a.Rebooter.Reboot(context.Background())
		message := describe(a, n, res)
		c.mu.Lock()
		if c.attempt == attempt {
			c.now.Work, c.now.Message = plan.Done, message
			if res.Failed() {
				c.now.Work = plan.Failed
			}
		}
		c.mu.Unlock()
		a.Wake()
	}()
}

// describe tells how the command ended, and returns its failure.
func describe(a *Agent, n *corev1.Node, res host.Result) string {
	log := a.Log.WithFields(logrus.Fields{
		"method": a.Rebooter.String(), "output": res.Output, "seconds": res.Duration.Round(time.Millisecond).Seconds(),
	})
	if res.Exited {
		log = log.WithField("exit_code", res.ExitCode)
	}
	if res.Err != nil {
		log = log.WithError(res.Err)
	}
	switch {
	case res.Err == nil:
		log.Info("The reboot command was given.")
		return ""
	case !res.Failed():
		log.Warn("The reboot command was given; how it ended isn't known.")
		a.Tell.Happened(n, plan.Rebooting, plan.RebootIssued, fmt.Sprintf("The reboot command was given; how it ended isn't known: %v", res.Err))
		return ""
	}
	message := res.Err.Error()
	if out := strings.TrimSpace(res.Output); out != "" {
		message += ": " + out
	}
	a.Tell.Metrics.RebootFailed()
	log.Error("The reboot command failed.")
	a.Tell.Happened(n, plan.Rebooting, plan.RebootFailed, "The reboot command failed: "+message)
	return message
}
