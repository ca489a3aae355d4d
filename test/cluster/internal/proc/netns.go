package proc

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// Dial connects to a TCP address, which holds no name, from inside a named network namespace.
func Dial(netns, address string) (net.Conn, error) {
	var conn net.Conn
	var failed error
	// With a literal address the socket is made on the thread that asks for it, and stays in the
	// namespace it was made in.
	err := onThread(netns, func() { conn, failed = net.Dial("tcp", address) }) //nolint:noctx // local: it answers or refuses
	if err != nil {
		return nil, err
	}
	return conn, failed
}

// onThread runs work on a thread that does nothing else meanwhile, inside the network namespace of
// this name if it isn't empty. It returns after work has; work doesn't run if there is an error.
func onThread(netns string, work func()) error {
	failed := make(chan error)
	go func() {
		runtime.LockOSThread()
		if netns == "" {
			defer runtime.UnlockOSThread()
		} else if unix.Gettid() == unix.Getpid() {
			// The main thread stands for the whole process and stays where it is. While it is
			// locked here, it can't be the next one.
			defer runtime.UnlockOSThread()
			failed <- onThread(netns, work)
			return
		} else if err := enter(netns); err != nil {
			failed <- err
			return
		}
		work()
		failed <- nil // a thread inside a namespace stays locked, and so ends with the goroutine
	}()
	return <-failed
}

func enter(netns string) error {
	ns, err := syscall.Open(filepath.Join("/run/netns", netns), syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening network namespace %s: %w", netns, err)
	}
	defer syscall.Close(ns) //nolint:errcheck // only read
	if err := unix.Setns(ns, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("entering network namespace %s: %w", netns, os.NewSyscallError("setns", err))
	}
	return nil
}
