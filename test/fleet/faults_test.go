package fleet

import (
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/rebootd/rebootd/test/fleet/sim"
)

var errNoWay = errors.New("dial tcp: i/o timeout")

const (
	// dialing is how long a connection is tried.
	dialing = 30 * time.Second
	// latest is how late a request may be carried out: a server gives up what it couldn't do in a minute.
	latest = time.Minute
)

// meddle is what becomes of a call of this machine's agent.
func (b *box) meddle(p *sim.Process, call sim.Call) sim.Outcome {
	c := newChance(b.w.seed, fmt.Sprintf("%s %d %s %s %s %d", b.Name, p.Number, call.Verb, call.Kind.Resource, call.Name, call.Number))
	usual := sim.Outcome{Arrives: c.between(100*time.Microsecond, 10*time.Millisecond), Answers: c.between(100*time.Microsecond, 10*time.Millisecond)}
	if cut := b.cutFor(); cut > 0 {
		if cut > dialing {
			return sim.Outcome{Arrives: c.between(dialing, dialing+time.Second), Before: errNoWay}
		}
		usual.Arrives += cut
		return usual
	}
	if call.Initial && b.w.noInitial {
		return sim.Outcome{Before: apierrors.NewInvalid(corev1.SchemeGroupVersion.WithKind("ListOptions").GroupKind(), "", nil)}
	}
	if c.IntN(1000) >= b.w.callFaults || b.w.isCalm() {
		return usual
	}
	out, kind, what := b.fault(c, p, call, usual)
	b.w.fault(kind)
	b.charge(2 * time.Minute)
	b.w.tell(b.Name, "%s %s %s: %s", call.Verb, call.Kind.Resource, call.Name, what)
	return out
}

// cutFor is how long there is no way to the server.
func (b *box) cutFor() time.Duration {
	var until time.Time
	b.Set(func() { until = b.cutUntil })
	b.w.mu.Lock()
	if b.w.outUntil.After(until) {
		until = b.w.outUntil
	}
	b.w.mu.Unlock()
	return time.Until(until)
}

// fault chooses what goes wrong with a call.
func (b *box) fault(c chance, p *sim.Process, call sim.Call, usual sim.Outcome) (out sim.Outcome, kind, what string) {
	switch n := c.IntN(12); {
	case n < 2:
		usual.Before = refusals(call)[c.IntN(5)]
		return usual, "refused", "refused: " + usual.Before.Error()
	case n < 4:
		usual.After = errors.New("connection reset by peer")
		return usual, "answer lost", "its answer is lost"
	case n == 4:
		usual.Arrives = c.between(11*time.Second, dialing)
		return usual, "timeout, not done", "times out, not done"
	case n == 5:
		usual.Answers = c.between(11*time.Second, dialing)
		return usual, "timeout, done", "times out, done"
	case n < 8 && call.Writes():
		usual.Late = c.between(time.Millisecond, latest)
		return usual, "timeout, done late", fmt.Sprintf("times out, and is done in %s", usual.Late.Round(time.Millisecond))
	case n == 8:
		usual.Before = sim.ErrCrash
		p.Die()
		return usual, "crash before a call", "the process dies before it"
	case n == 9:
		usual.After = sim.ErrCrash
		b.w.wg.Go(func() {
			time.Sleep(usual.Arrives)
			p.Die()
		})
		return usual, "crash after a call", "the process dies before the answer"
	default:
		usual.Arrives, usual.Answers = c.between(0, 4*time.Second), c.between(0, 5*time.Second)
		return usual, "slow", "slow"
	}
}

// refusals are five ways to say no.
func refusals(call sim.Call) []error {
	return []error{
		apierrors.NewServiceUnavailable("no leader"),
		apierrors.NewTooManyRequests("too many", 1),
		apierrors.NewInternalError(errors.New("etcdserver: request timed out")),
		errors.New("dial tcp: connection refused"),
		expiredOr(call),
	}
}

func expiredOr(call sim.Call) error {
	if call.Verb == "watch" || call.Verb == "list" {
		return apierrors.NewResourceExpired("too old resource version")
	}
	return apierrors.NewConflict(call.Kind, call.Name, errors.New("said for no reason"))
}

// due is when an event of a watch arrives: in order, late, and not before the way is open again.
func (b *box) due(process int) func() time.Time {
	c := newChance(b.w.seed, fmt.Sprintf("watch %s %d", b.Name, process))
	var mu sync.Mutex
	return func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		at := time.Now().Add(c.between(50*time.Microsecond, 20*time.Millisecond))
		if b.w.isCalm() {
			return at
		}
		if c.one(3) {
			at = at.Add(c.between(0, b.w.lag))
		}
		if cut := b.cutFor(); cut > 0 {
			at = at.Add(cut)
		}
		var lag time.Time
		b.Set(func() { lag = b.lagUntil })
		if lag.After(at) {
			at = lag.Add(c.between(0, 100*time.Millisecond))
		}
		return at
	}
}
