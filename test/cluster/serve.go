package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/rebootd/rebootd/test/cluster/full"
	"github.com/rebootd/rebootd/test/cluster/lab"
)

// serveCommand is what up runs in the background.
const serveCommand = "serve"

// serve owns a cluster: it starts it, and stops it when it is told to end.
func serve(ctx context.Context, name string, args []string) (err error) {
	flags := newFlags(name)
	tier := flags.Int("tier", 1, "what is real: 1, 2 or 3")
	nodes := flags.Int("nodes", 0, "number of nodes")
	dir, _, err := parse(flags, args, 0, 0)
	if err != nil {
		return err
	}
	lock, err := own(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if err := clean(dir); err != nil {
		return err
	}
	log := &stamper{to: os.Stderr, start: time.Now()}
	s, stop, err := start(ctx, dir, *tier, *nodes, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	_, _ = fmt.Fprintln(log, "ready")
	if err := s.write(dir); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

func start(ctx context.Context, dir string, tier, nodes int, log io.Writer) (state, func() error, error) {
	s := state{Tier: tier, Nodes: nodes}
	if tier == 3 {
		c, err := full.Start(ctx, full.Options{Dir: dir, Nodes: nodes, Log: log})
		if err != nil {
			return state{}, nil, err
		}
		s.Kubeconfig, s.Bin = c.Kubeconfig(), c.Bin()
		return s, c.Stop, nil
	}
	c, err := lab.Start(ctx, lab.Options{Dir: dir, Tier: tier, Log: log})
	if err != nil {
		return state{}, nil, err
	}
	if nodes > 0 {
		if err := c.AddFakeNodes(ctx, nodes, nil); err != nil {
			return state{}, nil, errors.Join(err, c.Stop())
		}
	}
	s.Kubeconfig, s.Bin = c.Kubeconfig(), c.Bin()
	return s, c.Stop, nil
}

// clean removes what a cluster without an owner left, except the lock and the log.
func clean(dir string) error {
	return errors.Join(full.Clean(dir), os.RemoveAll(filepath.Join(dir, stateName)))
}

// stamper puts the time since start before each line that is written to it.
type stamper struct {
	to    io.Writer
	start time.Time
	mu    sync.Mutex
}

func (s *stamper) Write(lines []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for line := range bytes.Lines(lines) {
		if _, rest, found := bytes.Cut(line, []byte("s] ")); found && line[0] == '[' {
			line = rest // stamped by a part that counts from its own start
		}
		if _, err := fmt.Fprintf(s.to, "[%5.1fs] %s", time.Since(s.start).Seconds(), line); err != nil {
			return 0, err
		}
	}
	return len(lines), nil
}
