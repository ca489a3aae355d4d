package agent

import (
	"context"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/rebootd/rebootd/pkg/node"
)

// Two agents may find themselves working for one node: a second release, an update that overlaps. The Node says whose turn
// it is, and the later one waits. It can't see whether the other still lives, so it asks: it writes its
// own identity beside the other's; a living agent, who watches its Node anyway, takes that off again. An agent
// that is alone never writes more than its name, once.
const (
	// answerWithin is how long a living agent has to answer.
	answerWithin = 5 * time.Second
	// askAgain is between two questions to an agent that answers.
	askAgain = 30 * time.Second
)

// claim is this agent's side of the question.
type claim struct {
	me      string
	askedAt time.Time
	// answeredAt is when the other was last seen to live.
	answeredAt time.Time
	told       string
}

// holds reports whether this agent is the one that works for the node.
func (c *claim) holds(n *corev1.Node) bool { return n.Annotations[node.AgentAnnotation] == c.me }

// claimStep is what to write: nil is nothing.
type claimStep struct {
	mine  bool
	write map[string]any
	again time.Duration
}

// next decides on the claim from what the Node says. An agent of an earlier boot can't be alive.
func (c *claim) next(holder, call, bootID string, now time.Time) claimStep {
	take := claimStep{write: map[string]any{node.AgentAnnotation: c.me, node.CallAnnotation: nil}}
	asked := call == c.me && !c.askedAt.IsZero()
	switch {
	case holder == c.me:
		return c.answer(call)
	case holder == "" || bootID != "" && !strings.HasSuffix(holder, "@"+bootID):
		return take
	case asked && now.Sub(c.askedAt) >= answerWithin:
		return take
	case asked:
		return claimStep{again: c.askedAt.Add(answerWithin).Sub(now)}
	case !c.askedAt.IsZero() && call == "": // our question was taken off: the other lives
		c.askedAt, c.answeredAt = time.Time{}, now
		return claimStep{again: askAgain}
	case !c.answeredAt.IsZero() && now.Sub(c.answeredAt) < askAgain:
		return claimStep{again: c.answeredAt.Add(askAgain).Sub(now)}
	}
	return claimStep{write: map[string]any{node.CallAnnotation: c.me}, again: answerWithin}
}

// answer takes off another agent's question: this one lives.
func (c *claim) answer(call string) claimStep {
	step := claimStep{mine: true}
	if call != "" {
		step.write = map[string]any{node.CallAnnotation: nil}
	}
	return step
}

// stand settles who works for this node. Until it is this agent, nothing else is done.
func (a *Agent) stand(ctx context.Context, n *corev1.Node) (mine bool, again time.Duration) {
	if a.DryRun || n == nil {
		return true, 0
	}
	bootID, _ := a.BootID() // unknown: then only an answer, or none, settles it
	holder := n.Annotations[node.AgentAnnotation]
	c := &a.claim
	step := c.next(holder, n.Annotations[node.CallAnnotation], bootID, a.Now())
	if step.write != nil {
		ctx, cancel := context.WithTimeout(ctx, requestTimeout)
		defer cancel()
		after, err := a.Writer.Annotate(ctx, n, step.write)
		switch {
		case apierrors.IsConflict(err):
			a.unsettled = true
			return false, atOnce
		case err != nil:
			a.unsettled = true
			a.why.Store(err.Error())
			return false, a.trouble.with(err, a.Now())
		}
		a.self.Put(after)
		if _, asks := step.write[node.CallAnnotation]; asks && !step.mine && step.again > 0 {
			c.askedAt = a.Now()
		} else {
			step.again = atOnce
		}
	}
	if !step.mine {
		a.aside(holder, step)
		return false, step.again + a.upTo(step.again/4) // a second release asks on every node
	}
	c.told = ""
	return true, 0
}

// aside stops what this agent had begun: another one works for the node.
func (a *Agent) aside(holder string, step claimStep) {
	a.drain.stop()
	a.command.forget()
	a.silence.forget()
	if step.again != atOnce && a.claim.told != holder {
		a.claim.told = holder
		a.Log.WithField("other", holder).Warn("Another rebootd works for this node, or did until just now; waiting until it stops.")
	}
	if !a.claim.answeredAt.IsZero() {
		a.ready.Store(true) // waiting is all that this agent is to do, and an update waits for it to be ready
	}
}
