// Package host is the machine underneath the agent: its boot ID, commands run in its namespaces, and
// the ways to reboot it.
//
// Nothing here decides anything. Whoever calls [Rebooter.Reboot] has the lock, the drained node and
// the record.
package host

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Namespace says in whose mount namespace commands are looked up and run.
type Namespace string

const (
	// NamespaceHost is the mount namespace of PID 1. It needs hostPID and a privileged container.
	NamespaceHost Namespace = "host"
	// NamespaceOwn is the agent's own mount namespace: in a container, the files of its image.
	NamespaceOwn Namespace = "own"
)

const (
	defaultBootIDFile = "/proc/sys/kernel/random/boot_id"
	defaultMountNS    = "/proc/1/ns/mnt"
	initCommFile      = "/proc/1/comm"
)

// Options says how to reach the machine. The zero value is right for a privileged pod with hostPID
// that doesn't reboot by signal.
type Options struct {
	// Namespace is where commands run; empty is NamespaceHost.
	Namespace Namespace
	// BootIDFile holds the boot ID; empty is /proc/sys/kernel/random/boot_id.
	BootIDFile string
	// MountNS is the mount namespace that NamespaceHost means; empty is /proc/1/ns/mnt.
	MountNS string
	// AllowSignal lets SignalInit really send signals to PID 1, which may take the machine down.
	// Only the agent's main sets it, and no test does.
	AllowSignal bool
}

// Host is one machine. It holds no state and is safe for concurrent use.
type Host struct {
	namespace  Namespace
	bootIDFile string
	mountNS    string

	// Replaced in tests.
	initComm string
	getpid   func() int
	kill     func(pid int, sig syscall.Signal) error // PID 1 only
}

// New returns the machine that o describes. It touches nothing: see Lookup and BootID for early checks.
func New(o Options) *Host {
	h := &Host{
		namespace:  o.Namespace,
		bootIDFile: o.BootIDFile,
		mountNS:    o.MountNS,
		initComm:   initCommFile,
		getpid:     os.Getpid,
		kill:       refuseKill,
	}
	if h.namespace == "" {
		h.namespace = NamespaceHost
	}
	if h.bootIDFile == "" {
		h.bootIDFile = defaultBootIDFile
	}
	if h.mountNS == "" {
		h.mountNS = defaultMountNS
	}
	if o.AllowSignal {
		h.kill = unix.Kill
	}
	return h
}

func refuseKill(int, syscall.Signal) error {
	return errors.New("signals to PID 1 aren't enabled; see --reboot-method")
}

// BootID returns the ID of the running boot, which changes with every boot and at no other time.
// A file that doesn't hold exactly one line of text is an error: no proof can rest on it.
func (h *Host) BootID() (string, error) {
	content, err := os.ReadFile(h.bootIDFile)
	if err != nil {
		return "", fmt.Errorf("reading the boot ID (see --boot-id-file): %w", err)
	}
	id := strings.TrimSpace(string(content))
	switch {
	case id == "":
		return "", fmt.Errorf("boot ID file %s is empty; see --boot-id-file", h.bootIDFile)
	case strings.ContainsAny(id, "\r\n"):
		return "", fmt.Errorf("boot ID file %s has more than one line; see --boot-id-file", h.bootIDFile)
	}
	return id, nil
}

// checkInit returns an error if PID 1 as this process sees it is known not to be the machine's.
func (h *Host) checkInit() (comm string, err error) {
	if h.getpid() == 1 {
		return "", errors.New("PID 1 is this agent itself: the pod needs hostPID: true")
	}
	content, err := os.ReadFile(h.initComm)
	if err != nil {
		return "", fmt.Errorf("looking at PID 1: %w", err)
	}
	comm = strings.TrimSpace(string(content))
	if comm == "pause" {
		return "", errors.New("PID 1 is the pod's pause process: the pod needs hostPID: true")
	}
	return comm, nil
}
