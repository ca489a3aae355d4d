package machine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// SuperviseCommand is the argument after which a program that starts detached machines must call
// SuperviseMain, with what follows, and exit with what it returns.
const SuperviseCommand = "__supervise"

func socketPath(dir string) string { return filepath.Join(dir, "supervisor.sock") }

// startRemote starts a copy of this executable that supervises the machines in dir.
func startRemote(ctx context.Context, dir string) (control, error) {
	program := filepath.Join(dir, "supervisor")
	if err := copyExecutable(program); err != nil {
		return nil, err
	}
	output, err := os.Create(filepath.Join(dir, "supervisor.log"))
	if err != nil {
		return nil, fmt.Errorf("creating the supervisor's log: %w", err)
	}
	defer func() { _ = output.Close() }()
	command := exec.Command(program, SuperviseCommand, dir)
	command.Stdout, command.Stderr = output, output
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("starting the supervisor: %w", err)
	}
	ask := remote(dir)
	exited := make(chan error, 1)
	go func() { exited <- command.Wait() }()
	for ask(request{Verb: ping}) != nil {
		select {
		case err := <-exited:
			return nil, fmt.Errorf("the supervisor ended at once (%w); see %s", err, output.Name())
		default:
		}
		if !sleep(ctx, 50*time.Millisecond) {
			return nil, errors.Join(context.Cause(ctx), command.Process.Kill())
		}
	}
	return ask, nil
}

// copyExecutable keeps a copy of the running program: `go run` deletes the original.
func copyExecutable(to string) error {
	from, err := os.Open("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("reading this executable: %w", err)
	}
	defer func() { _ = from.Close() }()
	if err := os.RemoveAll(to); err != nil {
		return fmt.Errorf("removing the old supervisor: %w", err)
	}
	copied, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o700)
	if err != nil {
		return fmt.Errorf("copying this executable: %w", err)
	}
	_, err = io.Copy(copied, from)
	if err := errors.Join(err, copied.Close()); err != nil {
		return fmt.Errorf("copying this executable: %w", err)
	}
	return nil
}

// answer is what a supervisor says to a request.
type answer struct {
	Error string
}

// remote returns the way to a supervisor in another process: one request per connection.
func remote(dir string) control {
	return func(r request) error {
		conn, err := net.Dial("unix", socketPath(dir))
		if err != nil {
			return fmt.Errorf("reaching the supervisor: %w", err)
		}
		defer func() { _ = conn.Close() }()
		if err := json.NewEncoder(conn).Encode(r); err != nil {
			return fmt.Errorf("asking the supervisor: %w", err)
		}
		var a answer
		if err := json.NewDecoder(conn).Decode(&a); err != nil {
			return fmt.Errorf("hearing from the supervisor: %w", err)
		}
		if a.Error != "" {
			return errors.New(a.Error)
		}
		return nil
	}
}

// SuperviseMain runs a supervisor of detached machines until it is told to stop, and returns the
// program's exit code. The only argument is the machines' directory.
func SuperviseMain(args []string) int {
	if len(args) != 1 {
		_, _ = fmt.Fprintln(os.Stderr, "the supervisor needs exactly one argument: a directory")
		return 2
	}
	if err := supervise(args[0]); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "supervising:", err)
		return 1
	}
	return 0
}

func supervise(dir string) error {
	state, err := readState(dir)
	if err != nil {
		return err
	}
	stopped, err := newSupervisor(labNetwork(), state.Specs, newLog(os.Stderr)).listen(dir)
	if err != nil {
		return err
	}
	<-stopped
	return nil
}

// listen lets other processes control the machines too, until one of them says stop.
func (s *supervisor) listen(dir string) (stopped <-chan struct{}, err error) {
	socket := socketPath(dir)
	if err := os.RemoveAll(socket); err != nil {
		return nil, fmt.Errorf("removing the old socket: %w", err)
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return nil, fmt.Errorf("listening for control of the machines (the path may be too long): %w", err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				if s.serve(conn) {
					_ = listener.Close()
				}
			}()
		}
	}()
	return done, nil
}

// serve answers one request, and reports whether it was to stop.
func (s *supervisor) serve(conn net.Conn) bool {
	defer func() { _ = conn.Close() }()
	var r request
	if err := json.NewDecoder(conn).Decode(&r); err != nil {
		return false
	}
	var a answer
	if err := s.do(r); err != nil {
		a.Error = err.Error()
	}
	// Whoever asked may have gone away; it is done nevertheless.
	_ = json.NewEncoder(conn).Encode(a)
	return r.Verb == stop
}
