package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// teller prints lines with the seconds since the start before them.
type teller struct {
	to          io.Writer
	start       time.Time
	interrupted func() bool
}

func newTeller(ctx context.Context, to io.Writer) *teller {
	return &teller{to: to, start: time.Now(), interrupted: func() bool { return ctx.Err() != nil }}
}

// now is the time since the start.
func (t *teller) now() time.Duration { return time.Since(t.start) }

func (t *teller) say(format string, args ...any) { t.sayAt(t.now(), fmt.Sprintf(format, args...)) }

func (t *teller) sayAt(at time.Duration, line string) {
	_, _ = fmt.Fprintf(t.to, "%6.1f s  %s\n", at.Seconds(), line)
}

// text prints what belongs to no moment.
func (t *teller) text(text string) { _, _ = fmt.Fprint(t.to, text) }

// step does one thing that may take a while. look says where to look if it fails.
func (t *teller) step(what, look string, do func() error) error {
	t.say("%s …", what)
	err := do()
	if err != nil && !t.interrupted() {
		t.say("  this failed; look at %s", look)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// follow runs a command and tells each line of its output as it comes, without the stamp that the
// command may have put before it.
func (t *teller) follow(cmd *exec.Cmd) error {
	reader, writer := io.Pipe()
	cmd.Stdout, cmd.Stderr = writer, writer
	var told sync.WaitGroup
	var all bytes.Buffer
	told.Go(func() {
		for lines := newLines(io.TeeReader(reader, &all)); lines.Scan(); {
			if line := withoutStamp(lines.Text()); line != "" {
				t.say("  %s", line)
			}
		}
	})
	err := cmd.Run()
	_ = writer.Close() // never fails
	told.Wait()
	if err != nil {
		return fmt.Errorf("%w: %s", err, complaints(all.String()))
	}
	return nil
}

// command is interrupted, not killed, when ctx ends, and so can clean up after itself. An interrupt
// from the terminal reaches it only that way.
func command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = time.Minute
	return cmd
}

// output runs a command and returns what it prints; what it complains of goes into the error.
func output(cmd *exec.Cmd) (string, error) {
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(complaint.String()))
	}
	return string(out), nil
}
