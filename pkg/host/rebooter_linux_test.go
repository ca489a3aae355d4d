package host

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"
)

// signalHost returns a Host that only remembers the signals it would send, and fails with killErr.
func signalHost(t *testing.T, comm string, killErr error) (h *Host, sent *[]string) {
	t.Helper()
	h, sent = New(Options{}), new([]string)
	h.initComm = writeFile(t, comm+"\n")
	h.getpid = func() int { return 4711 }
	h.kill = func(pid int, sig syscall.Signal) error {
		*sent = append(*sent, fmt.Sprint(pid, " ", int(sig)))
		return killErr
	}
	return h, sent
}

func TestSignal(t *testing.T) {
	for _, comm := range []string{"systemd", "init"} {
		h, sent := signalHost(t, comm, nil)
		s := Signal{Host: h, Number: DefaultRebootSignal}
		r := s.Reboot(t.Context())
		if r.Err != nil || !r.Started || !r.Exited || r.Failed() || fmt.Sprint(*sent) != "[1 39]" {
			t.Errorf("%+v, sent %v", r, *sent)
		}
	}
}

func TestSignalRefused(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx    context.Context
		comm   string
		number int
		pid    int
		want   string
	}{
		"zero":      {t.Context(), "systemd", 0, 7, "--reboot-signal"},
		"negative":  {t.Context(), "systemd", -1, 7, "--reboot-signal"},
		"too high":  {t.Context(), "systemd", 65, 7, "--reboot-signal"},
		"is PID 1":  {t.Context(), "systemd", 39, 1, "hostPID"},
		"pause":     {t.Context(), "pause", 39, 7, "hostPID"},
		"itself":    {t.Context(), "rebootd", 39, 7, `PID 1 is "rebootd", not systemd or init`},
		"small one": {t.Context(), "tini", 39, 7, "--reboot-method=command"},
		"stopping":  {cancelled, "systemd", 39, 7, "signal 39 (SIGRTMIN+5) to PID 1 not sent: context canceled"},
	} {
		t.Run(name, func(t *testing.T) {
			h, sent := signalHost(t, c.comm, nil)
			h.getpid = func() int { return c.pid }
			r := Signal{Host: h, Number: c.number}.Reboot(c.ctx)
			wantErr(t, r.Err, c.want)
			if r.Started || !r.Failed() || len(*sent) != 0 {
				t.Errorf("%+v, sent %v", r, *sent)
			}
		})
	}
}

func TestSignalFails(t *testing.T) {
	h, sent := signalHost(t, "systemd", syscall.EPERM)
	r := Signal{Host: h, Number: 39}.Reboot(t.Context())
	wantErr(t, r.Err, "hostPID", "CAP_KILL", "--reboot-method=command")
	if !errors.Is(r.Err, syscall.EPERM) || !r.Failed() || len(*sent) != 1 {
		t.Errorf("%+v, sent %v", r, *sent)
	}
}

// Without the opt-in not even a real-looking PID 1 gets a signal.
func TestSignalNotAllowed(t *testing.T) {
	h := New(Options{})
	h.initComm = writeFile(t, "systemd\n")
	wantErr(t, h.SignalInit(DefaultRebootSignal), "aren't enabled")
}

func TestCommandReboots(t *testing.T) {
	var c Rebooter = Command{Host: ownHost(), Argv: sh("echo ordered"), Timeout: time.Minute}
	if r := c.Reboot(t.Context()); r.Err != nil || r.Output != "ordered\n" {
		t.Errorf("%+v", r)
	}
}

func TestString(t *testing.T) {
	argv := []string{"/bin/systemctl", "reboot"}
	for want, r := range map[string]Rebooter{
		"/bin/systemctl reboot in the host's mount namespace":      Command{Host: New(Options{}), Argv: argv},
		"/bin/systemctl reboot in the agent's own mount namespace": Command{Host: ownHost(), Argv: argv},
		"signal 39 (SIGRTMIN+5) to PID 1":                          Signal{Number: DefaultRebootSignal},
		"signal 15 (SIGTERM) to PID 1":                             Signal{Number: 15},
		"signal 99 (signal 99) to PID 1":                           Signal{Number: 99},
	} {
		if r.String() != want {
			t.Errorf("got %q, want %q", r, want)
		}
	}
}
