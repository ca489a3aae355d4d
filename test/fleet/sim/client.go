package sim

import (
	"context"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
)

// Call is one request of a client.
type Call struct {
	Verb string
	Kind Kind
	// Name is the object's; of a list or a watch, the field selector.
	Name string
	// Number counts this client's calls of this verb, kind and name, from 1.
	Number int
	// Initial is whether a watch is to begin with the present state.
	Initial bool
}

// Writes reports whether the call would change something.
func (c Call) Writes() bool { return c.Verb != "get" && c.Verb != "list" && c.Verb != "watch" }

// Outcome is what becomes of a call. The zero value lets it pass.
type Outcome struct {
	// Arrives is how long it is on its way; the caller may have given up by then, and it isn't carried out.
	Arrives time.Duration
	// Before: it isn't carried out, and this is the answer.
	Before error
	// Late: nobody waits for it any more, but so much later it is carried out all the same.
	Late time.Duration
	// Answers is how long the answer is on its way, After is what comes in its place.
	Answers time.Duration
	After   error
}

// Client is one agent's way to the server.
type Client struct {
	// Name is of the one who calls, for Changed.
	Name string
	// Meddle decides on each call; nil lets all pass.
	Meddle func(Call) Outcome
	// Due is when an event of a watch arrives that is sent now; nil: at once.
	Due func() time.Time
	// Stale is how old a list may be whose asker takes any version; nil: not at all.
	Stale func() time.Duration

	server    *Server
	mu        sync.Mutex
	calls     []Call
	made      map[Call]int
	watches   []*watcher
	keepCalls bool
}

// NewClient returns a client that remembers its calls.
func NewClient(s *Server) *Client { return &Client{server: s, keepCalls: true} }

// Forget stops it from remembering its calls.
func (c *Client) Forget() { c.keepCalls = false }

// Count says how many calls there were of a verb, or of all.
func (c *Client) Count(verb string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, one := range c.calls {
		if verb == "" || one.Verb == verb {
			n++
		}
	}
	return n
}

// Calls are the calls so far.
func (c *Client) Calls() []Call {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Call(nil), c.calls...)
}

func (c *Client) outcome(this Call) Outcome {
	c.mu.Lock()
	if c.made == nil {
		c.made = map[Call]int{}
	}
	like := Call{Verb: this.Verb, Kind: this.Kind, Name: this.Name}
	c.made[like]++
	this.Number = c.made[like]
	if c.keepCalls {
		c.calls = append(c.calls, this)
	}
	c.mu.Unlock()
	if c.Meddle == nil {
		return Outcome{}
	}
	return c.Meddle(this)
}

// do makes one call.
func (c *Client) do(ctx context.Context, this Call, carryOut func() error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	out := c.outcome(this)
	if err := sleep(ctx, out.Arrives); err != nil {
		return err
	}
	if out.Before != nil {
		return out.Before
	}
	if out.Late > 0 {
		time.AfterFunc(out.Late, func() { _ = carryOut() }) // nobody is there to hear how it ended
		<-ctx.Done()
		return ctx.Err()
	}
	err := carryOut()
	if late := sleep(ctx, out.Answers); late != nil {
		return late
	}
	if out.After != nil {
		return out.After
	}
	return err
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// selector is what a list or a watch asks for: by label and, of the fields, by name.
func selector(o metav1.ListOptions) (func(Object) bool, error) {
	byLabel, err := labels.Parse(o.LabelSelector)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	byField, err := fields.ParseSelector(o.FieldSelector)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	wanted := byField.Requirements()
	for _, r := range wanted {
		if r.Field != metav1.ObjectNameField && r.Field != "metadata.namespace" {
			return nil, apierrors.NewBadRequest("field label not supported: " + r.Field)
		}
	}
	return func(o Object) bool { // it is asked for each watch at each write, so it makes no sets
		for _, r := range wanted {
			is := o.GetName()
			if r.Field != metav1.ObjectNameField {
				is = o.GetNamespace()
			}
			if (is == r.Value) == (r.Operator == selection.NotEquals) {
				return false
			}
		}
		return byLabel.Empty() || byLabel.Matches(labels.Set(o.GetLabels()))
	}, nil
}
