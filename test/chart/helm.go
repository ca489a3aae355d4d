package main

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

// helmVersion is what the chart is tested with.
const helmVersion = "v3.21.4"

// helmBinary is where helm is. It is built there if it isn't yet.
func helmBinary(ctx context.Context) (string, error) {
	cache, err := lab.CacheDir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(cache, "tools", "helm-"+helmVersion)
	if _, err := os.Stat(path); err == nil || !errors.Is(err, os.ErrNotExist) {
		return path, err
	}
	tmp, err := os.MkdirTemp("", "helm")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	build := exec.CommandContext(ctx, "go", "install", "helm.sh/helm/v3/cmd/helm@"+helmVersion)
	build.Env = append(os.Environ(), "GOBIN="+tmp, "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building helm %s: %w\n%s", helmVersion, err, out)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	binary, err := os.ReadFile(filepath.Join(tmp, "helm"))
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(path+".new", binary, 0o755); err != nil {
		return "", err
	}
	return path, os.Rename(path+".new", path)
}

// helm runs it, away from the user's own settings.
func helm(ctx context.Context, args ...string) (string, error) {
	path, err := helmBinary(ctx)
	if err != nil {
		return "", err
	}
	var out, problems bytes.Buffer
	command := exec.CommandContext(ctx, path, args...)
	command.Env = append(os.Environ(), "HELM_CACHE_HOME="+os.TempDir(), "HELM_CONFIG_HOME="+os.TempDir(), "HELM_DATA_HOME="+os.TempDir(), "KUBECONFIG=/dev/null")
	command.Stdout, command.Stderr = &out, &problems
	if err := command.Run(); err != nil {
		return out.String(), fmt.Errorf("helm %s: %w\n%s", args[0], err, problems.String())
	}
	if problems.Len() > 0 {
		return out.String(), fmt.Errorf("helm %s warns:\n%s", args[0], problems.String())
	}
	return out.String(), nil
}

// kubeVersion is for rendering without a cluster; helm built from source knows none.
const kubeVersion = "--kube-version=1.34.0"
