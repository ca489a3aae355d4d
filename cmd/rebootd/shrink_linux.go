package main

import (
	"bufio"
	"context"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// shrinkAfter is how long after the start what only the start needed is given back.
	shrinkAfter = 10 * time.Second
	// shrinkAgain is how much later once more: by then the first minute's work has been done too, of a scrape and of watches.
	shrinkAgain = time.Minute
)

// shrink gives back what only the start needed, once that is over: heap, and the pages of this program's file. Most of its code and tables
// are of libraries that register every kind of object there is, and the kernel keeps what was touched once, with its neighbours, for as long as
// nobody else wants the memory. What is used again is read again, page by page from then on: read with its neighbours, as at the start, the little
// that a take or a scrape uses would bring half of the file back; and these pages are the first that go when memory is short. These are hints that lose nothing: pages that differ from
// the file stay. (MADV_DONTNEED would lose them, and with them what a dynamic linker has written.)
func shrink(ctx context.Context) {
	for _, wait := range []time.Duration{shrinkAfter, shrinkAgain} {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
			giveBack()
		}
	}
}

func giveBack() {
	debug.FreeOSMemory()
	exe, err := os.Executable()
	if err != nil {
		return // then it stays as large as it is
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return
	}
	for _, r := range unwritable(string(maps), exe) {
		for _, advice := range []uintptr{unix.MADV_RANDOM, unix.MADV_PAGEOUT} {
			_, _, _ = unix.Syscall(unix.SYS_MADVISE, r.from, r.to-r.from, advice) // at worst it stays
		}
	}
}

type region struct{ from, to uintptr }

// unwritable are the regions that are mapped from this file and can't be written.
func unwritable(maps, file string) []region {
	var found []region
	for lines := bufio.NewScanner(strings.NewReader(maps)); lines.Scan(); {
		// address perms offset device inode path
		f := strings.Fields(lines.Text())
		if len(f) != 6 || f[5] != file || f[1] != "r-xp" && f[1] != "r--p" {
			continue
		}
		from, to, _ := strings.Cut(f[0], "-")
		a, err1 := strconv.ParseUint(from, 16, 64)
		b, err2 := strconv.ParseUint(to, 16, 64)
		if err1 == nil && err2 == nil && a < b {
			found = append(found, region{uintptr(a), uintptr(b)})
		}
	}
	return found
}
