package host

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// hostPath is where bare command names are looked for in the host: the agent's own PATH says nothing
// about the host's file system.
const hostPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Lookup says whether the command named argv0 exists and is executable where Run would run it. It's
// for an early warning: the answer holds for this moment only.
func (h *Host) Lookup(argv0 string) error {
	err := h.inside(func() error {
		_, err := h.lookup(argv0)
		return err
	})
	if err != nil {
		return fmt.Errorf("command %s in %s: %w", Quote([]string{argv0}), h.where(), err)
	}
	return nil
}

// inside calls f where commands are to be looked up and started: on a thread in the host's mount
// namespace, or right here.
func (h *Host) inside(f func() error) error {
	switch h.namespace {
	case NamespaceOwn:
		return f()
	case NamespaceHost:
		if h.mountNS == defaultMountNS {
			if _, err := h.checkInit(); err != nil {
				return fmt.Errorf("%w; or set --command-namespace=own", err)
			}
		}
		return inMountNS(h.mountNS, f)
	default:
		return fmt.Errorf("unknown namespace %q: --command-namespace is host or own", h.namespace)
	}
}

// lookup returns the absolute path of the command named argv0, as the calling thread sees it. A
// relative path counts from "/", where commands run.
func (h *Host) lookup(argv0 string) (string, error) {
	if argv0 == "" {
		return "", errors.New("the command's name is empty")
	}
	if strings.Contains(argv0, "/") {
		return exec.LookPath(path.Join("/", argv0))
	}
	dirs := hostPath
	if own := os.Getenv("PATH"); h.namespace == NamespaceOwn && own != "" {
		dirs = own
	}
	for _, dir := range filepath.SplitList(dirs) {
		if file, err := exec.LookPath(path.Join("/", dir, argv0)); err == nil {
			return file, nil
		}
	}
	return "", fmt.Errorf("%w (%s)", exec.ErrNotFound, dirs)
}

// environ returns the environment of commands, with more at its end: nothing of the pod gets into the host.
func (h *Host) environ(more []string) []string {
	if h.namespace == NamespaceOwn {
		return append(os.Environ(), more...)
	}
	return append([]string{"PATH=" + hostPath, "HOME=/root", "LANG=C.UTF-8"}, more...)
}

// where says in words where commands run.
func (h *Host) where() string {
	if h.namespace == NamespaceOwn {
		return "the agent's own mount namespace"
	}
	return "the host's mount namespace"
}
