package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/rebootd/rebootd/cmd/kubectl-reboot/internal/cluster"
	"github.com/rebootd/rebootd/cmd/kubectl-reboot/internal/takeover"
)

// valuesFormat is the values file alone.
const valuesFormat = "values"

func (e *Env) migrateFromKured() *cobra.Command {
	var at cluster.KuredAt
	var output string
	var apply, yes bool
	cmd := &cobra.Command{
		Use:   "migrate-from-kured",
		Short: "Take over from kured: its options, and what it left behind",
		Long: `Show which kured runs and who holds its lock, its options as values of rebootd's chart, what will differ, and what kured left behind: nodes that it
left cordoned, its annotations, its taint, a lock that nobody will release. Nothing is changed.

With --apply what was left behind is put right, after you have confirmed. What a person cordoned stays cordoned. While kured is installed no node is
touched, and of its lock only what no node can give back any more. What can't be known for sure is left to you, with the command for it. Each object is
changed only if it is still as it was shown.`,
		Example: `  kubectl reboot migrate-from-kured
  kubectl reboot migrate-from-kured -o values > rebootd-values.yaml
  kubectl reboot migrate-from-kured --apply`,
		Args: cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().StringVar(&at.Namespace, "kured-namespace", "", "The namespace of kured's DaemonSet. By default it is looked for in all.")
	cmd.Flags().StringVar(&at.Name, "kured-name", "", "The name of kured's DaemonSet. By default it is known by what it runs.")
	cmd.Flags().StringArrayVar(&at.Taints, "kured-taint", nil, "The key of kured's --prefer-no-schedule-taint, when its DaemonSet is gone already. Repeatable.")
	cmd.Flags().StringVarP(&output, "output", "o", "", "Output format: values, for a values file of rebootd's chart and nothing else.")
	cmd.Flags().BoolVar(&apply, "apply", false, "Put right what kured left behind.")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "Don't ask.")
	for name, complete := range map[string]cobra.CompletionFunc{
		"output": cobra.FixedCompletions([]string{valuesFormat}, cobra.ShellCompDirectiveNoFileComp), "kured-namespace": e.completeNamespaces,
		"kured-name": cobra.NoFileCompletions, "kured-taint": cobra.NoFileCompletions,
	} {
		_ = cmd.RegisterFlagCompletionFunc(name, complete) // the flag is there
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		switch {
		case output != "" && output != valuesFormat:
			return fmt.Errorf("unable to match a printer suitable for the output format %q, allowed formats are: %s", output, valuesFormat)
		case output != "" && apply:
			return errors.New("--apply can't be used with -o " + output)
		}
		c, err := e.client()
		if err != nil {
			return err
		}
		t := taking{Env: e, c: c, at: at}
		r, err := t.look(cmd.Context())
		if err != nil {
			return err
		}
		switch {
		case output == valuesFormat:
			text, err := r.File()
			if err == nil {
				_, err = e.Out.Write(text)
			}
			return err
		case apply:
			return t.putRight(cmd.Context(), r, yes)
		}
		if missing := c.MayPutRight(cmd.Context(), r.Fixes); missing != "" {
			e.warn("for --apply, %s", missing)
		}
		_, err = fmt.Fprint(e.Out, r)
		return err
	}
	return cmd
}

// taking is one run of the command.
type taking struct {
	*Env

	c  *cluster.Client
	at cluster.KuredAt
}

func (t taking) look(ctx context.Context) (takeover.Report, error) {
	f, err := t.c.ReadKured(ctx, t.at)
	if err != nil {
		return takeover.Report{}, err
	}
	again := []string{"kubectl reboot migrate-from-kured"}
	for name, value := range map[string]string{"kured-namespace": t.at.Namespace, "kured-name": t.at.Name} {
		if value != "" {
			again = append(again, "--"+name+"="+value)
		}
	}
	slices.Sort(again[1:])
	for _, key := range t.at.Taints {
		again = append(again, "--kured-taint="+key)
	}
	return takeover.NewReport(f, strings.Join(again, " ")), nil
}

// putRight asks, looks again, and writes what is still as it was shown.
func (t taking) putRight(ctx context.Context, r takeover.Report, yes bool) error {
	if _, err := fmt.Fprint(t.ErrOut, r.Remains()); err != nil {
		return err
	}
	if len(r.Fixes) == 0 {
		if len(r.Busy) > 0 || r.Blind != "" {
			return errTold
		}
		return nil
	}
	if err := t.confirm(ctx, yes, fmt.Sprintf("Put that right in %s?", objects(r.Fixes))); err != nil {
		return err
	}
	failed := false
	var now []takeover.Fix
	for i, shown := range r.Fixes {
		var err error
		if i%lookEvery == 0 {
			now = nil
		}
		if now, err = t.write(ctx, shown, now); err != nil {
			if ctx.Err() != nil {
				return err
			}
			t.fail(err)
			failed = true
			continue
		}
		if _, err := fmt.Fprintf(t.Out, "%s %s\n", shown.Name(), shown.What); err != nil {
			return err
		}
	}
	if failed {
		return errTold
	}
	return nil
}

func objects(fixes []takeover.Fix) string {
	if len(fixes) == 1 {
		return "one object"
	}
	return fmt.Sprintf("%d objects", len(fixes))
}

const (
	// attempts is how often a fix is tried that is still right though its object was changed meanwhile, as Nodes are all the time.
	attempts = 5
	// lookEvery is after how many writes it is looked anew whether kured is back.
	lookEvery = 50
)

// write puts right what was shown, if it is among what a look shows now; nil asks for a new look. It returns what the last look showed.
func (t taking) write(ctx context.Context, shown takeover.Fix, now []takeover.Fix) ([]takeover.Fix, error) {
	for range attempts {
		if now == nil {
			r, err := t.look(ctx)
			if err != nil {
				return nil, err
			}
			now = r.Fixes
		}
		i := slices.IndexFunc(now, shown.Same)
		if i < 0 {
			return now, fmt.Errorf("%s has changed since it was shown, so it was left alone; look again", shown.Name())
		}
		if err := t.c.PutRight(ctx, now[i]); !apierrors.IsConflict(err) {
			return now, err
		}
		now = nil
	}
	return now, fmt.Errorf("%s changes all the time, so it was left alone; try again", shown.Name())
}
