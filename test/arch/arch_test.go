// Package arch holds the code to its own structure.
package arch

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/rebootd/rebootd/"

type pkg struct {
	ImportPath, Dir, Doc, Name string
	Imports                    []string
	GoFiles                    []string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Dir,Doc,Name,Imports,GoFiles", "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// The parts know the words of package plan and nothing of each other; only the agent knows them all.
func TestPartsDontReachSideways(t *testing.T) {
	allowed := map[string][]string{
		"pkg/agent":       nil, // everything
		"pkg/circuit":     {"pkg/mirror"},
		"pkg/cleanup":     {"pkg/circuit", "pkg/kured", "pkg/lock", "pkg/node", "pkg/plan"}, // it undoes what they do
		"pkg/lock":        {"pkg/mirror"},
		"pkg/node":        {"pkg/mirror", "pkg/plan"},
		"pkg/fleet":       {"pkg/plan"},
		"pkg/gate":        {"pkg/mirror", "pkg/pause", "pkg/plan", "pkg/schedule"},
		"pkg/config":      {"pkg/remote", "pkg/schedule", "pkg/silence", "pkg/tell/notify"},
		"pkg/tell":        {"pkg/plan", "pkg/tell/notify"},
		"pkg/tell/notify": {"pkg/plan"},
		"pkg/sentinel":    {"pkg/plan"},
	}
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		if !strings.HasPrefix(name, "pkg/") || name == "pkg/agent" {
			continue
		}
		for _, i := range p.Imports {
			if other, ours := strings.CutPrefix(i, module); ours && !slices.Contains(allowed[name], other) {
				t.Errorf("%s imports %s", name, other)
			}
		}
	}
}

// The plugin's views are computed from values; its text is made from views; only its commands know both and the API server.
func TestPluginIsLayered(t *testing.T) {
	const plugin = "cmd/kubectl-reboot/internal/"
	allowed := map[string][]string{
		"view":    {"pkg/circuit", "pkg/config", "pkg/fleet", "pkg/kured", "pkg/lock", "pkg/node", "pkg/pause", "pkg/plan"},
		"show":    {plugin + "view", "pkg/plan", "pkg/tell"},
		"cluster": {plugin + "view", plugin + "takeover", "pkg/circuit", "pkg/kured", "pkg/lock", "pkg/pause"},
		"cli": {
			plugin + "view", plugin + "show", plugin + "cluster", plugin + "takeover", "pkg/circuit", "pkg/lock", "pkg/node", "pkg/plan",
		},
		"takeover": {"pkg/config", "pkg/kured", "pkg/node", "pkg/plan"},
	}
	outside := []string{"context", "os", "os/exec", "net", "net/http", "io/fs", "k8s.io/client-go", "k8s.io/cli-runtime", "k8s.io/kubectl", "github.com/spf13"}
	seen := 0
	for _, p := range packages(t) {
		name, ours := strings.CutPrefix(p.ImportPath, module+plugin)
		if !ours {
			continue
		}
		seen++
		for _, i := range p.Imports {
			if other, ours := strings.CutPrefix(i, module); ours && !slices.Contains(allowed[name], other) {
				t.Errorf("%s imports %s", p.ImportPath, other)
			}
			reaches := slices.ContainsFunc(outside, func(o string) bool { return i == o || strings.HasPrefix(i, o+"/") })
			if reaches && (name == "view" || name == "show" || name == "takeover") {
				t.Errorf("%s imports %s, which may reach the outside", p.ImportPath, i)
			}
		}
	}
	if seen != len(allowed) {
		t.Fatalf("found %d packages of the plugin, not %d", seen, len(allowed))
	}
}

// What kubectl plugins are made of stays out of the agent, but for what kubectl's drain library brings along.
func TestPluginStaysOutOfTheAgent(t *testing.T) {
	cli := []string{"github.com/spf13/", "k8s.io/cli-runtime/", "k8s.io/kubectl/pkg/cmd/", "golang.org/x/term", module + "cmd/"}
	mayUse := module + "cmd/kubectl-reboot"
	for _, p := range packages(t) {
		if strings.HasPrefix(p.ImportPath, mayUse) || strings.HasPrefix(p.ImportPath, module+"test/") {
			continue
		}
		for _, i := range p.Imports {
			if slices.ContainsFunc(cli, func(c string) bool { return strings.HasPrefix(i, c) }) {
				t.Errorf("%s imports %s, which is for the plugin", p.ImportPath, i)
			}
		}
	}
	agent, drain := dependencies(t, "./cmd/rebootd"), dependencies(t, "k8s.io/kubectl/pkg/drain")
	for _, d := range agent {
		fromCLI := slices.ContainsFunc(cli[:4], func(c string) bool { return strings.HasPrefix(d, c) })
		if strings.HasPrefix(d, mayUse) || fromCLI && !slices.Contains(drain, d) {
			t.Errorf("the agent depends on %s", d)
		}
	}
}

func dependencies(t *testing.T, of string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", of)
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(out))
}

func TestPlanAndScheduleArePure(t *testing.T) {
	pure := []string{"cmp", "encoding/json", "fmt", "hash/fnv", "iter", "slices", "strconv", "strings", "time", "errors", "math"}
	left := map[string][]string{"pkg/plan": nil, "pkg/schedule": {"github.com/teambition/rrule-go"}}
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		more, ok := left[name]
		if !ok {
			continue
		}
		for _, i := range p.Imports {
			if !slices.Contains(append(more, pure...), i) {
				t.Errorf("%s imports %s, which may reach the outside", name, i)
			}
		}
		delete(left, name)
	}
	if len(left) > 0 {
		t.Fatalf("there is no %v", left)
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	for _, p := range packages(t) {
		if p.Doc == "" && len(p.GoFiles) > 0 {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
		if slices.Contains([]string{"util", "utils", "common", "helpers", "misc"}, p.Name) {
			t.Errorf("%s: the name says nothing", p.ImportPath)
		}
	}
}

func TestFilesAreShort(t *testing.T) {
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		text, err := os.ReadFile(path)
		if n := strings.Count(string(text), "\n"); n > 400 {
			t.Errorf("%s has %d lines; 400 are enough", path, n)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
