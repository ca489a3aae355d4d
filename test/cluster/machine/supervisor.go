package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// rebooted is the exit code of files/reboot-mark.sh.
const rebooted = 42

// Verbs of a request to a supervisor.
const (
	powerOn  = "power on"
	powerCut = "power cut"
	nextBoot = "next boot"
	stop     = "stop"
	ping     = "ping"
)

// request asks a supervisor to do something to a machine; with stop, to all.
type request struct {
	Verb    string
	Machine string
	Delay   time.Duration
	Never   bool
}

// supervisor runs machines, and starts them again when they reboot. They die with it.
type supervisor struct {
	network Network
	say     *logger
	powers  map[string]*power
}

func newSupervisor(network Network, specs []spec, say *logger) *supervisor {
	s := &supervisor{network: network, say: say, powers: map[string]*power{}}
	for _, spec := range specs {
		s.powers[spec.Name] = &power{spec: spec, network: network, say: say}
	}
	return s
}

func (s *supervisor) do(r request) error {
	switch r.Verb {
	case ping:
		return nil
	case stop:
		var all sync.WaitGroup
		for _, power := range s.powers {
			all.Go(power.cut)
		}
		all.Wait()
		return nil
	}
	power, ok := s.powers[r.Machine]
	if !ok {
		return fmt.Errorf("no machine is called %q", r.Machine)
	}
	switch r.Verb {
	case powerOn:
		return power.on()
	case powerCut:
		s.say.printf("%s: power cut", r.Machine)
		power.cut()
	case nextBoot:
		power.setNext(r)
	default:
		return fmt.Errorf("cannot %q a machine", r.Verb)
	}
	return nil
}

// power is the power supply of one machine.
type power struct {
	spec    spec
	network Network
	say     *logger

	mu     sync.Mutex
	cancel context.CancelFunc // takes the power away
	off    chan struct{}      // closed when the machine has stopped
	next   request            // what to do at the next reboot
}

// on starts the machine. It is on until it is cut, or halts by itself.
func (p *power) on() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.off != nil {
		select {
		case <-p.off:
		default:
			return fmt.Errorf("%s is on already", p.spec.Name)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	off := make(chan struct{})
	p.cancel, p.off = cancel, off
	go func() {
		defer close(off)
		defer cancel()
		// The thread that starts a process must live on, or the process dies (Pdeathsig).
		err := p.network.Do(func() error { return p.run(ctx) })
		if err != nil && ctx.Err() == nil {
			p.say.printf("%s: %v", p.spec.Name, err)
		}
	}()
	return nil
}

// cut kills the machine at once, and returns when it is gone.
func (p *power) cut() {
	p.mu.Lock()
	cancel, off := p.cancel, p.off
	p.mu.Unlock()
	if off == nil {
		return
	}
	cancel()
	<-off
}

func (p *power) setNext(next request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next = next
}

func (p *power) takeNext() request {
	p.mu.Lock()
	defer p.mu.Unlock()
	next := p.next
	p.next = request{}
	return next
}

// run boots the machine, again and again as long as it reboots.
func (p *power) run(ctx context.Context) error {
	for {
		p.say.printf("%s: booting", p.spec.Name)
		if err := p.boot(ctx); err != nil {
			return err
		}
		next := p.takeNext()
		switch {
		case next.Never:
			p.say.printf("%s: rebooting, and not coming back as was asked", p.spec.Name)
			return nil
		case next.Delay > 0:
			p.say.printf("%s: rebooting, but coming back only after %s as was asked", p.spec.Name, next.Delay)
			if !sleep(ctx, next.Delay) {
				return nil
			}
		}
	}
}

// boot runs one kernel until it reboots; every other end is an error.
func (p *power) boot(ctx context.Context) error {
	console, err := os.OpenFile(p.spec.console(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("opening console: %w", err)
	}
	defer func() { _ = console.Close() }()
	if err := os.RemoveAll(filepath.Join(p.spec.Dir, "uml")); err != nil {
		return fmt.Errorf("removing what the last kernel left: %w", err)
	}
	args := p.spec.args()
	command := exec.CommandContext(ctx, kernel, args[1:]...)
	command.Args = args
	command.Stdout, command.Stderr = console, console
	command.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + p.spec.Dir, "TMPDIR=" + p.memoryDir()}
	command.SysProcAttr = &syscall.SysProcAttr{
		// A kernel is many processes. In a namespace of their own all of them die with the first. A
		// kernel that panics signals its whole session, which therefore must not be ours.
		Cloneflags: unix.CLONE_NEWPID,
		Setsid:     true,
		Pdeathsig:  syscall.SIGKILL,
	}
	err = command.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.ExitCode() == rebooted:
		return nil
	case err == nil:
		return errors.New("halted")
	default:
		return fmt.Errorf("stopped: %w", err)
	}
}

// memoryDir is where the kernel keeps the machine's memory, in a deleted file: in memory if there
// is a place for that, else on disk.
func (p *power) memoryDir() string {
	var stat unix.Statfs_t
	const shm, enough = "/dev/shm", 4 << 30
	if err := unix.Statfs(shm, &stat); err == nil && stat.Bavail*uint64(stat.Bsize) >= enough {
		return shm
	}
	return p.spec.Dir
}
