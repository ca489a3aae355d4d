package agent

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/pkg/config"
	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/pkg/remote"
	"github.com/rebootd/rebootd/pkg/silence"
)

const (
	// silenceBeyond is how much longer than --reboot-timeout a silence lasts from when it was last extended. So it needs no word
	// with Alertmanager right before the reboot.
	silenceBeyond = 10 * time.Minute
	// silenceExtend is how often it is extended.
	silenceExtend = 5 * time.Minute
	// silenceTimeout bounds all that is done about it at once.
	silenceTimeout    = 30 * time.Second
	silenceRetryFirst = 5 * time.Second
	silenceRetryMost  = 5 * time.Minute
)

// Silencer makes the alerts about a node silent, until a time that may be set again.
type Silencer interface {
	Set(ctx context.Context, n silence.Node, until time.Time) error
	// End lets what Set did end then, or at once if that is past; also what an earlier process did.
	End(ctx context.Context, n silence.Node, until time.Time) error
}

// Silence is what becomes of the alerts about this node while it is out.
type Silence struct {
	// By is nil if nothing does.
	By Silencer
	// Linger is how long they stay silent when it is back.
	Linger time.Duration
}

// silenceWork is what is done about the silence, beside the loop: nothing waits for it. The loop says on each look how it should be.
type silenceWork struct {
	mu sync.Mutex
	wg sync.WaitGroup
	// node is what was silenced last, or is to be.
	node silence.Node
	// is is how it is as far as this process knows, from when until it is to be extended.
	is     silenced
	extend time.Time
	// doing is what is being done; cancel ends that.
	doing  silenced
	cancel context.CancelFunc
	// last is when every silence is over that there may be. Zero: this process has done nothing about it.
	last time.Time
	// fails counts the tries in a row that failed. The next is at retry, unless it is for something else than the last one tried.
	fails int
	tried silenced
	retry time.Time
}

// silenced is how it is, or should be, with the alerts about this node.
type silenced int

const (
	// unknownYet is how it is after a start.
	unknownYet silenced = iota
	// silent is for a node that is out.
	silent
	// fading is for one that is in service again: what alerts there are end soon.
	fading
	// loud is for one that doesn't come back: somebody has to hear of it.
	loud
)

// silencedBy is how a record wants it. A node that isn't back in time is none that one knows of.
func silencedBy(r plan.Record, patience time.Duration, now time.Time) silenced {
	since := now
	switch r.Phase {
	case plan.Rebooting:
		since = r.LastAttempt
		if r.Issued.After(since) {
			since = r.Issued
		}
	case plan.Recovering:
		since = r.Since
	default:
	}
	switch {
	case !r.Out():
		return fading
	case now.Sub(since) >= patience:
		return loud
	}
	return silent
}

// lately reports whether a node in service was out so lately that an earlier process may have left a silence.
func lately(r plan.Record, within time.Duration, now time.Time) bool {
	if h := r.History; len(h) > 0 && now.Sub(h[len(h)-1].In) < within {
		return true
	}
	return r.Phase == plan.Settle || r.BackOff != nil && now.Sub(r.Since) < within
}

// keepSilent begins what is to be done about the silence, if anything is.
func (a *Agent) keepSilent(n *corev1.Node, r plan.Record) {
	if a.Silence.By == nil {
		return
	}
	now, w := a.Now(), &a.silence
	lasts := a.Policy.RebootTimeout + silenceBeyond + a.Silence.Linger
	want := silencedBy(r, a.Policy.RebootTimeout, now)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.last.IsZero() && want == fading && !lately(r, lasts, now) || w.over(now) && want != silent {
		if w.doing != unknownYet {
			w.cancel() // what still becomes of it is of no interest
		}
		w.settle(want)
	}
	if !w.due(want, now) {
		return
	}
	if w.last.IsZero() || want == silent {
		w.last = now.Add(lasts)
	}
	if w.node.Name == "" || want == silent && n != nil {
		w.node = addressed(a.NodeName, n)
	}
	until := map[silenced]time.Duration{silent: lasts, fading: a.Silence.Linger}[want]
	w.start(a, want, now.Add(until))
}

// over reports whether every silence has ended by itself.
func (w *silenceWork) over(now time.Time) bool { return !w.last.IsZero() && now.After(w.last) }

// due reports whether there is something to do now. What is being done for something else is ended first.
func (w *silenceWork) due(want silenced, now time.Time) bool {
	if w.doing != unknownYet {
		if w.doing != want {
			w.cancel() // its end wakes the loop
		}
		return false
	}
	if w.tried == want && now.Before(w.retry) {
		return false
	}
	return w.is != want || want == silent && !now.Before(w.extend)
}

// start does it. The lock is held.
func (w *silenceWork) start(a *Agent, want silenced, until time.Time) {
	ctx, cancel := context.WithTimeout(context.Background(), silenceTimeout)
	w.doing, w.tried, w.cancel = want, want, cancel
	node := w.node
	w.wg.Go(func() {
		defer a.Wake()
		defer cancel()
		do := a.Silence.By.End
		if want == silent {
			do = a.Silence.By.Set
		}
		err := do(ctx, node, until)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.doing = unknownYet
		if ctx.Err() == context.Canceled {
			w.is = unknownYet // it may have come about
			return
		}
		a.Tell.Metrics.Silenced(err == nil)
		w.ended(a, want, until, err)
	})
}

// ended notes how it went. That it fails is told once; no reboot waits for it.
func (w *silenceWork) ended(a *Agent, is silenced, until time.Time, err error) {
	if err == nil {
		if w.fails > 0 {
			a.Log.Info("The silence in Alertmanager (--silence-alerts) is as it should be again.")
		}
		w.settle(is)
		w.extend = a.Now().Add(silenceExtend - a.upTo(silenceExtend/20))
		a.Log.WithField("until", until.UTC().Format(time.RFC3339)).Debug("The alerts about this node are silent in Alertmanager until then.")
		return
	}
	if w.fails == 0 {
		what := "ended; it ends by itself"
		if is == silent {
			what = "set or extended; alerts about this node may be heard"
		}
		a.Log.WithError(err).Warnf("The silence in Alertmanager (--silence-alerts) can't be %s. It is tried again; the reboot doesn't wait for it.", what)
	}
	w.is = unknownYet
	w.retry = a.soon(min(silenceRetryFirst<<min(w.fails, 10), silenceRetryMost))
	w.fails++
}

// settle notes that nothing more is to be done for now.
func (w *silenceWork) settle(is silenced) { w.is, w.fails, w.retry = is, 0, time.Time{} }

// soon is how long it is until a try that is to be made again, or 0.
func (w *silenceWork) soon(now time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return max(0, w.retry.Sub(now))
}

// forget leaves the silence to another agent for this node.
func (w *silenceWork) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.doing != unknownYet {
		w.cancel()
	}
	w.settle(unknownYet)
	w.node, w.last = silence.Node{}, time.Time{}
}

// stop ends what is being done, and waits for that. A silence stays as it is.
func (w *silenceWork) stop() {
	w.forget()
	w.wg.Wait()
}

// addressed is the node as matchers may name it.
func addressed(name string, n *corev1.Node) silence.Node {
	to := silence.Node{Name: name}
	if n == nil {
		return to
	}
	for _, a := range n.Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			to.IPs = append(to.IPs, a.Address)
		}
	}
	return to
}

// silencer is the one that was configured. A dry run has none.
func silencer(c config.Config, version string, now func() time.Time) (Silence, error) {
	s := Silence{Linger: c.SilenceLinger}
	if !c.SilenceAlerts || c.DryRun {
		return s, nil
	}
	k := silence.Keeper{Matchers: c.SilenceMatchers, Cluster: c.ClusterName, Now: now}
	if len(k.Matchers) == 0 {
		k.Matchers = silence.Default()
	}
	for _, address := range c.AlertmanagerURLs {
		server, err := remote.New(address, c.AlertmanagerHTTPConfig, name+"/"+version)
		if err != nil {
			return s, fmt.Errorf("--alertmanager-url: %w", err)
		}
		k.Servers = append(k.Servers, server)
	}
	s.By = k
	return s, nil
}
