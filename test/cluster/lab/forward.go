package lab

import (
	"context"
	"fmt"
	"io"
	"net"
	"strconv"

	"github.com/rebootd/rebootd/test/cluster/internal/proc"
)

// forwarder lets clients outside of a network namespace reach one port inside it, through a port on
// the loopback address. No interface joins the two networks.
type forwarder struct {
	listener net.Listener
	netns    string
	target   string
}

// startForwarder forwards to 127.0.0.1:port in the named namespace.
func startForwarder(ctx context.Context, netns string, port int) (*forwarder, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("forwarding into %s: %w", netns, err)
	}
	f := &forwarder{listener: listener, netns: netns, target: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}
	go f.accept()
	return f, nil
}

func (f *forwarder) address() string { return f.listener.Addr().String() }

// close ends the forwarding; connections that are open end with their peers.
func (f *forwarder) close() { _ = f.listener.Close() }

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
	server, err := proc.Dial(f.netns, f.target)
	if err != nil {
		return // the client sees its connection closed
	}
	go func() {
		_, _ = io.Copy(server, client) // a broken connection is the peers' business
		_ = server.Close()
	}()
	_, _ = io.Copy(client, server)
	_ = server.Close()
}
