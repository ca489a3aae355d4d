package machine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// Machine is one node. It may be off.
type Machine struct {
	spec    spec
	key     string
	control control
}

// Result is what a command inside a machine came to.
type Result struct {
	Stdout, Stderr string
	ExitCode       int
}

// Name returns the machine's name, which is its Node's name too.
func (m *Machine) Name() string { return m.spec.Name }

// IP returns the machine's address.
func (m *Machine) IP() string { return m.spec.IP.String() }

// ConsolePath returns the file that has the console's output of all boots since Start.
func (m *Machine) ConsolePath() string { return m.spec.console() }

// Exec runs a shell command as root. That the command fails is no error but its exit code. It is
// an error if the machine can't be reached or goes away, as with `systemctl reboot`; a command that
// exits with 255 can't be told from that.
func (m *Machine) Exec(ctx context.Context, command string) (Result, error) {
	return m.ssh(ctx, nil, command)
}

// Command returns an SSH client that isn't started yet: it runs a shell command on the machine, or
// without one a login shell, with whatever input and output the caller gives it.
func (m *Machine) Command(ctx context.Context, command ...string) *exec.Cmd {
	args := []string{
		"netns", "exec", namespace, "ssh", "-F", "none", "-i", m.key,
		"-o", "BatchMode=yes", "-o", "LogLevel=ERROR",
		"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
		"-o", "ConnectTimeout=5", "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3",
		"-o", "KexAlgorithms=curve25519-sha256", // the default is slow in there
		"root@" + m.spec.IP.String(),
	}
	return exec.CommandContext(ctx, "ip", append(args, command...)...)
}

func (m *Machine) ssh(ctx context.Context, stdin io.Reader, command string) (Result, error) {
	var stdout, stderr bytes.Buffer
	ssh := m.Command(ctx, "--", command)
	ssh.Stdin, ssh.Stdout, ssh.Stderr = stdin, &stdout, &stderr
	ssh.WaitDelay = time.Second
	err := ssh.Run()
	result := Result{Stdout: stdout.String(), Stderr: stderr.String(), ExitCode: ssh.ProcessState.ExitCode()}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return result, fmt.Errorf("running %q on %s: %w", command, m.spec.Name, context.Cause(ctx))
	case errors.As(err, &exit) && exit.ExitCode() != 255:
		return result, nil
	case err != nil:
		return result, fmt.Errorf("running %q on %s: %w: %s", command, m.spec.Name, err, strings.TrimSpace(result.Stderr))
	}
	return result, nil
}

// mustExec is Exec for a command that has to succeed.
func (m *Machine) mustExec(ctx context.Context, stdin io.Reader, command string) (string, error) {
	result, err := m.ssh(ctx, stdin, command)
	if err == nil && result.ExitCode != 0 {
		err = fmt.Errorf("running %q on %s: exit code %d: %s", command, m.spec.Name, result.ExitCode,
			lastLines(result.Stdout+result.Stderr, 10))
	}
	return result.Stdout, err
}

// BootID returns the running kernel's boot ID: a new one after each reboot.
func (m *Machine) BootID(ctx context.Context) (string, error) {
	id, err := m.mustExec(ctx, nil, "cat /proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(id), err
}

// WaitUp waits until the machine answers.
func (m *Machine) WaitUp(ctx context.Context) error {
	_, err := m.WaitReboot(ctx, "")
	return err
}

// WaitReboot waits until the machine answers with another boot ID than before, and returns it.
func (m *Machine) WaitReboot(ctx context.Context, before string) (string, error) {
	for {
		id, err := m.BootID(ctx)
		if err == nil && id != before {
			return id, nil
		}
		if !sleep(ctx, 300*time.Millisecond) {
			return "", fmt.Errorf("waiting for %s to boot: %w; its console ends with:\n%s",
				m.spec.Name, context.Cause(ctx), m.consoleTail())
		}
	}
}

// LoadImage imports container images from a tar, as WriteImage makes one. They stay over reboots.
func (m *Machine) LoadImage(ctx context.Context, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("opening image: %w", err)
	}
	defer func() { _ = file.Close() }()
	_, err = m.mustExec(ctx, file, "ctr -n k8s.io images import - && sync")
	return err
}

// PowerCut stops the machine at once, as if its plug were pulled: nothing is shut down, and what it
// hadn't written to disk is lost. It returns when the machine is off. It stays off until PowerOn.
func (m *Machine) PowerCut() error { return m.ask(request{Verb: powerCut}) }

// PowerOn boots a machine that is off, with the disk it has, and returns when it answers. It fails
// if the machine is on or rebooting.
func (m *Machine) PowerOn(ctx context.Context) error {
	if err := m.ask(request{Verb: powerOn}); err != nil {
		return err
	}
	return m.WaitUp(ctx)
}

// NextBoot says how the machine's next reboot shall go: it comes back only after a delay, or never
// (until PowerOn after a PowerCut, or after it has gone down). Reboots after that are normal.
func (m *Machine) NextBoot(delay time.Duration, never bool) error {
	return m.ask(request{Verb: nextBoot, Delay: delay, Never: never})
}

func (m *Machine) ask(r request) error {
	r.Machine = m.spec.Name
	if err := m.control(r); err != nil {
		return fmt.Errorf("%s of %s: %w", r.Verb, m.spec.Name, err)
	}
	return nil
}

func (m *Machine) consoleTail() string {
	content, err := os.ReadFile(m.spec.console())
	if err != nil {
		return err.Error()
	}
	return lastLines(string(content), 15)
}
