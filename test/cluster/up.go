package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// up starts a cluster in the background and returns when it is ready. If it is interrupted, nothing
// is left. If one is being started already, it waits for that.
func up(ctx context.Context, name string, args []string) error {
	flags := newFlags(name)
	tier := flags.Int("tier", 1, "what is real: 1, 2 or 3")
	nodes := flags.Int("nodes", -1, "number of nodes; by default 3, with tier 1 none")
	dir, _, err := parse(flags, args, 0, 0)
	if err != nil {
		return err
	}
	if *nodes < 0 {
		*nodes = map[int]int{2: 3, 3: 3}[*tier]
	}
	if err := check(*tier, *nodes); err != nil {
		return err
	}
	if s, err := readState(dir); err == nil {
		fmt.Print("Nothing to do. ", s)
		if s.Tier != *tier || s.Nodes != *nodes {
			return errors.New("this isn't the cluster you asked for: run down first")
		}
		return nil
	}
	pid, err := owner(dir)
	if err != nil {
		return err
	}
	if pid == 0 {
		if pid, err = spawn(dir, *tier, *nodes); err != nil {
			return err
		}
	}
	return follow(ctx, dir, pid)
}

func check(tier, nodes int) error {
	switch {
	case runtime.GOOS != "linux" || runtime.GOARCH != "amd64":
		return fmt.Errorf("the cluster needs linux/amd64; this is %s/%s", runtime.GOOS, runtime.GOARCH)
	case tier < 1 || tier > 3:
		return fmt.Errorf("--tier must be 1, 2 or 3, not %d", tier)
	case tier == 1 && nodes > 0:
		return errors.New("--nodes needs --tier 2 or 3: tier 1 has nothing that runs nodes")
	case tier == 3 && os.Geteuid() != 0:
		return errors.New("tier 3 needs root, for a network namespace and the nodes' disks; tiers 1 and 2 don't")
	}
	return nil
}

// spawn starts serve in a session of its own and returns its process ID once it owns dir, or has ended.
func spawn(dir string, tier, nodes int) (int, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return 0, fmt.Errorf("creating the cluster's folder: %w", err)
	}
	log, err := os.Create(filepath.Join(dir, logName))
	if err != nil {
		return 0, fmt.Errorf("creating the log: %w", err)
	}
	defer log.Close()
	cmd := exec.Command("/proc/self/exe", serveCommand, // it outlives this process
		"--dir", dir, "--tier", strconv.Itoa(tier), "--nodes", strconv.Itoa(nodes))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("starting the cluster's owner: %w", err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // it logs what is wrong
		close(ended)
	}()
	for {
		select {
		case <-ended:
			return cmd.Process.Pid, nil // follow says why
		case <-time.After(20 * time.Millisecond):
		}
		if pid, err := owner(dir); pid != 0 || err != nil {
			return pid, err
		}
	}
}

// follow prints the log until the cluster in dir is ready, or its owner has ended.
func follow(ctx context.Context, dir string, pid int) error {
	log, err := os.Open(filepath.Join(dir, logName))
	if err != nil {
		return fmt.Errorf("reading the log: %w", err)
	}
	defer log.Close()
	for {
		s, notReady := readState(dir)
		now, err := owner(dir)
		_, _ = io.Copy(os.Stdout, log) // what was written before the state we know
		switch {
		case err != nil:
			return err
		case notReady == nil:
			fmt.Printf("\n%s", s)
			return nil
		case now != pid:
			return errors.Join(errors.New("the cluster didn't start"), clean(dir))
		}
		select {
		case <-ctx.Done():
			fmt.Println("interrupted: stopping what was started")
			return errors.Join(errors.New("interrupted"), tearDown(dir))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func down(_ context.Context, name string, args []string) error {
	dir, _, err := parse(newFlags(name), args, 0, 0)
	if err != nil {
		return err
	}
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		fmt.Println("There is no cluster in", dir)
		return nil
	}
	if err := tearDown(dir); err != nil {
		return err
	}
	fmt.Println("Stopped, and removed from", dir)
	return nil
}

// tearDown ends the cluster in dir and removes everything it left, also after a crash.
func tearDown(dir string) error {
	const patience = 30 * time.Second
	began := time.Now()
	for {
		pid, err := owner(dir)
		if err != nil {
			return err
		}
		if pid == 0 {
			break
		}
		signal := syscall.SIGTERM
		if time.Since(began) > patience {
			signal = syscall.SIGKILL
		}
		if err := syscall.Kill(pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("stopping the cluster's owner, process %d: %w", pid, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err := clean(dir); err != nil {
		return err
	}
	for _, name := range []string{logName, lockName} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("removing the cluster's folder: %w", err)
		}
	}
	_ = os.Remove(dir) // unless somebody else's files are in it
	return nil
}
