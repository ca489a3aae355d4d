package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// The process that owns a cluster, serve, holds a lock on a file in the cluster's folder as long as
// it lives: whether a cluster is up, and in which process, is asked of the kernel. What it says goes
// to up.log; state.json is there once the cluster is ready.
const (
	lockName  = "up.lock"
	logName   = "up.log"
	stateName = "state.json"
)

// state is what a ready cluster tells the other commands.
type state struct {
	Tier       int
	Nodes      int
	Kubeconfig string
	Bin        string // folder of kubectl
}

// owner returns the process that owns the cluster in dir, or 0.
func owner(dir string) (int, error) {
	file, err := os.Open(filepath.Join(dir, lockName))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("looking for a cluster: %w", err)
	}
	defer file.Close()
	lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	if err := unix.FcntlFlock(file.Fd(), unix.F_GETLK, &lock); err != nil {
		return 0, fmt.Errorf("looking for a cluster: %w", err)
	}
	if lock.Type == unix.F_UNLCK {
		return 0, nil
	}
	return int(lock.Pid), nil
}

// own makes this process the owner of the cluster in dir until it ends or closes the lock.
func own(dir string) (io.Closer, error) {
	file, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("taking %s: %w", dir, err)
	}
	lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	if err := unix.FcntlFlock(file.Fd(), unix.F_SETLK, &lock); err != nil {
		return nil, errors.Join(fmt.Errorf("taking %s, which another process has: %w", dir, err), file.Close())
	}
	return file, nil
}

// readState returns the state of a ready cluster.
func readState(dir string) (state, error) {
	pid, err := owner(dir)
	if err != nil {
		return state{}, err
	}
	content, err := os.ReadFile(filepath.Join(dir, stateName))
	if pid == 0 || errors.Is(err, fs.ErrNotExist) {
		return state{}, fmt.Errorf("no cluster is up in %s", dir)
	}
	if err != nil {
		return state{}, fmt.Errorf("reading the cluster's state: %w", err)
	}
	var s state
	if err := json.Unmarshal(content, &s); err != nil {
		return state{}, fmt.Errorf("reading the cluster's state: %w", err)
	}
	return s, nil
}

// write makes the state appear whole.
func (s state) write(dir string) error {
	content, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the cluster's state: %w", err)
	}
	tmp := filepath.Join(dir, stateName+".tmp")
	if err := os.WriteFile(tmp, content, 0o600); err != nil {
		return fmt.Errorf("writing the cluster's state: %w", err)
	}
	if err := os.Rename(tmp, filepath.Join(dir, stateName)); err != nil {
		return fmt.Errorf("writing the cluster's state: %w", err)
	}
	return nil
}

func (s state) String() string {
	return fmt.Sprintf("A cluster of tier %d is up (nodes: %d). To use it:\n\nexport KUBECONFIG=%s PATH=%s:$PATH\n",
		s.Tier, s.Nodes, s.Kubeconfig, s.Bin)
}
