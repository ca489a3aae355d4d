package host

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	killGrace  = 3 * time.Second       // between SIGTERM and SIGKILL
	killPoll   = 20 * time.Millisecond // how often to look whether the group has gone
	drainGrace = 3 * time.Second       // for output still in the pipe when the process has ended; a busy node is slow
	maxOutput  = 4 << 10               // bytes of output that are kept
)

// process is a started command. exec.Cmd isn't left to read its output, because Wait would then
// either wait for, or break, whoever inherited the pipe.
type process struct {
	pid     int
	done    chan struct{} // closed when the process has ended
	err     error         // what Wait said; valid when done is closed
	pipe    *os.File
	drained chan struct{} // closed when nobody has the pipe open any more
	tail    tail
}

// startProcess starts cmd on the calling thread.
func startProcess(cmd *exec.Cmd) (*process, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		r.Close()
		return nil, err
	}
	p := &process{pid: cmd.Process.Pid, done: make(chan struct{}), pipe: r, drained: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.err = cmd.Wait()
	}()
	go func() {
		defer close(p.drained)
		defer r.Close()
		_, _ = io.Copy(&p.tail, r) // ends when the last writer has gone, or output closes the pipe
	}()
	return p, nil
}

// killGroup ends the process and its group. A process that even SIGKILL can't end at once (it hangs
// in the kernel) is left behind. Its number can't have been given to another group meanwhile: it is
// taken as long as the group has a member, and numbers come round only after all others.
func (p *process) killGroup() {
	if !p.signalGroup(unix.SIGTERM) {
		return
	}
	for deadline := time.Now().Add(killGrace); time.Now().Before(deadline); time.Sleep(killPoll) {
		if !p.signalGroup(0) {
			return
		}
	}
	p.signalGroup(unix.SIGKILL)
}

// signalGroup returns false if the group has no member any more.
func (p *process) signalGroup(sig unix.Signal) bool {
	return !errors.Is(unix.Kill(-p.pid, sig), unix.ESRCH)
}

// output returns the end of what was written so far. With leave, reading goes on for as long as
// anyone has the pipe open, so that no writer ever gets SIGPIPE while the agent lives.
func (p *process) output(leave bool) string {
	select {
	case <-p.drained:
	case <-time.After(drainGrace):
		if !leave {
			p.pipe.Close()
		}
	}
	return p.tail.String()
}

// tail keeps the last maxOutput bytes written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, b...)
	if extra := len(t.buf) - maxOutput; extra > 0 {
		t.buf = append(t.buf[:0], t.buf[extra:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.ToValidUTF8(string(t.buf), "?")
}
