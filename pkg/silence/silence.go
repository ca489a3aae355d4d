// Package silence keeps the alerts about a node silent in Alertmanager while rebootd has it out of service.
//
// It remembers nothing: which silences are ours stands in them, as who made them and as a mark in their comment. So whoever comes
// later, after a crash or a reboot, finds them again. Each has an end that isn't far away, and is extended: what nobody ends any
// more ends by itself.
package silence

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/alertmanager/pkg/labels"
)

const (
	// author is who made a silence, as Alertmanager shows it.
	author = "rebootd"
	// patience is how long one server has for all that it is asked at once.
	patience = 8 * time.Second
	// early is how much a silence begins before now by our clock, so that it is at once in force where the server's is behind.
	early = 10 * time.Minute
	// near is how much two ends may differ that count as the same.
	near = time.Second
)

// Server answers over HTTP. Its String is an address that may be shown.
type Server interface {
	Do(ctx context.Context, method, path string, query url.Values, content []byte) (status int, body []byte, err error)
	String() string
}

// Keeper sets and ends the silences of a node.
type Keeper struct {
	// Servers are the members of one cluster, which tell each other of silences.
	Servers []Server
	// Matchers are of one silence each, with the placeholders that [Check] allows.
	Matchers []labels.Matchers
	// Cluster tells nodes of the same name apart, in clusters that share an Alertmanager. May be empty.
	Cluster string
	Now     func() time.Time
}

// silence is one as the API tells and takes it.
type silence struct {
	ID        string          `json:"id,omitempty"`
	Matchers  labels.Matchers `json:"matchers"`
	StartsAt  time.Time       `json:"startsAt"`
	EndsAt    time.Time       `json:"endsAt"`
	CreatedBy string          `json:"createdBy"`
	Comment   string          `json:"comment"`
	Status    *struct {
		State string `json:"state"`
	} `json:"status,omitempty"`
}

func (s silence) over() bool { return s.Status != nil && s.Status.State == "expired" }

// Set makes the node's alerts silent until then: it extends the silences that are there, ends those that are there twice, and makes
// those that are not. One server that takes all of it suffices.
func (k Keeper) Set(ctx context.Context, n Node, until time.Time) error {
	var failed []string
	for _, s := range k.Servers {
		err := k.each(ctx, s, n, func(ctx context.Context, list labels.Matchers, found []silence) error {
			return k.set(ctx, s, n, list, found, until)
		})
		if err == nil {
			return nil
		}
		failed = append(failed, err.Error())
	}
	return errors.New(strings.Join(failed, "; "))
}

func (k Keeper) set(ctx context.Context, s Server, n Node, list labels.Matchers, found []silence, until time.Time) error {
	if len(found) == 0 {
		return post(ctx, s, silence{
			Matchers: list, StartsAt: k.Now().Add(-early), EndsAt: until, CreatedBy: author,
			Comment: fmt.Sprintf("Node %s is out of service for a reboot. rebootd ends this when it is back. %s", n.Name, k.mark(n)),
		})
	}
	slices.SortFunc(found, func(a, b silence) int { return b.EndsAt.Compare(a.EndsAt) })
	if last := found[0]; until.Sub(last.EndsAt) > near {
		last.EndsAt = until
		if err := post(ctx, s, last); err != nil {
			return err
		}
	}
	for _, double := range found[1:] {
		if err := expire(ctx, s, double); err != nil {
			return err
		}
	}
	return nil
}

// End lets the node's silences end then, or at once if that is past. It asks all servers, for one that was cut off may know of a
// silence that the others don't; one that does it suffices.
func (k Keeper) End(ctx context.Context, n Node, until time.Time) error {
	errs := make([]error, len(k.Servers))
	var wg sync.WaitGroup
	for i, s := range k.Servers {
		wg.Go(func() {
			errs[i] = k.each(ctx, s, n, func(ctx context.Context, _ labels.Matchers, found []silence) error {
				return k.end(ctx, s, found, until)
			})
		})
	}
	wg.Wait()
	failed := make([]string, len(errs))
	for i, err := range errs {
		if err == nil {
			return nil
		}
		failed[i] = err.Error()
	}
	return errors.New(strings.Join(failed, "; "))
}

func (k Keeper) end(ctx context.Context, s Server, found []silence, until time.Time) error {
	for _, one := range found {
		var err error
		switch {
		case until.Sub(k.Now()) <= near:
			err = expire(ctx, s, one)
		case one.EndsAt.Sub(until) > near:
			one.EndsAt = until
			err = post(ctx, s, one)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// each does something with every list of matchers and our silences with these, that are not over.
func (k Keeper) each(ctx context.Context, s Server, n Node, do func(context.Context, labels.Matchers, []silence) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, template := range k.Matchers {
		list, err := expand(template, n)
		if err != nil {
			return fmt.Errorf("--silence-matcher: %w", err)
		}
		found, err := k.ours(ctx, s, n, list)
		if err != nil {
			return err
		}
		if err := do(ctx, list, found); err != nil {
			return err
		}
	}
	return nil
}

// ours asks only for silences with these very matchers: an Alertmanager remembers those of days.
func (k Keeper) ours(ctx context.Context, s Server, n Node, list labels.Matchers) ([]silence, error) {
	query := url.Values{"active": {"true"}, "pending": {"true"}, "expired": {"false"}} // only late versions look at these
	for _, m := range list {
		query.Add("filter", m.String())
	}
	const path = "/api/v2/silences"
	status, body, err := s.Do(ctx, http.MethodGet, path, query, nil)
	if err != nil {
		return nil, err
	}
	var all []silence
	if err := json.Unmarshal(body, &all); err != nil || status != http.StatusOK || all == nil {
		return nil, strange(s, http.MethodGet, path, status, body)
	}
	return slices.DeleteFunc(all, func(one silence) bool {
		return one.over() || one.CreatedBy != author || !strings.HasSuffix(one.Comment, k.mark(n)) || !same(one.Matchers, list)
	}), nil
}

// mark is how a silence is known again.
func (k Keeper) mark(n Node) string {
	name := n.Name
	if k.Cluster != "" {
		name = k.Cluster + "/" + name
	}
	return fmt.Sprintf("[rebootd.io/silence: %s]", name)
}

// post makes a silence, or changes the one with its ID.
func post(ctx context.Context, s Server, one silence) error {
	one.Status = nil
	one.StartsAt, one.EndsAt = one.StartsAt.UTC(), one.EndsAt.UTC()
	content, err := json.Marshal(one)
	if err != nil {
		return fmt.Errorf("writing a silence: %w", err)
	}
	const path = "/api/v2/silences"
	status, body, err := s.Do(ctx, http.MethodPost, path, nil, content)
	if err != nil {
		return err
	}
	var made struct {
		ID string `json:"silenceID"`
	}
	if err := json.Unmarshal(body, &made); err != nil || status != http.StatusOK || made.ID == "" {
		return strange(s, http.MethodPost, path, status, body)
	}
	return nil
}

func expire(ctx context.Context, s Server, one silence) error {
	path := "/api/v2/silence/" + url.PathEscape(one.ID)
	status, body, err := s.Do(ctx, http.MethodDelete, path, nil, nil)
	if err != nil {
		return err
	}
	if status != http.StatusOK && status != http.StatusNotFound {
		return strange(s, http.MethodDelete, path, status, body)
	}
	return nil
}

// strange is an answer that isn't the one that was hoped for.
func strange(s Server, method, path string, status int, body []byte) error {
	hint := ""
	if status == http.StatusUnauthorized || status == http.StatusForbidden {
		hint = "; it wants other credentials, which must be allowed to write silences"
	}
	const limit = 300
	text := strings.Join(strings.Fields(string(body)), " ")
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + "…"
	}
	return fmt.Errorf("%s answers to %s %s with HTTP status %d, %q%s", s, method, path, status, text, hint)
}
