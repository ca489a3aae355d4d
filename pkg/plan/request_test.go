package plan

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// What the Node still carries is never forgotten, however many others were honoured since.
func TestHonouredIsBounded(t *testing.T) {
	r := Record{Phase: Rebooting}
	kept := Request{Text: "kept"}
	r.Requests = []Request{kept}
	r = r.honour(Node{})
	for i := range 5 * honouredLimit {
		before := slices.Clone(r.Honoured)
		q := Request{Text: fmt.Sprint(i), Now: true}
		n := Node{Requests: []Request{kept, q}}
		old := r.Honoured
		r.Requests = []Request{q}
		r = r.honour(n)
		if !slices.Equal(old, before) {
			t.Fatal("the old record was written to")
		}
		if w := Requested(n, r); w.Answer != No || len(r.Honoured) > honouredLimit || len(r.Requests) > 0 {
			t.Fatalf("after %d: %+v, record %s", i, w, r)
		}
	}
	if !slices.Contains(r.Honoured, Request{Text: "49", Now: true}) || slices.Contains(r.Honoured, Request{Text: "3", Now: true}) {
		t.Errorf("honoured %v", r.Honoured)
	}
}

func TestRequested(t *testing.T) {
	long := strings.Repeat("ä", 1000)
	r := Record{Honoured: []Request{{Text: "a"}, Request{Text: long + "1"}.key()}}
	for _, tc := range []struct {
		requests []Request
		answer   Answer
		now      bool
		says     string
	}{
		{nil, No, false, "Nothing"},
		{[]Request{{Text: "a"}}, No, false, "Nothing"},
		{[]Request{{Text: "a", Now: true}}, Yes, true, `rebootd.io/request-now="a". It goes past windows and alerts.`},
		{[]Request{{Text: "b"}}, Yes, false, `rebootd.io/request="b".`},
		{[]Request{{Text: ""}}, Yes, false, `rebootd.io/request="".`},
		{[]Request{{Text: "two\nlines"}}, Yes, false, `"two\nlines"`},
		{[]Request{{Text: "a"}, {Text: "c", Now: true}}, Yes, true, `"c"`},
		{[]Request{{Text: "b"}, {Text: "c", Now: true}}, Yes, true, `"b". A reboot`},
		{[]Request{{Text: long + "1"}}, No, false, "Nothing"},
		{[]Request{{Text: long + "2"}}, Yes, false, "ä… ("},
	} {
		w := Requested(Node{Requests: tc.requests}, r)
		reason := map[Answer]Reason{Yes: RebootRequested, No: NotRequired}[tc.answer]
		if w.Answer != tc.answer || w.Now != tc.now || w.Reason != reason || !strings.Contains(w.Message, tc.says) || len(w.Message) > 400 {
			t.Errorf("%v: got %+v", tc.requests, w)
		}
	}
}

func TestJoinNamesAll(t *testing.T) {
	file := Wanted{Answer: Yes, Reason: RebootRequired, Message: "A.", By: []string{"file a"}, Packages: []string{"p"}, At: start()}
	command := Wanted{Answer: No, Reason: NotRequired, Message: "B.", By: []string{"command b"}, At: start().Add(-time.Hour)}
	request := Wanted{Answer: Yes, Reason: RebootRequested, Message: "C.", By: []string{"request c"}, Now: true}
	w := Join([]Wanted{command, file, request})
	if w.Message != "A. C." || !slices.Equal(w.By, []string{"file a", "request c"}) || !w.Now || w.Reason != RebootRequired || !w.At.Equal(command.At) ||
		!slices.Equal(w.Packages, file.Packages) {
		t.Errorf("got %+v", w)
	}
	w = Join([]Wanted{command, {Answer: No, By: []string{"file a"}}})
	if w.Message != "Nothing asks for a reboot (looked at: command b; file a)." || w.Now {
		t.Errorf("got %+v", w)
	}
}

// A version 1 record of a rebootd that knows no requests is read, and one with them stays version 1.
func TestRecordWithRequests(t *testing.T) {
	r := Record{Phase: Idle, AskedBy: []string{"file a"}, Requests: []Request{{Text: "x"}}, Honoured: []Request{{Text: "y", Now: true}}}
	text := r.String()
	for _, want := range []string{`"version":1`, `"askedBy":["file a"]`, `"requests":[{"text":"x"}]`, `"honoured":[{"text":"y","now":true}]`} {
		if !strings.Contains(text, want) {
			t.Errorf("%s lacks %s", text, want)
		}
	}
	if plain := (Record{Phase: Idle}).String(); strings.Contains(plain, "onoured") || strings.Contains(plain, "asked") || strings.Contains(plain, "equests") {
		t.Errorf("a record without requests is %s", plain)
	}
}
