package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"

	"github.com/rebootd/rebootd/cmd/kubectl-reboot/internal/cluster"
	"github.com/rebootd/rebootd/cmd/kubectl-reboot/internal/show"
	"github.com/rebootd/rebootd/cmd/kubectl-reboot/internal/view"
)

// output is -o and what goes with it.
type output struct {
	format    string
	wide      bool // whether there is a wide form
	noHeaders bool
	json      *genericclioptions.JSONYamlPrintFlags
	template  *genericclioptions.KubeTemplatePrintFlags
}

func newOutput(cmd *cobra.Command, wide bool) *output {
	o := &output{wide: wide, json: genericclioptions.NewJSONYamlPrintFlags(), template: genericclioptions.NewKubeTemplatePrintFlags()}
	o.template.AddFlags(cmd)
	cmd.Flags().StringVarP(&o.format, "output", "o", "", fmt.Sprintf("Output format. One of: (%s).", strings.Join(o.allowed(), ", ")))
	cmd.Flags().BoolVar(&o.noHeaders, "no-headers", false, "Leave out the names of the columns.")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(o.allowed(), cobra.ShellCompDirectiveNoFileComp)) // the flag is there
	return o
}

func (o *output) allowed() []string {
	var all []string
	if o.wide {
		all = append(all, "wide")
	}
	return append(append(all, o.json.AllowedFormats()...), o.template.AllowedFormats()...)
}

// text reports whether it is for people.
func (o *output) text() bool {
	return (o.format == "" || o.wide && o.format == "wide") && *o.template.TemplateArgument == ""
}

func (o *output) style(e *Env) show.Style {
	s := e.style()
	s.Wide, s.NoHeaders = o.format == "wide", o.noHeaders
	return s
}

// check refuses a format that there isn't, before anything is read.
func (o *output) check() error {
	if o.text() {
		return nil
	}
	_, err := o.printer()
	return err
}

type printer interface {
	PrintObj(obj runtime.Object, w io.Writer) error
}

func (o *output) printer() (printer, error) {
	format := o.format
	if format == "" {
		format = "go-template"
	}
	if p, err := o.json.ToPrinter(format); !genericclioptions.IsNoCompatiblePrinterError(err) {
		return p, err
	}
	p, err := o.template.ToPrinter(format)
	if genericclioptions.IsNoCompatiblePrinterError(err) {
		return nil, genericclioptions.NoCompatiblePrinterError{OutputFormat: &o.format, AllowedFormats: o.allowed()}
	}
	return p, err
}

func (o *output) print(e *Env, v runtime.Object) error {
	p, err := o.printer()
	if err != nil {
		return err
	}
	return p.PrintObj(v, e.Out)
}

// choice is which nodes are meant.
type choice struct {
	names    []string
	selector string
}

func (c *choice) addFlag(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&c.selector, "selector", "l", "", "Selector (label query) of nodes, as kubectl takes it (e.g. -l pool=a).")
}

func (c *choice) check(args []string) (labels.Selector, error) {
	for _, arg := range args {
		name := cluster.BareName(arg)
		if !slices.Contains(c.names, name) {
			c.names = append(c.names, name)
		}
	}
	if c.selector != "" && len(c.names) > 0 {
		return nil, errors.New("name cannot be provided when a selector is specified")
	}
	s, err := labels.Parse(c.selector)
	if err != nil {
		return nil, fmt.Errorf("--selector: %w", err)
	}
	return s, nil
}

// load reads the cluster and keeps the nodes that are meant. Those that don't exist are missing.
func load(ctx context.Context, c *cluster.Client, which choice, selector labels.Selector, events bool) (v *view.Status, f view.Facts, missing []string, err error) {
	f, err = c.Read(ctx, events)
	if err != nil {
		return nil, f, nil, err
	}
	v = view.New(f)
	if len(which.names) == 0 && which.selector == "" {
		return v, f, nil, nil
	}
	wanted := map[string]bool{}
	for i := range f.Nodes {
		n := &f.Nodes[i]
		wanted[n.Name] = slices.Contains(which.names, n.Name) || which.selector != "" && selector.Matches(labels.Set(n.Labels))
	}
	for _, name := range which.names {
		if _, there := wanted[name]; !there {
			missing = append(missing, name)
		}
	}
	v.Keep(func(n view.Node) bool { return wanted[n.Name] })
	return v, f, missing, nil
}

// notFound names the nodes that don't exist, as kubectl does.
func (e *Env) notFound(missing []string) error {
	if len(missing) == 0 {
		return nil
	}
	for _, name := range missing {
		_, _ = fmt.Fprintf(e.ErrOut, "Error from server (NotFound): nodes %q not found\n", name)
	}
	return errTold
}

func (e *Env) status() *cobra.Command {
	var which choice
	var watch, pending bool
	cmd := &cobra.Command{
		Use:   "status [NODE...]",
		Short: "Show who is out, who waits and for what",
		Long: `Show one line per node and a summary of the roll. The reasons are those of the Node's condition RebootRequired.

The nodes under way come first, then those that wait for a slot in the order of their turns, then those that something else
holds back. With --watch the cluster is read every few seconds; the larger it is, the less often.`,
		Example: `  kubectl reboot status
  kubectl reboot status --pending -o wide
  kubectl reboot status --watch`,
		ValidArgsFunction: e.completeNodes,
	}
	o := newOutput(cmd, true)
	which.addFlag(cmd)
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "Go on until interrupted, and show what changes.")
	cmd.Flags().BoolVar(&pending, "pending", false, "Only nodes that want a reboot, are under way or have no working agent.")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		selector, err := which.check(args)
		if err != nil {
			return err
		}
		if watch && !o.text() {
			return errors.New("--watch can't be used with -o " + o.format)
		}
		if err := o.check(); err != nil {
			return err
		}
		c, err := e.client()
		if err != nil {
			return err
		}
		read := func() (*view.Status, []string, error) {
			v, _, missing, err := load(cmd.Context(), c, which, selector, false)
			if err == nil && pending {
				v.Keep(view.Node.Pending)
			}
			return v, missing, err
		}
		if watch {
			return e.watch(cmd.Context(), o, read)
		}
		v, missing, err := read()
		if err != nil {
			return err
		}
		if !o.text() {
			err = o.print(e, v)
		} else {
			err = show.Status(e.Out, v, o.style(e))
		}
		if err != nil {
			return err
		}
		return e.notFound(missing)
	}
	return cmd
}

const (
	watchLeast = 2 * time.Second
	watchMost  = time.Minute
	// watchShare is how much longer than a reading the pause after it is.
	watchShare = 10
)

// watch shows the status again and again, until it is interrupted.
func (e *Env) watch(ctx context.Context, o *output, read func() (*view.Status, []string, error)) error {
	live := show.Live{W: e.Out}
	defer live.End()
	for first := true; ; first = false {
		begin := e.Now()
		v, missing, err := read()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && first:
			return err
		case err != nil:
			e.warn("%v; trying again", err)
		case first && len(missing) > 0:
			return e.notFound(missing)
		default:
			if err := live.Show(v, o.style(e)); err != nil {
				return err
			}
		}
		pause := min(max(watchLeast, watchShare*e.Now().Sub(begin)), watchMost)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

func (e *Env) plan() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Show in what order the nodes go, when, and what holds each one back",
		Long: `Show in what order the nodes of each lock group go. The order is the agents' own; it can change with every node that begins to
wait. Times are estimates from the reboots that were measured; what the next window is, the agents have written on their Nodes.`,
		Example: `  kubectl reboot plan`,
		Args:    cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
	}
	o := newOutput(cmd, false)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := o.check(); err != nil {
			return err
		}
		c, err := e.client()
		if err != nil {
			return err
		}
		v, _, _, err := load(cmd.Context(), c, choice{}, nil, false)
		if err != nil {
			return err
		}
		p := view.NewPlan(v)
		if !o.text() {
			return o.print(e, p)
		}
		return show.Plan(e.Out, p, o.style(e))
	}
	return cmd
}

func (e *Env) explain() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain NODE",
		Short: "Show everything about one node, and what would help it on",
		Example: `  kubectl reboot explain worker-1
  kubectl reboot explain worker-1 -o yaml`,
		Args: cobra.ExactArgs(1), ValidArgsFunction: e.completeNode,
	}
	o := newOutput(cmd, false)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := o.check(); err != nil {
			return err
		}
		c, err := e.client()
		if err != nil {
			return err
		}
		v, f, _, err := load(cmd.Context(), c, choice{}, nil, false)
		if err != nil {
			return err
		}
		name := cluster.BareName(args[0])
		x := view.Explain(v, name, f)
		switch {
		case x == nil:
			return e.notFound([]string{name})
		case !o.text():
			return o.print(e, x)
		}
		return show.Explain(e.Out, x, o.style(e))
	}
	return cmd
}

// historyLimit is how much of the history is shown if nothing else is said.
const historyLimit = 50

func (e *Env) history() *cobra.Command {
	var which choice
	var limit int
	cmd := &cobra.Command{
		Use:   "history [NODE...]",
		Short: "Show the last reboots, and what went wrong",
		Long: `Show the last reboots that the nodes' records remember (ten a node), and the warnings that Events still tell of (an hour's, unless the API
server keeps them longer); the newest first.`,
		Example: `  kubectl reboot history
  kubectl reboot history worker-1 --limit=0`,
		ValidArgsFunction: e.completeNodes,
	}
	o := newOutput(cmd, false)
	which.addFlag(cmd)
	cmd.Flags().IntVar(&limit, "limit", historyLimit, "How many lines at most; 0 for all.")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		selector, err := which.check(args)
		if err != nil {
			return err
		}
		if err := o.check(); err != nil {
			return err
		}
		c, err := e.client()
		if err != nil {
			return err
		}
		v, f, missing, err := load(cmd.Context(), c, which, selector, true)
		if err != nil {
			return err
		}
		h := view.NewHistory(v, f)
		h.Limit(limit)
		if !o.text() {
			err = o.print(e, h)
		} else {
			err = show.History(e.Out, h, o.style(e))
		}
		if err != nil {
			return err
		}
		return e.notFound(missing)
	}
	return cmd
}
