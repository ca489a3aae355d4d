package cli

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/rebootd/rebootd/cmd/kubectl-reboot/internal/show"
)

// shell is a user's terminal in front of a cluster.
type shell struct {
	kube     *fake.Clientset
	style    show.Style
	typed    string
	out, err bytes.Buffer
}

func newShell(w *world) *shell {
	kube := fake.NewClientset(w.all()...)
	kube.PrependReactor("create", "selfsubjectreviews", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, &authenticationv1.SelfSubjectReview{Status: authenticationv1.SelfSubjectReviewStatus{
			UserInfo: authenticationv1.UserInfo{Username: "alice"},
		}}, nil
	})
	return &shell{kube: kube}
}

// run runs a command line and returns its exit code, and what it wrote to both outputs.
func (s *shell) run(ctx context.Context, args ...string) (int, string) {
	s.out.Reset()
	s.err.Reset()
	both := &bytes.Buffer{}
	code := Run(ctx, Env{
		IOStreams: genericiooptions.IOStreams{In: io.TeeReader(strings.NewReader(s.typed), both), Out: tee{&s.out, both}, ErrOut: tee{&s.err, both}},
		Now:       func() time.Time { return noon }, Getenv: func(string) string { return "" }, Version: "v0.0.0",
		Connect:  func() (kubernetes.Interface, error) { return s.kube, nil },
		Terminal: func() show.Style { return s.style },
	}, args)
	return code, both.String()
}

type tee struct{ a, b *bytes.Buffer }

func (t tee) Write(p []byte) (int, error) {
	t.a.Write(p)
	return t.b.Write(p)
}

// story is what a person who types these commands sees.
func (s *shell) story(t *testing.T, commands ...string) string {
	t.Helper()
	var b strings.Builder
	for i, command := range commands {
		if i > 0 {
			b.WriteString("\n")
		}
		b.WriteString("$ kubectl reboot " + command + "\n")
		_, text := s.run(t.Context(), words(command)...)
		b.WriteString(text)
	}
	return b.String()
}

// words splits a command line; "…" keeps blanks together.
func words(line string) []string {
	var all []string
	for i, part := range strings.Split(line, `"`) {
		if i%2 == 1 {
			all[len(all)-1] += part
			continue
		}
		fields := strings.Fields(part)
		if i > 0 && len(fields) > 0 && !strings.HasPrefix(part, " ") {
			all[len(all)-1] += fields[0]
			fields = fields[1:]
		}
		all = append(all, fields...)
	}
	return all
}

// golden compares with a file; UPDATE_GOLDEN=1 writes it anew.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("differs from %s; UPDATE_GOLDEN=1 go test ./cmd/kubectl-reboot/internal/cli rewrites it, then look at the diff. Got:\n%s", file, got)
	}
}

func TestFleets(t *testing.T) {
	for name, w := range fleets() {
		t.Run(name, func(t *testing.T) {
			s := newShell(w)
			first := w.nodes[0].Name
			text := s.story(t, "status", "status -o wide", "plan", "explain "+first)
			for _, width := range []int{100, 60} {
				s.style = show.Style{Width: width}
				text += "\n--- in a terminal of " + map[int]string{100: "100", 60: "60"}[width] + " columns\n" + s.story(t, "status", "plan", "explain "+first)
				for line := range strings.Lines(s.out.String()) {
					if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > width && !strings.HasPrefix(line, "      kubectl ") && !strings.Contains(line, "http") {
						t.Errorf("%d columns in a terminal of %d: %s", n, width, line)
					}
				}
			}
			golden(t, "fleet-"+name+".txt", text)
		})
	}
}

// The examples of docs/plugin.md.
func TestExamples(t *testing.T) {
	roll := midRoll()
	small := &world{objects: roll.objects, nodes: append(roll.nodes[:6:6], roll.nodes[38:]...)}
	for name, tt := range map[string]struct {
		w        *world
		typed    string
		width    int
		commands []string
	}{
		"status":          {small, "", 0, []string{"status"}},
		"plan":            {small, "", 110, []string{"plan"}},
		"explain":         {small, "", 110, []string{"explain worker-40"}},
		"node":            {small, "y\n", 0, []string{`node worker-01 --reason="new firmware"`, "node worker-01 worker-02 --now", "cancel worker-01"}},
		"hold":            {small, "", 0, []string{`hold worker-05 --reason="rebuilding the index"`, "unhold worker-05"}},
		"pause":           {small, "", 0, []string{`pause --reason="the sale" --until=2h`, "resume"}},
		"release":         {small, "n\n", 110, []string{"release rebootd-default-0"}},
		"circuit":         {circuitOpen(), "y\n", 110, []string{"circuit", "circuit reset"}},
		"history":         {small, "", 0, []string{"history"}},
		"kured":           {kuredBeside(), "", 0, []string{"status -o wide"}},
		"takeover-values": {leftByKured(kuredsDaemonSet("")), "", 0, []string{"migrate-from-kured -o values"}},
		"takeover": {leftByKured(kuredsDaemonSet(`{"nodeID":"worker-2","metadata":{"unschedulable":false},"created":"2026-11-23T11:58:00Z","TTL":0}`)), "", 0,
			[]string{"migrate-from-kured"}},
		"takeover-apply": {leftByKured(), "y\n", 0, []string{"migrate-from-kured --kured-taint=example.com/reboot --apply", "migrate-from-kured"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShell(tt.w)
			s.typed, s.style.Width = tt.typed, tt.width
			golden(t, "example-"+name+".txt", s.story(t, tt.commands...))
		})
	}
}
