package host

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestBootID(t *testing.T) {
	for content, want := range map[string]string{
		"":               "is empty",
		" \n":            "is empty",
		"a\nb\n":         "more than one line",
		"a\rb":           "more than one line",
		"  one-id \n":    "",
		"no-end-of-line": "",
	} {
		file := filepath.Join(t.TempDir(), "boot_id")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		id, err := New(Options{BootIDFile: file}).BootID()
		switch {
		case want != "":
			if err == nil || id != "" || !strings.Contains(err.Error(), want) ||
				!strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "--boot-id-file") {
				t.Errorf("%q: %q, %v", content, id, err)
			}
		case err != nil || id != strings.TrimSpace(content):
			t.Errorf("%q: %q, %v", content, id, err)
		}
	}
	_, err := New(Options{BootIDFile: "/no/such/file"}).BootID()
	if err == nil || !strings.Contains(err.Error(), "--boot-id-file") || !strings.Contains(err.Error(), "/no/such/file") {
		t.Error(err)
	}
}
