// Package proc starts the programs of the test cluster so that none outlives its owner, and finds
// those that did: by a recorded pid and start time, never by name.
package proc

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Record writes down, in file, which process pid is, for Kill to recognise it later.
func Record(file string, pid int) error {
	start, err := identity(pid)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, fmt.Appendf(nil, "%d %s\n", pid, start), 0o600); err != nil {
		return fmt.Errorf("recording process %d: %w", pid, err)
	}
	return nil
}

// Running returns the pid that was recorded in file, or 0 if that very process is gone.
func Running(file string) (int, error) {
	content, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("reading a process record: %w", err)
	}
	pidText, start, _ := strings.Cut(strings.TrimSpace(string(content)), " ")
	pid, _ := strconv.Atoi(pidText) // 0 if a crash cut the record short: then the process died with its owner
	if now, err := identity(pid); pid <= 1 || err != nil || now != start {
		return 0, nil //nolint:nilerr // it is gone, or another process has its number
	}
	return pid, nil
}

// Kill kills the process recorded in file, waits until it is gone, and removes the record. A
// process that ended long ago is no error.
func Kill(file string) error {
	pid, err := Running(file)
	if err != nil {
		return err
	}
	if pid != 0 {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("killing process %d: %w", pid, err)
		}
		if err := waitGone(file, pid); err != nil {
			return err
		}
	}
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing a process record: %w", err)
	}
	return nil
}

// KillAll is Kill for every record (*.pid) in dir.
func KillAll(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.pid"))
	if err != nil {
		return fmt.Errorf("listing process records: %w", err)
	}
	var failed []error
	for _, file := range files {
		failed = append(failed, Kill(file))
	}
	return errors.Join(failed...)
}

func waitGone(file string, pid int) error {
	for range 500 {
		if now, err := Running(file); err != nil || now == 0 {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("process %d does not end", pid)
}

// identity tells a process from any other that gets the same pid: its start time, in ticks since
// the machine's boot, and the boot ID. A process that only waits to be reaped is no longer there.
func identity(pid int) (string, error) {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return "", fmt.Errorf("identifying process %d: %w", pid, err)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("identifying process %d: %w", pid, err)
	}
	// The name, in parentheses, may hold anything; the state is the first field after it and the
	// start time the twentieth.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return "", fmt.Errorf("process %d has ended", pid)
	}
	return fields[19] + "@" + strings.TrimSpace(string(boot)), nil
}
