package monitoring

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Tool runs promtool or amtool, and returns what it says.
func Tool(t testing.TB, input, name string, args ...string) (string, error) {
	t.Helper()
	bin, err := programs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, name), args...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
