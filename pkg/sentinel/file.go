// Package sentinel looks at what asks for a reboot of this machine.
package sentinel

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rebootd/rebootd/pkg/plan"
)

const (
	// packagesShown bounds how many package names are told, packagesRead how much of the file is read.
	packagesShown = 10
	packagesRead  = 64 << 10
)

// File is a file whose existence asks for a reboot. Beside it, a file of the same name with .pkgs at
// the end may name the packages that want it, one a line, as Debian's do.
type File struct {
	// Path is the host's, absolute.
	Path string
	// HostRoot is where the host's files are seen by this process; empty is /.
	HostRoot string
}

// Look says whether the file is there. A missing file in a directory that exists is a no; anything
// that can't be seen for certain is unknown.
func (f File) Look(context.Context) plan.Wanted {
	path := f.here()
	_, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, err := os.Stat(filepath.Dir(path)); err != nil {
			return f.unknown(fmt.Errorf("its directory can't be seen: %w", err))
		}
		return plan.Wanted{Answer: plan.No, Reason: plan.NotRequired, Message: fmt.Sprintf("There is no %s.", f.Path)}
	case err != nil:
		return f.unknown(err)
	}
	if _, err := os.Stat(path); err != nil {
		return f.unknown(fmt.Errorf("it is a link whose target can't be seen: %w", err))
	}
	return plan.Wanted{Answer: plan.Yes, Reason: plan.RebootRequired, Message: f.Path + " asks for a reboot" + f.packages() + "."}
}

func (f File) here() string { return filepath.Join("/", f.HostRoot, f.Path) }

func (f File) unknown(err error) plan.Wanted {
	return plan.Wanted{Answer: plan.Unknown, Reason: plan.SentinelUnknown, Message: fmt.Sprintf(
		"Whether a reboot is required can't be known: looking for %s (--reboot-sentinel): %v", f.Path, err)}
}

// packages is a clause that names the packages that want the reboot; empty when they aren't known.
func (f File) packages() string {
	file, err := os.Open(f.here() + ".pkgs")
	if err != nil {
		return ""
	}
	defer file.Close()
	var names []string
	lines := bufio.NewScanner(io.LimitReader(file, packagesRead))
	for lines.Scan() {
		name := strings.TrimSpace(strings.ToValidUTF8(lines.Text(), ""))
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	switch n := len(names) - packagesShown; {
	case len(names) == 0:
		return ""
	case n > 0:
		return fmt.Sprintf(" (packages: %s and %d more)", strings.Join(names[:packagesShown], ", "), n)
	}
	return " (packages: " + strings.Join(names, ", ") + ")"
}
