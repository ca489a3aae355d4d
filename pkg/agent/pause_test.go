package agent_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rebootd/rebootd/pkg/agent"
	"github.com/rebootd/rebootd/pkg/gate"
	"github.com/rebootd/rebootd/pkg/pause"
	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/test/fleet/sim"
)

func pausable(t *testing.T) *sim.Machine {
	t.Helper()
	m := sim.NewMachine(t, sim.NewServer(), "worker")
	m.Pausable = true
	return m
}

// pause writes the ConfigMap as a person would.
func pauseBy(m *sim.Machine, pairs ...string) {
	m.T.Helper()
	data := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		data[pairs[i]] = pairs[i+1]
	}
	if err := m.Server.Create(nil, sim.ConfigMapKind, sim.ConfigMap(pause.ConfigMap, data)); err != nil {
		m.T.Error(err)
	}
}

func resume(m *sim.Machine) {
	m.T.Helper()
	if err := m.Server.Remove(nil, sim.ConfigMapKind, pause.ConfigMap, nil); err != nil {
		m.T.Error(err)
	}
}

func says(m *sim.Machine, reason plan.Reason, texts ...string) func() bool {
	return func() bool {
		c := m.Told()
		for _, text := range texts {
			if !strings.Contains(c.Message, text) {
				return false
			}
		}
		return c.Reason == string(reason)
	}
}

// A node that is paused costs nothing, and knows at once when it isn't any more.
func TestPause(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		m := pausable(t)
		pauseBy(m, "paused", "true", "reason", "black friday")
		go m.Live(ctx)
		m.Until("paused", time.Minute, says(m, plan.Paused, "black friday", "kubectl delete configmap -n ns rebootd-control"))
		m.Pass(time.Minute)
		before := m.Running().Client.Count("")
		m.Pass(24 * time.Hour)
		if n := m.Running().Client.Count(""); n != before || m.Lease() != nil || m.Node().Spec.Unschedulable {
			t.Errorf("paused: %d requests in a day, lease %v, cordoned %v", n-before, m.Lease(), m.Node().Spec.Unschedulable)
		}
		annotate(m, "request-now", "at once")
		m.Pass(time.Minute)
		if c := m.Told(); c.Reason != string(plan.Paused) {
			t.Errorf("with a request-now: %+v", c)
		}
		resume(m)
		m.Until("goes on", 5*time.Second, func() bool { return m.Lease() != nil })
		m.Back(1)
	})
}

// It ends by itself at the time that was said.
func TestPauseUntil(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		m := pausable(t)
		end := time.Now().Add(90*time.Minute + 7*time.Second).Truncate(time.Second)
		pauseBy(m, "paused", "true", "until", end.Format(time.RFC3339))
		go m.Live(ctx)
		m.Pass(time.Until(end) - time.Second)
		if c := m.Told(); c.Reason != string(plan.Paused) || m.Lease() != nil {
			t.Errorf("a second before the end: %+v, lease %v", c, m.Lease())
		}
		m.Until("goes on", 6*time.Second, func() bool { return m.Lease() != nil })
		m.Back(1)
	})
}

// What can't be read is a pause that says so; it is never taken for none.
func TestPauseUnreadable(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		m := pausable(t)
		pauseBy(m, "paused", "yes")
		go m.Live(ctx)
		m.Pass(3 * time.Hour)
		if !says(m, plan.GateError, "ConfigMap ns/rebootd-control", "key paused", `"true" or "false"`)() || m.Lease() != nil || m.Commands > 0 {
			t.Errorf("%+v", m.Told())
		}
		resume(m)
		m.Back(1)
	})
}

// In mid-drain it has the node wait out of service for a time; then the node goes back, and waits there.
func TestPauseWhileDraining(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		m := pausable(t)
		m.PodsFor = time.Hour
		m.Policy.DrainTimeout = 0
		go m.Live(ctx)
		m.Until("draining", time.Minute, func() bool { return m.Draining == 1 })
		pauseBy(m, "paused", "true")
		m.Until("stopped", time.Second, func() bool { return m.Draining == 0 && says(m, plan.Paused)() })
		m.Pass(time.Minute)
		resume(m)
		m.Until("draining again", time.Second, func() bool { return m.Draining == 1 })
		m.Pass(time.Minute)
		pauseBy(m, "paused", "true")
		m.Until("back in service", 6*time.Minute, func() bool { return !m.Node().Spec.Unschedulable && m.Lease() == nil })
		m.Pass(24 * time.Hour)
		if c := m.Told(); c.Reason != string(plan.Paused) || m.Commands > 0 || m.Node().Spec.Unschedulable {
			t.Errorf("%+v, %d commands", c, m.Commands)
		}
		resume(m)
		m.Set(func() { m.PodsFor = time.Second })
		m.Back(1)
	})
}

// A watch that lags lets nothing through: before the cordon, and before the reboot command, the ConfigMap is read.
func TestPauseBehindTheWatch(t *testing.T) {
	for name, delay := range map[string]func(*plan.Policy){
		"before the cordon":  func(p *plan.Policy) { p.DrainDelay = 10 * time.Minute },
		"before the command": func(p *plan.Policy) { p.RebootDelay = 10 * time.Minute },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, ctx context.Context) {
				m := pausable(t)
				m.Policy.TurnTime = 24 * time.Hour
				m.Policy.GateGrace = 24 * time.Hour
				delay(&m.Policy)
				var lag sync.Map // "" while events come at once
				m.Parts = func(p *sim.Process, _ *agent.Parts) {
					p.Client.Due = func() time.Time {
						if _, lags := lag.Load(""); lags {
							return time.Now().Add(2 * time.Hour)
						}
						return time.Now()
					}
				}
				go m.Live(ctx)
				m.Until("delayed", time.Minute, says(m, map[bool]plan.Reason{true: plan.SlotTaken, false: plan.Draining}[m.Policy.DrainDelay > 0], "delay of 10m0s"))
				lag.Store("", true)
				pauseBy(m, "paused", "true")
				cordoned := m.Node().Spec.Unschedulable
				m.Pass(time.Hour)
				if !says(m, plan.Paused)() || m.Commands > 0 || m.Node().Spec.Unschedulable != cordoned {
					t.Errorf("paused: %+v, %d commands, cordoned %v", m.Told(), m.Commands, m.Node().Spec.Unschedulable)
				}
				lag.Delete("")
				resume(m)
				m.Back(1)
			})
		})
	}
}

// silentPods are pods of which a watch knows nothing: its list comes first and has none, and no event follows.
type silentPods struct {
	mu    sync.Mutex
	pods  []metav1.PartialObjectMetadata
	lists int
}

func (s *silentPods) List(context.Context, metav1.ListOptions) (*metav1.PartialObjectMetadataList, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := &metav1.PartialObjectMetadataList{ListMeta: metav1.ListMeta{ResourceVersion: "1"}}
	if s.lists++; s.lists > 1 {
		list.Items = append(list.Items, s.pods...)
	}
	return list, nil
}

func (s *silentPods) Watch(_ context.Context, o metav1.ListOptions) (watch.Interface, error) {
	if o.SendInitialEvents != nil {
		return nil, errors.New("not supported")
	}
	return watch.NewRaceFreeFake(), nil
}

func (s *silentPods) set(pods ...metav1.PartialObjectMetadata) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pods = pods
}

// A pod that the watch doesn't show is seen by the read before the cordon. The node gives its slot to others, doesn't take
// it again at every moment, and doesn't count that as a failure.
func TestPodBehindTheWatch(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		m, pods := sim.NewMachine(t, sim.NewServer(), "worker"), &silentPods{}
		m.Pods = gate.Pods{Metadata: pods, NodeName: "worker", Hold: "rebootd.io/hold", Now: time.Now}
		pods.set(metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
			Namespace: "ns", Name: "db", UID: "1", ResourceVersion: "1", Annotations: map[string]string{"rebootd.io/hold": "moving"},
		}})
		go m.Live(ctx)
		m.Until("blocked", 2*time.Minute, says(m, plan.BlockedByPod, "ns/db"))
		taken := func() (n int) {
			for _, c := range m.Running().Client.Calls() {
				if c.Verb == "create" && c.Kind == sim.LeaseKind {
					n++
				}
			}
			return n
		}
		before := taken()
		m.Pass(time.Minute)
		if n := taken() - before; n > 31 || n < 10 || m.Node().Spec.Unschedulable || m.Commands > 0 || m.Record().BackOff != nil {
			t.Errorf("%d slots taken in a minute, cordoned %v, record %s", n, m.Node().Spec.Unschedulable, m.Record())
		}
		pods.set()
		m.Back(1)
	})
}
