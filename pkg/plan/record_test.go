package plan

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseRecord(t *testing.T) {
	for _, tc := range []struct{ text, err string }{
		{text: ""},
		{text: `{"version":1,"phase":"Idle"}`},
		{text: `{"version":1,"phase":"Draining","bootID":"b","cordon":"admin"}`},
		{text: `{"version":1,"phase":"Idle","somethingNew":{"a":1}}`},
		{text: `null`, err: "version 0"},
		{text: `{}`, err: "version 0"},
		{text: `{"version":2,"phase":"Idle"}`, err: "version 2"},
		{text: `{"version":1}`, err: `unknown phase ""`},
		{text: `{"version":1,"phase":"idle"}`, err: `unknown phase "idle"`},
		{text: `{"version":1,"phase":"Idle","cordon":"somebody"}`, err: `unknown cordon owner "somebody"`},
		{text: `{"version":1,"phase":"Draining"}`, err: "phase Draining without a boot ID"},
		{text: `{"version":1,"phase":"Rebooting"}`, err: "phase Rebooting without a boot ID"},
		{text: `{"version":1,"phase":"Recovering"}`, err: "phase Recovering without a boot ID"},
		{text: `{"version":1,"phase":"Aborting"}`, err: "phase Aborting without a boot ID"},
		{text: `{"version":1,"phase":"Idle","since":"yesterday"}`, err: "not a record"},
		{text: `{"version":1,"phase":"Idle"} `},
		{text: `{"version":1,"phase":"Idle"}x`, err: "not a record"},
		{text: `[]`, err: "not a record"},
		{text: `nonsense`, err: "not a record"},
	} {
		r, err := ParseRecord(tc.text)
		switch {
		case tc.err == "" && err != nil:
			t.Errorf("%s: %v", tc.text, err)
		case tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)):
			t.Errorf("%s: got error %v, want one that says %q", tc.text, err, tc.err)
		case err != nil && !reflect.DeepEqual(r, Record{}):
			t.Errorf("%s: an error and a record: %+v", tc.text, r)
		}
	}
}

// Whatever is in the annotation, reading it doesn't panic, and what is accepted comes back when it is written.
func FuzzParseRecord(f *testing.F) {
	f.Add(`{"version":1,"phase":"Draining","reason":"Draining","since":"2030-01-01T00:00:00Z","bootID":"b","cordon":"ours"}`)
	f.Add(`{"version":1,"phase":"Idle","history":[{"from":"a","to":"b","out":"0000-01-01T00:00:00Z","in":"9999-12-31T23:59:59.9+23:59"}]}`)
	f.Add(`{"version":1,"phase":"Required","backOff":{"failures":-1,"until":"2030-01-01T00:00:00Z","reason":"x"},"attempts":-5}`)
	f.Add(`{"VERSION":1,"Phase":"Idle","version":2,"version":1}`)
	f.Add(`{"version":1,"phase":"Idle","since":"2030-01-01T00:00:00+24:00"}`)
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRecord(text)
		if err != nil || text == "" {
			return
		}
		again, err := ParseRecord(r.String())
		if err != nil || again.String() != r.String() {
			t.Errorf("%q: read as %s, then as %s, %v", text, r, again, err)
		}
		o := Observation{Node: Node{Name: "n", Exists: true}, Record: r, BootID: "now", Wanted: Wanted{Answer: Yes, Reason: RebootRequired, Message: "Yes."}}
		Decide(o, newWorld().policy, start())
	})
}

func TestHistoryIsBounded(t *testing.T) {
	var r Record
	for i := range 3 * historyLimit {
		before := r
		r = r.remember(Reboot{In: start().Add(time.Duration(i) * time.Hour)})
		if len(before.History) > 0 && len(r.History) > 0 && &before.History[0] == &r.History[0] {
			t.Fatal("the old record's history was written to")
		}
	}
	if len(r.History) != historyLimit || !r.History[historyLimit-1].In.Equal(start().Add((3*historyLimit-1)*time.Hour)) {
		t.Errorf("kept %d, the last of %v", len(r.History), r.History[len(r.History)-1].In)
	}
}

func TestBackOffGrows(t *testing.T) {
	p := Policy{BackOff: 5 * time.Minute, BackOffMax: 2 * time.Hour}
	o := Observation{Node: Node{Name: "worker"}}
	var r Record
	for i, least := range []time.Duration{5, 10, 20, 40, 80, 120, 120} {
		r = r.backOff(o, p, DrainTimedOut, strings.Repeat("ä", 1000), start())
		least *= time.Minute
		if d := r.BackOff.Until.Sub(start()); d < least || d > least*5/4 || r.BackOff.Failures != i+1 {
			t.Errorf("failure %d: %s after %d failures, want %s and up to a quarter more", i+1, d, r.BackOff.Failures, least)
		}
	}
	if n := len(r.BackOff.Cause); n > 510 || !strings.HasSuffix(r.BackOff.Cause, "ä…") {
		t.Errorf("the cause has %d bytes and ends in %q", n, r.BackOff.Cause[n-10:])
	}
	o.Node.Name = "another"
	if other := (Record{}).backOff(o, p, DrainTimedOut, "", start()); other.BackOff.Until.Equal((Record{}).backOff(Observation{}, p, DrainTimedOut, "", start()).BackOff.Until) {
		t.Error("two nodes come back in the same moment")
	}
}

func TestJoin(t *testing.T) {
	yes, no, unknown := Wanted{Answer: Yes, Reason: RebootRequired, Message: "A."}, Wanted{Answer: No, Reason: NotRequired, Message: "B."},
		Wanted{Answer: Unknown, Reason: SentinelUnknown, Message: "C."}
	for _, tc := range []struct {
		wishes []Wanted
		answer Answer
		text   string
	}{
		{nil, No, "Nothing asks for a reboot."},
		{[]Wanted{no}, No, "Nothing asks for a reboot."},
		{[]Wanted{no, yes, unknown}, Yes, "A."},
		{[]Wanted{unknown, no}, Unknown, "C."},
		{[]Wanted{yes, no, yes}, Yes, "A. A."},
		{[]Wanted{unknown, unknown}, Unknown, "C. C."},
	} {
		if w := Join(tc.wishes); w.Answer != tc.answer || w.Message != tc.text || w.Reason == "" {
			t.Errorf("%+v: got %+v", tc.wishes, w)
		}
	}
}
