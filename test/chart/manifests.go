package main

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
)

// folders are the folders below manifests/ that are rendered from the chart, each with its values.
func folders() map[string][]string {
	return map[string][]string{
		"base":        nil,
		"signal":      {"--set=configuration.rebootMethod=signal"},
		"delete-pods": {"--set=configuration.onDrainTimeout=delete"},
	}
}

// manifests renders manifests/ from the chart in the repository at root. What Helm says of itself is left out.
func manifests(ctx context.Context, root string) (map[string][]byte, error) {
	made := map[string][]byte{}
	for folder, values := range folders() {
		for _, template := range []string{"rbac", "daemonset"} {
			args := append([]string{
				"template", "rebootd", filepath.Join(root, chartDir), "--namespace=rebootd", kubeVersion, "--show-only=templates/" + template + ".yaml",
			}, values...)
			text, err := helm(ctx, args...)
			if err != nil {
				return nil, fmt.Errorf("rendering manifests/%s: %w", folder, err)
			}
			made[filepath.Join(root, "manifests", folder, template+".yaml")] = plain(text)
		}
	}
	return made, nil
}

func plain(text string) []byte {
	text = regexp.MustCompile(`(?m)^# Source: .*\n|^ +(app\.kubernetes\.io/(managed-by|version)|helm\.sh/chart): .*\n`).ReplaceAllString(text, "")
	text = strings.TrimPrefix(text, "---\n")
	return []byte("# Rendered from charts/rebootd by `make chart`.\n" + strings.ReplaceAll(text, "---\n---\n", "---\n"))
}
