// Package full starts a tier 3 cluster: a control plane (package lab) and nodes with kernels of
// their own (package machine), together in one network namespace. It needs root.
package full

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/rebootd/rebootd/test/cluster/lab"
	"github.com/rebootd/rebootd/test/cluster/machine"
)

// NetNS is the network namespace that clusters live in.
const NetNS = "rebootd-lab"

const (
	apiServerPort = 443 // where pods expect it; without kube-proxy nothing translates it
	readyTimeout  = 3 * time.Minute
)

// Options says what to start.
type Options struct {
	Dir    string                              // for everything on disk; needed
	Nodes  int                                 // called node1, node2, …
	Log    io.Writer                           // progress, one line a step; nil: none
	Labels func(node string) map[string]string // of the Nodes besides those every node has; nil: none
	Lab    lab.Options                         // further options of the control plane
}

// Cluster is a running cluster. The embedded part is its control plane.
type Cluster struct {
	*lab.Cluster

	Machines *machine.Set
	network  machine.Network
}

// Start starts a cluster and returns when all its nodes are Ready. If it fails, nothing is left
// running. Only one can run on a machine at a time.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	network, err := machine.PrepareNetwork(ctx, MachinesDir(o.Dir), o.Log)
	if err != nil {
		return nil, fmt.Errorf("preparing the network: %w", err)
	}
	c := &Cluster{network: network}
	if err := c.start(ctx, o); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context, o Options) error {
	options := o.Lab
	options.Dir, options.Tier, options.Log = o.Dir, 3, o.Log
	options.NetNS, options.ListenPort = c.network.NetNS, apiServerPort
	options.AdvertiseAddress = c.network.Gateway.String()
	var err error
	if c.Cluster, err = lab.Start(ctx, options); err != nil {
		return err
	}
	c.Machines, err = machine.Start(ctx, c.network, machine.Options{
		Dir:           MachinesDir(o.Dir),
		Count:         o.Nodes,
		Log:           o.Log,
		KubeletBinary: filepath.Join(c.Bin(), "kubelet"),
		NodeFiles:     c.KubeletFiles,
		Labels:        o.Labels,
	})
	if err != nil {
		return fmt.Errorf("starting the machines: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	return c.WaitReady(ctx, o.Nodes)
}

// Listen listens on a port of its own on the host's side of the machines' network: machines and pods reach the listener's
// address, and it is served from wherever the caller is.
func (c *Cluster) Listen(ctx context.Context) (net.Listener, error) {
	var listener net.Listener
	err := c.network.Do(func() error {
		var err error
		listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(c.network.Gateway.String(), "0"))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listening in network namespace %s: %w", c.network.NetNS, err)
	}
	return listener, nil
}

// Stop stops everything. Consoles and logs stay in the folder.
func (c *Cluster) Stop() error {
	var failed []error
	if c.Machines != nil {
		failed = append(failed, c.Machines.Stop())
		c.Machines = nil
	}
	if c.Cluster != nil {
		failed = append(failed, c.Cluster.Stop())
	}
	return errors.Join(append(failed, c.network.Remove())...)
}

// MachinesDir is the folder of the machines in a cluster's folder, for machine.Attach.
func MachinesDir(dir string) string { return filepath.Join(dir, "machines") }

// Clean stops what a cluster of any tier, whose owner has died, left running in dir, and removes
// what it wrote.
func Clean(dir string) error {
	failed := []error{lab.Clean(dir)}
	if _, err := os.Stat(MachinesDir(dir)); err == nil {
		failed = append(failed, removeNetwork(), os.RemoveAll(MachinesDir(dir)))
	}
	_ = os.Remove(dir) // only an empty folder goes
	return errors.Join(failed...)
}

// removeNetwork gives machines the time to follow their owner: the kernel kills them.
func removeNetwork() error {
	network := machine.Network{NetNS: NetNS}
	err := network.Remove()
	for range 50 {
		if err == nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
		err = network.Remove()
	}
	return err
}
