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
		"pkg/lock":        {"pkg/mirror"},
		"pkg/node":        {"pkg/mirror", "pkg/plan"},
		"pkg/fleet":       {"pkg/plan"},
		"pkg/gate":        {"pkg/mirror", "pkg/plan", "pkg/schedule"},
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
