//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// keep writes down all that could tell why the test failed.
func (s *scene) keep() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	dir := filepath.Join(lab.dir, s.name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		s.t.Error(err)
		return
	}
	write := func(name, content string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			s.t.Error(err)
		}
	}
	write("story.txt", story(s.story()))
	for name, args := range map[string]string{
		"nodes.yaml":       "get nodes -o yaml",
		"nodes.txt":        "describe nodes",
		"leases.yaml":      "get leases -n " + s.name + " -o yaml",
		"pods.txt":         "get pods -A -o wide",
		"agents.yaml":      "get pods -n " + s.name + " -o yaml",
		"events.txt":       "get events -A --sort-by=.lastTimestamp",
		"disruptions.yaml": "get poddisruptionbudgets -A -o yaml",
	} {
		out, err := lab.kubectl(ctx, nil, strings.Fields(args)...)
		if err != nil {
			out += "\n" + err.Error()
		}
		write(name, out)
	}
	for _, n := range s.nodes {
		write(n.Name()+"-console.txt", tail(n.ConsolePath(), 200))
		// From the machine itself: of every agent that ran there, even when the API server is down.
		result, err := n.Exec(ctx, "tail -n 500 /var/log/pods/"+s.name+"_*/*/*.log; journalctl -b -n 300 -u kubelet -u containerd -u lab-setup --no-pager")
		write(n.Name()+"-logs.txt", result.Stdout+result.Stderr+fmt.Sprintln(err))
	}
	s.t.Logf("what could tell why is in %s; the nodes:\n%s", dir, story(s.story()))
}

func tail(path string, lines int) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(content)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
