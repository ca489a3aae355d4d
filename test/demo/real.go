package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/rebootd/rebootd/test/cluster/full"
	"github.com/rebootd/rebootd/test/cluster/lab"
	"github.com/rebootd/rebootd/test/cluster/machine"
	"github.com/rebootd/rebootd/test/image/image"
)

const (
	agentName = "localhost/rebootd"
	agentTag  = "demo"
	appImage  = "localhost/demo-app:1"
	appSource = "github.com/rebootd/rebootd/test/cluster/machine/files/pause"
	sentinel  = "/var/run/reboot-required"
	rollout   = "--timeout=4m"
)

// realCluster is the demo's cluster of machines with kernels of their own.
type realCluster struct {
	*stage
	*teller

	work     string // images, the cluster's command and the kustomization
	dir      string // of the cluster
	up       bool   // there may be something to remove
	keep     bool
	machines []*machine.Machine
}

// realStage starts three real nodes and rebootd on them. The stage is there even if that fails.
func realStage(ctx context.Context, t *teller, keep bool) (*stage, error) {
	if err := capable(); err != nil {
		return nil, err
	}
	cache, err := lab.CacheDir()
	if err != nil {
		return nil, err
	}
	base := filepath.Join(cache, "demo")
	r := &realCluster{teller: t, keep: keep, work: filepath.Join(base, "work"), dir: filepath.Join(base, "cluster")}
	r.stage = &stage{
		kubeconfig: filepath.Join(r.dir, "kubeconfig"), logs: filepath.Join(base, "logs"),
		how:     "touch " + sentinel,
		collect: r.collectLogs, stop: r.remove,
	}
	if err := os.RemoveAll(r.logs); err != nil {
		return nil, fmt.Errorf("removing old logs: %w", err)
	}
	if err := r.build(ctx); err != nil {
		return r.stage, err
	}
	if err := r.start(ctx); err != nil {
		return r.stage, err
	}
	return r.stage, r.deploy(ctx)
}

func capable() error {
	switch {
	case runtime.GOOS != "linux" || runtime.GOARCH != "amd64":
		return fmt.Errorf("the demo runs on linux/amd64 only, and this is %s/%s", runtime.GOOS, runtime.GOARCH)
	case os.Geteuid() != 0:
		return errors.New("real nodes need root, for their network and their disks; without it, try: make demo-sim")
	}
	return nil
}

func (r *realCluster) build(ctx context.Context) error {
	return r.step("building rebootd's image, and an application's", "the output of go build above", func() error {
		err := image.Compile(ctx, "github.com/rebootd/rebootd/test/cluster", r.command(), "linux/amd64", "demo")
		if err != nil {
			return err
		}
		_, digest, err := image.Build(ctx, image.Options{Output: r.image("rebootd"), Tag: agentName + ":" + agentTag})
		if err != nil {
			return err
		}
		r.say("  %s:%s is %s", agentName, agentTag, digest)
		_, _, err = image.Build(ctx, image.Options{Output: r.image("app"), Tag: appImage, Package: appSource})
		return err
	})
}

func (r *realCluster) command() string { return filepath.Join(r.work, "cluster") }

func (r *realCluster) image(name string) string { return filepath.Join(r.work, name+".tar") }

// start starts the cluster afresh, in a process of its own that may outlive this one.
func (r *realCluster) start(ctx context.Context) error {
	r.up = true
	if _, err := os.Stat(r.dir); err == nil {
		if err := r.step("removing the cluster of an earlier demo", r.dir, func() error { return r.down(ctx) }); err != nil {
			return err
		}
	}
	look := fmt.Sprintf("the lines above, and in %s; another cluster that is up is removed by: go run ./test/cluster down", r.logs)
	return r.step(fmt.Sprintf("starting a control plane and %d nodes with kernels of their own", realNodes), look, func() error {
		err := r.follow(command(ctx, r.command(), "up", "--dir", r.dir, "--tier", "3", "--nodes", strconv.Itoa(realNodes)))
		if err != nil {
			return err
		}
		if r.bin, err = lab.EnsureBinaries(ctx, r.to); err != nil {
			return err
		}
		set, err := machine.Attach(full.MachinesDir(r.dir))
		if err != nil {
			return err
		}
		for _, name := range set.Names() {
			m, err := set.Machine(name)
			if err != nil {
				return err
			}
			r.machines = append(r.machines, m)
			r.hosts = append(r.hosts, realHost{m})
		}
		return nil
	})
}

// deploy brings rebootd to the nodes by its own manifests, and two applications.
func (r *realCluster) deploy(ctx context.Context) error {
	err := r.step("loading the images onto the nodes", "go run ./test/cluster ssh --dir "+r.dir+" node1", func() error {
		return inParallel(len(r.machines), func(i int) error {
			return errors.Join(r.machines[i].LoadImage(ctx, r.image("rebootd")), r.machines[i].LoadImage(ctx, r.image("app")))
		})
	})
	if err != nil {
		return err
	}
	overlay, err := r.overlay()
	if err != nil {
		return err
	}
	return r.step("installing rebootd (kubectl apply -k manifests), and two applications with PodDisruptionBudgets", r.logs, func() error {
		for _, args := range [][]string{
			{"apply", "-k", overlay},
			{"apply", "-f", "-"},
			{"rollout", "status", "-n", namespace, "daemonset/rebootd", rollout},
			{"rollout", "status", "-n", podNamespace, "deployment/web", rollout},
			{"rollout", "status", "-n", podNamespace, "deployment/store", rollout},
		} {
			if _, err := r.kubectl(ctx, workload, args...); err != nil {
				return err
			}
		}
		return nil
	})
}

// overlay writes a kustomization that changes nothing of the manifests but where the image comes from.
func (r *realCluster) overlay() (string, error) {
	dir := filepath.Join(r.work, "overlay")
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // nothing secret
		return "", fmt.Errorf("writing the kustomization: %w", err)
	}
	root, err := image.SourceRoot()
	if err != nil {
		return "", err
	}
	manifests, err := filepath.Rel(dir, filepath.Join(root, "manifests"))
	if err != nil {
		return "", fmt.Errorf("finding the manifests: %w", err)
	}
	content := fmt.Sprintf(`apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [%s]
images:
  - {name: ghcr.io/rebootd/rebootd, newName: %s, newTag: %s}
patches:
  - target: {kind: DaemonSet, name: rebootd}
    patch: '[{"op": "add", "path": "/spec/template/spec/containers/0/imagePullPolicy", "value": "Never"}]'
`, manifests, agentName, agentTag)
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(content), 0o600); err != nil {
		return "", fmt.Errorf("writing the kustomization: %w", err)
	}
	return dir, nil
}

// remove ends the cluster, or says how to use it.
func (r *realCluster) remove() error {
	switch {
	case !r.up:
		return nil
	case r.keep:
		r.say("the cluster stays up (--keep). To use it, and to remove it:\n\nexport KUBECONFIG=%s PATH=%s:$PATH\ngo run ./test/cluster down --dir %s\n",
			r.kubeconfig, r.bin, r.dir)
		return nil
	}
	r.say("removing the cluster …")
	return r.down(context.Background())
}

func (r *realCluster) down(ctx context.Context) error {
	_, err := output(command(ctx, r.command(), "down", "--dir", r.dir))
	return err
}

// collectLogs saves as much as there is: a step that fails must not hide the others.
func (r *realCluster) collectLogs(dir string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	save := func(name, content string) { _ = os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600) }
	for _, m := range r.machines {
		if console, err := os.ReadFile(m.ConsolePath()); err == nil {
			save("console-"+m.Name()+".log", string(console))
		}
	}
	for _, pattern := range []string{"up.log", "log/*.log", "machines/*.log"} {
		paths, _ := filepath.Glob(filepath.Join(r.dir, pattern)) // the patterns are well-formed
		for _, path := range paths {
			if content, err := os.ReadFile(path); err == nil {
				save(filepath.Base(path), string(content))
			}
		}
	}
	if r.bin == "" {
		return
	}
	for name, args := range map[string][]string{
		"nodes.yaml": {"get", "nodes", "-o", "yaml"}, "describe-nodes.txt": {"describe", "nodes"},
		"pods.txt": {"get", "pods", "-A", "-o", "wide"}, "leases.yaml": {"get", "leases", "-n", namespace, "-o", "yaml"},
		"rebootd.log": {"logs", "-n", namespace, "-l", "app.kubernetes.io/name=rebootd", "--prefix", "--tail=-1"},
		"events.txt":  {"get", "events", "-A", "--sort-by=.lastTimestamp"},
	} {
		out, err := r.kubectl(ctx, "", args...)
		if err != nil {
			out += "\n" + err.Error()
		}
		save(name, out)
	}
}

// realHost is a machine that is asked over SSH.
type realHost struct{ *machine.Machine }

// AskForReboot does what a package manager does.
func (h realHost) AskForReboot(ctx context.Context) error {
	_, err := h.shell(ctx, "echo linux-image-amd64 >"+sentinel+".pkgs && touch "+sentinel)
	return err
}

// Asks implements host.
func (h realHost) Asks(ctx context.Context) (bool, error) {
	out, err := h.shell(ctx, "ls "+sentinel+" 2>/dev/null || true")
	return out != "", err
}

// Boots counts the kernels' first words on the console.
func (h realHost) Boots() (int, error) {
	console, err := os.ReadFile(h.ConsolePath())
	if err != nil {
		return 0, fmt.Errorf("reading the console of %s: %w", h.Name(), err)
	}
	return strings.Count(string(console), "Linux version "), nil
}

func (h realHost) shell(ctx context.Context, script string) (string, error) {
	result, err := h.Exec(ctx, script)
	if err == nil && result.ExitCode != 0 {
		err = fmt.Errorf("%q failed on %s: %s", script, h.Name(), result.Stderr)
	}
	return strings.TrimSpace(result.Stdout), err
}
