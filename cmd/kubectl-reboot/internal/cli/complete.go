package cli

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rebootd/rebootd/cmd/kubectl-reboot/internal/cluster"
	"github.com/rebootd/rebootd/cmd/kubectl-reboot/internal/view"
	"github.com/rebootd/rebootd/pkg/lock"
)

// completeFor is how long a shell may be kept waiting.
const completeFor = 5 * time.Second

// complete offers names from the cluster; when it can't be asked, none.
func (e *Env) complete(cmd *cobra.Command, args []string, list func(context.Context, *cluster.Client) []string) ([]string, cobra.ShellCompDirective) {
	c, err := e.client()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	c.Warn = nil
	ctx, cancel := context.WithTimeout(cmd.Context(), completeFor)
	defer cancel()
	names := slices.DeleteFunc(list(ctx, c), func(name string) bool { return slices.Contains(args, name) })
	return names, cobra.ShellCompDirectiveNoFileComp
}

func (e *Env) completeNodes(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return e.complete(cmd, args, func(ctx context.Context, c *cluster.Client) []string {
		var names []string
		nodes, _ := c.Nodes(ctx, "") // without an answer there is nothing to offer
		for i := range nodes {
			names = append(names, nodes[i].Name)
		}
		return names
	})
}

func (e *Env) completeNode(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return e.completeNodes(cmd, args, typed)
}

func (e *Env) completeSlots(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return e.complete(cmd, args, func(ctx context.Context, c *cluster.Client) []string {
		ns, err := c.FindNamespace(ctx)
		if err != nil {
			return nil
		}
		list, err := c.Kube.CoordinationV1().Leases(ns).List(ctx, metav1.ListOptions{LabelSelector: lock.GroupLabel})
		if err != nil {
			return nil
		}
		var names []string
		for i := range list.Items {
			if s, ok := view.SlotOf(&list.Items[i]); ok {
				names = append(names, s.Name+"\theld by "+s.Holder)
			}
		}
		return names
	})
}

func (e *Env) completeNamespaces(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return e.complete(cmd, args, func(ctx context.Context, c *cluster.Client) []string {
		list, err := c.Kube.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil
		}
		var names []string
		for i := range list.Items {
			names = append(names, list.Items[i].Name)
		}
		return names
	})
}
