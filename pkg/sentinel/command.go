package sentinel

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kballard/go-shellquote"

	"github.com/rebootd/rebootd/pkg/plan"
)

// lastPlainCode is the last exit code that a program gives of its own: 126 and 127 are a shell's that could not run it,
// those above stand for a signal.
const lastPlainCode = 125

// again is how soon a command that gave no answer runs again, at the latest: its tool may only have been busy.
const again = time.Minute

// Exit is how a command ended.
type Exit struct {
	// Missing is true if the command isn't there.
	Missing bool
	// Exited is true if it ended by itself, and Code is valid only then. Err says what went wrong if it isn't.
	Exited bool
	Code   int
	Output string
	Err    error
}

// Check is a command whose exit code says whether a reboot is wanted.
type Check struct {
	// Argvs is one command line, or several of which the first counts that is there.
	Argvs [][]string
	// Yes and No are the exit codes that mean so; anything else is unknown. Without No, every other code up to 125 means no.
	Yes, No []int
	// Says must be in the output of a yes, or it is unknown: a tool that gives the same code for an error needs it.
	Says string
	// From is the option that it is from, for messages; empty is --reboot-sentinel-command.
	From string
}

// Command runs a check beside the loop, and answers with what came of it last. It must be made by NewCommand.
type Command struct {
	check Check
	// run runs a command to its end, or until its timeout.
	run func(ctx context.Context, argv []string) Exit
	// every is between two runs, old what makes an answer too old.
	every, old time.Duration
	chance     func() float64
	now        func() time.Time
	hurry      chan struct{}

	mu     sync.Mutex
	answer plan.Wanted
	asked  time.Time // when the run began that the answer is from; zero: none has ended yet
	first  time.Time // when the first run began
	began  time.Time // when the run began that is under way; zero: none is
}

// Pace is when a command runs.
type Pace struct {
	// Every is between two runs, or up to a quarter less by Chance, a random number from 0 up to 1; nil: no less. Timeout is how long one may take.
	Every, Timeout time.Duration
	Chance         func() float64
	// Now is the clock.
	Now func() time.Time
}

// NewCommand returns a check that nothing runs yet: see Watch. An answer is too old, and counts as unknown, when so much time
// has passed that the next one must have come.
func NewCommand(c Check, run func(context.Context, []string) Exit, p Pace) *Command {
	c.From = cmp.Or(c.From, "--reboot-sentinel-command")
	if p.Chance == nil {
		p.Chance = func() float64 { return 0 }
	}
	return &Command{
		check: c, run: run, every: p.Every, chance: p.Chance, old: p.Every + 2*p.Timeout + time.Minute, now: p.Now, hurry: make(chan struct{}, 1),
	}
}

// Watch runs the check now, then whenever its time has come or Asked wants it, until ctx ends. It calls wake after each run.
func (c *Command) Watch(ctx context.Context, wake func()) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-c.hurry:
		}
		began := c.begin()
		answer := c.ask(ctx)
		if ctx.Err() != nil {
			return // what came of a run that was cut off says nothing
		}
		c.mu.Lock()
		c.answer, c.asked, c.began = answer, began, time.Time{}
		c.mu.Unlock()
		wake()
		next := c.every
		if answer.Answer == plan.Unknown {
			next = min(next, again)
		}
		timer.Reset(next - time.Duration(c.chance()*float64(next/4)))
	}
}

// begin notes that a run begins. It is the one that anybody wanted so far: without that, one who asked just before would be given
// a second run, and a step that waits for the next answer would wait for a third.
func (c *Command) begin() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.hurry:
	default:
	}
	c.began = c.now()
	if c.first.IsZero() {
		c.first = c.began
	}
	return c.began
}

// Asked reports whether there is an answer from a run that began at that time or later; the zero time is satisfied with any,
// and with none when the first run should have ended long ago. If there is no such answer, a run is begun.
func (c *Command) Asked(since time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if since.IsZero() && !c.first.IsZero() && c.now().Sub(c.first) > c.old {
		return true
	}
	if !c.asked.IsZero() && !c.asked.Before(since) {
		return true
	}
	if c.began.IsZero() || c.began.Before(since) {
		select {
		case c.hurry <- struct{}{}:
		default:
		}
	}
	return false
}

// Look is the last answer.
func (c *Command) Look(context.Context) plan.Wanted {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.asked.IsZero():
		return unknown(fmt.Sprintf("the command %s (%s) has not ended yet.", c.shown(0), c.check.From), c.by(0))
	case c.now().Sub(c.asked) > c.old:
		w := unknown(fmt.Sprintf("the command %s (%s) has not ended since %s.", c.shown(0), c.check.From, c.asked.UTC().Format(time.RFC3339)), c.by(0))
		w.At = c.asked
		return w
	}
	w := c.answer
	w.At = c.asked
	return w
}

// ask runs the first command that is there.
func (c *Command) ask(ctx context.Context) plan.Wanted {
	var exit Exit
	last := 0
	for i, argv := range c.check.Argvs {
		exit, last = c.run(ctx, argv), i
		if !exit.Missing {
			break
		}
	}
	return c.judge(last, exit)
}

func (c *Command) judge(i int, x Exit) plan.Wanted {
	yes := x.Exited && slices.Contains(c.check.Yes, x.Code)
	no := x.Exited && slices.Contains(c.check.No, x.Code)
	if x.Exited && len(c.check.No) == 0 {
		no = !yes && x.Code <= lastPlainCode
	}
	switch {
	case yes && !strings.Contains(x.Output, c.check.Says):
		return c.unclear(i, fmt.Sprintf("ended with exit code %d, but did not say %q", x.Code, c.check.Says), x.Output)
	case yes:
		names := packageNames(strings.NewReader(x.Output), packageOf)
		return plan.Wanted{Answer: plan.Yes, Reason: plan.RebootRequired, By: c.by(i), Packages: names, Message: fmt.Sprintf(
			"The command %s asks for a reboot (exit code %d)%s.", c.shown(i), x.Code, clause(names))}
	case no:
		return plan.Wanted{Answer: plan.No, Reason: plan.NotRequired, By: c.by(i), Message: fmt.Sprintf(
			"The command %s asks for none (exit code %d).", c.shown(i), x.Code)}
	case x.Exited:
		return c.unclear(i, fmt.Sprintf("ended with exit code %d, which means neither yes nor no (--sentinel-command-yes, --sentinel-command-no)", x.Code), x.Output)
	}
	return c.unclear(i, fmt.Sprintf("gave no answer: %v", x.Err), x.Output)
}

func (c *Command) unclear(i int, what, output string) plan.Wanted {
	why := fmt.Sprintf("the command %s (%s) %s", c.shown(i), c.check.From, what)
	if output = plan.OneLine(output); output != "" {
		why += ": " + strings.TrimSuffix(shorten(output), ".")
	}
	return unknown(why+".", c.by(i))
}

func (c *Command) by(i int) []string { return []string{"command " + c.shown(i)} }

func (c *Command) shown(i int) string { return shorten(shellquote.Join(c.check.Argvs[i]...)) }

// packageOf is the package that a line of needs-restarting names: "  * kernel", or "  kernel -> 3.10.0-1" from the older one.
func packageOf(line string) string {
	if name, ok := strings.CutPrefix(strings.TrimSpace(line), "* "); ok {
		return name
	}
	if name, _, ok := strings.Cut(line, " -> "); ok {
		return name
	}
	return ""
}

// shorten bounds what goes into a message: the end of an output says what went wrong, but the beginning is what people know.
func shorten(s string) string {
	const limit = 300
	return plan.Clip(s, limit)
}
