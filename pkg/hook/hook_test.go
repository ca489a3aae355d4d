package hook

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

func facts() Facts {
	return Facts{
		Version: Version, Hook: "after-reboot", Node: "worker", Phase: "Recovering", BootID: "b", FromBootID: "a", Outcome: Rebooted,
		Reason: "RebootSucceeded", Message: "Two\nlines\x00 and a NUL.", AskedBy: []string{"file /x", "uptime"}, Packages: []string{"linux-image", "libc6"}, Namespace: "ns", Slot: "rebootd-default-0",
		OutSince: time.Date(2030, 1, 2, 3, 4, 5, 0, time.FixedZone("x", 3600)), Try: 2,
	}
}

func TestCommandGetsTheFacts(t *testing.T) {
	var got []string
	err := Command([]string{"ceph", "x y"}, func(_ context.Context, argv, env []string) (string, error) {
		if !slices.Equal(argv, []string{"ceph", "x y"}) {
			t.Errorf("runs %q", argv)
		}
		got = env
		return "ignored", nil
	})(t.Context(), facts())
	want := []string{
		"REBOOTD_HOOK=after-reboot", "REBOOTD_NODE=worker", "REBOOTD_PHASE=Recovering", "REBOOTD_BOOT_ID=b", "REBOOTD_FROM_BOOT_ID=a",
		"REBOOTD_OUTCOME=rebooted", "REBOOTD_REASON=RebootSucceeded", "REBOOTD_MESSAGE=Two lines and a NUL.", "REBOOTD_ASKED_BY=file /x; uptime",
		"REBOOTD_PACKAGES=linux-image libc6",
		"REBOOTD_NAMESPACE=ns", "REBOOTD_SLOT=rebootd-default-0", "REBOOTD_OUT_SINCE=2030-01-02T02:04:05Z", "REBOOTD_TRY=2",
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, environment\n%s\nwant\n%s", err, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, v := range (Facts{}).Environ() {
		if v == "REBOOTD_OUT_SINCE=0001-01-01T00:00:00Z" {
			t.Error("a time that never was")
		}
	}
}

func TestFailingCommandSaysItsLastWords(t *testing.T) {
	failure := errors.New("exited with 1")
	for output, want := range map[string]string{
		"":                       "exited with 1",
		" \n\n":                  "exited with 1",
		"one\n":                  "exited with 1; it said: one",
		"1\n2\n\n3\n 4\t4 \n":    "exited with 1; it said: 2 / 3 / 4 4",
		strings.Repeat("é", 300): "exited with 1; it said: " + strings.Repeat("é", 100) + "…",
	} {
		err := Command([]string{"x"}, func(context.Context, []string, []string) (string, error) { return output, failure })(t.Context(), Facts{})
		if !errors.Is(err, failure) || err.Error() != want {
			t.Errorf("%q: %v", output, err)
		}
	}
}

func TestPost(t *testing.T) {
	var got Facts
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("User-Agent") != "rebootd/1" || r.URL.RawQuery != "a=b" {
			t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
		}
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Error(err)
		}
	}))
	defer s.Close()
	if err := Post(s.URL+"/x?a=b", s.Client(), "rebootd/1")(t.Context(), facts()); err != nil {
		t.Fatal(err)
	}
	want := facts()
	if !got.OutSince.Equal(want.OutSince) {
		t.Errorf("out since %s", got.OutSince)
	}
	got.OutSince = want.OutSince
	if a, b := toJSON(t, got), toJSON(t, want); a != b {
		t.Errorf("got %s\nwant %s", a, b)
	}
}

// The names in the JSON are a promise to whoever reads it.
func TestJSON(t *testing.T) {
	const want = `{"version":1,"hook":"after-reboot","node":"worker","phase":"Recovering","bootID":"b","fromBootID":"a","outcome":"rebooted",` +
		`"reason":"RebootSucceeded","message":"Two\nlines\u0000 and a NUL.","askedBy":["file /x","uptime"],"packages":["linux-image","libc6"],"namespace":"ns","slot":"rebootd-default-0",` +
		`"outSince":"2030-01-02T03:04:05+01:00","try":2}`
	if got := toJSON(t, facts()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func toJSON(t *testing.T, f Facts) string {
	t.Helper()
	b, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestPostFails(t *testing.T) {
	status, body := 0, ""
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	defer s.Close()
	run := Post(s.URL+"/SECRET", s.Client(), "x")
	for _, tt := range []struct {
		status     int
		body, want string
	}{
		{200, "", ""},
		{204, "", ""},
		{299, "", ""},
		{304, "", "the answer was 304 Not Modified"},
		{404, "no\n such  thing\n", "the answer was 404 Not Found; it said: no such thing"},
		{503, strings.Repeat("x", 10000), "the answer was 503 Service Unavailable; it said: " + strings.Repeat("x", 200) + "…"},
	} {
		status, body = tt.status, tt.body
		switch err := run(t.Context(), Facts{}); {
		case tt.want == "" && err != nil, tt.want != "" && (err == nil || err.Error() != tt.want):
			t.Errorf("%d: %v", tt.status, err)
		}
	}
	s.Close()
	err := run(t.Context(), Facts{})
	if err == nil || strings.Contains(err.Error(), "SECRET") || !strings.Contains(err.Error(), "refused") {
		t.Errorf("without a server: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := run(ctx, Facts{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if err := Post("http://h/SECRET\x00", s.Client(), "x")(t.Context(), Facts{}); err == nil || strings.Contains(err.Error(), "SECRET") {
		t.Errorf("a URL that is none: %v", err)
	}
}

func TestMask(t *testing.T) {
	for target, want := range map[string]string{
		"https://u:SECRET@example.com:1/SECRET?a=SECRET#x": "https://example.com:1/…",
		"http://example.com?SECRET":                        "http://example.com/…",
		"http://example.com/":                              "http://example.com",
		"://SECRET":                                        "a URL",
	} {
		if got := Mask(target); got != want {
			t.Errorf("%s is shown as %s", target, got)
		}
	}
}

func FuzzMask(f *testing.F) {
	f.Add("https://u:p@h/p?q")
	f.Fuzz(func(t *testing.T, target string) {
		if got := Mask("https://u:SECRET@h/" + target); strings.Contains(got, "SECRET") {
			t.Error(got)
		}
	})
}
