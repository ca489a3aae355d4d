// Package sentinel looks at what asks for a reboot of this machine.
package sentinel

import (
	"bufio"
	"cmp"
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
	// From is the option that it is from, for messages; empty is --reboot-sentinel.
	From string
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
		return plan.Wanted{Answer: plan.No, Reason: plan.NotRequired, Message: fmt.Sprintf("There is no %s.", f.Path), By: f.by()}
	case err != nil:
		return f.unknown(err)
	}
	if _, err := os.Stat(path); err != nil {
		return f.unknown(fmt.Errorf("it is a link whose target can't be seen: %w", err))
	}
	names := f.packages()
	return plan.Wanted{
		Answer: plan.Yes, Reason: plan.RebootRequired, Message: f.Path + " asks for a reboot" + clause(names) + ".", By: f.by(), Packages: names,
	}
}

func (f File) by() []string { return []string{"file " + f.Path} }

func (f File) here() string { return filepath.Join("/", f.HostRoot, f.Path) }

func (f File) unknown(err error) plan.Wanted {
	return unknown(fmt.Sprintf("looking for %s (%s): %v", f.Path, cmp.Or(f.From, "--reboot-sentinel"), err), f.by())
}

// unknown is the answer of a sentinel that can't say.
func unknown(why string, by []string) plan.Wanted {
	return plan.Wanted{Answer: plan.Unknown, Reason: plan.SentinelUnknown, Message: "Whether a reboot is required can't be known: " + why, By: by}
}

// packages are those that want the reboot; none when they aren't known.
func (f File) packages() []string {
	file, err := os.Open(f.here() + ".pkgs")
	if err != nil {
		return nil
	}
	defer file.Close()
	return packageNames(io.LimitReader(file, packagesRead), func(line string) string { return line })
}

// packageNames are the names that parse finds in the lines of a text, each once.
func packageNames(text io.Reader, parse func(string) string) []string {
	var names []string
	lines := bufio.NewScanner(text)
	for lines.Scan() {
		name := strings.TrimSpace(parse(strings.ToValidUTF8(lines.Text(), "")))
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func clause(names []string) string {
	switch n := len(names) - packagesShown; {
	case len(names) == 0:
		return ""
	case n > 0:
		return fmt.Sprintf(" (packages: %s and %d more)", strings.Join(names[:packagesShown], ", "), n)
	}
	return " (packages: " + strings.Join(names, ", ") + ")"
}
