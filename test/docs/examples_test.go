package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rebootd/rebootd/test/docs/page"
)

// Go in the documentation that says at its beginning which file it is works as that file, and so do its tests.
func TestGoExamples(t *testing.T) {
	blocks, _, err := page.Read(root)
	if err != nil {
		t.Fatal(err)
	}
	here, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	overlay := map[string]string{}
	tests := map[string][]string{} // by package
	for _, b := range blocks {
		m := regexp.MustCompile(`^// (\S+\.go)\n`).FindStringSubmatch(b.Text)
		if b.Language != "go" || m == nil {
			continue
		}
		file, at := filepath.Join(t.TempDir(), "example.go"), filepath.Join(here, m[1])
		if _, err := os.Stat(at); err == nil {
			t.Errorf("%s: there is a %s already", b.Where, m[1])
		}
		if err := os.WriteFile(file, []byte(strings.TrimPrefix(b.Text, m[0])), 0o600); err != nil {
			t.Fatal(err)
		}
		overlay[at] = file
		dir := "./" + filepath.Dir(m[1])
		tests[dir] = append(tests[dir], make([]string, 0)...) // also one without tests is compiled
		for _, name := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllStringSubmatch(b.Text, -1) {
			tests[dir] = append(tests[dir], name[1])
		}
	}
	if len(overlay) < 3 {
		t.Fatalf("only %d examples were found", len(overlay))
	}
	list, err := json.Marshal(map[string]any{"Replace": overlay})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "overlay.json")
	if err := os.WriteFile(file, list, 0o600); err != nil {
		t.Fatal(err)
	}
	for dir, names := range tests {
		run := "^(none|" + strings.Join(names, "|") + ")$"
		cmd := exec.CommandContext(t.Context(), "go", "test", "-v", "-overlay", file, "-run", run, dir)
		cmd.Dir = root
		out, err := cmd.CombinedOutput()
		if passed := strings.Count(string(out), "--- PASS: "); err != nil || passed != len(names) {
			t.Errorf("%s: %d of %d tests passed: %v\n%s", dir, passed, len(names), err, out)
		}
	}
}
