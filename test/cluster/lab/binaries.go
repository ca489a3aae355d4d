package lab

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// EnsureBinaries returns the folder that holds etcd, kube-apiserver, kube-controller-manager,
// kube-scheduler, kubelet, kubectl and kwok: links to one static binary. The first call on a
// machine builds it (5–10 minutes), later ones find it in the user's cache. The working directory
// must be inside the repository. Callers in other processes wait for the one that builds.
func EnsureBinaries(ctx context.Context, log io.Writer) (string, error) {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return "", fmt.Errorf("the test cluster needs linux/amd64; this is %s/%s", runtime.GOOS, runtime.GOARCH)
	}
	source, err := findSource()
	if err != nil {
		return "", err
	}
	cache, err := CacheDir()
	if err != nil {
		return "", err
	}
	key, err := sourceKey(source)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, key)
	if isDir(dir) {
		return dir, nil
	}
	if err := buildOnce(ctx, source, dir, log); err != nil {
		return "", fmt.Errorf("building the control plane: %w", err)
	}
	return dir, nil
}

// buildOnce builds unless another process does, and then waits for it.
func buildOnce(ctx context.Context, source, dir string, log io.Writer) error {
	cache := filepath.Dir(dir)
	if err := os.MkdirAll(cache, 0o755); err != nil { //nolint:gosec // binaries are no secret
		return err
	}
	unlock, err := lockFile(ctx, filepath.Join(cache, "build.lock"))
	if err != nil {
		return err
	}
	defer unlock()
	if isDir(dir) {
		return nil // built while we waited
	}
	start := time.Now()
	_, _ = fmt.Fprintln(log, "building the control plane from source; the first time this takes 5 to 10 minutes")
	if err := build(ctx, source, dir); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(log, "built the control plane in %s\n", time.Since(start).Round(time.Second))
	return nil
}

// CacheDir is where built things are kept from one run to the next.
func CacheDir() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding the cache: %w", err)
	}
	return filepath.Join(cache, "rebootd-test"), nil
}

// build puts a finished folder at dir, or nothing.
func build(ctx context.Context, source, dir string) error {
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "tmp-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)                      //nolint:errcheck // a left-over in a cache
	if err := os.Chmod(tmp, 0o755); err != nil { //nolint:gosec // binaries are no secret
		return err
	}
	version, err := goTool(ctx, source, "list", "-m", "-f", "{{.Version}}", "k8s.io/kubernetes")
	if err != nil {
		return err
	}
	number := strings.Split(strings.TrimPrefix(version, "v"), ".")
	if len(number) != 3 {
		return fmt.Errorf("k8s.io/kubernetes has the unexpected version %q", version)
	}
	const pkg = "k8s.io/component-base/version."
	ldflags := fmt.Sprintf("-s -w -X %[1]sgitVersion=%[2]s -X %[1]sgitMajor=%[3]s -X %[1]sgitMinor=%[4]s",
		pkg, version, number[0], number[1])
	_, err = goTool(ctx, source, "build", "-trimpath", "-ldflags", ldflags, "-o", filepath.Join(tmp, "kube"), ".")
	if err != nil {
		return err
	}
	for _, name := range programs() {
		if err := os.Symlink("kube", filepath.Join(tmp, name)); err != nil {
			return err
		}
	}
	return os.Rename(tmp, dir)
}

func programs() []string {
	return []string{
		"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler",
		"kubelet", "kubectl", "kwok", "kwok-stages",
	}
}

func goTool(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "nice", append([]string{"-n", "5", "go"}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=readonly", "GOWORK=off")
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return "", fmt.Errorf("go %s: %w\n%s", args[0], err, exit.Stderr)
	}
	return strings.TrimSpace(string(out)), err
}

// findSource looks for the folder of the kube module from the working directory upwards.
func findSource() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding the control plane's source: %w", err)
	}
	for {
		source := filepath.Join(dir, "test", "cluster", "kube")
		if isDir(source) {
			return source, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("no test/cluster/kube here or above: run this inside the repository")
		}
		dir = filepath.Dir(dir)
	}
}

func sourceKey(source string) (string, error) {
	sum := sha256.New()
	for _, name := range []string{"go.mod", "go.sum", "main.go"} {
		content, err := os.ReadFile(filepath.Join(source, name))
		if err != nil {
			return "", fmt.Errorf("reading the control plane's source: %w", err)
		}
		_, _ = fmt.Fprintf(sum, "%s %d\n%s", name, len(content), content)
	}
	return hex.EncodeToString(sum.Sum(nil))[:16], nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// lockFile takes an exclusive lock, which the kernel releases if the process ends before unlock.
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	err = poll(ctx, func() (bool, error) {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return false, nil
		}
		return err == nil, err
	})
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	return func() { _ = file.Close() }, nil
}
