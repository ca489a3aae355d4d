// Package lab starts a Kubernetes control plane for tests: real programs, built from source, on one
// machine. A cluster and everything it started ends with the program that started it.
//
// Tier 1 is etcd and the API server. Tier 2 adds the controller manager, the scheduler and kwok,
// which simulates nodes. Tier 3, in package full, adds nodes with kernels of their own.
package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/rebootd/rebootd/test/cluster/internal/proc"
)

// Options says what to start. The zero value is a tier 1 cluster in a temporary folder.
type Options struct {
	Dir  string    // for state, logs and kubeconfig; left in place by Stop. Empty: temporary, removed by Stop
	Tier int       // 1 (or 0), 2 or 3; with 3 there are no simulated nodes
	Log  io.Writer // progress, one line a step; nil: none

	AdmissionPlugins []string // enabled besides the API server's own and NodeRestriction
	APIServerFlags   []string // further flags, for example --audit-log-path=…

	// NodeGrace is the silence after which a node is NotReady; 0: 40 s, with tier 3 20 s. Thousands
	// of nodes need minutes.
	NodeGrace time.Duration

	NetNS            string // name of the network namespace the programs run in; empty: the caller's
	ListenPort       int    // of the API server; 0: a free one
	AdvertiseAddress string // at which nodes and pods reach the API server; needed with NetNS
}

// Cluster is a running control plane. Its API server is stopped and started by one goroutine at a time.
type Cluster struct {
	opts    Options
	dir     string // absolute
	bin     string // holds the programs
	ca      *authority
	admin   pair
	url     string // from the caller's network
	inside  string // from the cluster's network
	procs   []*proc.Process
	api     *proc.Process // nil while it is stopped
	forward *forwarder    // nil without a network namespace
}

// Start starts a cluster and returns when it answers. It first clears away what an earlier cluster
// left in o.Dir. If it fails, nothing is left running.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	bin, err := EnsureBinaries(ctx, o.log())
	if err != nil {
		return nil, err
	}
	c := &Cluster{opts: o, bin: bin}
	if err := c.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("starting a cluster: %w", err), c.Stop())
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context) error {
	steps := []func(context.Context) error{c.prepare, c.startEtcd, c.StartAPIServer, c.waitNamespaces}
	if c.opts.Tier >= 2 {
		steps = append(steps, c.startControllers)
	}
	if c.opts.Tier == 2 {
		steps = append(steps, c.startKwok)
	}
	if c.opts.Tier >= 2 {
		steps = append(steps, c.waitControllers)
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// prepare readies folders, certificates and addresses.
func (c *Cluster) prepare(ctx context.Context) error {
	var err error
	if c.opts.Dir == "" {
		c.dir, err = os.MkdirTemp("", "rebootd-lab-")
	} else {
		c.dir, err = filepath.Abs(c.opts.Dir)
	}
	if err != nil {
		return err
	}
	if err := Clean(c.dir); err != nil {
		return err
	}
	for _, name := range []string{"pki", "log", "run"} {
		if err := os.MkdirAll(filepath.Join(c.dir, name), 0o700); err != nil {
			return err
		}
	}
	if err := c.chooseAddresses(ctx); err != nil {
		return err
	}
	return c.writePKI()
}

func (c *Cluster) chooseAddresses(ctx context.Context) error {
	var err error
	if c.opts.ListenPort == 0 {
		if c.opts.ListenPort, err = freePort(ctx); err != nil {
			return err
		}
	}
	if c.opts.AdvertiseAddress == "" {
		c.opts.AdvertiseAddress = "127.0.0.1"
	}
	c.inside = "https://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(c.opts.ListenPort))
	c.url = c.inside
	if c.opts.NetNS != "" {
		if c.forward, err = startForwarder(ctx, c.opts.NetNS, c.opts.ListenPort); err != nil {
			return err
		}
		c.url = "https://" + c.forward.address()
	}
	return nil
}

// Stop kills the cluster's programs. It may be called again. Only a temporary folder is removed.
func (c *Cluster) Stop() error {
	if c.api != nil {
		c.procs = append(c.procs, c.api)
		c.api = nil
	}
	for i := len(c.procs) - 1; i > 0; i-- {
		c.procs[i].Kill()
	}
	if len(c.procs) > 0 {
		c.procs[0].Kill() // etcd, last: without it the others' last words would fill the disk
	}
	c.procs = nil
	if c.forward != nil {
		c.forward.close()
	}
	if c.opts.Dir == "" && c.dir != "" {
		if err := os.RemoveAll(c.dir); err != nil {
			return fmt.Errorf("removing the cluster's folder: %w", err)
		}
	}
	return nil
}

// Clean kills what a cluster in dir left running, and removes what it wrote there and dir itself if
// nothing else is in it. It doesn't mind if there never was one.
func Clean(dir string) error {
	failed := []error{proc.KillAll(filepath.Join(dir, "run"))}
	for _, name := range []string{"etcd", "etcd.sock", "peer.sock", "pki", "log", "run", "kubeconfig", "kwok.yaml"} {
		failed = append(failed, os.RemoveAll(filepath.Join(dir, name)))
	}
	_ = os.Remove(dir) // only an empty folder goes
	if err := errors.Join(failed...); err != nil {
		return fmt.Errorf("clearing away the cluster in %s: %w", dir, err)
	}
	return nil
}

// Kubeconfig is the path of a kubeconfig for a cluster administrator, good for kubectl on this machine.
func (c *Cluster) Kubeconfig() string { return filepath.Join(c.dir, "kubeconfig") }

// Bin is the folder with kubectl, kubelet and the other programs.
func (c *Cluster) Bin() string { return c.bin }

// Dir is the folder with the cluster's state, and its logs in log.
func (c *Cluster) Dir() string { return c.dir }

// client is an administrator's.
func (c *Cluster) client() (kubernetes.Interface, error) {
	config := c.Config()
	config.ContentType = "application/vnd.kubernetes.protobuf" // much cheaper with many nodes
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("creating a client: %w", err)
	}
	return client, nil
}

// run starts one of the cluster's programs. All paths among the arguments may be relative to Dir.
func (c *Cluster) run(name string, args ...string) (*proc.Process, error) {
	return proc.Start(proc.Spec{
		Name: name, Argv0: filepath.Join(c.bin, name), Args: args, Dir: c.dir, NetNS: c.opts.NetNS,
	})
}

func (c *Cluster) logf(format string, args ...any) {
	_, _ = fmt.Fprintf(c.opts.log(), format+"\n", args...)
}

func (o Options) log() io.Writer {
	if o.Log == nil {
		return io.Discard
	}
	return o.Log
}

// waitFor asks until done says so, p ends or a minute has passed.
func waitFor(ctx context.Context, what string, p *proc.Process, done func(context.Context) bool) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	err := poll(ctx, func() (bool, error) {
		select {
		case <-p.Done():
			return false, p.Failure()
		default:
			return done(ctx), nil
		}
	})
	if err != nil {
		return fmt.Errorf("waiting for %s: %w", what, err)
	}
	return nil
}

// poll asks every 50 ms until done or an error.
func poll(ctx context.Context, ask func() (done bool, err error)) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if done, err := ask(); done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
