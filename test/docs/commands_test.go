package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/rebootd/rebootd/pkg/config"
	"github.com/rebootd/rebootd/test/chart/helm"
	"github.com/rebootd/rebootd/test/cluster/lab"
	"github.com/rebootd/rebootd/test/docs/page"
)

const root = "../.."

// Commands of the documentation are ones that there are, with flags that they know. Each kind has somebody who is asked for it; what
// nobody can be asked for says above it why not.
func TestCommands(t *testing.T) {
	_, commands, err := page.Read(root)
	if err != nil {
		t.Fatal(err)
	}
	k := newKubectl(t)
	check := map[string]func(words []string) error{
		"make": targets(t), "go": golang, "helm": chart(t), "kubectl": k.check, "rebootd": agent,
	}
	// Programs of the machine and of the host, that are as they are.
	others := []string{"git", "cd", "install", "grep", "touch", "systemctl", "journalctl", "ls", "cat"}
	count := map[string]int{}
	done := map[string]bool{}
	for _, c := range commands {
		program, line := c.Words[0], strings.Join(c.Words, "\x00")
		count[program]++
		if done[line] {
			continue
		}
		done[line] = true
		ask, known := check[program]
		switch {
		case known:
			if err := ask(c.Words[1:]); err != nil {
				t.Errorf("%s: %s: %v", c.Where, strings.Join(c.Words, " "), err)
			}
		case !slices.Contains(others, program):
			t.Errorf("%s: nobody checks %q; if it can't be run on a plain machine, say so above the block: <!-- not run: WHY -->", c.Where, strings.Join(c.Words, " "))
		}
	}
	for program := range check {
		if count[program] == 0 {
			t.Errorf("no command with %s was found", program)
		}
	}
	t.Logf("%v", count)
}

// Those who are asked know what is wrong.
func TestWrongCommands(t *testing.T) {
	makefile, helmed, k := targets(t), chart(t), newKubectl(t)
	for line, ask := range map[string]func([]string) error{
		"make nothing":                              makefile,
		"go test ./pkg/nothing":                     golang,
		"go test -run TestNothing ./pkg/gate":       golang,
		"helm install x charts/rebootd --set=no=1":  helmed,
		"helm install x charts/rebootd --no":        helmed,
		"helm uninstal x":                           helmed,
		"kubectl get nodes --no":                    k.check,
		"kubectl gett nodes":                        k.check,
		"kubectl create configmap x --from-litera=": k.check,
		"rebootd --windo=sat":                       agent,
		"rebootd --window=someday":                  agent,
		"rebootd windows --windo=sat":               agent,
		"rebootd cleanup --no":                      agent,
	} {
		if err := ask(strings.Fields(line)[1:]); err == nil {
			t.Errorf("%s: nothing is said to be wrong", line)
		}
	}
}

// targets checks that there is such a target in the Makefile.
func targets(t *testing.T) func([]string) error {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	return func(words []string) error {
		for _, w := range words {
			if !strings.Contains(w, "=") && w != page.Unknown && !regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(w)+`:`).Match(text) {
				return fmt.Errorf("there is no target %s", w)
			}
		}
		return nil
	}
}

// golang checks that the packages are there, and the tests that -run names.
func golang(words []string) error {
	var dirs []string
	run := ""
	for i, w := range words {
		if strings.HasPrefix(w, "./") {
			dirs = append(dirs, w)
			if found, err := filepath.Glob(filepath.Join(root, w, "*.go")); err != nil || len(found) == 0 {
				return fmt.Errorf("there is no package %s", w)
			}
		}
		if w == "-run" && i+1 < len(words) {
			run = strings.TrimSuffix(words[i+1], "$")
		}
	}
	if run == "" {
		return nil
	}
	for _, dir := range dirs {
		found, _ := filepath.Glob(filepath.Join(root, dir, "*_test.go"))
		for _, file := range found {
			text, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			if regexp.MustCompile(`(?m)^func \w*` + run).Match(text) {
				return nil
			}
		}
	}
	return fmt.Errorf("there is no test %s in %v", run, dirs)
}

// agent checks the flags of rebootd and of its commands.
func agent(words []string) error {
	words = slices.DeleteFunc(slices.Clone(words), func(w string) bool { return w == "..." || w == page.Unknown })
	var err error
	switch {
	case len(words) > 0 && words[0] == "windows":
		_, err = config.ParseWindows(words[1:], nil, io.Discard)
	case len(words) > 0 && words[0] == "cleanup":
		_, err = config.ParseCleanup(words[1:], nil, io.Discard)
	default:
		_, err = config.Parse(append(words, "--node-name=n"), nil, io.Discard)
	}
	if errors.Is(err, config.ErrHelp) {
		return nil
	}
	return err
}

// chart renders what helm would install.
func chart(t *testing.T) func([]string) error {
	t.Helper()
	return func(words []string) error {
		var args []string
		for i, w := range words {
			switch {
			case i == 0 && slices.Contains([]string{"install", "upgrade"}, w):
				args = append(args, "template")
			case w == "charts/rebootd":
				args = append(args, filepath.Join(root, w))
			case w == "kured-values.yaml":
				args = append(args, "../chart/testdata/kured-typical/values.yaml")
			case slices.Contains([]string{"--install", "--reuse-values", "--reset-then-reuse-values", "--create-namespace", "--wait"}, w):
			case strings.Contains(w, page.Unknown):
				args = append(args, strings.ReplaceAll(w, page.Unknown, "x"))
			case strings.HasSuffix(w, ".yaml"):
				return nil // a file of the reader's
			default:
				args = append(args, w)
			}
		}
		switch {
		case len(words) == 1:
			return nil
		case args[0] == "template":
			args = append(args, helm.KubeVersion)
		default:
			args = append(args, "--help")
		}
		_, err := helm.Run(t.Context(), args...)
		return err
	}
}

// Values in the documentation are ones that the chart takes.
func TestValues(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "charts/rebootd/values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var known map[string]any
	if err := yaml.Unmarshal(text, &known); err != nil {
		t.Fatal(err)
	}
	blocks, _, err := page.Read(root)
	if err != nil {
		t.Fatal(err)
	}
	rendered := 0
	for _, b := range blocks {
		if b.Language != "yaml" {
			continue
		}
		var values map[string]any
		if err := yaml.Unmarshal([]byte(b.Text), &values); err != nil {
			t.Errorf("%s: %v", b.Where, err)
			continue
		}
		ours := 0
		for key := range values {
			if _, ok := known[key]; ok {
				ours++
			}
		}
		if _, other := values["patches"]; ours == 0 || other {
			continue // of something else, such as kustomize
		}
		rendered++
		file := filepath.Join(t.TempDir(), "values.yaml")
		if err := os.WriteFile(file, []byte(b.Text), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := helm.Run(t.Context(), "template", "rebootd", filepath.Join(root, "charts/rebootd"), "--namespace=rebootd", helm.KubeVersion, "--values="+file)
		if err != nil {
			t.Errorf("%s: %v", b.Where, err)
			continue
		}
		if err := argsOf(out); err != nil {
			t.Errorf("%s: %v", b.Where, err)
		}
	}
	if rendered < 10 {
		t.Errorf("only %d blocks with values were found", rendered)
	}
}

// argsOf says whether the agents that were rendered would start.
func argsOf(rendered string) error {
	for document := range strings.SplitSeq(rendered, "\n---\n") {
		var ds struct {
			Kind string
			Spec struct {
				Template struct {
					Spec struct{ Containers []struct{ Args []string } }
				}
			}
		}
		if err := yaml.Unmarshal([]byte(document), &ds); err != nil {
			return err
		}
		if ds.Kind != "DaemonSet" {
			continue
		}
		// Files from Secrets are there only where the agent runs.
		args := slices.DeleteFunc(ds.Spec.Template.Spec.Containers[0].Args, func(a string) bool {
			return strings.Contains(a, "=/etc/rebootd/")
		})
		if _, err := config.Parse(append(args, "--node-name=n"), nil, io.Discard); err != nil {
			return err
		}
	}
	return nil
}

// kubectl is asked for the help of each command: it doesn't give it for flags that it doesn't know.
type kubectl struct {
	t    *testing.T
	bin  string
	said map[string]error // by command and flags, for what follows them makes no difference
}

func newKubectl(t *testing.T) kubectl {
	t.Helper()
	bin, err := lab.EnsureBinaries(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	return kubectl{t, filepath.Join(bin, "kubectl"), map[string]error{}}
}

func (k kubectl) check(words []string) error {
	if words[0] == "reboot" || words[0] == page.Unknown {
		return nil // the plugin's own tests look at its commands
	}
	var flags []string
	for i, w := range words {
		if name, _, _ := strings.Cut(w, "="); i < 2 || strings.HasPrefix(w, "-") {
			flags = append(flags, name)
		}
	}
	key := strings.Join(flags, " ")
	if err, asked := k.said[key]; asked {
		return err
	}
	k.said[key] = k.help(words)
	return k.said[key]
}

func (k kubectl) help(words []string) error {
	ctx, cancel := context.WithTimeout(k.t.Context(), time.Minute)
	defer cancel()
	end := slices.Index(words, "--")
	if end < 0 {
		end = len(words)
	}
	cmd := exec.CommandContext(ctx, k.bin, append(slices.Clone(words[:end]), "--help")...)
	cmd.Env = []string{"HOME=" + k.t.TempDir(), "KUBECONFIG=/dev/null"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(out))
	}
	// The help of a command that there isn't is that of the one above it.
	if words[0] != "--help" && !bytes.Contains(out, []byte("\n  kubectl "+words[0])) {
		return fmt.Errorf("there is no such command")
	}
	return nil
}
