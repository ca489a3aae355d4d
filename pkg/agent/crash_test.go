package agent

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/pkg/node"
	"github.com/rebootd/rebootd/pkg/plan"
)

// fault is what happens to one call of an agent.
type fault struct {
	name string
	out  outcome
	dies bool
}

var errLost = errors.New("connection reset by peer")

func faults() []fault {
	return []fault{
		{"refused", outcome{before: errLost}, false},
		{"answer lost", outcome{after: errLost}, false},
		{"crash before", outcome{before: errCrash}, true},
		{"crash after", outcome{after: errCrash}, true},
	}
}

// TestFaultAtEveryCall lets each call of a whole reboot fail, lose its answer, or be the last of its process. Whatever it was,
// the node reboots exactly once, holds its slot while it is out (the simulated API server and reboot command look), comes
// back into service without a person's help. Without a crash its first attempt is the only one: the process knows what it did.
func TestFaultAtEveryCall(t *testing.T) {
	calls := 0
	for _, f := range faults() {
		for at := 1; at == 1 || at <= calls; at++ {
			t.Run(fmt.Sprintf("%s at %d", f.name, at), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { calls = max(calls, oneFault(t, f, at)) })
			})
		}
	}
	if calls < 20 {
		t.Errorf("a whole reboot took %d calls only", calls)
	}
}

// oneFault returns how many calls were made.
func oneFault(t *testing.T, f fault, at int) int {
	s := newAPIServer()
	m := newMachine(t, s, "n1")
	calls, attempts := 0, 0
	s.check = func() {
		n, ok := s.objects[nodeKind]["n1"].(*corev1.Node)
		if !ok {
			return
		}
		r, err := plan.ParseRecord(n.Annotations[node.StateAnnotation])
		attempts = max(attempts, r.Attempts)
		held := false
		for _, l := range s.objects[leaseKind] {
			held = held || string(l.GetUID()) == r.LeaseUID
		}
		if err != nil || (n.Spec.Unschedulable || r.Out()) && !held {
			t.Errorf("unschedulable %v, but the slot is not held; record %s, %v", n.Spec.Unschedulable, r, err)
		}
	}
	m.meddle = func(p *process, c call) outcome {
		m.mu.Lock()
		defer m.mu.Unlock()
		if calls++; calls != at {
			return outcome{}
		}
		if f.dies {
			go p.die()
		}
		return f.out
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); m.live(ctx) }()
	m.back(1)
	m.pass(time.Hour)
	if !f.dies && attempts != 1 {
		t.Errorf("%d attempts\n%s", attempts, m.logged())
	}
	if n := m.node(); n.Spec.Unschedulable || m.commands != 1 || m.boot != 2 {
		t.Errorf("unschedulable %v, %d commands, boot %d\n%s", n.Spec.Unschedulable, m.commands, m.boot, m.logged())
	}
	cancel()
	<-ended
	m.mu.Lock()
	defer m.mu.Unlock()
	return calls
}
