package notify

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/nicholas-fedor/shoutrrr/pkg/router"
	"github.com/sirupsen/logrus"
)

const (
	// queued is how many notices may wait for a service. When there are more, the oldest goes.
	queued = 100
	// attempts is how often a notice is tried, firstPause the time after the first time; it grows by pauseGrows each time.
	attempts   = 5
	firstPause = 2 * time.Second
	pauseGrows = 4
	// atOnce bounds one attempt.
	atOnce = 20 * time.Second
	// farewell is how long the last notices may take when the agent ends: the reboot's own is among them.
	farewell = 3 * time.Second
)

var errNoAnswer = errors.New("the service gave no answer in time")

// Result is what became of a notice.
type Result string

// The results.
const (
	Sent    Result = "sent"
	Failed  Result = "failed"
	Dropped Result = "dropped"
)

// Results returns all results.
func Results() []Result { return []Result{Sent, Failed, Dropped} }

// Notifier sends notices to all services that are configured, to each beside the others.
type Notifier struct {
	// On are the events that are sent.
	On        map[Event]bool
	Templates Templates
	Log       logrus.FieldLogger
	// Count is told what became of each notice to each service.
	Count func(Result)

	lines []*line
}

// line is what waits for one service.
type line struct {
	name string
	send func(text string) error

	mu      sync.Mutex
	waiting []string
	news    chan struct{}
}

// Add adds a service. It returns an error, without the URL in it, if nothing can be sent to it.
func (n *Notifier) Add(raw string) error {
	kind, err := kindOf(raw)
	if err != nil {
		return err
	}
	n.add(fmt.Sprintf("%s (URL %d)", kind, len(n.lines)+1), service{raw: raw, locate: new(router.ServiceRouter).Locate}.send)
	return nil
}

func (n *Notifier) add(name string, send func(string) error) {
	n.lines = append(n.lines, &line{name: name, send: send, news: make(chan struct{}, 1)})
}

// Tell takes a notice to be sent. It never blocks.
func (n *Notifier) Tell(notice Notice) {
	if !n.On[notice.Event] {
		return
	}
	text, err := n.Templates.text(notice)
	if err != nil {
		n.Log.WithError(err).Warn("The template of a notice (--notify-template) fails; the notice reads as by default.")
	}
	if strings.TrimSpace(text) == "" {
		return // a template's way of saying that this one is not to be sent
	}
	for _, l := range n.lines {
		if l.put(text) {
			n.Count(Dropped)
			n.Log.WithField("service", l.name).Warn("Too many notices wait for a service; the oldest is dropped.")
		}
	}
}

// put reports whether one had to go for it.
func (l *line) put(text string) (dropped bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = append(l.waiting, text)
	if len(l.waiting) > queued {
		l.waiting, dropped = l.waiting[1:], true
	}
	select {
	case l.news <- struct{}{}:
	default:
	}
	return dropped
}

func (l *line) next() (string, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) == 0 {
		return "", false
	}
	text := l.waiting[0]
	l.waiting = l.waiting[1:]
	return text, true
}

// Run sends until ctx ends, and what waits then once more, for a short time.
func (n *Notifier) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for _, l := range n.lines {
		wg.Go(func() { n.serve(ctx, l) })
	}
	wg.Wait()
}

func (n *Notifier) serve(ctx context.Context, l *line) {
	for ctx.Err() == nil {
		text, ok := l.next()
		if !ok {
			select {
			case <-ctx.Done():
			case <-l.news:
			}
			continue
		}
		n.deliver(ctx, l, text)
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer cancel()
	for last.Err() == nil {
		text, ok := l.next()
		if !ok {
			return
		}
		n.result(l, try(ctx, l, text))
	}
}

// deliver tries until it is sent, ctx ends, or it was tried often enough.
func (n *Notifier) deliver(ctx context.Context, l *line, text string) {
	pause := firstPause
	for i := 1; ; i++ {
		err := try(ctx, l, text)
		if err == nil || i == attempts {
			n.result(l, err)
			return
		}
		n.Log.WithError(err).WithField("service", l.name).Debug("A notice was not sent; it is tried again.")
		select {
		case <-ctx.Done():
			n.result(l, err)
			return
		case <-time.After(pause + rand.N(pause/4)): //nolint:gosec // it spreads, and keeps no secret
		}
		pause *= pauseGrows
	}
}

func (n *Notifier) result(l *line, err error) {
	if err != nil {
		n.Count(Failed)
		n.Log.WithError(err).WithField("service", l.name).Warn("A notice was not sent.")
		return
	}
	n.Count(Sent)
}

// try sends once. What takes too long, above all once ctx has ended, is left behind: the library knows no context.
func try(ctx context.Context, l *line, text string) error {
	done := make(chan error, 1)
	go func() { done <- l.send(text) }()
	late := time.NewTimer(atOnce)
	defer late.Stop()
	ended := ctx.Done()
	for {
		select {
		case err := <-done:
			return err
		case <-ended:
			ended = nil
			late.Reset(farewell)
		case <-late.C:
			return errNoAnswer
		}
	}
}
