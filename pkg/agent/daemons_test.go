package agent_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rebootd/rebootd/pkg/agent"
	"github.com/rebootd/rebootd/pkg/node"
	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/test/fleet/sim"
)

// slowPods is a node without DaemonSets whose pods take their time to be read.
type slowPods struct {
	takes time.Duration
	mu    sync.Mutex
	lists []time.Time
	open  int // watches
}

func (p *slowPods) List(ctx context.Context, _ metav1.ListOptions) (*corev1.PodList, error) {
	p.mu.Lock()
	p.lists = append(p.lists, time.Now())
	p.mu.Unlock()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(p.takes):
		return &corev1.PodList{ListMeta: metav1.ListMeta{ResourceVersion: "1"}}, nil
	}
}

func (p *slowPods) Watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	if o.SendInitialEvents != nil {
		return nil, errors.New("not supported")
	}
	p.count(1)
	context.AfterFunc(ctx, func() { p.count(-1) })
	return watch.NewRaceFreeFake(), nil
}

func (p *slowPods) count(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open += n
}

// What is read under the slot is read at the same time, and what is needed after a reboot is being read while that is written down.
func TestDaemonsAreReadBesideTheRest(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		s := sim.NewServer()
		m := sim.NewMachine(t, s, "worker")
		pods := &slowPods{takes: 2 * time.Second}
		m.Parts = func(_ *sim.Process, p *agent.Parts) {
			p.Daemons = &node.Daemons{Pods: pods, NodeName: "worker"}
			p.BootedAt = func() (time.Time, error) { return time.Now(), nil }
		}
		var taken, cordoned, recovering time.Time
		first := func(at *time.Time, when bool) {
			if when && at.IsZero() {
				*at = time.Now()
			}
		}
		s.Changed = func(sim.Change) {
			r, _ := plan.ParseRecord(s.Objects(sim.NodeKind)["worker"].GetAnnotations()[node.StateAnnotation])
			first(&taken, len(s.Objects(sim.LeaseKind)) == 1)
			first(&cordoned, r.Phase == plan.Drain)
			first(&recovering, r.Phase == plan.Recovering)
		}
		m.Meddle = func(_ *sim.Process, c sim.Call) sim.Outcome {
			if c.Verb == "list" && c.Kind == sim.NodeKind || c.Verb == "patch" && m.Boots > 1 {
				time.Sleep(2 * time.Second)
			}
			return sim.Outcome{}
		}
		go m.Live(ctx)
		m.Reaches(plan.Drain)
		m.Back(1)
		pods.mu.Lock()
		defer pods.mu.Unlock()
		if d := cordoned.Sub(taken); d > 3*time.Second {
			t.Errorf("the cordon came %s after the take: one after the other?", d)
		}
		last := pods.lists[len(pods.lists)-1]
		if recovering.IsZero() || !last.Before(recovering) {
			t.Errorf("the pods were asked for at %s, and it was written at %s that the node is back", last, recovering)
		}
		if pods.open != 0 {
			t.Errorf("%d watches are left", pods.open)
		}
	})
}
