package lab

import (
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"strconv"
	"sync"

	"github.com/rebootd/rebootd/test/cluster/internal/proc"
)

// forwarder lets clients outside of a network namespace reach one port inside it, through a port on
// the loopback address. No interface joins the two networks.
type forwarder struct {
	listener net.Listener
	target   string
	dials    chan chan<- dialed
	done     chan struct{} // closed by close
	once     sync.Once
}

type dialed struct {
	conn net.Conn
	err  error
}

// startForwarder forwards to 127.0.0.1:port in the named namespace.
func startForwarder(ctx context.Context, netns string, port int) (*forwarder, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("forwarding into %s: %w", netns, err)
	}
	f := &forwarder{
		listener: listener,
		target:   net.JoinHostPort("127.0.0.1", strconv.Itoa(port)),
		dials:    make(chan chan<- dialed),
		done:     make(chan struct{}),
	}
	entered := make(chan error)
	go f.dialer(netns, entered)
	if err := <-entered; err != nil {
		_ = listener.Close()
		return nil, fmt.Errorf("forwarding into %s: %w", netns, err)
	}
	go f.accept()
	return f, nil
}

func (f *forwarder) address() string { return f.listener.Addr().String() }

// close ends the forwarding; connections that are open end with their peers.
func (f *forwarder) close() {
	f.once.Do(func() {
		close(f.done)
		_ = f.listener.Close()
	})
}

// dialer makes all connections on one thread, which lives in the namespace and dies with this
// goroutine. A connection keeps the namespace it was made in.
func (f *forwarder) dialer(netns string, entered chan<- error) {
	runtime.LockOSThread()
	err := proc.EnterNetNS(netns)
	entered <- err
	if err != nil {
		return
	}
	for {
		select {
		case <-f.done:
			return
		case out := <-f.dials:
			conn, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", f.target)
			out <- dialed{conn: conn, err: err}
		}
	}
}

func (f *forwarder) accept() {
	for {
		client, err := f.listener.Accept()
		if err != nil {
			return // closed
		}
		go f.serve(client)
	}
}

func (f *forwarder) serve(client net.Conn) {
	defer client.Close() //nolint:errcheck // nothing is buffered
	answer := make(chan dialed, 1)
	select {
	case <-f.done:
		return
	case f.dials <- answer:
	}
	server := <-answer
	if server.err != nil {
		return // the client sees its connection closed, as it would be refused inside
	}
	defer server.conn.Close() //nolint:errcheck // nothing is buffered
	go func() {
		_, _ = io.Copy(server.conn, client) // a broken connection is the peers' business
		_ = server.conn.Close()
	}()
	_, _ = io.Copy(client, server.conn)
}
