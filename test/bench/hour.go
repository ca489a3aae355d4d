package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rebootd/rebootd/test/bench/page"
)

// hour looks for an hour what agents send that have nothing to do.
func (b *bench) hour(ctx context.Context) error {
	const nodes = 10
	w, err := b.world(ctx, 40*time.Second)
	if err != nil {
		return err
	}
	defer b.end(w)
	f := &fleetWork{world: w, plan: fleetPlan{nodes: nodes, quiet: time.Hour}, scale: &page.Scale{Waiting: nodes}}
	if f.all, err = w.machines(ctx, nodes, time.Second); err != nil {
		return err
	}
	defer haltAll(f.all)
	if err := errors.Join(f.idle(ctx), w.complete(ctx)); err != nil {
		return err
	}
	b.row(page.Row{ID: "hour", What: fmt.Sprintf("requests of %d agents with nothing to do, beyond the watches of their Nodes, in an hour", nodes), Target: "0", Count: true,
		Measured: fmt.Sprint(f.scale.IdleRequests), Met: f.scale.IdleRequests == 0, Note: fmt.Sprintf("The watches of their Nodes last one to two hours; %d were begun anew.", f.own)})
	return nil
}
