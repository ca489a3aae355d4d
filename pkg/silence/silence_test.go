package silence

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/pkg/labels"
)

// fake is an Alertmanager that knows of silences, and nothing of matching.
type fake struct {
	now      *time.Time
	silences map[string]silence
	err      error
	status   int
	body     string
	calls    []string
	// down is the number of the call from which on it fails; 0: none.
	down int
}

func (f *fake) String() string { return "http://fake" }

func (f *fake) Do(_ context.Context, method, path string, query url.Values, content []byte) (int, []byte, error) {
	f.calls = append(f.calls, method)
	switch {
	case f.err != nil, f.down > 0 && len(f.calls) >= f.down:
		return 0, nil, fmt.Errorf("%s http://fake%s: connection refused", method, path)
	case f.status != 0:
		return f.status, []byte(f.body), nil
	}
	id, one := strings.TrimPrefix(path, "/api/v2/silence/"), silence{}
	switch method {
	case http.MethodGet:
		body, err := json.Marshal(f.matching(query["filter"]))
		return http.StatusOK, body, err
	case http.MethodDelete:
		one = f.silences[id]
		if one.EndsAt.IsZero() {
			return http.StatusNotFound, nil, nil
		}
		if !one.EndsAt.After(*f.now) {
			return http.StatusInternalServerError, []byte(`"silence already expired"`), nil
		}
		one.EndsAt = *f.now
	default:
		if err := json.Unmarshal(content, &one); err != nil || one.Status != nil || !one.EndsAt.After(*f.now) || one.CreatedBy == "" {
			return http.StatusBadRequest, []byte("bad"), err
		}
		if id = one.ID; id == "" {
			id = fmt.Sprint(len(f.silences) + 1)
		}
		if old, ok := f.silences[one.ID]; ok != (one.ID != "") || ok && !old.StartsAt.Equal(one.StartsAt) {
			return http.StatusNotFound, nil, nil
		}
		if one.ID == "" {
			one.ID, one.StartsAt = id, *f.now
		}
	}
	f.silences[id] = one
	return http.StatusOK, []byte(`{"silenceID":"` + id + `"}`), nil
}

func (f *fake) matching(filter []string) []silence {
	all := []silence{}
	for _, one := range f.silences {
		has := true
		for _, text := range filter {
			has = has && slices.ContainsFunc(one.Matchers, func(m *labels.Matcher) bool { return m.String() == text })
		}
		one.Status = &struct {
			State string `json:"state"`
		}{"active"}
		if !one.EndsAt.After(*f.now) {
			one.Status.State = "expired"
		}
		if has {
			all = append(all, one)
		}
	}
	return all
}

// active are the ends of those that are in force, from now, the first first.
func (f *fake) active() []time.Duration {
	var all []time.Duration
	for _, one := range f.silences {
		if one.EndsAt.After(*f.now) {
			all = append(all, one.EndsAt.Sub(*f.now))
		}
	}
	slices.Sort(all)
	return all
}

type bench struct {
	t    *testing.T
	now  time.Time
	k    Keeper
	node Node
}

func newBench(t *testing.T, fakes ...*fake) *bench {
	b := &bench{t: t, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), node: Node{Name: "worker"}}
	b.k = Keeper{Matchers: Default(), Now: func() time.Time { return b.now }}
	for _, f := range fakes {
		f.now, f.silences = &b.now, map[string]silence{}
		b.k.Servers = append(b.k.Servers, f)
	}
	return b
}

func (b *bench) set(d time.Duration) {
	b.t.Helper()
	if err := b.k.Set(b.t.Context(), b.node, b.now.Add(d)); err != nil {
		b.t.Error(err)
	}
}

func (b *bench) end(d time.Duration) {
	b.t.Helper()
	if err := b.k.End(b.t.Context(), b.node, b.now.Add(d)); err != nil {
		b.t.Error(err)
	}
}

func (b *bench) want(f *fake, active ...time.Duration) {
	b.t.Helper()
	if got := f.active(); !slices.Equal(got, active) {
		b.t.Errorf("silences end in %v, want %v; calls %v", got, active, f.calls)
	}
}

// One way from the cordon to the end, by processes that know nothing of each other.
func TestSetAndEnd(t *testing.T) {
	f := &fake{}
	b := newBench(t, f)
	b.set(20 * time.Minute)
	b.want(f, 20*time.Minute, 20*time.Minute)
	for _, one := range f.silences {
		if one.CreatedBy != "rebootd" || !strings.Contains(one.Comment, "Node worker is out of service") {
			t.Errorf("%+v", one)
		}
	}
	b.now = b.now.Add(5 * time.Minute)
	b.set(20 * time.Minute)
	b.want(f, 20*time.Minute, 20*time.Minute)
	before := len(f.calls)
	b.set(20 * time.Minute)
	b.set(time.Minute)
	if posts := f.calls[before:]; slices.Contains(posts, http.MethodPost) || len(f.silences) != 2 {
		t.Errorf("%v, %d silences", posts, len(f.silences))
	}
	b.end(2 * time.Minute)
	b.want(f, 2*time.Minute, 2*time.Minute)
	b.end(3 * time.Minute)
	b.want(f, 2*time.Minute, 2*time.Minute)
	b.set(20 * time.Minute) // it goes out again before they are over
	b.want(f, 20*time.Minute, 20*time.Minute)
	b.end(0)
	b.want(f)
	b.end(0)
	if len(f.silences) != 2 {
		t.Errorf("%d silences", len(f.silences))
	}
	b.set(time.Minute)
	b.want(f, time.Minute, time.Minute)
	if len(f.silences) != 4 {
		t.Errorf("%d silences: those that are over are no longer used", len(f.silences))
	}
}

// Another node's, another cluster's, a person's, and those with other matchers, are none of ours.
func TestOthersAreLeftAlone(t *testing.T) {
	f := &fake{}
	b := newBench(t, f)
	b.k.Matchers = []labels.Matchers{matchers(t, `team="a"`)}
	ours, others := 10*time.Minute, []time.Duration{}
	other := func(change func()) {
		change()
		d := time.Duration(len(others)+1) * time.Hour
		b.set(d)
		others = append(others, d)
		b.k.Cluster, b.node, b.k.Matchers = "", Node{Name: "worker"}, []labels.Matchers{matchers(t, `team="a"`)}
	}
	other(func() { b.k.Cluster = "c" })
	other(func() { b.node.Name = "worker-2" })
	other(func() { b.node.Name = "a worker" })
	other(func() { b.k.Matchers[0] = matchers(t, `team="a",x="y"`) })
	other(func() { b.k.Matchers[0] = matchers(t, `team=~"a"`) })
	person := f.silences["1"]
	person.ID, person.CreatedBy, person.Comment, person.EndsAt = "p", "ann", "mine [rebootd.io/silence: worker]", b.now.Add(9*time.Hour)
	f.silences["p"] = person
	edited := person
	edited.ID, edited.CreatedBy, edited.Comment, edited.EndsAt = "q", author, "mine now", b.now.Add(10*time.Hour)
	f.silences["q"] = edited
	others = append(others, 9*time.Hour, 10*time.Hour)
	b.set(ours)
	b.want(f, append([]time.Duration{ours}, others...)...)
	b.set(2 * ours)
	b.want(f, append([]time.Duration{2 * ours}, others...)...)
	b.end(0)
	b.want(f, others...)
}

// What is there twice, after two members of a cluster found each other again, becomes one.
func TestDoubles(t *testing.T) {
	f := &fake{}
	b := newBench(t, f)
	b.set(10 * time.Minute)
	for id, one := range f.silences {
		one.ID, one.EndsAt = id+"-twice", b.now.Add(20*time.Minute)
		f.silences[one.ID] = one
	}
	b.set(15 * time.Minute)
	b.want(f, 20*time.Minute, 20*time.Minute)
}

func TestServersThatFail(t *testing.T) {
	dead, alive := &fake{err: errors.New("down")}, &fake{}
	b := newBench(t, dead, alive)
	b.set(time.Hour)
	b.end(time.Minute)
	b.want(alive, time.Minute, time.Minute)

	first, second := &fake{}, &fake{}
	b = newBench(t, first, second)
	b.set(time.Hour)
	b.want(first, time.Hour, time.Hour)
	b.want(second)
	second.silences = map[string]silence{}
	maps.Copy(second.silences, first.silences) // as the cluster does
	b.end(0)
	b.want(first)
	b.want(second)

	first.calls, first.down, first.silences = nil, 3, map[string]silence{} // ends between the first silence and the second
	second.silences = map[string]silence{}
	b.set(time.Hour)
	b.want(first, time.Hour)
	b.want(second, time.Hour, time.Hour)

	for _, tt := range []struct {
		fake fake
		want []string
	}{
		{fake{err: errors.New("x")}, []string{"GET http://fake/api/v2/silences: connection refused"}},
		{fake{status: 403, body: "who\nare you?"}, []string{"http://fake answers to GET /api/v2/silences with HTTP status 403", `"who are you?"`, "credentials"}},
		{fake{status: 200, body: "<html>"}, []string{"HTTP status 200", "<html>"}},
		{fake{status: 200, body: "null"}, []string{"HTTP status 200"}},
		{fake{status: 500, body: "[]"}, []string{"HTTP status 500"}},
		{fake{down: 2}, []string{"POST http://fake/api/v2/silences: connection refused"}},
	} {
		a, c := tt.fake, tt.fake
		b := newBench(t, &a, &c)
		err := b.k.Set(t.Context(), b.node, b.now.Add(time.Hour))
		for _, w := range tt.want {
			if err == nil || strings.Count(err.Error(), w) != 2 {
				t.Errorf("error %v, want %q twice", err, w)
			}
		}
		if strings.HasPrefix(tt.want[0], "POST") {
			continue
		}
		if err := b.k.End(t.Context(), b.node, b.now); err == nil || strings.Count(err.Error(), tt.want[0]) != 2 {
			t.Errorf("End: error %v, want %q twice", err, tt.want[0])
		}
	}
	f := &fake{}
	b = newBench(t, f)
	b.set(time.Hour)
	f.calls, f.down = nil, 2
	if err := b.k.End(t.Context(), b.node, b.now); err == nil || !strings.Contains(err.Error(), "DELETE http://fake/api/v2/silence/") {
		t.Errorf("error %v", err)
	}
}
