package image

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// recipe is what the Dockerfile says.
type recipe struct {
	golang     string // the image that the program is built in
	run        []string
	base       string // of the image that is made
	files      []string
	labels     map[string]string
	env        []string
	user       string
	entrypoint []string
	others     []string // instructions that nobody compares
}

// read takes both stages of the Dockerfile apart.
func read(t *testing.T, dockerfile string) recipe {
	t.Helper()
	file, err := os.Open(dockerfile)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	parsed, err := parser.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	stages, _, err := instructions.Parse(parsed.AST, linter.New(&linter.Config{}))
	if err != nil || len(stages) != 2 {
		t.Fatalf("%d stages, %v", len(stages), err)
	}
	r := recipe{golang: stages[0].BaseName, base: stages[1].BaseName, labels: map[string]string{}}
	for _, command := range stages[0].Commands {
		if run, ok := command.(*instructions.RunCommand); ok {
			r.run = append(r.run, strings.Join(run.CmdLine, " "))
		}
	}
	for _, command := range stages[1].Commands {
		switch c := command.(type) {
		case *instructions.ArgCommand:
		case *instructions.CopyCommand:
			if len(c.SourcePaths) != 1 || c.From != stages[0].Name || c.Chown != "" {
				t.Errorf("%s: copy one file from the first stage", c)
			}
			r.files = append(r.files, c.DestPath)
		case *instructions.LabelCommand:
			for _, label := range c.Labels {
				r.labels[label.Key] = strings.Trim(label.Value, `"`)
			}
		case *instructions.EnvCommand:
			for _, pair := range c.Env {
				r.env = append(r.env, pair.String())
			}
		case *instructions.UserCommand:
			r.user = c.User
		case *instructions.EntrypointCommand:
			r.entrypoint = c.CmdLine
		default:
			r.others = append(r.others, command.Name())
		}
	}
	return r
}

// TestDockerfileMakesTheSame compares the two recipes: who builds with Docker gets what who builds without gets.
func TestDockerfileMakesTheSame(t *testing.T) {
	root, err := SourceRoot()
	if err != nil {
		t.Fatal(err)
	}
	got := read(t, filepath.Join(root, "Dockerfile"))
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	o, err := Options{Output: "x", Version: "$VERSION"}.complete(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want, err := o.contents(t.Context(), program, o.Platforms[0])
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, file := range want.Files {
		files = append(files, file.Path)
	}
	slices.Sort(files)
	slices.Sort(got.files)
	if !slices.Equal(got.files, files) {
		t.Errorf("files %v, want %v", got.files, files)
	}
	if want := labels("rebootd", "$VERSION", "$REVISION"); !maps.Equal(got.labels, want) {
		t.Errorf("labels %v, want %v", got.labels, want)
	}
	if got.user != want.User || !slices.Equal(got.entrypoint, want.Entrypoint) || got.base != "scratch" || got.others != nil {
		t.Errorf("user %q, entrypoint %q, from %q, also %q; want %q, %q, from scratch and no more",
			got.user, got.entrypoint, got.base, got.others, want.User, want.Entrypoint)
	}
	if !slices.Equal(got.env, want.Env) {
		t.Errorf("environment %v, want %v", got.env, want.Env)
	}
	build := got.run[len(got.run)-1]
	for _, part := range []string{"CGO_ENABLED=0", trim, noVCS, noInline, `-ldflags "` + linkerFlags("$VERSION") + `"`, "./cmd/rebootd"} {
		if !strings.Contains(build, part) {
			t.Errorf("the Dockerfile builds with %s; it lacks %s", build, part)
		}
	}
}

// TestDockerfileBuildsWithOurGo finds a Dockerfile whose Go is not the one that go.mod asks for.
func TestDockerfileBuildsWithOurGo(t *testing.T) {
	root, err := SourceRoot()
	if err != nil {
		t.Fatal(err)
	}
	out, err := command(t, root, "go", "mod", "edit", "-json")
	if err != nil {
		t.Fatal(err)
	}
	var module struct{ Go string }
	if err := json.Unmarshal(out, &module); err != nil {
		t.Fatal(err)
	}
	minor := strings.Join(strings.Split(module.Go, ".")[:2], ".")
	if got := read(t, filepath.Join(root, "Dockerfile")).golang; got != "golang:"+minor {
		t.Errorf("the Dockerfile builds in %s, go.mod asks for Go %s", got, module.Go)
	}
}

func command(t *testing.T, dir, name string, args ...string) ([]byte, error) {
	t.Helper()
	c := exec.CommandContext(t.Context(), name, args...)
	c.Dir = dir
	return c.Output()
}
