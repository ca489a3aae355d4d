package cli

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every command of the plugin that an agent's message, the plugin's advice or the docs name is one that there is.
func TestCommandsThatAreNamed(t *testing.T) {
	const root = "../../../../"
	command := regexp.MustCompile("(?:^|[^-a-z])kubectl reboot ([a-z][-a-z]*(?: [a-z][-a-z]*)?)")
	named := map[string]int{}
	for _, dir := range []string{"pkg", "docs", "cmd/kubectl-reboot/internal", "README.md", "charts/rebootd/files/alerts.yaml"} {
		err := filepath.WalkDir(root+dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "testdata") {
				return err
			}
			text, err := os.ReadFile(path)
			for line := range strings.Lines(string(text)) {
				if strings.HasPrefix(strings.TrimSpace(line), "//") {
					continue
				}
				for _, m := range command.FindAllStringSubmatch(line, -1) {
					named[dir]++
					words := strings.Fields(m[1])
					found, rest, err := New(&Env{}).Find(words)
					if err != nil || len(rest) == len(words) || len(rest) > 0 && found.HasSubCommands() {
						t.Errorf("%s names kubectl reboot %s, which there isn't", path, m[1])
					}
				}
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	if named["pkg"] < 4 || named["docs"] < 10 || named["cmd/kubectl-reboot/internal"] < 10 {
		t.Errorf("found only %v", named)
	}
}
