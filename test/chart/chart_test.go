package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/yaml"

	"github.com/rebootd/rebootd/pkg/config"
	"github.com/rebootd/rebootd/test/chart/helm"
)

const root = "../.."

// write writes a values file.
func write(t *testing.T, text string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "values") // t.TempDir may have a comma, where helm splits
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "values.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// template renders a chart with a values file.
func template(ctx context.Context, chart, values string, args ...string) (string, error) {
	return helm.Run(ctx, append([]string{"template", "rebootd", chart, "--namespace=rebootd", helm.KubeVersion, "--values=" + values}, args...)...)
}

// withNotes is a copy of the chart whose notes are rendered like an object, and whose other files are changed.
func withNotes(t *testing.T, change map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "rebootd")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(root, chartDir))); err != nil {
		t.Fatal(err)
	}
	notes, err := os.ReadFile(filepath.Join(dir, "templates/NOTES.txt"))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{
		"templates/_notes.tpl": `{{ define "notes" }}` + string(notes) + "{{ end }}",
		"templates/notes.yaml": "apiVersion: v1\nkind: Notes\nnotes: |\n{{ include \"notes\" . | indent 2 }}\n",
	}
	maps.Copy(files, change)
	for path, text := range files {
		if err := os.WriteFile(filepath.Join(dir, path), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// daemonSets reads those of a rendering, and refuses unknown fields.
func daemonSets(t *testing.T, text string) []appsv1.DaemonSet {
	t.Helper()
	var all []appsv1.DaemonSet
	for document := range strings.SplitSeq(text, "\n---\n") {
		if strings.Contains(document, "\nkind: DaemonSet\n") {
			var ds appsv1.DaemonSet
			if err := yaml.UnmarshalStrict([]byte(document), &ds); err != nil {
				t.Fatal(err)
			}
			all = append(all, ds)
		}
	}
	return all
}

// agents are the DaemonSets that these values give.
func agents(t *testing.T, text string) []appsv1.DaemonSet {
	t.Helper()
	out, err := template(t.Context(), filepath.Join(root, chartDir), write(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return daemonSets(t, out)
}

func agentArgs(t *testing.T, text string) []string {
	t.Helper()
	all := agents(t, text)
	if len(all) != 1 {
		t.Fatalf("%d DaemonSets", len(all))
	}
	return all[0].Spec.Template.Spec.Containers[0].Args
}

func TestUpToDate(t *testing.T) {
	t.Chdir(root)
	if err := run(t.Context(), true); err != nil {
		t.Error(err)
	}
}

func TestLint(t *testing.T) {
	t.Parallel()
	if out, err := helm.Run(t.Context(), "lint", "--strict", helm.KubeVersion, filepath.Join(root, chartDir)); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// sample is a value that the schema takes, and the arguments it becomes.
func sample(o option) (any, []string) {
	flag := "--" + o.Name + "="
	switch {
	case o.List && o.Placeholder == "path":
		return []string{"/a/b", "/c/d"}, []string{flag + "/a/b", flag + "/c/d"}
	case o.List:
		return []string{"a b", "c,d"}, []string{flag + "a b", flag + "c,d"}
	case o.Placeholder == "":
		return false, []string{flag + "false"}
	case isChoice(o) && o.Placeholder != "number|percentage":
		last := o.Placeholder[strings.LastIndex(o.Placeholder, "|")+1:]
		return last, []string{flag + last}
	}
	value := map[string]any{
		"duration": 0, "number": 1000000, "seconds": 0, "port": 1, "number|percentage": "10%", "signal": "SIGRTMIN+5", "time": "0:00",
		"path": "/some/path", "name": "a-name", "text": "some 'text'",
	}[o.Placeholder]
	if value == nil {
		value = "some 'text', {{ whatever }}"
	}
	return value, []string{flag + fmt.Sprint(value)}
}

// Every option has a value, which becomes its flag.
func TestEveryOption(t *testing.T) {
	t.Parallel()
	given, want := map[string]any{}, []string{"--host-root=/host"}
	for _, s := range charted(config.Describe()) {
		for _, o := range s.options {
			if o.Secret {
				continue // TestSecrets
			}
			value, args := sample(o)
			given[o.key] = value
			want = append(want, args...)
		}
	}
	delete(given, "rebootSentinelCommand") // a shell's quotes; and it would leave out the folders
	want = slices.DeleteFunc(want, func(s string) bool { return strings.HasPrefix(s, "--reboot-sentinel-command=") })
	text, err := yaml.Marshal(map[string]any{"configuration": given})
	if err != nil {
		t.Fatal(err)
	}
	got := agentArgs(t, string(text))
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// The agent understands what the chart gives it.
func TestAgentTakesIt(t *testing.T) {
	t.Parallel()
	for _, path := range golden(t) {
		out, err := os.ReadFile(filepath.Join(path, "golden.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		for _, ds := range daemonSets(t, string(out)) {
			args := append([]string{"--node-name=n"}, ds.Spec.Template.Spec.Containers[0].Args...)
			args = slices.DeleteFunc(args, func(arg string) bool { return strings.Contains(arg, "=/etc/rebootd/") }) // of a Secret that isn't here
			if _, err := config.Parse(args, nil, io.Discard); err != nil {
				t.Errorf("%s, %s: %v", path, ds.Name, err)
			}
		}
	}
}

func golden(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob("testdata/*/values.yaml")
	if err != nil || len(paths) < 5 {
		t.Fatalf("%v: %v", paths, err)
	}
	for i := range paths {
		paths[i] = filepath.Dir(paths[i])
	}
	return paths
}

var update = flag.Bool("update", os.Getenv("UPDATE_GOLDEN") != "", "write what is expected anew")

// What the values files in testdata give, with the notes; without what changes with each version.
func TestGolden(t *testing.T) {
	t.Parallel()
	for _, path := range golden(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			out, err := template(t.Context(), withNotes(t, nil), filepath.Join(path, "values.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(path, "golden.yaml")
			got := plain(out)
			if *update {
				if err := os.WriteFile(file, got, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != string(want) {
				t.Errorf("it is not as in %s; UPDATE_GOLDEN=1 go test ./test/chart writes it anew", file)
				for i, line := range strings.Split(string(got), "\n") {
					if w := strings.Split(string(want), "\n"); i >= len(w) || w[i] != line {
						t.Fatalf("line %d: %s", i+1, line)
					}
				}
			}
		})
	}
}
