package main

import (
	"strings"
	"testing"
)

func TestCleanupCommand(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "") // it is nowhere
	for args, want := range map[string]struct {
		code int
		says string
	}{
		"--help":             {0, "rebootd cleanup takes rebootd out of the cluster"},
		"--version":          {0, "rebootd dev"},
		"--daemonset=one":    {exitUsage, "See rebootd cleanup --help."},
		"--daemonset=ns/one": {1, "--kubeconfig must say how to reach the API server"},
	} {
		var out, errs strings.Builder
		if code := run(t.Context(), []string{"cleanup", args}, nil, &out, &errs); code != want.code || !strings.Contains(out.String()+errs.String(), want.says) {
			t.Errorf("%s: exit code %d\n%s%s", args, code, out.String(), errs.String())
		}
	}
}
