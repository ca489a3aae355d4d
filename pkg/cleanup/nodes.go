package cleanup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rebootd/rebootd/pkg/node"
)

const (
	// pageSize bounds one answer, and parallel the writes at once.
	pageSize = 500
	parallel = 8
	// tries is how often one Node is tried while others write to it too, or the API server doesn't answer.
	tries = 10
)

// tidyNodes puts all Nodes right that no other installation works on. It reports whether there was anything to do.
func (c *Cleaner) tidyNodes(ctx context.Context) (wrote bool, err error) {
	others, err := c.others(ctx)
	if err != nil {
		return false, err
	}
	nodes, err := c.listNodes(ctx)
	if err != nil {
		return false, err
	}
	c.failed = map[string]error{}
	var mu sync.Mutex
	var failed []error
	var all sync.WaitGroup
	turn := make(chan struct{}, parallel)
	for i := range nodes {
		turn <- struct{}{}
		all.Go(func() {
			defer func() { <-turn }()
			did, err := c.tidyNode(ctx, &nodes[i], others)
			mu.Lock()
			defer mu.Unlock()
			wrote = wrote || did
			if err != nil {
				c.failed[nodes[i].Name] = err
				failed = append(failed, fmt.Errorf("node %s: %w", nodes[i].Name, err))
			}
		})
	}
	all.Wait()
	return wrote, errors.Join(failed...)
}

func (c *Cleaner) listNodes(ctx context.Context) ([]corev1.Node, error) {
	var nodes []corev1.Node
	all := metav1.ListOptions{}
	if c.Selector != nil {
		all.LabelSelector = c.Selector.String()
	}
	o := all
	o.Limit = pageSize
	for {
		page, err := c.Nodes.List(ctx, o)
		if apierrors.IsResourceExpired(err) { // of a list that took too long: once more, in one piece
			nodes, o = nil, all
			page, err = c.Nodes.List(ctx, o)
		}
		if err != nil {
			return nil, fmt.Errorf("list Nodes: %w", err)
		}
		nodes = append(nodes, page.Items...)
		if page.Continue == "" {
			return nodes, nil
		}
		o.Continue = page.Continue
	}
}

// tidyNode puts one Node right. Whoever changes it meanwhile, a new agent perhaps, it is looked at anew.
func (c *Cleaner) tidyNode(ctx context.Context, n *corev1.Node, others agents) (wrote bool, err error) {
	for range tries {
		if others.on(n) != "" {
			return wrote, nil
		}
		t, err := c.tidy(n)
		if err != nil || t.nothing() {
			return wrote, err
		}
		err = c.writeNode(ctx, n, t)
		switch {
		case err == nil:
			c.tell("Node %s: %s.", n.Name, strings.Join(append(t.did, t.notes...), "; "))
			return true, nil
		case apierrors.IsNotFound(err):
			return wrote, nil
		case apierrors.IsForbidden(err), apierrors.IsInvalid(err):
			return wrote, err
		}
		if !c.wait(ctx) {
			return wrote, err
		}
		if others, err = c.others(ctx); err != nil {
			return wrote, err
		}
		if n, err = c.Nodes.Get(ctx, n.Name, metav1.GetOptions{}); apierrors.IsNotFound(err) {
			return wrote, nil
		} else if err != nil {
			return wrote, err
		}
	}
	return wrote, errors.New("others change it all the time")
}

// writeNode writes the Node and, after it, its condition.
func (c *Cleaner) writeNode(ctx context.Context, n *corev1.Node, t tidied) error {
	if t.patch != nil {
		if err := c.patchNode(ctx, n.Name, t.patch); err != nil {
			return err
		}
	}
	if !t.condition {
		return nil
	}
	return c.patchNode(ctx, n.Name, map[string]any{
		"metadata": map[string]any{"uid": n.UID},
		"status":   map[string]any{"conditions": []map[string]any{{"$patch": "delete", "type": node.ConditionType}}},
	}, "status")
}

func (c *Cleaner) patchNode(ctx context.Context, name string, patch map[string]any, subresources ...string) error {
	data, err := json.Marshal(patch)
	if err != nil {
		return fmt.Errorf("encoding a patch: %w", err)
	}
	_, err = c.Nodes.Patch(ctx, name, types.StrategicMergePatchType, data, metav1.PatchOptions{FieldManager: Manager}, subresources...)
	return err
}
