package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/kubernetes/scheme"
	cmdutil "k8s.io/kubectl/pkg/cmd/util"

	"github.com/rebootd/rebootd/cmd/kubectl-reboot/internal/cluster"
	"github.com/rebootd/rebootd/cmd/kubectl-reboot/internal/view"
	"github.com/rebootd/rebootd/pkg/node"
	"github.com/rebootd/rebootd/pkg/plan"
)

// change is what all commands that write have in common.
type change struct {
	print    *genericclioptions.PrintFlags
	how      cluster.DryRun
	strategy cmdutil.DryRunStrategy
}

func newChange(cmd *cobra.Command) *change {
	c := &change{print: genericclioptions.NewPrintFlags("").WithTypeSetter(scheme.Scheme)}
	c.print.AddFlags(cmd)
	cmdutil.AddDryRunFlag(cmd)
	_ = cmd.RegisterFlagCompletionFunc("dry-run", cobra.FixedCompletions([]string{"none", "client", "server"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// begin reads --dry-run, and refuses a format that there isn't, before anything is done.
func (c *change) begin(cmd *cobra.Command) (err error) {
	if c.strategy, err = cmdutil.GetDryRunStrategy(cmd); err != nil {
		return err
	}
	switch c.strategy {
	case cmdutil.DryRunClient:
		c.how = cluster.OnlyClient
	case cmdutil.DryRunServer:
		c.how = cluster.OnlyServer
	default:
		c.how = cluster.Write
	}
	_, err = c.print.ToPrinter()
	return err
}

// done says what was done with an object: "node/worker-1 held (server dry run)".
func (c *change) done(e *Env, obj runtime.Object, operation string) error {
	c.print.NamePrintFlags.Operation = operation
	cmdutil.PrintFlagsWithDryRunStrategy(c.print, c.strategy)
	p, err := c.print.ToPrinter()
	if err != nil {
		return err
	}
	return p.PrintObj(obj, e.Out)
}

// chosen reads the nodes that are meant. Those that can't be read are named, and failed is true.
func (e *Env) chosen(ctx context.Context, c *cluster.Client, which choice) (nodes []*corev1.Node, failed bool, err error) {
	if which.selector != "" {
		all, err := c.Nodes(ctx, which.selector)
		if err != nil {
			return nil, false, err
		}
		for i := range all {
			nodes = append(nodes, &all[i])
		}
		if len(nodes) == 0 {
			return nil, false, fmt.Errorf("no node matches the selector %q", which.selector)
		}
		return nodes, false, nil
	}
	if len(which.names) == 0 {
		return nil, false, errors.New("which nodes? Give names, or a selector with -l")
	}
	for _, name := range which.names {
		n, err := c.Node(ctx, name)
		if err != nil {
			if ctx.Err() != nil {
				return nil, false, err
			}
			e.fail(err)
			failed = true
			continue
		}
		nodes = append(nodes, n)
	}
	return nodes, failed, nil
}

// annotate is what node, cancel, hold and unhold have in common.
type annotate struct {
	operation string
	// before says what to write on a node; nil: nothing, because it is as nothing says.
	before  func(n *corev1.Node, r plan.Record) map[string]any
	nothing string
	// confirm asks about the nodes.
	confirm func(nodes []*corev1.Node) error
}

func (e *Env) annotate(ctx context.Context, c *cluster.Client, ch *change, which choice, a annotate) error {
	nodes, failed, err := e.chosen(ctx, c, which)
	if err != nil {
		return err
	}
	if len(nodes) > 0 && a.confirm != nil && ch.how == cluster.Write {
		if err := a.confirm(nodes); err != nil {
			return err
		}
	}
	var already []string
	for _, n := range nodes {
		_, record, _ := node.Observe(n.Name, n) // a record that can't be read says nothing, which is all that is asked here
		wanted := a.before(n, record)
		if wanted == nil {
			already = append(already, n.Name)
			continue
		}
		after, err := c.Annotate(ctx, n, wanted, ch.how)
		if err != nil {
			if ctx.Err() != nil {
				return err
			}
			e.fail(err)
			failed = true
			continue
		}
		if err := ch.done(e, after, a.operation); err != nil {
			return err
		}
	}
	if len(already) > 0 && (which.selector == "" || len(already) == len(nodes)) { // a selector matches more than is meant
		e.warn("%s: %s", view.Names(already), a.nothing)
	}
	if failed {
		return errTold
	}
	return nil
}

// annotates makes the command one that changes annotations of the nodes that it is given.
func (e *Env) annotates(cmd *cobra.Command, how func(context.Context, *cluster.Client) annotate) {
	var which choice
	ch := newChange(cmd)
	which.addFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := e.start(cmd, ch, &which, args)
		if err != nil {
			return err
		}
		return e.annotate(cmd.Context(), c, ch, which, how(cmd.Context(), c))
	}
}

// start checks what all of them are given, and connects.
func (e *Env) start(cmd *cobra.Command, ch *change, which *choice, args []string) (*cluster.Client, error) {
	if which != nil {
		if _, err := which.check(args); err != nil {
			return nil, err
		}
	}
	if err := ch.begin(cmd); err != nil {
		return nil, err
	}
	return e.client()
}

func (e *Env) node() *cobra.Command {
	var now, yes bool
	var reason string
	cmd := &cobra.Command{
		Use:   "node NAME... [--now]",
		Short: "Ask for a reboot of nodes",
		Long: `Ask for a reboot of nodes, by an annotation on each. They go when it is their turn and nothing holds them back: within their
maintenance window, not while an alert fires, never more at once than the lock allows. --now goes past windows and alerts, but past nothing else:
not past a freeze, a pause, a hold, the lock, budgets and the drain.

For more than one node you are asked to confirm.`,
		Example: `  kubectl reboot node worker-1 --reason="new firmware"
  kubectl reboot node -l pool=a --yes
  kubectl reboot node worker-1 --now --dry-run=server`,
		ValidArgsFunction: e.completeNodes,
	}
	cmd.Flags().BoolVar(&now, "now", false, "Go past maintenance windows and alerts.")
	cmd.Flags().StringVar(&reason, "reason", "", "Why, for other people to read.")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "Don't ask.")
	e.annotates(cmd, func(ctx context.Context, c *cluster.Client) annotate {
		key, operation := node.RequestAnnotation, "reboot requested"
		if now {
			key, operation = node.RequestNowAnnotation, "reboot requested, past windows and alerts"
		}
		user := ""
		return annotate{
			operation: operation,
			before: func(n *corev1.Node, r plan.Record) map[string]any {
				if user == "" {
					user = e.user(ctx, c)
				}
				e.warnOf(n, r)
				return map[string]any{key: requestText(reason, user, e.Now())}
			},
			confirm: func(nodes []*corev1.Node) error {
				if len(nodes) == 1 {
					return nil
				}
				question := fmt.Sprintf("Ask for a reboot of %s: %s?", view.Count(len(nodes), "node"), names(nodes))
				if now {
					question = fmt.Sprintf("Ask for a reboot of %s, past windows and alerts: %s?", view.Count(len(nodes), "node"), names(nodes))
				}
				return e.confirm(ctx, yes, question)
			},
		}
	})
	return cmd
}

// warnOf says what keeps a request from being followed.
func (e *Env) warnOf(n *corev1.Node, r plan.Record) {
	seen, _, err := node.Observe(n.Name, n)
	hold, held := n.Annotations[node.HoldAnnotation]
	switch {
	case err != nil:
		e.warn("the record of node %s can't be read, so nothing is done there until it is put right; see kubectl reboot explain %s", n.Name, n.Name)
	case r.Phase == "" && seen.Told.Reason == "":
		e.warn("node %s has no agent (no record, no condition), so nobody follows the request until there is one", n.Name)
	case held:
		e.warn("node %s is on hold (%q); it goes when it is let go: kubectl reboot unhold %s", n.Name, hold, n.Name)
	}
}

func names(nodes []*corev1.Node) string {
	var all []string
	for _, n := range nodes {
		all = append(all, n.Name)
	}
	return view.Names(all)
}

func (e *Env) cancel() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cancel NAME...",
		Short: "Take back a request for a reboot",
		Long: `Take back what "kubectl reboot node" asked for. A node that is being drained goes back into service; one whose reboot command has run reboots all
the same. What else asks for a reboot, a file for example, goes on asking.`,
		Example:           `  kubectl reboot cancel worker-1`,
		ValidArgsFunction: e.completeNodes,
	}
	e.annotates(cmd, func(_ context.Context, _ *cluster.Client) annotate {
		return annotate{
			operation: "request cancelled", nothing: "carries no request",
			before: func(n *corev1.Node, r plan.Record) map[string]any {
				gone := map[string]any{}
				for _, key := range []string{node.RequestAnnotation, node.RequestNowAnnotation} {
					if _, there := n.Annotations[key]; there {
						gone[key] = nil
					}
				}
				if len(gone) == 0 {
					return nil
				}
				e.warnStill(n, r)
				return gone
			},
		}
	})
	return cmd
}

// warnStill says why a node may reboot though its request is cancelled.
func (e *Env) warnStill(n *corev1.Node, r plan.Record) {
	if r.Phase == plan.Rebooting {
		e.warn("node %s is rebooting already", n.Name)
	}
	var others []string
	for _, by := range r.AskedBy {
		if !strings.HasPrefix(by, "request") {
			others = append(others, by)
		}
	}
	if len(others) > 0 && r.Phase != plan.Idle {
		e.warn("a reboot of node %s is still asked for by %s; to keep it from rebooting: kubectl reboot hold %s", n.Name, strings.Join(others, "; "), n.Name)
	}
}

func (e *Env) hold() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "hold NAME...",
		Short: "Keep nodes from being rebooted",
		Long: `Keep nodes from being rebooted until they are let go. One that is being drained goes back into service after --gate-grace; one whose reboot
command has run reboots all the same.`,
		Example:           `  kubectl reboot hold worker-1 --reason="rebuilding the index"`,
		ValidArgsFunction: e.completeNodes,
	}
	cmd.Flags().StringVar(&reason, "reason", "", "Why, for other people to read.")
	e.annotates(cmd, func(ctx context.Context, c *cluster.Client) annotate {
		by := ""
		return annotate{
			operation: "held",
			before: func(n *corev1.Node, r plan.Record) map[string]any {
				if by == "" {
					by = e.user(ctx, c)
				}
				if r.Phase == plan.Rebooting {
					e.warn("node %s is rebooting already", n.Name)
				}
				return map[string]any{node.HoldAnnotation: holdText(reason, by)}
			},
		}
	})
	return cmd
}

func (e *Env) unhold() *cobra.Command {
	cmd := &cobra.Command{
		Use:               "unhold NAME...",
		Short:             "Let held nodes go",
		Example:           `  kubectl reboot unhold worker-1`,
		ValidArgsFunction: e.completeNodes,
	}
	e.annotates(cmd, func(_ context.Context, _ *cluster.Client) annotate {
		return annotate{
			operation: "let go", nothing: "not on hold",
			before: func(n *corev1.Node, _ plan.Record) map[string]any {
				if _, held := n.Annotations[node.HoldAnnotation]; !held {
					return nil
				}
				return map[string]any{node.HoldAnnotation: nil}
			},
		}
	})
	return cmd
}
