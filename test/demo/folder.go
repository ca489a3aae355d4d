package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// folders is the name of a simulation's temporary folder; the star stands for any text.
const folders = "rebootd-demo-*"

// newFolder makes a folder, which is this process's as long as it lives or has the lock.
func newFolder() (dir string, lock *os.File, err error) {
	if dir, err = os.MkdirTemp("", folders); err != nil {
		return "", nil, fmt.Errorf("making a folder: %w", err)
	}
	if lock, err = os.Create(lockPath(dir)); err != nil {
		return "", nil, fmt.Errorf("making a folder: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return "", nil, fmt.Errorf("locking %s: %w", lock.Name(), err)
	}
	return dir, lock, nil
}

// removeStale removes the folders that crashed simulations left. Their programs died with them.
func removeStale() error {
	locks, err := filepath.Glob(lockPath(filepath.Join(os.TempDir(), folders)))
	if err != nil {
		return fmt.Errorf("looking for old folders: %w", err)
	}
	for _, path := range locks {
		lock, err := os.Open(path)
		if err != nil {
			continue // somebody else's
		}
		err = unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			err = os.RemoveAll(filepath.Dir(path))
		}
		_ = lock.Close() // it was only locked
		if err != nil && !errors.Is(err, unix.EWOULDBLOCK) {
			return fmt.Errorf("removing an old folder: %w", err)
		}
	}
	return nil
}

func lockPath(dir string) string { return filepath.Join(dir, "lock") }
