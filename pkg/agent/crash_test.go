package agent_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/pkg/node"
	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/test/fleet/sim"
)

// fault is what happens to one call of an agent.
type fault struct {
	name string
	out  sim.Outcome
	dies bool
}

var errLost = errors.New("connection reset by peer")

func faults() []fault {
	return []fault{
		{"refused", sim.Outcome{Before: errLost}, false},
		{"answer lost", sim.Outcome{After: errLost}, false},
		{"crash before", sim.Outcome{Before: sim.ErrCrash}, true},
		{"crash after", sim.Outcome{After: sim.ErrCrash}, true},
	}
}

// TestFaultAtEveryCall lets each call of a whole reboot fail, lose its answer, or be the last of its process. Whatever it was,
// the node reboots exactly once, holds its slot while it is out (the simulated API server and reboot command look), comes
// back into service without a person's help. Without a crash its first attempt is the only one: the process knows what it did.
func TestFaultAtEveryCall(t *testing.T) {
	everyCall(t, faults(), func(*sim.Machine) {})
	if !testing.Short() {
		everyCall(t, faults()[3:], givesUpOnce) // with one fault only, because it takes long
	}
}

// TestCrashAtEveryCallOfARequest is the same for crashes and a request, which stays on the Node and is honoured once all the same.
func TestCrashAtEveryCallOfARequest(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long")
	}
	everyCall(t, faults()[3:], func(m *sim.Machine) {
		m.Wanted = plan.No
		m.Patch(`{"metadata":{"annotations":{"rebootd.io/request":"please"}}}`)
	})
}

// givesUpOnce makes the machine a control plane whose first drain takes too long.
func givesUpOnce(m *sim.Machine) {
	m.GroupLabel, m.Threshold = "pool", 3
	m.Patch(fmt.Sprintf(controlPlane, "a"))
	m.PodsFor, m.Policy.DrainTimeout, m.Policy.BackOff = time.Hour, time.Minute, time.Minute
	go func() {
		for m.Record().BackOff == nil {
			time.Sleep(time.Second)
		}
		m.Set(func() { m.PodsFor = time.Second })
	}()
}

func everyCall(t *testing.T, faults []fault, prepare func(*sim.Machine)) {
	calls := 0
	for _, f := range faults {
		for at := 1; at == 1 || at <= calls; at++ {
			t.Run(fmt.Sprintf("%s at %d", f.name, at), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { calls = max(calls, oneFault(t, f, at, prepare)) })
			})
		}
	}
	if calls < 20 {
		t.Errorf("a whole reboot took %d calls only", calls)
	}
}

// oneFault returns how many calls were made.
func oneFault(t *testing.T, f fault, at int, prepare func(*sim.Machine)) int {
	s := sim.NewServer()
	m := sim.NewMachine(t, s, "n1")
	prepare(m)
	var mu sync.Mutex
	calls, attempts := 0, 0
	s.Changed = func(sim.Change) {
		n, ok := s.Objects(sim.NodeKind)["n1"].(*corev1.Node)
		if !ok {
			return
		}
		r, err := plan.ParseRecord(n.Annotations[node.StateAnnotation])
		attempts = max(attempts, r.Attempts)
		held := false
		for _, l := range s.Objects(sim.LeaseKind) {
			held = held || string(l.GetUID()) == r.LeaseUID
		}
		if err != nil || (n.Spec.Unschedulable || r.Out()) && !held {
			t.Errorf("unschedulable %v, but the slot is not held; record %s, %v", n.Spec.Unschedulable, r, err)
		}
	}
	m.Meddle = func(p *sim.Process, _ sim.Call) sim.Outcome {
		mu.Lock()
		defer mu.Unlock()
		if calls++; calls != at {
			return sim.Outcome{}
		}
		if f.dies {
			go p.Die()
		}
		return f.out
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); m.Live(ctx) }()
	m.Back(1)
	m.Pass(time.Hour)
	if !f.dies && attempts != 1 {
		t.Errorf("%d attempts\n%s", attempts, m.Logged())
	}
	if n := m.Node(); n.Spec.Unschedulable || m.Commands != 1 || m.Boots != 2 {
		t.Errorf("unschedulable %v, %d commands, boot %d\n%s", n.Spec.Unschedulable, m.Commands, m.Boots, m.Logged())
	}
	cancel()
	<-ended
	mu.Lock()
	defer mu.Unlock()
	return calls
}
