package plan

import (
	"os/exec"
	"strings"
	"testing"
)

// TestPure holds this package to what its documentation says: it talks to nothing outside.
func TestPure(t *testing.T) {
	own := list(t, `{{join .Imports "\n"}}`, ".")
	for _, pkg := range own {
		root, _, _ := strings.Cut(pkg, "/")
		if root == "os" || root == "net" || root == "syscall" || root == "unsafe" || strings.Contains(root, ".") {
			t.Errorf("imports %s", pkg)
		}
	}
	if len(own) == 0 {
		t.Error("no imports at all: this test looks at nothing")
	}
	for _, pkg := range list(t, `{{if not .Standard}}{{.ImportPath}}{{end}}`, "-deps", ".") {
		if !strings.HasPrefix(pkg, "github.com/rebootd/rebootd/pkg/plan") {
			t.Errorf("depends on %s", pkg)
		}
	}
	for _, pkg := range list(t, "{{.ImportPath}}", "-deps", ".") {
		if pkg == "net" || strings.HasPrefix(pkg, "net/") || pkg == "os/exec" {
			t.Errorf("depends on %s", pkg)
		}
	}
}

func list(t *testing.T, format string, args ...string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", append([]string{"list", "-f", format}, args...)...).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(out))
}
