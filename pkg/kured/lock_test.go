package kured

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	peer "github.com/rebootd/rebootd/test/kured"
)

func noon() time.Time { return time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC) }

func nobody(string) bool { return false }

// who is a lock in few words.
func who(l Lock) string {
	var names []string
	for _, e := range l.Entries {
		names = append(names, e.NodeID)
	}
	form := "one"
	if l.several {
		form = fmt.Sprintf("%d", l.owners)
	}
	return form + ": " + strings.Join(names, " ")
}

func TestTake(t *testing.T) {
	const fresh, old = `"created":"2030-01-01T11:59:00Z"`, `"created":"2030-01-01T10:00:00Z"`
	const hour = `"TTL":3600000000000`
	for _, tt := range []struct {
		name, text    string
		kured, rebotd int
		gone          string
		want, taken   string
	}{
		{name: "free", kured: 1, rebotd: 1, want: "one: rebootd/me"},
		{name: "free, several", kured: 2, rebotd: 2, want: "2: rebootd/me"},
		{name: "free, but kured lets more go than rebootd", kured: 3, rebotd: 1, want: "3: rebootd/me rebootd rebootd"},
		{name: "free, but rebootd lets more go than kured", kured: 1, rebotd: 5, want: "one: rebootd/me"},
		{name: "held", text: `{"nodeID":"n1","created":"2030-01-01T11:59:00Z","TTL":0}`, kured: 1, rebotd: 1, taken: `"n1"`},
		{name: "a person's pause", text: `{"nodeID":"manual"}`, kured: 1, rebotd: 1, taken: `"manual"`},
		{name: "a person's pause, which kured would overwrite", text: `{"nodeID":"manual"}`, kured: 2, rebotd: 2, taken: `"manual"`},
		{name: "a person's pause among several", text: `{"maxOwners":3,"locks":[{"nodeID":"manual"}]}`, kured: 3, rebotd: 3, taken: `"manual"`},
		{name: "keys in other letters, which kured reads too", text: `{"nodeid":"manual"}`, kured: 1, rebotd: 1, taken: `"manual"`},
		{name: "held by nobody that has a name", text: `{"nodeID":""}`, kured: 1, rebotd: 1, taken: `""`},
		{name: "expired", text: `{"nodeID":"n1",` + old + `,` + hour + `}`, kured: 1, rebotd: 1, want: "one: rebootd/me"},
		{name: "expires", text: `{"nodeID":"n1",` + fresh + `,` + hour + `}`, kured: 1, rebotd: 1, taken: `"n1"`},
		{name: "ours expires never", text: `{"nodeID":"rebootd/n1",` + old + `,"TTL":0}`, kured: 1, rebotd: 1, taken: `"rebootd/n1"`},
		{name: "an earlier one of our own", text: `{"nodeID":"rebootd/me",` + old + `,"TTL":0}`, kured: 1, rebotd: 1, want: "one: rebootd/me"},
		{name: "of a node that is gone", text: `{"nodeID":"rebootd/n1",` + old + `,"TTL":0}`, kured: 1, rebotd: 1, gone: "n1", want: "one: rebootd/me"},
		{name: "kured's of a node that is gone", text: `{"nodeID":"n1"}`, kured: 1, rebotd: 1, gone: "n1", taken: `"n1"`},
		{name: "a place", text: `{"maxOwners":2,"locks":[{"nodeID":"n1"}]}`, kured: 2, rebotd: 2, want: "2: n1 rebootd/me"},
		{name: "a place, but not for rebootd", text: `{"maxOwners":2,"locks":[{"nodeID":"n1"}]}`, kured: 2, rebotd: 1, taken: `"n1"`},
		{name: "full", text: `{"maxOwners":2,"locks":[{"nodeID":"n1"},{"nodeID":"rebootd/n2"}]}`, kured: 2, rebotd: 2, taken: `"n1" and "rebootd/n2"`},
		{name: "full of expired ones", text: `{"maxOwners":2,"locks":[{"nodeID":"n1",` + old + `,` + hour + `},{"nodeID":"n2"}]}`, kured: 2, rebotd: 2, want: "2: n2 rebootd/me"},
		{name: "an expired one that isn't in the way", text: `{"maxOwners":3,"locks":[{"nodeID":"n1",` + old + `,` + hour + `}]}`, kured: 3, rebotd: 3, want: "3: rebootd/me n1"},
		{name: "left behind by a larger concurrency", text: `{"maxOwners":2,"locks":[]}`, kured: 1, rebotd: 1, want: "2: rebootd/me rebootd"},
		{name: "left behind by a smaller concurrency", text: `{"nodeID":"n1"}`, kured: 2, rebotd: 2, want: "2: n1 rebootd/me"},
		{name: "the places that others count on", text: `{"maxOwners":4,"locks":[{"nodeID":"rebootd/n1"},{"nodeID":"rebootd"},{"nodeID":"rebootd"}]}`,
			kured: 4, rebotd: 3, want: "4: rebootd/n1 rebootd/me rebootd rebootd"},
		{name: "places that nobody counts on", text: `{"maxOwners":3,"locks":[{"nodeID":"rebootd"},{"nodeID":"rebootd"}]}`, kured: 3, rebotd: 3, want: "3: rebootd/me"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := Lock{}
			if tt.text != "" {
				var err error
				if l, err = Parse(tt.text); err != nil {
					t.Fatal(err)
				}
			}
			next, err := l.With("me", Limits{tt.kured, tt.rebotd}, func(n string) bool { return n == tt.gone }, noon())
			if taken := new(TakenError); errors.As(err, &taken) {
				if got := strings.Join(taken.By, " and "); got != tt.taken {
					t.Errorf("taken by %s, want %s", got, tt.taken+tt.want)
				}
				return
			}
			if who(next) != tt.want || !next.Holds("me") {
				t.Errorf("%s, want %s", who(next), tt.want+tt.taken)
			}
			again, err := Parse(next.String())
			if err != nil || who(again) != who(next) {
				t.Errorf("written as %s, which reads as %s: %v", next, who(again), err)
			}
			free, changed := next.Without("me")
			if strings.Contains(free.String(), "rebootd/me") || !changed {
				t.Errorf("released: %s", free)
			}
			if len(free.Nodes()) == 0 && strings.Contains(free.String(), `"rebootd"`) {
				t.Errorf("nobody's places stay: %s", free)
			}
		})
	}
}

// What others wrote stays as it was, also what this code doesn't know.
func TestOthersEntriesStayAsTheyAre(t *testing.T) {
	const n1 = `{"nodeID":"n1","metadata":{"unschedulable":true},"created":"2026-01-01T00:00:00.5+02:00","TTL":0,"new":[1]}`
	l, err := Parse(`{"maxOwners":2,"locks":[` + n1 + `]}`)
	if err != nil {
		t.Fatal(err)
	}
	next, err := l.With("me", Limits{2, 2}, nobody, noon())
	if err != nil {
		t.Fatal(err)
	}
	want := `{"maxOwners":2,"locks":[` + n1 + `,{"nodeID":"rebootd/me","metadata":{"unschedulable":false},"created":"2030-01-01T12:00:00Z","TTL":0}]}`
	if next.String() != want {
		t.Errorf("%s\nwant %s", next, want)
	}
	if free, _ := next.Without("me"); free.String() != `{"maxOwners":2,"locks":[`+n1+`]}` {
		t.Errorf("released: %s", free)
	}
}

func TestNoLock(t *testing.T) {
	for _, text := range []string{"", "{}", "null", "[]", `"manual"`, "manual", `{"nodeID":1}`, `{"nodeID":"a","TTL":"1h"}`, `{"nodeID":"a","created":"today"}`,
		`{"maxOwners":"2"}`, `{"locks":[1]}`, `{"locks":{}}`} {
		if l, err := Parse(text); err == nil {
			t.Errorf("%s: %s", text, who(l))
		}
	}
}

// FuzzParse: what can be read can be written and read again as the same, and nothing panics.
func FuzzParse(f *testing.F) {
	for _, s := range []string{`{"nodeID":"manual"}`, `{"maxOwners":2,"locks":[{"nodeID":"n1","TTL":5},{}]}`, `{"nodeID":"a","locks":[{"nodeID":"b"}]}`, `{"maxOwners":-1}`} {
		f.Add(s, 1, 1)
	}
	f.Fuzz(func(t *testing.T, text string, kured, rebootd int) {
		l, err := Parse(text)
		if err != nil || kured > 100 || l.owners > 100 {
			return
		}
		next, err := l.With("me", Limits{kured, rebootd}, nobody, noon())
		if err != nil {
			return
		}
		if again, err := Parse(next.String()); err != nil || who(again) != who(next) {
			t.Errorf("%s reads as %s, want %s: %v", next, who(again), who(next), err)
		}
		if free, changed := next.Without("me"); !changed || free.Holds("me") {
			t.Errorf("released: %s", free)
		}
	})
}

// play is what some nodes of kured's and of rebootd's do, in any order.
type play struct {
	t            *testing.T
	seed         uint64
	limits       Limits
	now          time.Time
	text         string
	there        bool
	kureds, ours map[string]bool
}

func (p *play) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatalf("seed %d: %v: %s", p.seed, err, p.text)
	}
}

// kured takes the lock, or releases it, for a node of kured's.
func (p *play) kured(name string) {
	k := peer.Node{ID: name, Concurrency: p.limits.Kured, Now: func() time.Time { return p.now }}
	if p.kureds[name] {
		next, still, err := k.Release(p.text, p.there)
		p.must(err)
		p.text, p.there = next, still
		delete(p.kureds, name)
		return
	}
	next, write, ok, err := k.Acquire(p.text, p.there)
	p.must(err)
	if write {
		p.text, p.there = next, true
	}
	if ok {
		p.kureds[name] = true
	}
}

func (p *play) rebootd(name string) {
	l := Lock{}
	if p.there {
		var err error
		l, err = Parse(p.text)
		p.must(err)
	}
	switch {
	case p.ours[name]:
		if !l.Holds(name) {
			p.t.Fatalf("seed %d: %s lost its place: %s", p.seed, name, p.text)
		}
		l, _ = l.Without(name)
		delete(p.ours, name)
	case len(p.ours) < p.limits.Rebootd:
		next, err := l.With(name, p.limits, nobody, p.now)
		if err != nil {
			return
		}
		l, p.ours[name] = next, true
	default:
		return
	}
	p.text = l.String()
	p.there = p.text != ""
}

// Any order of what kured's nodes and rebootd's do keeps to both limits, as long as nobody changes them.
func TestNeverMoreThanEitherAllows(t *testing.T) {
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 1))
		p := &play{t: t, seed: seed, limits: Limits{Kured: 1 + r.IntN(3), Rebootd: 1 + r.IntN(3)}, now: noon(),
			kureds: map[string]bool{}, ours: map[string]bool{}}
		if p.limits.Kured == 1 && r.IntN(2) == 0 {
			p.text, p.there = `{"maxOwners":2,"locks":[]}`, true // kured alone would wait for ever
		}
		for range 60 {
			p.now = p.now.Add(time.Minute)
			name := fmt.Sprintf("n%d", r.IntN(4))
			if r.IntN(2) == 0 {
				p.kured(name)
			} else {
				p.rebootd("r" + name)
			}
			out := len(p.kureds) + len(p.ours)
			if out > p.limits.Kured || len(p.ours) > 0 && out > p.limits.Rebootd {
				t.Fatalf("seed %d: %d of kured's and %d of rebootd's are out with %+v: %s", seed, len(p.kureds), len(p.ours), p.limits, p.text)
			}
		}
	}
}
