package main

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/kballard/go-shellquote"
)

func runWindows(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err strings.Builder
	code = run(t.Context(), append([]string{"windows"}, args...), []string{"KURED_TIME_ZONE=Europe/Berlin"}, &out, &err)
	return code, out.String(), err.String()
}

func TestWindowsAsJSON(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{
			[]string{"--window=mon-fri 22:00-04:00", "--freeze=party=2026-11-25", "--at=2026-11-23T23:00", "--next=2"},
			`{"open": true, "reason": "Open: Maintenance window mon-fri 22:00-04:00 is open.", "closes": "2026-11-24T04:00:00+01:00", "next": [
				{"start": "2026-11-24T22:00:00+01:00", "end": "2026-11-25T00:00:00+01:00", "window": "mon-fri 22:00-04:00"},
				{"start": "2026-11-26T00:00:00+01:00", "end": "2026-11-26T04:00:00+01:00", "window": "mon-fri 22:00-04:00"}]}`,
		},
		{
			[]string{"--reboot-days=sa", "--end-time=3am", "--at=2026-11-23T22:00:00Z", "--next=1"},
			`{"open": false, "reason": "OutsideWindow: No maintenance window is open; the next one opens at 2026-11-28T00:00:00+01:00 (sat 00:00-03:00).", "closes": null, "next": [
				{"start": "2026-11-28T00:00:00+01:00", "end": "2026-11-28T03:00:01+01:00", "window": "sat 00:00-03:00"}]}`,
		},
		{
			[]string{"--freeze=party=2026-11-23", "--at=2026-11-23"},
			`{"open": false, "reason": "Frozen: Freeze party=2026-11-23 holds until 2026-11-24T00:00:00+01:00; it opens at 2026-11-24T00:00:00+01:00.", "closes": null, "next": [
				{"start": "2026-11-24T00:00:00+01:00", "end": null, "window": ""}]}`,
		},
		{
			[]string{"--window=mon 10:00-11:00", "--window-margin=10m", "--at=2026-11-23T10:55", "--next=0"},
			`{"open": false, "reason": "OutsideWindow: The maintenance window closes at 2026-11-23T11:00:00+01:00, so close that nothing is begun any more (--window-margin=10m0s); the next one opens at 2026-11-30T10:00:00+01:00 (mon 10:00-11:00).", "closes": null, "next": []}`,
		},
		{nil, `{"open": true, "reason": "Open: There are no maintenance windows, so it is always open.", "closes": null, "next": []}`},
	} {
		code, out, errs := runWindows(t, append(tt.args, "-o", "json")...)
		var got, want any
		if err := json.Unmarshal([]byte(tt.want), &want); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 || errs != "" || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %d, %v, %s%s", tt.args, code, err, out, errs)
		}
	}
}

func TestWindowsAsText(t *testing.T) {
	_, out, _ := runWindows(t, "--window=sat,sun", "--at=2026-11-28T12:00", "--next=2")
	want := `At 2026-11-28T12:00:00+01:00: Open: Maintenance window sat,sun is open.
Closes: 2026-11-30T00:00:00+01:00
Next:
  2026-12-05T00:00:00+01:00 to 2026-12-07T00:00:00+01:00  sat,sun
  2026-12-12T00:00:00+01:00 to 2026-12-14T00:00:00+01:00  sat,sun
`
	if out != want {
		t.Errorf("got\n%s", out)
	}
}

func TestWindowsRefused(t *testing.T) {
	code, out, errs := runWindows(t, "--window=x", "--freeze=y", "--at=z")
	if code != exitUsage || out != "" || strings.Count(errs, "is not allowed") != 3 || !strings.Contains(errs, "rebootd windows --help") {
		t.Errorf("%d, %q, %s", code, out, errs)
	}
	if code, out, _ := runWindows(t, "--help"); code != 0 || !strings.Contains(out, "--freeze=[name=]from..to") {
		t.Errorf("%d, %s", code, out)
	}
}

// The example in docs/windows.md is what is printed.
func TestWindowsAsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/windows.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(page), "$ rebootd windows ")
	line, text, _ := strings.Cut(text, "\n")
	want, _, _ := strings.Cut(text, "```")
	args, err := shellquote.Split(line)
	if _, out, errs := runWindows(t, args...); !found || err != nil || out != want {
		t.Errorf("%v, %s%s", err, out, errs)
	}
}
