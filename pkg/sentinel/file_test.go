package sentinel

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/rebootd/rebootd/pkg/plan"
)

func TestLook(t *testing.T) {
	for _, tt := range []struct {
		name   string
		set    func(t *testing.T, root string)
		answer plan.Answer
		says   string
	}{
		{"no file", func(*testing.T, string) {}, plan.No, "There is no /run/reboot-required."},
		{"a file", func(t *testing.T, root string) { write(t, root, "reboot-required", "") }, plan.Yes, "/run/reboot-required asks for a reboot."},
		{"a folder of that name", func(t *testing.T, root string) { mkdir(t, root, "run/reboot-required") }, plan.Yes, "asks"},
		{"packages", func(t *testing.T, root string) {
			write(t, root, "reboot-required", "*** System restart required ***")
			write(t, root, "reboot-required.pkgs", "linux-image\nlibc6\n\nlinux-image\n")
		}, plan.Yes, "asks for a reboot (packages: linux-image, libc6)."},
		{"many packages", func(t *testing.T, root string) {
			write(t, root, "reboot-required", "")
			write(t, root, "reboot-required.pkgs", "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\nl\n")
		}, plan.Yes, "i, j and 2 more)."},
		{"no directory", func(t *testing.T, root string) { remove(t, root, "run") }, plan.Unknown, "its directory can't be seen"},
		{"the directory is a file", func(t *testing.T, root string) {
			remove(t, root, "run")
			if err := os.WriteFile(filepath.Join(root, "run"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, plan.Unknown, "--reboot-sentinel"},
		{"a link to nowhere", func(t *testing.T, root string) {
			if err := os.Symlink("/nowhere", filepath.Join(root, "run/reboot-required")); err != nil {
				t.Fatal(err)
			}
		}, plan.Unknown, "link whose target can't be seen"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			mkdir(t, root, "run")
			tt.set(t, root)
			got := File{Path: "/run/reboot-required", HostRoot: root}.Look(t.Context())
			if got.Answer != tt.answer || !strings.Contains(got.Message, tt.says) {
				t.Errorf("got %+v, want %v and %q", got, tt.answer, tt.says)
			}
		})
	}
}

// All packages are told to who can use them; the message names the first.
func TestPackages(t *testing.T) {
	root := t.TempDir()
	mkdir(t, root, "run")
	write(t, root, "reboot-required", "")
	write(t, root, "reboot-required.pkgs", "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\n b \r\n\xff\n")
	if w := (File{Path: "/run/reboot-required", HostRoot: root}).Look(t.Context()); strings.Join(w.Packages, "") != "abcdefghijk" {
		t.Errorf("got %+v", w)
	}
}

// What a file or a tool says of packages ends up in messages of one line.
func FuzzPackages(f *testing.F) {
	f.Add("linux-image\nlibc6\n\nlinux-image\n")
	f.Add("  * kernel\n  * glibc\n  kernel -> 3.10.0-1\n\xff\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, parse := range []func(string) string{packageOf, func(line string) string { return line }} {
			names := packageNames(strings.NewReader(text), parse)
			for i, name := range names {
				if name == "" || name != strings.TrimSpace(name) || strings.Contains(name, "\n") || !utf8.ValidString(name) || slices.Contains(names[:i], name) {
					t.Errorf("%q: %q", text, names)
				}
			}
		}
	})
}

// A file that appears wakes the loop at once; one beside it doesn't.
func TestEvents(t *testing.T) {
	root := t.TempDir()
	mkdir(t, root, "run")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	woken := make(chan struct{}, 100)
	go File{Path: "/run/reboot-required", HostRoot: root}.Events(ctx, func() { woken <- struct{}{} })
	deadline := time.After(10 * time.Second)
	for {
		write(t, root, "reboot-required", "") // again and again: the watch may not stand yet
		select {
		case <-woken:
			return
		case <-time.After(50 * time.Millisecond):
		case <-deadline:
			t.Fatal("not woken")
		}
	}
}

func write(t *testing.T, root, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(root, "run", name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func mkdir(t *testing.T, root, name string) {
	t.Helper()
	if err := os.Mkdir(filepath.Join(root, name), 0o700); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, root, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(root, name)); err != nil {
		t.Fatal(err)
	}
}
