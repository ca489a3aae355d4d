package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rebootd/rebootd/pkg/agent"
	"github.com/rebootd/rebootd/pkg/host"
	"github.com/rebootd/rebootd/pkg/lock"
	"github.com/rebootd/rebootd/pkg/node"
	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/test/fleet/sim"
)

// A mutant is an agent that is broken on purpose: what it is made of lies to it, or does what it shouldn't. The simulation
// has to find each of them out.
type mutant struct {
	name string
	// means is what its agent does wrong.
	means string
	make  func(*box, *sim.Process, *agent.Parts)
	// shows is whether it can show in such a world at all; nil: in any.
	shows func(setup) bool
}

func mutants() []mutant {
	return []mutant{
		{"NoFencing", "takes for granted that its slot is still held", noFencing, nil},
		{"UncordonsBeforeHealthy", "takes every node for healthy", uncordonsBeforeHealthy, nil},
		{"RecordsAfterReboot", "announces the reboot only after its command", recordsAfterReboot, nil},
		{"ForgetsOwnCordon", "doesn't write down that the cordon is its own", rewritesRecord(`"cordon":"ours"`, `"cordon":"admin"`), nil},
		{"StealsCordon", "takes a person's cordon for its own", rewritesRecord(`"cordon":"admin"`, `"cordon":"ours"`), nil},
		{"FreesBeforeUncordon", "frees the slot before it uncordons", freesBeforeUncordon, nil},
		{"IgnoresConflicts", "writes on whatever version there is", ignoresConflicts, nil},
		{"RestartIsReboot", "takes a restart of its process for a reboot", restartIsReboot, nil},
		{"IgnoresPause", "doesn't look at the pause", ignoresPause, func(s setup) bool { return s.pauses }},
		{"IgnoresKured", "doesn't hold kured's lock", ignoresKured, func(s setup) bool { return s.kureds > 0 }},
		{"LeavesKuredEarly", "gives kured's lock back as soon as it holds it", leavesKuredEarly, func(s setup) bool { return s.kureds > 0 }},
		{"TakesTooMany", "takes one slot more than there are", takesTooMany, nil},
	}
}

// TestMutant shows that the simulation finds out what is wrong: each mutant within so many seeds.
func TestMutant(t *testing.T) {
	most := int64(1000)
	for _, m := range append(mutants(), turnMutants()...) {
		t.Run(m.name, func(t *testing.T) {
			if *oneSeed >= 0 {
				r := play(t, *oneSeed, m.make)
				t.Logf("%q\n%s", r.wrong, r.text(0))
				return
			}
			for seed := int64(1); seed <= most; seed++ {
				if s := newSetup(seed); s.nodes >= big || m.shows != nil && !m.shows(s) {
					continue // it would only take time
				}
				if r := play(t, seed, m.make); r.failed() {
					t.Logf("An agent that %s is caught by seed %d: %s", m.means, seed, r.wrong[0])
					return
				}
			}
			t.Errorf("An agent that %s gets through %d seeds.", m.means, most)
		})
	}
}

// meddlingNodes is a client for Nodes with some calls replaced.
type meddlingNodes struct {
	node.Nodes
	read  func(*corev1.Node)
	patch func(ctx context.Context, name string, pt types.PatchType, data []byte, o metav1.PatchOptions, sub ...string) (*corev1.Node, error)
}

func (c meddlingNodes) seen(n *corev1.Node, err error) (*corev1.Node, error) {
	if err == nil && c.read != nil {
		c.read(n)
	}
	return n, err
}

func (c meddlingNodes) Get(ctx context.Context, name string, o metav1.GetOptions) (*corev1.Node, error) {
	return c.seen(c.Nodes.Get(ctx, name, o))
}

func (c meddlingNodes) List(ctx context.Context, o metav1.ListOptions) (*corev1.NodeList, error) {
	list, err := c.Nodes.List(ctx, o)
	for i := range list.Items {
		_, _ = c.seen(&list.Items[i], err)
	}
	return list, err
}

func (c meddlingNodes) Watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	w, err := c.Nodes.Watch(ctx, o)
	if err != nil {
		return nil, err
	}
	return watch.Filter(w, func(e watch.Event) (watch.Event, bool) {
		if n, ok := e.Object.(*corev1.Node); ok {
			_, _ = c.seen(n, nil)
		}
		return e, true
	}), nil
}

func (c meddlingNodes) Patch(ctx context.Context, name string, pt types.PatchType, data []byte, o metav1.PatchOptions, sub ...string) (*corev1.Node, error) {
	if c.patch != nil {
		return c.seen(c.patch(ctx, name, pt, data, o, sub...))
	}
	return c.seen(c.Nodes.Patch(ctx, name, pt, data, o, sub...))
}

// meddlingLeases is a client for Leases with some calls replaced.
type meddlingLeases struct {
	lock.Leases
	mute bool // renewals are not sent
	keep bool // nothing is deleted
	get  func(ctx context.Context, name string) (*coordinationv1.Lease, error)
	list func(*coordinationv1.LeaseList)
}

func (c meddlingLeases) Get(ctx context.Context, name string, o metav1.GetOptions) (*coordinationv1.Lease, error) {
	if c.get != nil {
		return c.get(ctx, name)
	}
	return c.Leases.Get(ctx, name, o)
}

func (c meddlingLeases) List(ctx context.Context, o metav1.ListOptions) (*coordinationv1.LeaseList, error) {
	list, err := c.Leases.List(ctx, o)
	if err == nil && c.list != nil {
		c.list(list)
	}
	return list, err
}

func withLeases(parts *agent.Parts, change func(*meddlingLeases)) {
	groups := parts.Groups
	parts.Groups = func(name, members string) *lock.Group {
		g := groups(name, members)
		c := meddlingLeases{Leases: g.Leases}
		change(&c)
		g.Leases = c
		return g
	}
}

func noFencing(b *box, _ *sim.Process, parts *agent.Parts) {
	withLeases(parts, func(c *meddlingLeases) {
		c.get = func(_ context.Context, name string) (*coordinationv1.Lease, error) {
			l := &coordinationv1.Lease{}
			l.Name, l.UID = name, types.UID(b.Record().LeaseUID)
			if held := b.Lease(); l.UID == "" && held != nil {
				l.UID = held.UID // for the cordon, which comes before the record
			}
			return l, nil
		}
	})
}

func uncordonsBeforeHealthy(_ *box, _ *sim.Process, parts *agent.Parts) {
	parts.Writer.Nodes = meddlingNodes{Nodes: parts.Writer.Nodes, read: func(n *corev1.Node) {
		n.Status.NodeInfo.BootID = ""
		for i := range n.Status.Conditions {
			if c := &n.Status.Conditions[i]; c.Type == corev1.NodeReady {
				c.Status = corev1.ConditionTrue
			}
		}
	}}
}

// recordIn is the record that a patch writes.
func recordIn(patch []byte) plan.Record {
	var p struct {
		Metadata struct{ Annotations map[string]*string }
	}
	_ = json.Unmarshal(patch, &p)
	if text := p.Metadata.Annotations[node.StateAnnotation]; text != nil {
		r, _ := plan.ParseRecord(*text)
		return r
	}
	return plan.Record{}
}

// late is a write that is kept back until the command has run.
type late struct {
	meddlingNodes
	box  *box
	send func()
	seen *corev1.Node
}

func (l *late) write(ctx context.Context, name string, pt types.PatchType, data []byte, o metav1.PatchOptions, sub ...string) (*corev1.Node, error) {
	r := recordIn(data)
	if r.Phase != plan.Rebooting || !r.Issued.IsZero() {
		l.seen = nil
		return l.Nodes.Patch(ctx, name, pt, data, o, sub...)
	}
	n := l.box.Node()
	n.Annotations[node.StateAnnotation] = r.String()
	version, _ := strconv.Atoi(n.ResourceVersion)
	n.ResourceVersion = strconv.Itoa(version + 1)
	l.seen = n
	l.send = func() { _, _ = l.Nodes.Patch(context.Background(), name, pt, data, o, sub...) }
	return n.DeepCopy(), nil
}

func (l *late) Get(ctx context.Context, name string, o metav1.GetOptions) (*corev1.Node, error) {
	if l.seen != nil {
		return l.seen.DeepCopy(), nil
	}
	return l.Nodes.Get(ctx, name, o)
}

// reboots runs the command first.
type reboots struct {
	agent.Rebooter
	then func()
}

func (r reboots) Reboot(ctx context.Context) host.Result {
	res := r.Rebooter.Reboot(ctx)
	r.then()
	return res
}

func recordsAfterReboot(b *box, _ *sim.Process, parts *agent.Parts) {
	l := &late{meddlingNodes: meddlingNodes{Nodes: parts.Writer.Nodes}, box: b, send: func() {}}
	l.patch = l.write
	parts.Writer.Nodes = l
	parts.Rebooter = reboots{parts.Rebooter, func() { l.send() }}
}

// rewritesRecord changes what is written into the record.
func rewritesRecord(from, to string) func(*box, *sim.Process, *agent.Parts) {
	from, to = strings.ReplaceAll(from, `"`, `\"`), strings.ReplaceAll(to, `"`, `\"`)
	return func(_ *box, _ *sim.Process, parts *agent.Parts) {
		actual := parts.Writer.Nodes
		parts.Writer.Nodes = meddlingNodes{Nodes: actual, patch: func(ctx context.Context, name string, pt types.PatchType, data []byte, o metav1.PatchOptions, sub ...string) (*corev1.Node, error) {
			return actual.Patch(ctx, name, pt, []byte(strings.Replace(string(data), from, to, 1)), o, sub...)
		}}
	}
}

func freesBeforeUncordon(_ *box, p *sim.Process, parts *agent.Parts) {
	actual := parts.Writer.Nodes
	parts.Writer.Nodes = meddlingNodes{Nodes: actual, patch: func(ctx context.Context, name string, pt types.PatchType, data []byte, o metav1.PatchOptions, sub ...string) (*corev1.Node, error) {
		if r := recordIn(data); r.Phase == plan.Settle {
			uid := types.UID(r.LeaseUID)
			_ = p.Client.Leases("ns").Delete(ctx, r.Slot, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
		}
		return actual.Patch(ctx, name, pt, data, o, sub...)
	}}
}

func ignoresConflicts(_ *box, _ *sim.Process, parts *agent.Parts) {
	actual := parts.Writer.Nodes
	parts.Writer.Nodes = meddlingNodes{Nodes: actual, patch: func(ctx context.Context, name string, pt types.PatchType, data []byte, o metav1.PatchOptions, sub ...string) (*corev1.Node, error) {
		var p map[string]map[string]any
		_ = json.Unmarshal(data, &p)
		delete(p["metadata"], "resourceVersion")
		data, _ = json.Marshal(p)
		return actual.Patch(ctx, name, pt, data, o, sub...)
	}}
}

func restartIsReboot(_ *box, p *sim.Process, parts *agent.Parts) {
	actual := parts.BootID
	parts.BootID = func() (string, error) {
		id, err := actual()
		return fmt.Sprintf("%s.%d", id, p.Number), err
	}
}

func takesTooMany(_ *box, _ *sim.Process, parts *agent.Parts) {
	groups := parts.Groups
	parts.Groups = func(name, members string) *lock.Group {
		g := groups(name, members)
		g.Slots++
		return g
	}
}
