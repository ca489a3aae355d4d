package config

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/kballard/go-shellquote"
)

// What the pages say of flags is so: every flag that is named exists, and every block of flags is accepted.
func TestPages(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(pages) < 5 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	known := newParser(append(options(&Config{}), cleanupOptions(&Cleanup{})...)).known
	others := []string{"--set", "--api-versions", "--no-hooks"} // of helm; those of the plugin follow
	plugin, err := os.ReadFile("../../cmd/kubectl-reboot/internal/cli/testdata/reference.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, flag := range regexp.MustCompile("`(--[a-z-]+)`").FindAllStringSubmatch(string(plugin), -1) {
		others = append(others, flag[1])
	}
	blocks := 0
	for _, page := range append(pages, "../../README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, flag := range regexp.MustCompile("`(--[a-z][a-z-]+)(?:[=` ])").FindAllStringSubmatch(string(text), -1) {
			if _, ok := known[flag[1]]; !ok && !slices.Contains(others, flag[1]) && filepath.Base(page) != "plugin.md" { // which has flags of kubectl, too
				t.Errorf("%s: there is no %s", page, flag[1])
			}
		}
		for _, block := range regexp.MustCompile("(?ms)^ *```(?:sh)?\n(.*?)^ *```$").FindAllStringSubmatch(string(text), -1) {
			if !strings.HasPrefix(strings.TrimSpace(block[1]), "--") {
				continue
			}
			blocks++
			acceptBlock(t, page, block[1])
		}
	}
	if blocks < 100 {
		t.Errorf("only %d blocks of flags were found", blocks)
	}
}

// acceptBlock parses a block, with the server beside it that queries need, since a page doesn't repeat that.
func acceptBlock(t *testing.T, page, block string) {
	t.Helper()
	args, err := shellquote.Split(block)
	if err != nil {
		t.Errorf("%s: %s: %v", page, block, err)
		return
	}
	for flag, need := range map[string]string{
		"-query=":         "--prometheus-url=http://prometheus",
		"--alert-matcher": "--alertmanager-url=http://alertmanager",
	} {
		name, _, _ := strings.Cut(need, "=")
		if strings.Contains(block, flag) && !slices.ContainsFunc(args, func(arg string) bool { return strings.HasPrefix(arg, name+"=") }) {
			args = append(args, need)
		}
	}
	if _, err := parsed(t, args); err != nil {
		t.Errorf("%s: %s: %v", page, block, err)
	}
}
