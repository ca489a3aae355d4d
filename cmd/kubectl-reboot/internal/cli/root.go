// Package cli is the plugin's commands: flags and arguments in, text and exit code out.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/kubernetes"
	cmdutil "k8s.io/kubectl/pkg/cmd/util"

	"github.com/rebootd/rebootd/cmd/kubectl-reboot/internal/cluster"
	"github.com/rebootd/rebootd/cmd/kubectl-reboot/internal/show"
)

// Env is what the commands get from outside.
type Env struct {
	genericiooptions.IOStreams

	Now func() time.Time
	// Getenv reads the environment.
	Getenv func(string) string
	// Version is the build's.
	Version string
	// Connect makes the client; nil: from the kubeconfig.
	Connect func() (kubernetes.Interface, error)
	// Terminal is what the output can do; nil: it is looked at.
	Terminal func() show.Style

	flags *genericclioptions.ConfigFlags
}

// errTold: everything was said already; the exit code is all that is left.
var errTold = errors.New("failed")

const (
	exitFailed      = 1
	exitInterrupted = 130
)

// Run runs the plugin and returns its exit code: as kubectl's, 1 for whatever went wrong.
func Run(ctx context.Context, e Env, args []string) int {
	root := New(&e)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return 0
	case ctx.Err() != nil:
		_, _ = fmt.Fprintln(e.ErrOut, "error: interrupted")
		return exitInterrupted
	case !errors.Is(err, errTold):
		e.fail(err)
	}
	return exitFailed
}

// fail says an error as kubectl would.
func (e *Env) fail(err error) {
	text, ok := cmdutil.StandardErrorMessage(err)
	if !ok {
		text = err.Error()
		if !strings.HasPrefix(text, "error: ") {
			text = "error: " + text
		}
	}
	_, _ = fmt.Fprintln(e.ErrOut, show.Lines(text))
}

func (e *Env) warn(format string, args ...any) {
	_, _ = fmt.Fprintf(e.ErrOut, "Warning: %s\n", show.Lines(fmt.Sprintf(format, args...)))
}

// New is the root command.
func New(e *Env) *cobra.Command {
	e.flags = genericclioptions.NewConfigFlags(true)
	root := &cobra.Command{
		Use:   "kubectl-reboot",
		Short: "See and steer the reboots that rebootd makes",
		Long: `See and steer the reboots that rebootd makes: who is out, who waits and for what, in which order; ask for a reboot,
hold a node back, pause the cluster.`,
		Version:       e.Version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl reboot"},
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("unknown command %q; to reboot a node of that name: kubectl reboot node %s\nSee 'kubectl reboot -h' for help and examples", args[0], args[0])
			}
			return cmd.Help()
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetIn(e.In)
	root.SetOut(e.Out)
	root.SetErr(e.ErrOut)
	e.flags.AddFlags(root.PersistentFlags())
	if f := root.PersistentFlags().Lookup("namespace"); f != nil {
		f.Usage = "The namespace of rebootd's agents. By default that of their DaemonSet, else rebootd"
	}
	_ = root.RegisterFlagCompletionFunc("namespace", e.completeNamespaces) // fails only for a flag that isn't there
	root.AddCommand(
		e.status(), e.plan(), e.explain(), e.history(),
		e.node(), e.cancel(), e.hold(), e.unhold(),
		e.pause(), e.resume(), e.release(), e.circuit(), e.migrateFromKured(),
	)
	return root
}

// client connects to the cluster.
func (e *Env) client() (*cluster.Client, error) {
	c := &cluster.Client{Namespace: *e.flags.Namespace, Now: e.Now, Warn: e.warn}
	if e.Connect != nil {
		kube, err := e.Connect()
		c.Kube = kube
		return c, err
	}
	config, err := e.flags.ToRESTConfig()
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = 50, 100 // a page or a patch at a time: this only keeps client-go from slowing down
	c.Kube, err = kubernetes.NewForConfig(config)
	return c, err
}

// user is who asks, for other people to read.
func (e *Env) user(ctx context.Context, c *cluster.Client) string {
	if name := c.User(ctx); name != "" {
		return name
	}
	if raw, err := e.flags.ToRawKubeConfigLoader().RawConfig(); err == nil {
		if now := raw.Contexts[raw.CurrentContext]; now != nil && now.AuthInfo != "" {
			return now.AuthInfo
		}
	}
	return "somebody"
}

// style is what the output can do, now: a terminal's size changes.
func (e *Env) style() show.Style {
	if e.Terminal != nil {
		return e.Terminal()
	}
	s := show.Style{}
	if f, ok := e.Out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		if width, height, err := term.GetSize(int(f.Fd())); err == nil {
			s.Width, s.Height = width, height
		}
		s.Color = e.Getenv("NO_COLOR") == "" && e.Getenv("TERM") != "dumb"
	}
	return s
}

// confirm asks, unless --yes was given. Everything but a yes is a no.
func (e *Env) confirm(ctx context.Context, yes bool, lines ...string) error {
	if yes {
		return nil
	}
	for _, line := range lines[:len(lines)-1] {
		_, _ = fmt.Fprintln(e.ErrOut, show.OneLine(line))
	}
	_, _ = fmt.Fprintf(e.ErrOut, "%s [y/N] ", show.OneLine(lines[len(lines)-1]))
	answer := make(chan string, 1)
	go func() { answer <- readLine(e.In) }()
	select {
	case <-ctx.Done():
		_, _ = fmt.Fprintln(e.ErrOut)
		return ctx.Err()
	case text := <-answer:
		switch strings.ToLower(strings.TrimSpace(text)) {
		case "y", "yes":
			return nil
		}
		return errors.New("not confirmed, so nothing was done; --yes confirms beforehand")
	}
}

// readLine reads no further than the line's end: what follows isn't for us.
func readLine(r io.Reader) string {
	var line []byte
	for b := make([]byte, 1); ; {
		n, err := r.Read(b)
		if n > 0 && b[0] == '\n' || err != nil {
			return string(line)
		}
		line = append(line, b[:n]...)
	}
}
