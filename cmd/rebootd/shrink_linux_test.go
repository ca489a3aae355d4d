package main

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// What was given back is read page by page from then on: the kernel says so of each part of this program's file.
func TestGiveBack(t *testing.T) {
	giveBack()
	maps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Skip(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(maps), "VmFlags:") {
		t.Skip("this kernel doesn't say how it reads ahead")
	}
	ours, parts := false, 0
	for line := range strings.Lines(string(maps)) {
		f := strings.Fields(line)
		switch {
		case len(f) >= 5 && strings.Contains(f[0], "-"):
			ours = f[len(f)-1] == exe && (f[1] == "r-xp" || f[1] == "r--p")
		case ours && f[0] == "VmFlags:":
			if parts++; !slices.Contains(f, "rr") {
				t.Errorf("it would be read with its neighbours: %s", line)
			}
		}
	}
	if parts == 0 {
		t.Error("no part of this program's file was found")
	}
}

// Only what is of this file, and can't be written, is given back: anything else would lose what was written.
func TestUnwritable(t *testing.T) {
	const maps = `00400000-010e5000 r-xp 00000000 fe:00 123   /usr/bin/rebootd
010e5000-01f2c000 r--p 00ce5000 fe:00 123   /usr/bin/rebootd
01f2c000-01fc8000 rw-p 01b2c000 fe:00 123   /usr/bin/rebootd
02000000-02100000 r--p 00000000 fe:00 124   /usr/bin/other
c000000000-c000800000 rw-p 00000000 00:00 0
7ffc0000-7ffe0000 r-xp 00000000 00:00 0   [vdso]
02200000-02100000 r--p 00000000 fe:00 123   /usr/bin/rebootd
0z-02100000 r--p 00000000 fe:00 123   /usr/bin/rebootd
`
	want := []region{{0x400000, 0x10e5000}, {0x10e5000, 0x1f2c000}}
	if got := unwritable(maps, "/usr/bin/rebootd"); !slices.Equal(got, want) {
		t.Errorf("got %x", got)
	}
}
