package arch

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestActionsArePinned: who can move a tag must not be able to change what a release is made by.
func TestActionsArePinned(t *testing.T) {
	files, err := filepath.Glob("../../.github/workflows/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d workflows, %v", len(files), err)
	}
	uses := regexp.MustCompile(`(?m)^\s*(?:- )?(uses|image): *(.*)$`)
	pinned := regexp.MustCompile(`^[\w-]+/[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$`)
	image := regexp.MustCompile(`^[^@ ]+@sha256:[0-9a-f]{64}$`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range uses.FindAllStringSubmatch(string(text), -1) {
			ok := strings.HasPrefix(m[2], "./") || pinned.MatchString(m[2])
			if m[1] == "image" {
				ok = image.MatchString(m[2])
			}
			if !ok {
				t.Errorf("%s: %s %s is not pinned by its digest, with its version behind it", filepath.Base(file), m[1], m[2])
			}
		}
	}
}
