package lock

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Known is how many nodes may be out at once, as far as that is known without asking.
func (g *Group) Known(held []Slot) int {
	if g.Slots > 0 {
		return g.Slots
	}
	if g.counted == 0 {
		return Known(held)
	}
	n, last := g.counted, g.countedAt
	for _, s := range held { // whoever took one since has counted too
		if s.Slots > 0 && s.Created.After(last) {
			n, last = s.Slots, s.Created
		}
	}
	return n
}

func (g *Group) count(ctx context.Context) (int, error) {
	if g.Slots > 0 {
		return g.Slots, nil
	}
	n, _, err := g.Recount(ctx)
	return n, err
}

// Recount counts the nodes anew and returns how many slots there are and how many nodes. It does nothing where the number of
// slots is fixed.
func (g *Group) Recount(ctx context.Context) (slots, nodes int, err error) {
	if g.Slots > 0 {
		return g.Slots, 0, nil
	}
	slots, nodes, err = g.Count(ctx)
	if err != nil {
		return 0, 0, fmt.Errorf("count the nodes of lock group %s: %w", g.Name, err)
	}
	g.counted, g.countedAt = max(slots, 1), metav1.Now().Time
	return g.counted, nodes, nil
}

// Everywhere reads consistently which slots this very Node holds, of whatever group.
func (g *Group) Everywhere(ctx context.Context, node string, uid types.UID) ([]Slot, error) {
	list, err := g.Leases.List(ctx, metav1.ListOptions{LabelSelector: GroupLabel})
	if err != nil {
		return nil, g.explain("list", err)
	}
	var mine []Slot
	for i := range list.Items {
		if s := read(&list.Items[i]); s.Node == node && s.NodeUID == uid {
			mine = append(mine, s)
		}
	}
	return mine, nil
}

// Owns reports whether the slot is one of this group.
func (g *Group) Owns(s Slot) bool {
	_, ok := index(g.Name, s.Name)
	return ok || s.Name == g.Only
}
