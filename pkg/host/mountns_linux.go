package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// inMountNS calls f on a thread of its own that has entered the mount namespace in file. What f
// starts stays there; the thread doesn't outlive the call, and no other thread ever leaves its
// namespace. The thread's root and working directory are the namespace's root.
func inMountNS(file string, f func() error) error {
	return onFreshThread(func() error {
		if err := enter(file); err != nil {
			if errors.Is(err, fs.ErrPermission) {
				return fmt.Errorf("entering the host's mount namespace (%s) needs hostPID and a privileged container; "+
					"or set --command-namespace=own: %w", file, err)
			}
			return fmt.Errorf("entering the host's mount namespace (%s); see --command-namespace: %w", file, err)
		}
		return f()
	})
}

// enter moves the calling thread, for good, into the mount namespace in file.
func enter(file string) error {
	ns, err := os.Open(file)
	if err != nil {
		return err
	}
	defer ns.Close()
	// setns refuses while the thread shares its root and working directory with the others.
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return os.NewSyscallError("unshare", err)
	}
	return os.NewSyscallError("setns", unix.Setns(int(ns.Fd()), unix.CLONE_NEWNS))
}

// onFreshThread calls f on an operating-system thread that ends with it.
func onFreshThread(f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: that ends the thread with the goroutine
		if unix.Gettid() == os.Getpid() {
			// The main thread can't end, and it is what "kubectl exec" and /proc/PID/ns take for the
			// whole process. While it is held here, the next goroutine gets another one.
			result <- onFreshThread(f)
			runtime.UnlockOSThread()
			return
		}
		result <- f()
	}()
	return <-result
}
