// Command demo shows rebootd at work: every node of a real cluster asks for a reboot at once, and
// they go one after another, telling all the while what they do and what they wait for.
//
//	go run ./test/demo               three real nodes, which really reboot (needs root)
//	go run ./test/demo --simulate    the real agents, on simulated nodes
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/rebootd/rebootd/test/demo/show"
)

const realNodes = 3

func main() { os.Exit(run()) }

func run() int {
	simulate := flag.Bool("simulate", false, "simulate the nodes; needs no root")
	nodes := flag.Int("nodes", 5, "number of simulated nodes")
	keep := flag.Bool("keep", false, "leave the cluster of real nodes up at the end")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	t := newTeller(ctx, os.Stdout)
	var s *stage
	var problems []string
	var err error
	if *simulate {
		s, err = simulated(ctx, t, *nodes, *keep)
	} else {
		*nodes = realNodes
		s, err = realStage(ctx, t, *keep)
	}
	if err == nil {
		problems, err = s.play(ctx, t)
	}
	if err != nil {
		problems = append(problems, plain(ctx, err))
	}
	logs := s.end(t, len(problems) > 0 && ctx.Err() == nil)
	fmt.Println(show.Verdict(*nodes, problems, logs))
	if len(problems) > 0 {
		return 1
	}
	return 0
}

// plain is an error in words for the last line.
func plain(ctx context.Context, err error) string {
	if ctx.Err() != nil {
		return "interrupted"
	}
	return err.Error()
}
