package host

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Result says how a command ended, as far as that is known.
type Result struct {
	// Started is false if the process never began: the command wasn't found or isn't executable, or
	// the namespace couldn't be entered.
	Started bool
	// Exited is true if the process ended by itself, and ExitCode is valid only then.
	Exited   bool
	ExitCode int
	// Signal names the signal that someone else killed the process with, or is empty.
	Signal string
	// TimedOut is true if the process didn't end in time.
	TimedOut bool
	// Output is the end of standard output and error, interleaved: at most 4 KiB of valid UTF-8.
	Output string
	// Duration is how long the call took.
	Duration time.Duration
	// Err is nil only if the process exited with 0. It names the command and where it ran.
	Err error
}

// Failed is true if the command is known not to have done its work: it never started, or exited
// with something else than 0. A command that was killed, left or timed out is not known to have
// failed, nor to have succeeded: a reboot kills the very command that asked for it.
func (r Result) Failed() bool {
	return r.Err != nil && (!r.Started || r.Exited)
}

// Run runs a command to its end in the host's namespaces: cwd "/", empty standard input, a session of
// its own, and in the host a minimal environment. After timeout (0 is none) or once ctx is done, its
// process group gets SIGTERM and, three seconds later, SIGKILL; what left the group is not followed.
// Processes that a command leaves in the background are not waited for; writing more output is SIGPIPE for them.
//
// Commands stay in the agent's cgroup: its memory limit is theirs too.
func (h *Host) Run(ctx context.Context, argv []string, timeout time.Duration) Result {
	return h.run(ctx, argv, nil, timeout, false)
}

// RunWith is Run with these variables ("NAME=value") added to the command's environment.
func (h *Host) RunWith(ctx context.Context, argv, env []string, timeout time.Duration) Result {
	return h.run(ctx, argv, env, timeout, false)
}

// RunAndLeave is Run for the command that reboots the machine. DANGER: nothing here ever stops that
// command. When ctx is done (the reboot that it ordered is what stops the agent) or timeout has
// passed (it may only be slow), the call returns with an unknown outcome and the command goes on.
// If ctx is done beforehand, nothing is started. When the agent's container ends, its runtime kills
// what still runs in it, this command too.
func (h *Host) RunAndLeave(ctx context.Context, argv []string, timeout time.Duration) Result {
	return h.run(ctx, argv, nil, timeout, true)
}

func (h *Host) run(ctx context.Context, argv, env []string, timeout time.Duration, leave bool) (res Result) {
	begin := time.Now()
	defer func() {
		res.Duration = time.Since(begin)
		if res.Err != nil {
			res.Err = fmt.Errorf("command %s in %s: %w", Quote(argv), h.where(), res.Err)
		}
	}()
	p, err := h.start(ctx, argv, env)
	if err != nil {
		return Result{Err: fmt.Errorf("not started: %w", err)}
	}
	res.Started = true
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	select {
	case <-p.done:
		res.setEnd(p.err)
	case <-ctx.Done():
		res.TimedOut = errors.Is(ctx.Err(), context.DeadlineExceeded)
		res.Err = stopped(ctx, time.Since(begin), leave)
		if leave {
			res.Output = p.tail.String()
			return res
		}
		p.killGroup()
	}
	res.Output = p.output(leave)
	return res
}

// stopped says that a command didn't end before ctx was done, and what became of it.
func stopped(ctx context.Context, after time.Duration, leave bool) error {
	fate := "killed"
	if leave {
		fate = "left running, outcome unknown"
	}
	return fmt.Errorf("not ended after %s, %s: %w", after.Round(time.Millisecond), fate, context.Cause(ctx))
}

// start starts argv; when it returns, the process exists and belongs to the right namespace.
func (h *Host) start(ctx context.Context, argv, env []string) (*process, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(argv) == 0 {
		return nil, errors.New("the command is empty")
	}
	var p *process
	err := h.inside(func() error {
		file, err := h.lookup(argv[0])
		if err != nil {
			return err
		}
		cmd := exec.Command(file)
		cmd.Args = argv
		cmd.Dir = "/"
		cmd.Env = h.environ(env)
		// No Pdeathsig: it would fire when the thread that starts the command ends.
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		p, err = startProcess(cmd)
		if errors.Is(err, unix.ENOENT) {
			err = fmt.Errorf("%w (does its interpreter exist there?)", err)
		}
		return err
	})
	return p, err
}

// setEnd takes over what exec.Cmd.Wait said about a process that ended by itself.
func (r *Result) setEnd(err error) {
	var exit *exec.ExitError
	switch {
	case err == nil:
		r.Exited = true
	case !errors.As(err, &exit):
		r.Err = err // the outcome is unknown
	case exit.Exited():
		r.Exited, r.ExitCode = true, exit.ExitCode()
		r.Err = fmt.Errorf("exited with %d", r.ExitCode)
	default:
		if status, ok := exit.Sys().(syscall.WaitStatus); ok {
			r.Signal = signalName(status.Signal())
		}
		r.Err = fmt.Errorf("killed by %s", r.Signal)
	}
}
