package integration

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// process is one running agent.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	out  output
	port int
	done chan struct{}
}

// agent starts the agent of a machine, with quick times; later flags win.
func (m *machine) agent(flags ...string) *process {
	m.t.Helper()
	p := &process{t: m.t, port: freePort(m.t), done: make(chan struct{})}
	args := append([]string{
		"--node-name=" + m.name, "--kubeconfig=" + m.f.Kubeconfig(), "--namespace=" + m.namespace,
		"--lock-group-label=" + groupLabel,
		"--reboot-sentinel=" + m.sentinel(), "--boot-id-file=" + m.path("boot-id"),
		"--command-namespace=own", "--reboot-command=" + m.rebootCommand(), "--command-timeout=3s", "--steady-time=100ms", "--back-off=1s",
		"--period=1s", "--metrics-host=127.0.0.1", fmt.Sprintf("--metrics-port=%d", p.port),
	}, flags...)
	p.start(m.f.binary, args)
	m.t.Cleanup(func() {
		p.kill()
		if m.t.Failed() {
			m.t.Logf("log of %s:\n%s", m.name, p.story())
		}
		if strings.Contains(p.log(), "DATA RACE") || strings.Contains(p.log(), "panic:") {
			m.t.Errorf("the agent of %s raced or panicked:\n%s", m.name, p.log())
		}
	})
	return p
}

func (p *process) start(binary string, args []string) {
	p.t.Helper()
	p.cmd = exec.Command(binary, args...)
	p.cmd.Env = []string{"PATH=/usr/bin:/bin"}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
}

// kill is a crash.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// stop is a polite end. It returns how long that took.
func (p *process) stop() time.Duration {
	begin := time.Now()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	<-p.done
	return time.Since(begin)
}

func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// exits waits for the process to end by itself and returns its exit code.
func (p *process) exits() int {
	p.t.Helper()
	until(p.t, "the agent exits", func() bool { return !p.running() })
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) log() string { return p.out.String() }

func (p *process) logs(texts ...string) {
	p.t.Helper()
	for _, text := range texts {
		until(p.t, fmt.Sprintf("the log says %q", text), func() bool { return strings.Contains(p.log(), text) })
	}
}

// story is the log without what every line repeats, and of the start only the sentence.
func (p *process) story() string {
	text := logTime.ReplaceAllString(p.log(), "$1 ")
	text = regexp.MustCompile(`(?m)^(.* msg="rebootd starts[^"]*").*$`).ReplaceAllString(text, "$1")
	return regexp.MustCompile(` node=\S+`).ReplaceAllString(text, "")
}

var logTime = regexp.MustCompile(`(?m)^time="[^"]*T([^"]*)" `) //nolint:gochecknoglobals // a constant

// get asks the agent's own port.
func (p *process) get(path string) (int, string) {
	resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d%s", p.port, path)) //nolint:noctx // a test's
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body)
}

// answers waits for a status.
func (p *process) answers(path string, status int) {
	p.t.Helper()
	until(p.t, fmt.Sprintf("%s answers %d", path, status), func() bool {
		code, _ := p.get(path)
		return code == status
	})
}

// output is a buffer that may be read while it is written.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// lastPort counts the ports that were given out.
var lastPort atomic.Int32

// freePort is a port that nobody listens on, and that no other call returns. It is none of those that the kernel gives to
// whoever asks for any, or another process may have it by the time the agent listens.
func freePort(t *testing.T) int {
	t.Helper()
	for range 1000 {
		port := 10_000 + (37*os.Getpid()+int(lastPort.Add(1)))%9_000
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil { //nolint:noctx // a test's
			_ = l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}

// plug is a machine under power: an agent runs on it, and whenever that orders a reboot, the machine reboots and
// starts the agent again.
type plug struct {
	m      *machine
	start  func() *process
	mu     sync.Mutex
	now    *process
	pulled chan struct{}
	ended  chan struct{}
}

// power starts the machine; start starts its agent, at first and after every reboot.
func (m *machine) power(start func() *process) *plug {
	m.t.Helper()
	p := &plug{m: m, start: start, now: start(), pulled: make(chan struct{}), ended: make(chan struct{})}
	go p.run()
	m.t.Cleanup(p.pull)
	return p
}

func (p *plug) run() {
	defer close(p.ended)
	done := p.m.orders()
	for {
		select {
		case <-p.pulled:
			return
		case <-time.After(20 * time.Millisecond):
		}
		// A machine that is told to reboot twice reboots once.
		if n := p.m.orders(); n > done {
			time.Sleep(50 * time.Millisecond)
			p.mu.Lock()
			p.m.reboot(p.now)
			done = p.m.orders()
			p.now = p.start()
			p.mu.Unlock()
		}
	}
}

// restart replaces the agent, unless the machine is just rebooting, by one that another start starts.
func (p *plug) restart(start func() *process) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now.stop()
	p.start = start
	p.now = start()
}

func (p *plug) agent() *process {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now
}

// pull ends the play; the agent ends with the test.
func (p *plug) pull() {
	select {
	case <-p.pulled:
	default:
		close(p.pulled)
	}
	<-p.ended
}
