package sentinel

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rebootd/rebootd/pkg/plan"
)

func TestUptime(t *testing.T) {
	file := filepath.Join(t.TempDir(), "uptime")
	u := Uptime{Limit: 720 * time.Hour, Node: "worker-1", File: file}
	for _, tt := range []struct {
		text   string
		answer plan.Answer
		says   string
	}{
		{"350735.47 234388.90\n", plan.No, "not been up"},
		{"2592000.00 1.00\n", plan.Yes, "The machine has been up for 720h0m0s; this node's limit is 6"},
		{"2600000", plan.Yes, "(--max-uptime=720h0m0s, less up to a tenth by the node's name)."},
		{"", plan.Unknown, "(--max-uptime)"},
		{"soon 1", plan.Unknown, `says "soon"`},
		{"-1 1", plan.Unknown, "not a number"},
		{"NaN 1", plan.Unknown, "not a number"},
		{"1e300 1", plan.Unknown, "not a number"},
	} {
		if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if w := u.Look(t.Context()); w.Answer != tt.answer || !strings.Contains(w.Message, tt.says) {
			t.Errorf("%q: got %+v", tt.text, w)
		}
	}
	u.File += ".none"
	if w := u.Look(t.Context()); w.Answer != plan.Unknown || !strings.Contains(w.Message, "no such file") {
		t.Errorf("got %+v", w)
	}
	if w := (Uptime{Limit: 1e6 * time.Hour}).Look(t.Context()); w.Answer != plan.No {
		t.Errorf("this machine: %+v", w)
	}
}

// Whatever the kernel says is no, yes or unknown, and never a time below zero.
func FuzzUptime(f *testing.F) {
	f.Add("350735.47 234388.90\n")
	f.Add("-0 1e9")
	f.Fuzz(func(t *testing.T, text string) {
		file := filepath.Join(t.TempDir(), "uptime")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		u := Uptime{Limit: time.Hour, Node: "worker-1", File: file}
		up, err := u.Up()
		if want := u.Look(t.Context()).Answer; up < 0 || (err != nil) != (want == plan.Unknown) || err == nil && (up >= u.Due()) != (want == plan.Yes) {
			t.Errorf("%q: %s, %v, %v", text, up, err, want)
		}
	})
}

// The limits of a thousand nodes fill the last tenth evenly, and stay what they are.
func TestUptimeIsSpread(t *testing.T) {
	const limit, nodes = 1000 * time.Hour, 1000
	parts := make([]int, 10)
	for i := range nodes {
		u := Uptime{Limit: limit, Node: fmt.Sprintf("worker-%d", i)}
		due := u.Due()
		if due > limit || due < limit*9/10 || due != u.Due() {
			t.Fatalf("%s: %s", u.Node, due)
		}
		parts[min(9, int((limit-due)/(limit/100)))]++
	}
	for _, n := range parts {
		if n < nodes/20 || n > nodes/5 {
			t.Errorf("not even: %v", parts)
		}
	}
}
