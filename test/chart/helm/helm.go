// Package helm runs Helm, and builds it first if it must.
package helm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/rebootd/rebootd/test/cluster/lab"
)

// Version is what the chart is tested with.
const Version = "v3.21.4"

// Binary is where it is. It is built there if it isn't yet.
func Binary(ctx context.Context) (string, error) {
	cache, err := lab.CacheDir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(cache, "tools", "helm-"+Version)
	if _, err := os.Stat(path); err == nil || !errors.Is(err, os.ErrNotExist) {
		return path, err
	}
	tmp, err := os.MkdirTemp("", "helm")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	build := exec.CommandContext(ctx, "go", "install", "helm.sh/helm/v3/cmd/helm@"+Version)
	build.Env = append(os.Environ(), "GOBIN="+tmp, "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building helm %s: %w\n%s", Version, err, out)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	content, err := os.ReadFile(filepath.Join(tmp, "helm"))
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(path+".new", content, 0o755); err != nil {
		return "", err
	}
	return path, os.Rename(path+".new", path)
}

// Run runs it, away from the user's own settings. What it warns of is an error.
func Run(ctx context.Context, args ...string) (string, error) {
	out, problems, err := Outputs(ctx, args...)
	if err == nil && problems != "" {
		err = fmt.Errorf("helm %s warns:\n%s", args[0], problems)
	}
	return out, err
}

// Outputs is Run for a command that also says there what its hooks said.
func Outputs(ctx context.Context, args ...string) (out, problems string, err error) {
	path, err := Binary(ctx)
	if err != nil {
		return "", "", err
	}
	var stdout, stderr bytes.Buffer
	command := exec.CommandContext(ctx, path, args...)
	command.Env = append(os.Environ(), "HELM_CACHE_HOME="+os.TempDir(), "HELM_CONFIG_HOME="+os.TempDir(), "HELM_DATA_HOME="+os.TempDir(), "KUBECONFIG=/dev/null")
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		return stdout.String(), stderr.String(), fmt.Errorf("helm %s: %w\n%s", args[0], err, stderr.String())
	}
	return stdout.String(), stderr.String(), nil
}

// KubeVersion is for rendering without a cluster; helm built from source knows none.
const KubeVersion = "--kube-version=1.34.0"
