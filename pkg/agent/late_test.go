package agent_test

import (
	"context"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rebootd/rebootd/pkg/agent"
	"github.com/rebootd/rebootd/pkg/lock"
	"github.com/rebootd/rebootd/pkg/node"
	"github.com/rebootd/rebootd/pkg/node/drain"
	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/test/fleet/sim"
)

// A cordon to which no answer came, and which the API server carries out when the agent has changed its mind, must not find the slot
// freed. (The agent's next word to the Node would make it a conflict, but that may be long in coming too.)
func TestLateCordon(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		s := sim.NewServer()
		m := sim.NewMachine(t, s, "worker")
		s.Changed = func(sim.Change) {
			n := s.Objects(sim.NodeKind)["worker"]
			r, _ := plan.ParseRecord(n.GetAnnotations()[node.StateAnnotation])
			if r.Out() && s.Objects(sim.LeaseKind)[r.Slot] == nil {
				t.Errorf("it is out of service without a slot: %s", r)
			}
		}
		late, began := false, time.Now()
		m.Meddle = func(_ *sim.Process, c sim.Call) sim.Outcome {
			leases, _ := s.List(sim.LeaseKind, nil)
			switch {
			case c.Verb != "patch" || c.Kind != sim.NodeKind:
				return sim.Outcome{}
			case late && time.Since(began) < time.Minute:
				return sim.Outcome{Before: errLost}
			case late || len(leases) == 0:
				return sim.Outcome{}
			}
			late, began = true, time.Now()
			m.Set(func() { m.Gate.Open, m.Gate.Reason, m.Gate.Message = false, plan.Held, "Held." })
			return sim.Outcome{Late: 30 * time.Second}
		}
		go m.Live(ctx)
		m.Until("the cordon is on its way", time.Minute, func() bool { return late })
		m.Pass(10 * time.Minute)
		if m.Node().Spec.Unschedulable || m.Lease() != nil {
			t.Errorf("unschedulable %v, lease %v", m.Node().Spec.Unschedulable, m.Lease())
		}
		m.Set(func() { m.Gate.Open = true })
		m.Back(1)
	})
}

// A slot that was asked for before the machine went down, and is created only when its next agent has looked, is given back.
func TestLateTake(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		s := sim.NewServer()
		m := sim.NewMachine(t, s, "worker")
		asked := false
		m.Meddle = func(_ *sim.Process, c sim.Call) sim.Outcome {
			if c.Verb != "create" {
				return sim.Outcome{}
			}
			asked = true
			return sim.Outcome{Late: 50 * time.Second}
		}
		go m.Live(ctx)
		m.Until("the slot is asked for", time.Minute, func() bool { return asked })
		m.Down <- struct{}{}
		m.Pass(10 * time.Minute)
		if m.Boots != 2 || m.Record().Phase != plan.Idle || m.Lease() != nil {
			t.Errorf("boot %d, record %s, lease %v", m.Boots, m.Record(), m.Lease())
		}
	})
}

// The same where many wait, so that a node which has nothing to do takes its time with the slots: also shortly before it doesn't look at them any more.
func TestLateTakeAmongMany(t *testing.T) {
	for _, late := range []time.Duration{50 * time.Second, 119500 * time.Millisecond} {
		t.Run(late.String(), func(t *testing.T) {
			inBubble(t, func(t *testing.T, ctx context.Context) {
				s := sim.NewServer()
				m := sim.NewMachine(t, s, "worker")
				m.Set(func() { m.Wanted = plan.No })
				go m.Live(ctx)
				m.Until("it looks at the slots", time.Minute, func() bool { return m.Told().Status == corev1.ConditionFalse })
				other := slotOf("another", "1000")
				if err := s.Create(nil, sim.LeaseKind, other); err != nil {
					t.Fatal(err)
				}
				if err := s.Remove(nil, sim.LeaseKind, other.Name, nil); err != nil {
					t.Fatal(err)
				}
				m.Pass(late)
				n := m.Node()
				mine := slotOf("worker", "")
				mine.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: n.Name, UID: n.UID}}
				if err := s.Create(nil, sim.LeaseKind, mine); err != nil {
					t.Fatal(err)
				}
				m.Pass(9 * time.Second)
				if m.Lease() != nil {
					t.Error("it keeps a slot that it has no use for")
				}
			})
		})
	}
}

func slotOf(holder, waiting string) *coordinationv1.Lease {
	l := &coordinationv1.Lease{Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder}}
	l.Name, l.Namespace = lock.Name("default", 0), "ns"
	l.Labels = map[string]string{lock.GroupLabel: "default"}
	l.Annotations = map[string]string{lock.WaitingAnnotation: waiting, lock.NextAnnotation: "another"}
	return l
}

// A slot that the agent has begun to free is not used again, though it is still there: the request may be on its way.
func TestLateFree(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		s := sim.NewServer()
		m := sim.NewMachine(t, s, "worker")
		m.Policy.DrainDelay, m.PodsFor = 10*time.Second, 2*time.Minute
		s.Changed = func(sim.Change) {
			r, _ := plan.ParseRecord(s.Objects(sim.NodeKind)["worker"].GetAnnotations()[node.StateAnnotation])
			if l := s.Objects(sim.LeaseKind)[r.Slot]; r.Out() && (l == nil || string(l.GetUID()) != r.LeaseUID) {
				t.Errorf("it is out of service without a slot: %s", r)
			}
		}
		late := false
		m.Meddle = func(_ *sim.Process, c sim.Call) sim.Outcome {
			if c.Verb != "delete" || late {
				return sim.Outcome{}
			}
			late = true
			m.Set(func() { m.Gate.Open = true })
			return sim.Outcome{Late: 40 * time.Second}
		}
		go m.Live(ctx)
		m.Until("the slot is held", time.Minute, func() bool { return m.Lease() != nil })
		m.Set(func() { m.Gate.Open, m.Gate.Reason, m.Gate.Message = false, plan.Held, "Held." })
		m.Back(1)
		if !late {
			t.Error("no slot was freed")
		}
	})
}

// A slot that an earlier process took is given back even when a gate has closed since: it isn't kept from the others.
func TestSlotOfEarlierProcess(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		m := sim.NewMachine(t, sim.NewServer(), "worker")
		m.Policy.DrainDelay = time.Hour
		p := m.Start()
		m.Until("the slot is held", time.Minute, func() bool { return m.Lease() != nil })
		p.Kill()
		m.Set(func() { m.Gate.Open, m.Gate.Reason, m.Gate.Message = false, plan.Held, "Held." })
		go m.Live(ctx)
		m.Until("the slot is free", time.Minute, func() bool { return m.Lease() == nil })
		m.Pass(time.Minute)
		if c := m.Told(); c.Reason != string(plan.Held) {
			t.Errorf("%+v", c)
		}
	})
}

// A drain is not begun as long as a write that gives the reboot up may still come: here it comes while the slot is proved.
func TestLateAbort(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		m := sim.NewMachine(t, sim.NewServer(), "worker")
		m.Policy.GateGrace, m.PodsFor = 0, time.Minute
		m.OnDrain = func(ctx context.Context, _ *sim.Process, _ drain.Way, _ func(drain.Progress)) error {
			if r := m.Record(); r.Phase != plan.Drain {
				t.Errorf("it drains with the record %s", r)
			}
			select {
			case <-time.After(time.Minute):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		closed, late := false, false
		m.Meddle = func(_ *sim.Process, c sim.Call) sim.Outcome {
			switch {
			case late && c.Verb == "get" && c.Kind == sim.LeaseKind:
				return sim.Outcome{Answers: 8 * time.Second}
			case c.Verb == "patch" && c.Kind == sim.NodeKind && closed && !late:
				late = true
				m.Set(func() { m.Gate.Open = true })
				return sim.Outcome{Late: 15 * time.Second}
			}
			return sim.Outcome{}
		}
		go m.Live(ctx)
		m.Reaches(plan.Drain)
		m.Set(func() { closed, m.Gate.Open, m.Gate.Reason, m.Gate.Message = true, false, plan.Held, "Held." })
		m.Until("it gives up", time.Minute, func() bool { return late })
		m.Back(1)
	})
}

// That the slot is held is known as of when it was asked, however long the answer took: a slot freed since isn't drained under.
func TestLateProof(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		s := sim.NewServer()
		m := sim.NewMachine(t, s, "worker")
		freed := false
		m.Parts = func(p *sim.Process, _ *agent.Parts) {
			p.Client.Due = func() time.Time { // nothing tells it before the drain is over
				if freed {
					return time.Now().Add(time.Minute)
				}
				return time.Now()
			}
		}
		m.OnDrain = func(context.Context, *sim.Process, drain.Way, func(drain.Progress)) error {
			if m.Lease() == nil {
				t.Error("it drains without a slot")
			}
			return nil
		}
		m.Meddle = func(_ *sim.Process, c sim.Call) sim.Outcome {
			if c.Verb != "get" || c.Kind != sim.LeaseKind || freed {
				return sim.Outcome{}
			}
			freed = true
			go func() {
				time.Sleep(8 * time.Second)
				if err := s.Remove(nil, sim.LeaseKind, m.Lease().GetName(), nil); err != nil {
					t.Error(err)
				}
			}()
			return sim.Outcome{Answers: 8500 * time.Millisecond}
		}
		go m.Live(ctx)
		m.Until("the slot is freed", time.Minute, func() bool { return freed })
		m.Back(1)
	})
}
