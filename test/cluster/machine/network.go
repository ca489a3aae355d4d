package machine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	namespace   = "rebootd-lab"
	bridge      = "br0"
	gateway     = "10.88.0.1"
	serviceIP   = "10.0.0.1"
	networkLock = "/run/rebootd-lab.lock"
)

// Network is the network namespace that the machines, and the API server they talk to, are in.
// Nothing leads out of it.
type Network struct {
	NetNS     string     // the namespace's name, for `ip netns exec`
	Gateway   netip.Addr // where machines reach the host side: advertise the API server here
	ServiceIP netip.Addr // the first address of the service range: `kubernetes` without kube-proxy

	lock *os.File
}

// labNetwork is the one network there can be.
func labNetwork() Network {
	return Network{
		NetNS:     namespace,
		Gateway:   netip.MustParseAddr(gateway),
		ServiceIP: netip.MustParseAddr(serviceIP),
	}
}

// PrepareNetwork makes the namespace afresh. What a crashed run left is removed first; a namespace
// that processes still live in is another cluster's, and an error. Missing Debian packages are
// installed.
func PrepareNetwork(ctx context.Context, _ string, log io.Writer) (Network, error) {
	if os.Geteuid() != 0 {
		return Network{}, errors.New("machines need root: for a network namespace and for building their image")
	}
	say := newLog(log)
	if err := installPackages(ctx, say); err != nil {
		return Network{}, err
	}
	network := labNetwork()
	lock, err := lockNetwork()
	if err != nil {
		return Network{}, err
	}
	network.lock = lock
	if err := network.create(ctx, say); err != nil {
		return Network{}, errors.Join(err, lock.Close())
	}
	return network, nil
}

func lockNetwork() (*os.File, error) {
	lock, err := lockFile(networkLock)
	if err != nil {
		return nil, fmt.Errorf("network namespace %s is taken (%w): "+
			"only one cluster of machines can run at a time; stop the other one first", namespace, err)
	}
	return lock, nil
}

func (n Network) create(ctx context.Context, say *logger) error {
	if n.exists() {
		say.printf("removing network namespace %s, which an earlier run left", n.NetNS)
		if err := n.remove(ctx); err != nil {
			return err
		}
	}
	say.printf("making network namespace %s", n.NetNS)
	if err := ip(ctx, "netns", "add", n.NetNS); err != nil {
		return err
	}
	commands := [][]string{
		{"link", "set", "lo", "up"},
		{"address", "add", n.ServiceIP.String() + "/32", "dev", "lo"},
		{"link", "add", bridge, "type", "bridge"},
		{"address", "add", n.Gateway.String() + "/24", "dev", bridge},
		{"link", "set", bridge, "up"},
	}
	for _, command := range commands {
		if err := n.ip(ctx, command...); err != nil {
			return errors.Join(err, n.remove(context.WithoutCancel(ctx)))
		}
	}
	return n.Do(func() error {
		return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644)
	})
}

// Remove deletes the namespace with all that is in it. Stop what runs in it before; while
// processes live in it, Remove refuses. It also removes what a crashed run left: then only NetNS
// needs to be set.
func (n Network) Remove() error {
	if n.lock == nil {
		var err error
		if n.lock, err = lockNetwork(); err != nil {
			return err
		}
	}
	return errors.Join(n.remove(context.Background()), n.lock.Close())
}

func (n Network) remove(ctx context.Context) error {
	if !n.exists() {
		return nil
	}
	pids, err := exec.CommandContext(ctx, "ip", "netns", "pids", n.NetNS).Output()
	if err != nil {
		return fmt.Errorf("listing the processes in network namespace %s: %w", n.NetNS, err)
	}
	if users := strings.Fields(string(pids)); len(users) > 0 {
		return fmt.Errorf("network namespace %s is in use by %s: "+
			"only one cluster of machines can run at a time; stop the other one first", n.NetNS, strings.Join(describe(users), ", "))
	}
	return ip(ctx, "netns", "delete", n.NetNS)
}

func (n Network) exists() bool {
	_, err := os.Stat(n.path())
	return err == nil
}

func (n Network) path() string { return filepath.Join("/run/netns", n.NetNS) }

// Do runs f on a thread inside the namespace, and returns what f returns. Sockets that f opens stay
// in the namespace, and so do processes that it starts.
func (n Network) Do(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The main thread stands for the process, and must stay where it is.
			defer runtime.UnlockOSThread()
			done <- n.Do(f)
			return
		}
		// Never unlocked: the thread is not fit for anything else, and ends with the goroutine.
		if err := n.enter(); err != nil {
			done <- err
			return
		}
		done <- f()
	}()
	return <-done
}

// DialContext connects from inside the namespace.
func (n Network) DialContext(ctx context.Context, kind, address string) (net.Conn, error) {
	var conn net.Conn
	err := n.Do(func() error {
		var err error
		// Without a resolver or fallbacks, so that the socket is made on this very thread.
		dialer := net.Dialer{FallbackDelay: -1}
		conn, err = dialer.DialContext(ctx, kind, address)
		return err
	})
	return conn, err
}

// enter moves the calling thread, which must be locked to its goroutine, into the namespace.
func (n Network) enter() error {
	file, err := os.Open(n.path())
	if err != nil {
		return fmt.Errorf("entering network namespace: %w", err)
	}
	defer func() { _ = file.Close() }()
	if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("entering network namespace %s: %w", n.NetNS, err)
	}
	return nil
}

// plug gives a machine its tap on the bridge, and routes its pods' addresses to it.
func (n Network) plug(ctx context.Context, s spec) error {
	commands := [][]string{
		{"tuntap", "add", s.Tap, "mode", "tap"},
		{"link", "set", s.Tap, "master", bridge, "up"},
		{"route", "replace", s.Pods.String(), "via", s.IP.String()},
	}
	for _, command := range commands {
		if err := n.ip(ctx, command...); err != nil {
			return err
		}
	}
	return nil
}

func (n Network) ip(ctx context.Context, args ...string) error {
	return ip(ctx, append([]string{"-n", n.NetNS}, args...)...)
}

func ip(ctx context.Context, args ...string) error {
	return run(ctx, exec.CommandContext(ctx, "ip", args...))
}

// describe tells what processes run, naming one process of each program.
func describe(pids []string) []string {
	var described, programs []string
	for _, pid := range pids {
		content, err := os.ReadFile(filepath.Join("/proc", pid, "comm"))
		program := strings.TrimSpace(string(content))
		if err != nil || slices.Contains(programs, program) {
			continue // gone meanwhile, or known already
		}
		programs = append(programs, program)
		described = append(described, program+" (pid "+pid+")")
	}
	return described
}
