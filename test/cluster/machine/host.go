package machine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// logger tells what is being done and since when.
type logger struct {
	mu    sync.Mutex
	to    io.Writer
	start time.Time
}

func newLog(to io.Writer) *logger {
	if to == nil {
		to = io.Discard
	}
	return &logger{to: to, start: time.Now()}
}

func (l *logger) printf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = fmt.Fprintf(l.to, "[%5.1fs] %s\n", time.Since(l.start).Seconds(), fmt.Sprintf(format, args...))
}

// installPackages installs the Debian packages whose programs are missing here.
func installPackages(ctx context.Context, say *logger) error {
	needs := []struct{ path, name string }{
		{"linux.uml", "user-mode-linux"},
		{"mmdebstrap", "mmdebstrap"},
		{"mke2fs", "e2fsprogs"},
		{"ip", "iproute2"},
		{"ssh", "openssh-client"},
		{"/usr/share/keyrings/debian-archive-keyring.gpg", "debian-archive-keyring"},
	}
	var missing []string
	for _, need := range needs {
		_, lookErr := exec.LookPath(need.path)
		_, statErr := os.Stat(need.path)
		if lookErr != nil && statErr != nil {
			missing = append(missing, need.name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	say.printf("installing %s", strings.Join(missing, " "))
	install := append([]string{"install", "--yes", "--no-install-recommends", "--option=DPkg::Lock::Timeout=120"}, missing...)
	for _, args := range [][]string{{"update"}, install} {
		command := exec.CommandContext(ctx, "apt-get", args...)
		command.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if err := run(ctx, command); err != nil {
			return err
		}
	}
	return nil
}

// run runs a command, made with the same context, and puts what it said into the error.
func run(ctx context.Context, command *exec.Cmd) error {
	output, err := command.CombinedOutput()
	if ctx.Err() != nil {
		return fmt.Errorf("running %s: %w", filepath.Base(command.Path), context.Cause(ctx))
	}
	if err != nil {
		return fmt.Errorf("running %s: %w: %s", strings.Join(command.Args, " "), err, lastLines(string(output), 20))
	}
	return nil
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// lockFile locks a file for as long as it is open. It doesn't wait.
func lockFile(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening lock: %w", err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("locking %s: %w", path, err), file.Close())
	}
	return file, nil
}

// sleep waits, and reports whether it was for the whole time.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
