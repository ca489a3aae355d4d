package proc

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// Spec says what to start and where.
type Spec struct {
	Name  string   // of the program, for records, logs and errors
	Argv0 string   // the binary, and the name it sees itself started under
	Args  []string // without Argv0
	Dir   string   // working directory; it has the folders run (process records) and log
	NetNS string   // named network namespace; empty: the caller's
}

// Process is a started program. The kernel kills it when the program that started it ends, however
// that ends.
type Process struct {
	spec Spec
	cmd  *exec.Cmd
	done chan struct{} // closed once it has ended
}

// Start starts the program and returns at once. Its output goes to log/NAME.log, appended.
func Start(spec Spec) (*Process, error) {
	log, err := os.OpenFile(spec.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", spec.Name, err)
	}
	defer log.Close()

	cmd := exec.Command(spec.Argv0, spec.Args...) // what tests ask for; runs until Kill
	cmd.Dir, cmd.Stdout, cmd.Stderr = spec.Dir, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p := &Process{spec: spec, cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go p.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", spec.Name, err)
	}
	if err := Record(spec.record(), cmd.Process.Pid); err != nil {
		p.Kill()
		return nil, fmt.Errorf("starting %s: %w", spec.Name, err)
	}
	return p, nil
}

// run keeps one thread for the process's whole life, because a thread is what the parent-death
// signal is tied to.
func (p *Process) run(started chan<- error) {
	err := onThread(p.spec.NetNS, func() {
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait() // how it ended is in ProcessState
			close(p.done)
		}
	})
	if err != nil {
		started <- err
	}
}

// Kill ends the process with SIGKILL and returns when it is gone. It may be called again.
func (p *Process) Kill() {
	select {
	case <-p.done:
	default:
		_ = p.cmd.Process.Kill() // fails only if it has just ended
		<-p.done
	}
	_ = os.Remove(p.spec.record()) // a record of a process that is gone is harmless
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Failure explains why a process that should be running isn't: how it ended and its last words. It
// may be called once Done is closed.
func (p *Process) Failure() error {
	const last = 1500
	words, _ := os.ReadFile(p.spec.log())
	words = words[max(0, len(words)-last):]
	return fmt.Errorf("%s ended (%s); end of %s:\n%s", p.spec.Name, p.cmd.ProcessState, p.spec.log(), strings.TrimSpace(string(words)))
}

func (s Spec) log() string    { return filepath.Join(s.Dir, "log", s.Name+".log") }
func (s Spec) record() string { return filepath.Join(s.Dir, "run", s.Name+".pid") }
