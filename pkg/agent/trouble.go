package agent

import (
	"context"
	"fmt"
	"time"

	"github.com/sirupsen/logrus"
	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/pkg/node"
	"github.com/rebootd/rebootd/pkg/plan"
)

const (
	troubleFirst = time.Second
	troubleMost  = 30 * time.Second
	// troubleRetell is how often a trouble that lasts is told again.
	troubleRetell = 10 * time.Minute
	// troubleShown is how long it lasts before the Node says so too.
	troubleShown = 10 * time.Second
)

// trouble tells of errors once, not on every try, and spaces the tries.
type trouble struct {
	log    logrus.FieldLogger
	chance func() float64
	tries  int
	told   string
	at     time.Time
	since  time.Time
}

// with notes an error and returns how long to wait before the next try.
func (t *trouble) with(err error, now time.Time) time.Duration {
	if t.tries == 0 {
		t.since = now
	}
	wait := min(troubleFirst<<min(t.tries, 10), troubleMost)
	t.tries++
	log := t.log.WithError(err).WithField("tries", t.tries)
	if text := err.Error(); text != t.told || now.Sub(t.at) >= troubleRetell {
		t.told, t.at = text, now
		log.Warn("This step failed and is tried again.")
	} else {
		log.Debug("This step failed again.")
	}
	// Half of it at random: after an outage not all agents come back in the same moment.
	return wait/2 + time.Duration(t.chance()*float64(wait/2))
}

// lasts is whether the trouble is more than a moment's.
func (t *trouble) lasts(now time.Time) bool { return t.tries > 1 && now.Sub(t.since) >= troubleShown }

// tellTrouble says on the Node which step fails, if that lasts and the Node can be written at all.
func (a *Agent) tellTrouble(ctx context.Context, n *corev1.Node, o plan.Observation, step plan.Action, err error) {
	message := fmt.Sprintf("The next step (%s) fails, and is tried again: %v", step.Do, err)
	told := plan.InFull(o, o.Record, message)
	if n == nil || a.DryRun || !a.trouble.lasts(a.Now()) || o.Node.Told.Reason == plan.GateError && o.Node.Told.Message == told {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	after, err := a.Writer.Tell(ctx, n, node.Tale{Wanted: o.Wanted.Answer, Reason: plan.GateError, Message: told})
	if err != nil {
		return // the log has it
	}
	a.self.Put(after)
	a.Tell.Say(n, o.Record.Phase, plan.GateError, message)
}

// over notes that a turn went well.
func (t *trouble) over(now time.Time) {
	if t.tries > 0 {
		t.log.WithField("tries", t.tries).Infof("It works again, after %s.", now.Sub(t.since).Round(time.Second))
	}
	t.tries, t.told = 0, ""
}
