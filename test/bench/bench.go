package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/rebootd/rebootd/test/bench/page"
)

// bench is one run.
type bench struct {
	dir     string
	log     io.Writer
	results page.Results
	// whole are the requests of nodes that rebooted after a drain of pods, without the drain's.
	whole []int
	// turn are those from the take on, again how many of them were for writes that collided with others: those, and what they led to.
	turn, again []int
}

func (b *bench) say(format string, args ...any) {
	_, _ = fmt.Fprintf(b.log, "%s  "+format+"\n", append([]any{time.Now().Format("15:04:05")}, args...)...)
}

// row takes in a row that was measured; one with the same name gives way.
func (b *bench) row(r page.Row) {
	r.Made = b.results.Made()
	b.results.Put(r)
	mark := "met"
	if !r.Met {
		mark = "MISSED"
	}
	b.say("%s: %s (%s, %s)", r.What, r.Measured, r.Target, mark)
}

func (b *bench) world(ctx context.Context, grace time.Duration) (*world, error) {
	return newWorld(ctx, b.log, grace)
}

// end stops a control plane. With BENCH_KEEP its logs are moved there.
func (b *bench) end(w *world) {
	if keep := os.Getenv("BENCH_KEEP"); keep != "" {
		_ = os.RemoveAll(keep)
		_ = os.Rename(w.dir, keep)
	}
	if err := w.stop(); err != nil {
		b.say("%v", err)
	}
}

// filesOfAgent is how many files one agent may have open while its connections begin anew.
const filesOfAgent = 6

// fleet measures a fleet of so many nodes.
func (b *bench) fleet(ctx context.Context, nodes int) error {
	grace, quiet := 40*time.Second, time.Minute
	if nodes > 100 {
		grace = 5 * time.Minute // else late heartbeats make nodes NotReady
	}
	if nodes > 1000 {
		quiet = 20 * time.Second
	}
	w, err := b.world(ctx, grace)
	if err != nil {
		return err
	}
	defer b.end(w)
	restart := nodes >= 100
	if restart && openFiles() < filesOfAgent*nodes {
		b.say("the API server isn't started again: %d agents that connect anew open more files than this machine allows a process", nodes)
		restart = false
	}
	s, err := fleetRun(ctx, w, fleetPlan{nodes: nodes, reboots: min(nodes/2, 20), down: time.Second, quiet: quiet, restart: restart})
	if s.PerReboot > 0 { // what was measured is, whatever failed after it
		s.Made = b.results.Made()
		b.results.PutScale(s)
	}
	return err
}
