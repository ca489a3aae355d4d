package fleet

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/rebootd/rebootd/pkg/agent"
	"github.com/rebootd/rebootd/pkg/gate"
	"github.com/rebootd/rebootd/pkg/kured"
	"github.com/rebootd/rebootd/test/fleet/sim"
	peer "github.com/rebootd/rebootd/test/kured"
)

// kureds are nodes of the same cluster that a kured reboots, which rebootd works beside with --kured-interlock.
type kureds struct {
	*peer.Server

	nodes, most int

	mu sync.Mutex
	// out are those that hold kured's lock and are out of service.
	out map[string]bool
}

// withKured lets some of the seeds have a kured beside. What else a seed is stays as it is without.
func (s setup) withKured(seed int64) setup {
	if c := newChance(seed, "kured"); c.one(6) && s.nodes < big {
		s.kureds, s.kuredMost = 1+c.IntN(3), 1+c.IntN(3)
		s.groups, s.percent = 0, 0 // kured knows neither
	}
	return s
}

func newKureds(s setup) *kureds {
	if s.kureds == 0 {
		return nil
	}
	k := &kureds{Server: &peer.Server{}, nodes: s.kureds, most: s.kuredMost, out: map[string]bool{}}
	k.Install(fmt.Sprintf("--concurrency=%d", s.kuredMost))
	return k
}

// count is how many are out.
func (k *kureds) count() int {
	if k == nil {
		return 0
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.out)
}

func (k *kureds) set(name string, out bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.out, name)
	if out {
		k.out[name] = true
	}
}

// play is the life of one of kured's nodes: it goes whenever it gets the lock, until nothing goes wrong any more.
func (k *kureds) play(w *world, i int) {
	n := peer.Node{ID: fmt.Sprintf("kured-%d", i), Concurrency: k.most, Now: time.Now}
	c := newChance(w.seed, n.ID)
	for w.ctx.Err() == nil && !w.isCalm() {
		got := false
		k.Change(func(d *appsv1.DaemonSet) {
			text, there := d.Annotations[peer.Annotation]
			// Kured itself takes a second place for a node that has one: such a node doesn't ask.
			next, write, ok, err := n.Acquire(text, there)
			if err != nil {
				w.fail(n.ID, "kured can't read its lock %q: %v", text, err)
			} else if got = ok; write {
				annotateLock(d, next, true)
			}
		})
		if !got {
			k.pause(w, c.between(time.Second, 20*time.Second))
			continue
		}
		out := c.between(10*time.Second, 3*time.Minute)
		for _, b := range w.there() {
			b.charge(out + 2*time.Minute)
		}
		w.tell(n.ID, "is taken out by kured for %s", out.Round(time.Second))
		k.set(n.ID, true)
		w.rules.lookBeside()
		k.pause(w, out)
		k.set(n.ID, false)
		k.Change(func(d *appsv1.DaemonSet) {
			text, there := d.Annotations[peer.Annotation]
			next, still, err := n.Release(text, there)
			if err != nil {
				w.fail(n.ID, "kured can't release its lock %q: %v", text, err)
				return
			}
			annotateLock(d, next, still)
		})
		k.pause(w, c.between(time.Second, time.Minute))
	}
}

// pause ends when the trouble does, too: then kured is done.
func (k *kureds) pause(w *world, d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end) && w.ctx.Err() == nil && !w.isCalm(); {
		time.Sleep(min(time.Second, time.Until(end)))
	}
}

func annotateLock(d *appsv1.DaemonSet, text string, there bool) {
	if d.Annotations == nil {
		d.Annotations = map[string]string{}
	}
	d.Annotations[peer.Annotation] = text
	if !there {
		delete(d.Annotations, peer.Annotation)
	}
}

// besideKured lets an agent work beside kured.
func (b *box) besideKured(p *sim.Process, parts *agent.Parts) {
	k := b.w.kured
	if k == nil {
		return
	}
	calls := newChance(b.w.seed, fmt.Sprintf("kured's calls %s %d", b.Name, p.Number))
	var mu sync.Mutex
	fails := func(what string) func() error {
		return func() error {
			mu.Lock()
			bad := calls.IntN(1000) < b.w.callFaults
			mu.Unlock()
			if !bad || !b.w.fault("kured's lock: "+what) {
				return nil
			}
			b.charge(2 * time.Minute)
			return errors.New(what)
		}
	}
	c := &peer.Client{Server: k.Server, Dead: p.Gone, Before: fails("never arrives"), After: fails("answer lost")}
	parts.Kured = gate.Kured{DaemonSets: c, Namespace: "kube-system", Name: "kured", Beside: func(d *appsv1.DaemonSet) (string, error) {
		_, err := kured.Of(d, peer.Annotation)
		return "", err
	}}
	parts.KuredLock = &kured.Interlock{
		DaemonSets: c, Namespace: "kube-system", Name: "kured", Annotation: peer.Annotation, Node: b.Name, Manager: "test", Now: parts.Now,
		Gone: func(_ context.Context, node string) (bool, error) {
			_, err := b.w.server.Get(sim.NodeKind, node)
			if apierrors.IsNotFound(err) {
				return true, nil
			}
			return false, err
		},
	}
}

// beside: with kured's nodes, no more are out than either allows.
func (r *rules) beside(out []string, may int) {
	if k := r.w.kured; k != nil && len(out) > 0 {
		n := k.count()
		for _, asked := range r.asked {
			may = max(may, asked) // kured goes by what it is told of who came last, also when that is gone
		}
		r.check(n+len(out) <= min(k.most, may), "world", "P1: %d of kured's are out and %q; kured allows %d, rebootd %d", n, out, k.most, may)
	}
}

// lookBeside looks when one of kured's goes out.
func (r *rules) lookBeside() {
	r.w.server.Look(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.most()
	})
}

// leftInKureds is who is still in kured's lock though it is in service.
func (w *world) leftInKureds() string {
	if w.kured == nil || w.kured.Text() == "" {
		return ""
	}
	l, err := kured.Parse(w.kured.Text())
	if err != nil {
		return err.Error()
	}
	for _, b := range w.there() {
		if !b.stubborn() && l.Holds(b.Name) {
			return b.Name + " holds kured's lock"
		}
	}
	return ""
}

// ignoresKured is an agent that doesn't hold kured's lock.
func ignoresKured(_ *box, _ *sim.Process, parts *agent.Parts) { parts.KuredLock = nil }

// early is a lock of kured's that is given back as soon as it is held.
type early struct{ agent.KuredLock }

func (e early) Take(ctx context.Context, rebootd int) error {
	if err := e.KuredLock.Take(ctx, rebootd); err != nil {
		return err
	}
	return e.Release(ctx, func() error { return nil })
}

func leavesKuredEarly(_ *box, _ *sim.Process, parts *agent.Parts) {
	if parts.KuredLock != nil {
		parts.KuredLock = early{parts.KuredLock}
	}
}
