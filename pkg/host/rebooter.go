package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// DefaultRebootSignal is SIGRTMIN+5, by which systemd reboots.
const DefaultRebootSignal = 39

const (
	sigRTMin = 34 // as C libraries count, who keep 32 and 33 for themselves
	sigMax   = 64
)

// Rebooter is one way to reboot the machine.
type Rebooter interface {
	// Reboot orders the reboot. DANGER: it means it. Success is no proof: only a changed boot ID is.
	// Only when the Result has Failed is it known that no reboot was ordered. Once ordered, it isn't
	// taken back when ctx is done.
	Reboot(ctx context.Context) Result
	// String says in words what Reboot would do.
	String() string
}

// Command reboots by running a command.
type Command struct {
	Host *Host
	Argv []string
	// Timeout is how long to wait for the command's exit; 0 is as long as ctx. It isn't killed then.
	Timeout time.Duration
}

// Reboot runs the command; see RunAndLeave.
func (c Command) Reboot(ctx context.Context) Result {
	return c.Host.RunAndLeave(ctx, c.Argv, c.Timeout)
}

func (c Command) String() string {
	return Quote(c.Argv) + " in " + c.Host.where()
}

// Signal reboots by a signal to PID 1.
type Signal struct {
	Host *Host
	// Number is the signal, 1 to 64; see DefaultRebootSignal.
	Number int
}

// Reboot sends the signal; the Result has no output.
func (s Signal) Reboot(ctx context.Context) Result {
	begin := time.Now()
	err := ctx.Err()
	if err == nil {
		err = s.Host.SignalInit(s.Number)
	}
	if err != nil {
		return Result{Err: fmt.Errorf("%s not sent: %w", s, err), Duration: time.Since(begin)}
	}
	return Result{Started: true, Exited: true, Duration: time.Since(begin)}
}

func (s Signal) String() string {
	return fmt.Sprintf("signal %d (%s) to PID 1", s.Number, signalName(syscall.Signal(s.Number)))
}

// SignalInit sends signal sig (1 to 64) to PID 1. DANGER: that may take the machine down at once. It
// needs Options.AllowSignal, and a PID 1 that calls itself systemd or init: anything else is a
// container's, or doesn't know the signal. Success means that the signal was sent, not that PID 1 minds it.
func (h *Host) SignalInit(sig int) error {
	if sig < 1 || sig > sigMax {
		return fmt.Errorf("no signal has the number %d: --reboot-signal is 1 to %d", sig, sigMax)
	}
	if err := h.CheckSignal(); err != nil {
		return err
	}
	err := h.kill(1, syscall.Signal(sig))
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("needs hostPID and root with CAP_KILL; or set --reboot-method=command: %w", err)
	}
	return err
}

// CheckSignal says why SignalInit could not work, as far as that can be known without a signal.
func (h *Host) CheckSignal() error {
	comm, err := h.checkInit()
	if err != nil {
		return err
	}
	if comm != "systemd" && comm != "init" {
		return fmt.Errorf("PID 1 is %q, not systemd or init: the pod needs hostPID: true, or set --reboot-method=command", comm)
	}
	return nil
}

// signalName returns a signal's name as kill -l gives it, or its number in words.
func signalName(sig syscall.Signal) string {
	if name := unix.SignalName(sig); name != "" {
		return name
	}
	if sig >= sigRTMin && sig <= sigMax {
		return fmt.Sprintf("SIGRTMIN+%d", int(sig)-sigRTMin)
	}
	return fmt.Sprintf("signal %d", int(sig))
}
