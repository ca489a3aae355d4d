// Package cleanup takes rebootd out of a cluster: it stops the agents of one installation, brings back into service what they had taken
// out, and removes what they had written.
//
// The order is what makes it safe. First the agents' DaemonSets are deleted and their pods waited for, so that nobody writes after us.
// Then each Node is put right in one write on the version that was read (uncordon and record together, so that a crash in between
// forgets no cordon), then its slots are freed. Everything may be done again at any time: what is done already is passed over.
//
// Nodes on which another installation works are left to it: they are those that a DaemonSet of agents, other than those that are to go, would
// run on. What people wrote stays theirs: holds, requests that no reboot has honoured yet, the pause, and their cordons.
package cleanup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
)

// Manager names who writes, in managedFields.
const Manager = "rebootd-cleanup"

// AgentsSelector is the label by which DaemonSets of agents are known, whatever their names.
const AgentsSelector = "rebootd.io/agents=true"

// passes bounds how often all Nodes are looked at until there is nothing left to do.
const passes = 5

// Options say what is to go.
type Options struct {
	// DaemonSets are the agents'. None: nobody is stopped, and only nodes without an agent are put right.
	DaemonSets []types.NamespacedName
	// Selector chooses the Nodes; nil is all.
	Selector labels.Selector
	// Namespace is where their Leases and ConfigMaps are.
	Namespace string
	// Taints are keys of taints that the agents were configured with.
	Taints []string
	// Annotations are further ones that the agents were configured to set.
	Annotations []string
	// Kured is kured's DaemonSet, if the agents took part in its lock; KuredLock is the annotation.
	Kured     types.NamespacedName
	KuredLock string
	// AgentsTimeout is how long to wait for the agents' pods to be gone.
	AgentsTimeout time.Duration
}

// Nodes is the part of client-go's typed client that is needed; so are the other interfaces.
type Nodes interface {
	Get(ctx context.Context, name string, o metav1.GetOptions) (*corev1.Node, error)
	List(ctx context.Context, o metav1.ListOptions) (*corev1.NodeList, error)
	Patch(ctx context.Context, name string, pt types.PatchType, data []byte, o metav1.PatchOptions, subresources ...string) (*corev1.Node, error)
}

// DaemonSets are those of a namespace.
type DaemonSets interface {
	Get(ctx context.Context, name string, o metav1.GetOptions) (*appsv1.DaemonSet, error)
	List(ctx context.Context, o metav1.ListOptions) (*appsv1.DaemonSetList, error)
	Delete(ctx context.Context, name string, o metav1.DeleteOptions) error
	Patch(ctx context.Context, name string, pt types.PatchType, data []byte, o metav1.PatchOptions, subresources ...string) (*appsv1.DaemonSet, error)
}

// Pods are those of a namespace.
type Pods interface {
	List(ctx context.Context, o metav1.ListOptions) (*corev1.PodList, error)
}

// Leases are those of the agents' namespace.
type Leases interface {
	List(ctx context.Context, o metav1.ListOptions) (*coordinationv1.LeaseList, error)
	Delete(ctx context.Context, name string, o metav1.DeleteOptions) error
}

// ConfigMaps are those of the agents' namespace.
type ConfigMaps interface {
	Delete(ctx context.Context, name string, o metav1.DeleteOptions) error
}

// Cleaner does it. What it does and what it leaves is told on Out, a line each.
type Cleaner struct {
	Options
	Nodes      Nodes
	DaemonSets func(namespace string) DaemonSets
	Pods       func(namespace string) Pods
	Leases     Leases
	ConfigMaps ConfigMaps
	Out        io.Writer
	Now        func() time.Time
	// Pause is between two looks; zero is a second.
	Pause time.Duration

	telling sync.Mutex
	// failed are the nodes that couldn't be put right. They keep their slots. Nil: none was looked at.
	failed map[string]error
}

// Run does all of it. After an error, whatever could be done is done; to do the rest, run it again.
func (c *Cleaner) Run(ctx context.Context) error {
	if err := c.stopAgents(ctx); err != nil {
		return err
	}
	var err error
	for range passes {
		var wrote bool
		wrote, err = c.tidyNodes(ctx)
		if !wrote || err != nil {
			break
		}
	}
	if c.failed == nil { // no Node was even seen
		return err
	}
	others, unknown := c.others(ctx)
	if unknown != nil {
		return errors.Join(err, unknown)
	}
	return errors.Join(err, c.freeSlots(ctx, others), c.forgetFailures(ctx, others), c.leaveKured(ctx, others))
}

func (c *Cleaner) tell(format string, args ...any) {
	c.telling.Lock()
	defer c.telling.Unlock()
	_, _ = fmt.Fprintf(c.Out, format+"\n", args...) // there is nobody else to tell
}

// wait is false when ctx has ended.
func (c *Cleaner) wait(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(cmp.Or(c.Pause, time.Second)):
		return true
	}
}
