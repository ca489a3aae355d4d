package machine

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
)

// files is what goes into the machines, and the recipe for their disk.
//
//go:embed files
var files embed.FS

const (
	kernelModules = "/usr/lib/uml/modules"
	diskImage     = "node.img"
	pauseImage    = "localhost/pause:lab"
)

// buildImage returns the disk image that machines boot from, after building it if the cache
// doesn't have it. An image is never changed: disks of machines are made of differences to it. Only
// the process that holds the network may call it; so nobody else builds, or boots from, any image.
func buildImage(ctx context.Context, kubelet string, say *logger) (string, error) {
	key, err := recipeKey(kubelet)
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding the cache directory: %w", err)
	}
	images := filepath.Join(cache, "rebootd-test", "machine")
	dir := filepath.Join(images, key)
	image := filepath.Join(dir, diskImage)
	if _, err := os.Stat(image); err == nil {
		return image, nil
	}
	// Images of other recipes, and what was being built when it was interrupted.
	if err := os.RemoveAll(images); err != nil {
		return "", fmt.Errorf("removing old images: %w", err)
	}
	say.printf("building the machines' disk image, once: a minute or two")
	work := dir + ".building"
	if err := buildIn(ctx, work, kubelet); err != nil {
		return "", errors.Join(err, os.RemoveAll(work))
	}
	if err := os.Rename(work, dir); err != nil {
		return "", fmt.Errorf("moving the image into the cache: %w", err)
	}
	say.printf("disk image built: %s", image)
	return image, nil
}

func buildIn(ctx context.Context, work, kubelet string) error {
	if err := writeTree(work); err != nil {
		return err
	}
	if err := buildPause(ctx, work); err != nil {
		return err
	}
	// In namespaces of its own: when it is killed, so are its children, and its mounts are gone.
	command := exec.CommandContext(ctx, "unshare", "--mount", "--pid", "--fork", "--kill-child",
		"sh", filepath.Join(work, "build.sh"), work, kubelet)
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread() // whose death it is
	defer runtime.UnlockOSThread()
	return run(ctx, command)
}

// buildPause writes the image of the pause program.
func buildPause(ctx context.Context, work string) error {
	binary := filepath.Join(work, "bin", "pause")
	command := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", binary,
		filepath.Join(work, "pause", "main.go"))
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=")
	if err := run(ctx, command); err != nil {
		return err
	}
	return WriteImage(filepath.Join(work, "pause.tar"), pauseImage, binary)
}

// writeTree writes the embedded files to a new directory.
func writeTree(dir string) error {
	tree, err := fs.Sub(files, "files")
	if err != nil {
		return fmt.Errorf("reading the embedded files: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("making the image's directory: %w", err)
	}
	if err := os.CopyFS(dir, tree); err != nil {
		return fmt.Errorf("writing the machines' files: %w", err)
	}
	return nil
}

// recipeKey names an image by everything that goes into it.
func recipeKey(kubelet string) (string, error) {
	hash := sha256.New()
	err := fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := files.ReadFile(path)
		_, _ = fmt.Fprintf(hash, "%s %d\n%s", path, len(data), data)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("reading the embedded files: %w", err)
	}
	versions, err := os.ReadDir(kernelModules)
	if err != nil {
		return "", fmt.Errorf("looking for the kernel's modules: %w", err)
	}
	for _, version := range versions {
		_, _ = fmt.Fprintln(hash, version.Name())
	}
	if kubelet != "" {
		file, err := os.Open(kubelet)
		if err != nil {
			return "", fmt.Errorf("reading the kubelet: %w", err)
		}
		defer func() { _ = file.Close() }()
		if _, err := io.Copy(hash, file); err != nil {
			return "", fmt.Errorf("reading the kubelet: %w", err)
		}
	}
	return hex.EncodeToString(hash.Sum(nil))[:16], nil
}
