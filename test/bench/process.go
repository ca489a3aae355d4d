package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rebootd/rebootd/test/image/image"
)

// process is a real agent, alone in its process as it is in its pod.
type process struct {
	cmd  *exec.Cmd
	port int
	// ready is how long it took from its start until it said that it is ready.
	ready time.Duration
}

// build builds the agent as the image has it.
func build(ctx context.Context, dir string) (string, error) {
	file := filepath.Join(dir, "rebootd")
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	return file, image.Compile(ctx, "github.com/rebootd/rebootd/cmd/rebootd", file, "linux/amd64", "bench")
}

// binary is the machine's own copy of the agent: pages of a file that several processes have in use aren't given back by one of them, and on a node
// there is one agent.
func (m *machine) binary(ctx context.Context) (string, error) {
	built, err := build(ctx, m.world.dir)
	if err != nil {
		return "", err
	}
	own := m.path("rebootd")
	if _, err := os.Stat(own); err == nil {
		return own, nil
	}
	from, err := os.Open(built)
	if err != nil {
		return "", err
	}
	defer from.Close()
	to, err := os.OpenFile(own, os.O_CREATE|os.O_WRONLY, 0o700) //nolint:gosec // it is to be run
	if err != nil {
		return "", err
	}
	_, err = io.Copy(to, from)
	return own, errors.Join(err, to.Sync(), to.Close()) // what isn't on the disk yet can't be given back
}

// run starts the agent of a machine with the image's environment, and with this, and waits until it is ready.
func (m *machine) run(ctx context.Context, env []string, flags ...string) (*process, error) {
	binary, err := m.binary(ctx)
	if err != nil {
		return nil, err
	}
	p := &process{}
	if p.port, err = freePort(); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(m.path("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd = exec.Command(binary, append(append(m.args(), "--metrics-host=127.0.0.1", fmt.Sprintf("--metrics-port=%d", p.port)), flags...)...)
	p.cmd.Env = append(append([]string{"PATH=" + os.Getenv("PATH")}, image.Env()...), env...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	begin := time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	for time.Since(begin) < time.Minute {
		resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/readyz", p.port))
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				p.ready = time.Since(begin)
				return p, nil
			}
		}
		time.Sleep(2 * time.Millisecond)
	}
	p.kill()
	return nil, fmt.Errorf("the agent of %s is not ready within a minute", m.name)
}

// end ends it as the end of its pod does: another agent for the node need not wait until it is known that this one is gone.
func (p *process) end() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // fails only if it has ended
	_ = p.cmd.Wait()
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill() // fails only if it has ended
	_ = p.cmd.Wait()         // it was killed
}

// probed lets some time pass in which a kubelet asks agents how they are, as the DaemonSet has it.
func probed(all []*process, d time.Duration) {
	const ready, alive = 10 * time.Second, 3 // one of so many
	for i := range int(d / ready) {
		time.Sleep(ready)
		for _, p := range all {
			p.get("readyz")
			if i%alive == 0 {
				p.get("healthz")
			}
		}
	}
}

// scrape reads its metrics, as Prometheus does.
func (p *process) scrape() { p.get("metrics") }

func (p *process) get(path string) {
	if resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/%s", p.port, path)); err == nil {
		_, _ = io.Copy(io.Discard, resp.Body) // what isn't read costs it less
		resp.Body.Close()
	}
}

// memory reads a line of /proc/PID/status, in KiB.
func (p *process) memory(name string) int {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if key, value, _ := strings.Cut(lines.Text(), ":"); key == name {
			n, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(value), " kB"))
			return n
		}
	}
	return 0
}

// peak lets the highest memory be measured from now on. What it returns says what that was: of all memory, and of the anonymous part alone, which is looked
// at all the time.
func (p *process) peak() (func() (rss, anon int), error) {
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.cmd.Process.Pid), []byte("5"), 0); err != nil {
		return nil, err
	}
	end, most := make(chan struct{}), make(chan int)
	go func() {
		anon := 0
		for {
			anon = max(anon, p.memory("RssAnon"))
			select {
			case <-end:
				most <- anon
				return
			case <-time.After(2 * time.Millisecond):
			}
		}
	}()
	return func() (int, int) {
		close(end)
		return p.memory("VmHWM"), <-most
	}, nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// wire passes connections on to the API server and counts the bytes that come back: encrypted, compressed, as they are on the net.
type wire struct {
	net.Listener
	target string
	bytes  atomic.Int64
}

func newWire(ctx context.Context, target string) (*wire, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	w := &wire{Listener: l, target: strings.TrimPrefix(target, "https://")}
	context.AfterFunc(ctx, func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go w.pass(c)
		}
	}()
	return w, nil
}

func (w *wire) pass(c net.Conn) {
	defer func() { _ = c.Close() }()
	s, err := net.Dial("tcp", w.target)
	if err != nil {
		return
	}
	defer func() { _ = s.Close() }()
	go func() {
		_, _ = s.(*net.TCPConn).ReadFrom(c) // ends with the connection
		_ = s.Close()
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := s.Read(buf)
		w.bytes.Add(int64(n))
		if _, werr := c.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}

// sum is how many bytes have come since the last time.
func (w *wire) sum() int64 { return w.bytes.Swap(0) }
