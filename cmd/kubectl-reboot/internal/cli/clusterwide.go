package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/rebootd/rebootd/cmd/kubectl-reboot/internal/cluster"
	"github.com/rebootd/rebootd/cmd/kubectl-reboot/internal/show"
	"github.com/rebootd/rebootd/cmd/kubectl-reboot/internal/view"
	"github.com/rebootd/rebootd/pkg/lock"
)

func (e *Env) pause() *cobra.Command {
	var reason, until string
	cmd := &cobra.Command{
		Use:   "pause",
		Short: "Pause reboots in the whole cluster",
		Long: `Pause reboots in the whole cluster, by the ConfigMap rebootd-control in the agents' namespace. No node begins; one that is out comes back.
A pause takes the place of an earlier one.`,
		Example: `  kubectl reboot pause --reason="the sale"
  kubectl reboot pause --until=2h
  kubectl reboot pause --until=2026-12-27T06:00:00Z`,
		Args: cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
	}
	ch := newChange(cmd)
	cmd.Flags().StringVar(&reason, "reason", "", "Why, for other people to read.")
	cmd.Flags().StringVar(&until, "until", "", "When it ends by itself: a time (RFC 3339) or a duration such as 2h or 3d. By default it doesn't.")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if until != "" {
			end, err := parseUntil(until, e.Now())
			if err != nil {
				return err
			}
			until = end
		}
		c, err := e.start(cmd, ch, nil, nil)
		if err != nil {
			return err
		}
		m, err := c.Pause(cmd.Context(), holdText(reason, e.user(cmd.Context(), c)), until, ch.how)
		if err != nil {
			return err
		}
		operation := "written: reboots are paused"
		if until != "" {
			operation += " until " + until
		}
		return ch.done(e, m, operation)
	}
	return cmd
}

func (e *Env) resume() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "resume",
		Short:   "End a pause",
		Example: `  kubectl reboot resume`,
		Args:    cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
	}
	ch := newChange(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := e.start(cmd, ch, nil, nil)
		if err != nil {
			return err
		}
		m, err := c.Resume(cmd.Context(), ch.how)
		switch {
		case errors.Is(err, cluster.ErrNothing):
			e.warn("reboots are not paused")
			return nil
		case err != nil:
			return err
		}
		return ch.done(e, m, "written: reboots are no longer paused")
	}
	return cmd
}

func (e *Env) release() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "release SLOT",
		Short: "Take a slot from a node that won't give it back",
		Long: `Delete a slot's Lease, so that the next node gets its turn. It is for a slot that nobody will free: its machine is gone for good, or was put
right by hand. Deleting the Node object of a machine that is gone does the same, safely.

If the holder is out of service all the same, two nodes may be out at once. What is known of the holder is shown, and you are asked to confirm. Only
the very slot that was shown is released: one that was freed and taken again meanwhile stays.`,
		Example: `  kubectl reboot release rebootd-default-0`,
		Args:    cobra.ExactArgs(1), ValidArgsFunction: e.completeSlots,
	}
	ch := newChange(cmd)
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "Don't ask.")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		c, err := e.start(cmd, ch, nil, nil)
		if err != nil {
			return err
		}
		ns, err := c.FindNamespace(ctx)
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(strings.TrimPrefix(args[0], "lease/"), "leases/")
		l, err := c.Slot(ctx, ns, name)
		if err != nil {
			return err
		}
		s, ok := view.SlotOf(l)
		if !ok {
			return fmt.Errorf("lease %s/%s is no slot of rebootd (those have the label %s), so it was left alone", ns, name, lock.GroupLabel)
		}
		danger, err := e.danger(ctx, c, s)
		if err != nil {
			return err
		}
		if ch.how == cluster.Write {
			lines := append([]string{fmt.Sprintf("Slot %s of lock group %s is held by node %s since %s.", s.Name, s.Group, s.Holder, view.Stamp(s.Since))}, danger...)
			if err := e.confirm(ctx, yes, append(lines, "Release it?")...); err != nil {
				return err
			}
		}
		if err := c.Release(ctx, l, ch.how); err != nil {
			return err
		}
		return ch.done(e, l, "released")
	}
	return cmd
}

// danger is what is known of the slot's holder.
func (e *Env) danger(ctx context.Context, c *cluster.Client, s view.Slot) ([]string, error) {
	n, err := c.Node(ctx, s.Holder)
	var forbidden *cluster.ForbiddenError
	switch {
	case apierrors.IsNotFound(err):
		return s.Danger(nil), nil
	case errors.As(err, &forbidden):
		return []string{fmt.Sprintf("What node %s is doing can't be seen: %v. If it is out of service, two nodes may be out at once.", s.Holder, err)}, nil
	case err != nil:
		return nil, err
	}
	seen := view.OneNode(n, e.Now())
	return s.Danger(&seen), nil
}

func (e *Env) circuit() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "circuit",
		Short: "See and close the circuit that stops the whole cluster after failures",
		Long:  "Show which nodes failed in a row after their reboot command, and whether that stopped the whole cluster.",
		Example: `  kubectl reboot circuit
  kubectl reboot circuit reset`,
		Args: cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := e.client()
			if err != nil {
				return err
			}
			m, err := c.Circuit(cmd.Context())
			if err != nil && !errors.Is(err, cluster.ErrNothing) {
				return err
			}
			_, err = fmt.Fprintln(e.Out, show.OneLine(circuitText(view.NewBreaker(m))))
			return err
		},
	}
	cmd.AddCommand(e.reset())
	return cmd
}

func circuitText(b *view.Breaker) string {
	if b == nil {
		return "The circuit is closed, and no node has failed since the last success."
	}
	return b.String()
}

func (e *Env) reset() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "reset",
		Short: "Close the circuit: forget the failures, and let the cluster go on",
		Long: `Delete the ConfigMap rebootd-circuit, when what made the nodes fail is put right. It shows which nodes failed and asks you to confirm. If another
node fails meanwhile, nothing is deleted.`,
		Example: `  kubectl reboot circuit reset`,
		Args:    cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
	}
	ch := newChange(cmd)
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "Don't ask.")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx := cmd.Context()
		c, err := e.start(cmd, ch, nil, nil)
		if err != nil {
			return err
		}
		m, err := c.Circuit(ctx)
		b := view.NewBreaker(m)
		switch {
		case errors.Is(err, cluster.ErrNothing), err == nil && b == nil:
			e.warn("the circuit is closed, and no node has failed")
			return nil
		case err != nil:
			return err
		}
		if ch.how == cluster.Write {
			if err := e.confirm(ctx, yes, b.String(), "Forget that and let the cluster go on?"); err != nil {
				return err
			}
		}
		if err := c.ResetCircuit(ctx, m, ch.how); err != nil {
			return err
		}
		return ch.done(e, m, "reset: the failures are forgotten")
	}
	return cmd
}
