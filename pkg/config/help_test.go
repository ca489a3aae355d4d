package config

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

func TestHelp(t *testing.T) {
	var b strings.Builder
	for _, arg := range []string{"--help", "-h"} {
		b.Reset()
		if _, err := Parse([]string{"--period=x", arg}, nil, &b); !errors.Is(err, ErrHelp) {
			t.Errorf("%s: got %v", arg, err)
		}
	}
	for line := range strings.Lines(b.String()) {
		if len(strings.TrimSuffix(line, "\n")) > 100 || strings.HasSuffix(line, " \n") {
			t.Errorf("too long or with a blank at its end: %q", line)
		}
	}
	golden := filepath.Join("testdata", "help.txt")
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(golden, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("differs from %s; UPDATE_GOLDEN=1 go test ./pkg/config rewrites it. Got:\n%s", golden, b.String())
	}
}

func TestVersion(t *testing.T) {
	if _, err := Parse([]string{"--version"}, nil, io.Discard); !errors.Is(err, ErrVersion) {
		t.Errorf("got %v", err)
	}
}

func TestHelpCannotBeWritten(t *testing.T) {
	r, w := io.Pipe()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Parse([]string{"-h"}, nil, w); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %v", err)
	}
}

// Every option is described in full, once.
func TestTable(t *testing.T) {
	groups := options(&Config{})
	text := help(agentHelp, groups)
	for _, g := range groups {
		if !strings.Contains(text, "\n"+g.title+":\n") {
			t.Errorf("the group %q isn't in the help", g.title)
		}
	}
	seen := map[string]bool{}
	for _, o := range newParser(groups).options {
		for _, name := range o.names() {
			if seen[name] || name != strings.ToLower(name) || strings.ContainsAny(name, "_ =") {
				t.Errorf("--%s is badly named or there twice", name)
			}
			seen[name] = true
		}
		wantDescribed(t, o)
		if !strings.Contains(text, "\n  "+o.synopsis()) {
			t.Errorf("--%s isn't in the help", o.name)
		}
	}
}

func wantDescribed(t *testing.T, o option) {
	t.Helper()
	if !strings.HasSuffix(o.meaning, ".") || strings.ToUpper(o.meaning[:1]) != o.meaning[:1] {
		t.Errorf("--%s: the meaning is no sentence: %q", o.name, o.meaning)
	}
	if o.defaultText() == "" {
		t.Errorf("--%s: nothing says what the default is", o.name)
	}
	if o.def == "" {
		return
	}
	if err := o.value.set(o.def); err != nil {
		t.Errorf("--%s: the default %q isn't allowed: %v", o.name, o.def, err)
	}
}

func TestPodNamespace(t *testing.T) {
	pod := fstest.MapFS{"namespace": {Data: []byte("kube-system\n")}}
	if got := podNamespace(pod); got != "kube-system" {
		t.Errorf("got %q", got)
	}
	if got := podNamespace(fstest.MapFS{}); got != "rebootd" {
		t.Errorf("got %q", got)
	}
}
