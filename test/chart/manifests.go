package main

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/rebootd/rebootd/test/chart/helm"
)

// folders are the folders below manifests/ that are rendered from the chart, each with its values and templates.
func folders() map[string]folder {
	agents := []string{"rbac", "daemonset"}
	return map[string]folder{
		"base":            {nil, agents},
		"signal":          {[]string{"--set=configuration.rebootMethod=signal"}, agents},
		"kured-interlock": {[]string{"--set=configuration.kuredInterlock=true"}, agents},
		"delete-pods":     {[]string{"--set=configuration.onDrainTimeout=delete"}, agents},
		// With kured's lock: where the agents took no part in it there is nothing of theirs.
		"cleanup": {[]string{"--set=cleanup.enabled=true,configuration.kuredInterlock=true"}, []string{"cleanup"}},
		"policy":  {[]string{"--set=admissionPolicy.enabled=true"}, []string{"policy"}},
	}
}

type folder struct{ values, templates []string }

// manifests renders manifests/ from the chart in the repository at root. What Helm says of itself is left out.
func manifests(ctx context.Context, root string) (map[string][]byte, error) {
	made := map[string][]byte{}
	for name, f := range folders() {
		for _, template := range f.templates {
			args := append([]string{
				"template", "rebootd", filepath.Join(root, chartDir), "--namespace=rebootd", helm.KubeVersion, "--show-only=templates/" + template + ".yaml",
			}, f.values...)
			text, err := helm.Run(ctx, args...)
			if err != nil {
				return nil, fmt.Errorf("rendering manifests/%s: %w", name, err)
			}
			text = regexp.MustCompile(`(?m)^  annotations:\n(    helm\.sh/hook.*\n)+`).ReplaceAllString(text, "")
			made[filepath.Join(root, "manifests", name, template+".yaml")] = plain(text)
		}
	}
	return made, nil
}

func plain(text string) []byte {
	text = regexp.MustCompile(`(?m)^# Source: .*\n|^ +(app\.kubernetes\.io/(managed-by|version)|helm\.sh/chart): .*\n`).ReplaceAllString(text, "")
	text = strings.TrimPrefix(text, "---\n")
	return []byte("# Rendered from charts/rebootd by `make chart`.\n" + strings.ReplaceAll(text, "---\n---\n", "---\n"))
}
