package agent_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/pkg/agent"
	"github.com/rebootd/rebootd/pkg/gate"
	"github.com/rebootd/rebootd/pkg/kured"
	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/test/fleet/sim"
	peer "github.com/rebootd/rebootd/test/kured"
)

// beside lets a machine's agents work beside kured; without its lock they only look whether it is there.
func beside(m *sim.Machine, s *peer.Server, interlock bool) (clients func() []*peer.Client) {
	var all []*peer.Client
	m.Parts = func(p *sim.Process, parts *agent.Parts) {
		c := &peer.Client{Server: s, Dead: p.Gone}
		m.Set(func() { all = append(all, c) })
		present := gate.Kured{DaemonSets: c, Namespace: "kube-system", Name: "kured", Ours: func(d *appsv1.DaemonSet) bool {
			return kured.Ours(d, peer.Annotation)
		}}
		if interlock {
			present.Beside = func(d *appsv1.DaemonSet) (string, error) {
				if l, err := kured.Of(d, peer.Annotation); err != nil || !l.Manual(time.Now()) {
					return "", err
				}
				return "A person holds kured's lock.", nil
			}
			parts.KuredLock = &kured.Interlock{
				DaemonSets: c, Namespace: "kube-system", Name: "kured", Annotation: peer.Annotation, Node: m.Name, Manager: "test", Now: time.Now,
				Gone: func(context.Context, string) (bool, error) { return false, nil },
			}
		}
		parts.Kured = present
	}
	return func() (copied []*peer.Client) {
		m.Set(func() { copied = append(copied, all...) })
		return copied
	}
}

// As long as kured is there nothing is done, which costs nothing, and it goes on at once when kured is gone.
func TestKuredPresent(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		m, s := sim.NewMachine(t, sim.NewServer(), "worker"), &peer.Server{}
		s.Install()
		clients := beside(m, s, false)
		go m.Live(ctx)
		m.Until("it says so", time.Minute, says(m, plan.KuredPresent, "kured is installed (DaemonSet kube-system/kured)", "--kured-interlock"))
		annotate(m, "request-now", "at once")
		m.Pass(time.Hour)
		before, calls := m.Running().Client.Count(""), clients()[0].Calls
		for range 24 {
			s.Change(func(d *appsv1.DaemonSet) { d.Status.NumberReady++ })
			m.Pass(time.Hour)
		}
		if n := m.Running().Client.Count(""); n != before || clients()[0].Calls != calls || m.Lease() != nil || m.Node().Spec.Unschedulable {
			t.Errorf("beside kured: %d requests in a day and %d for kured, lease %v", n-before, clients()[0].Calls-calls, m.Lease())
		}
		s.Remove()
		m.Until("goes on", 5*time.Second, func() bool { return m.Lease() != nil })
		m.Back(1)
		m.Pass(time.Minute)
		calls = clients()[0].Calls
		s.Install()
		m.Pass(time.Hour)
		if n := clients()[0].Calls; n != calls {
			t.Errorf("idle: %d requests for kured", n-calls)
		}
	})
}

// A kured that is installed while the node drains has it give up.
func TestKuredComesBack(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		m, s := sim.NewMachine(t, sim.NewServer(), "worker"), &peer.Server{}
		beside(m, s, false)
		m.PodsFor, m.Policy.DrainTimeout = 24*time.Hour, 0
		go m.Live(ctx)
		m.Reaches(plan.Drain)
		s.Install()
		m.Until("back in service", 10*time.Minute, func() bool { return !m.Node().Spec.Unschedulable && m.Lease() == nil })
		if m.Commands > 0 {
			t.Error("it has rebooted")
		}
	})
}

// order checks each change of kured's lock against what the node does: it is held only with the slot, and whenever the node is out.
func order(m *sim.Machine, s *peer.Server) (changes func() []string) {
	var all []string
	s.Patched = func(lock string) {
		m.Set(func() { all = append(all, lock) })
		if m.Lease() == nil && strings.Contains(lock, "rebootd/"+m.Name) {
			m.T.Errorf("kured's lock is taken without a slot: %s", lock)
		}
		if m.Node().Spec.Unschedulable && !strings.Contains(lock, "rebootd/"+m.Name) {
			m.T.Errorf("kured's lock goes while the node is out: %q", lock)
		}
		if lock == "" && m.Lease() == nil && m.Record().Reason != plan.SlotLost {
			m.T.Error("kured's lock is released after the slot")
		}
	}
	return func() (copied []string) {
		m.Set(func() { copied = append(copied, all...) })
		return copied
	}
}

func holds(s *peer.Server, node string) bool { return strings.Contains(s.Text(), `"rebootd/`+node+`"`) }

// Kured's lock is taken after the slot and before the cordon, and goes after the uncordon and before the slot; whenever the agent crashes.
func TestInterlock(t *testing.T) {
	for _, crash := range []plan.Phase{"", plan.Drain, plan.Rebooting, plan.Recovering, plan.Settle} {
		for _, args := range [][]string{nil, {"--concurrency=2"}} {
			t.Run(fmt.Sprint("crash in ", crash, args), func(t *testing.T) {
				inBubble(t, func(t *testing.T, ctx context.Context) {
					m, s := sim.NewMachine(t, sim.NewServer(), "worker"), &peer.Server{}
					s.Install(args...)
					beside(m, s, true)
					changes := order(m, s)
					m.Policy.SettleTime = time.Minute
					go m.Live(ctx)
					for _, phase := range []plan.Phase{plan.Drain, plan.Rebooting, plan.Recovering, plan.Settle} {
						m.Reaches(phase)
						if !holds(s, "worker") {
							t.Errorf("%s: the lock is %q", phase, s.Text())
						}
						if phase == crash {
							m.Running().Kill()
						}
					}
					m.Back(1)
					if n := len(changes()); s.Text() != "" || n < 2 || n > 3 || crash == "" && n != 2 {
						t.Errorf("the lock is %q after the changes %q", s.Text(), changes())
					}
				})
			})
		}
	}
}

// The node whose turn it is waits for kured, in service, and goes at once when kured has finished.
func TestInterlockWaitsForKured(t *testing.T) {
	for name, args := range map[string][]string{"one": nil, "several": {"--concurrency=2"}} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, ctx context.Context) {
				m, s := sim.NewMachine(t, sim.NewServer(), "worker"), &peer.Server{}
				s.Install(args...)
				k := peer.Node{ID: "worker", Concurrency: 1 + len(args), Now: time.Now} // the same machine's kured
				text, _, _, _ := k.Acquire("", false)
				s.Write(text)
				beside(m, s, true)
				order(m, s)
				m.Policy.SettleTime = time.Minute
				go m.Live(ctx)
				m.Until("it says so", time.Minute, says(m, plan.KuredPresent, "Waiting for kured", `"worker"`))
				m.Pass(5 * time.Minute)
				if m.Node().Spec.Unschedulable || m.Lease() == nil {
					t.Errorf("cordoned %v, lease %v", m.Node().Spec.Unschedulable, m.Lease())
				}
				text, _, err := k.Release(s.Text(), true)
				if err != nil {
					t.Fatal(err)
				}
				s.Write(text)
				m.Until("goes on", time.Second, func() bool { return m.Record().Phase == plan.Drain })
				if _, _, ok, _ := k.Acquire(s.Text(), true); ok {
					t.Errorf("kured would go too: %s", s.Text())
				}
				m.Back(1)
			})
		})
	}
}

// A person's pause of kured holds everybody back, before anybody takes a slot.
func TestInterlockHonoursManualLock(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		m, s := sim.NewMachine(t, sim.NewServer(), "worker"), &peer.Server{}
		s.Install("--concurrency=2")
		s.Write(`{"nodeID":"manual"}`)
		beside(m, s, true)
		go m.Live(ctx)
		m.Until("it says so", time.Minute, says(m, plan.KuredPresent, "A person holds kured's lock"))
		m.Pass(time.Hour)
		if m.Lease() != nil {
			t.Error("it has taken a slot")
		}
		s.Write("")
		m.Back(1)
	})
}

// What can't be read is no free lock.
func TestInterlockUnreadable(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		m, s := sim.NewMachine(t, sim.NewServer(), "worker"), &peer.Server{}
		s.Install()
		s.Write("manual")
		beside(m, s, true)
		go m.Live(ctx)
		m.Until("it says so", time.Minute, says(m, plan.GateError, "not kured's lock", "kubectl annotate daemonset -n kube-system kured weave.works/kured-node-lock-"))
		m.Pass(time.Hour)
		if m.Lease() != nil || m.Commands > 0 {
			t.Error("it has taken a slot")
		}
		s.Write("")
		m.Back(1)
	})
}

// A node that waits for something else doesn't keep kured from its turn.
func TestInterlockGoesWhenTheNodeWaits(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		m, s := sim.NewMachine(t, sim.NewServer(), "worker"), &peer.Server{}
		s.Install()
		beside(m, s, true)
		order(m, s)
		m.Policy.DrainDelay = time.Hour
		go m.Live(ctx)
		m.Until("held", time.Minute, func() bool { return holds(s, "worker") })
		m.Set(func() {
			m.Gate = plan.Verdict{Gate: "test", Reason: plan.BlockedByAlert, Everyone: true, Message: "An alert."}
		})
		m.Until("given back", 2*time.Minute, func() bool { return s.Text() == "" })
		if m.Lease() == nil {
			t.Error("the turn is gone too")
		}
		m.Set(func() { m.Gate.Open = true })
		m.Back(1)
	})
}

// A node that loses its turn, or kured's lock, gives up; what is left of the lock goes.
func TestInterlockLost(t *testing.T) {
	for name, lose := range map[string]func(*sim.Machine, *peer.Server){
		"the slot": func(m *sim.Machine, _ *peer.Server) {
			if err := m.Server.Remove(nil, sim.LeaseKind, m.Lease().Name, nil); err != nil {
				m.T.Error(err)
			}
		},
		"kured's lock": func(_ *sim.Machine, s *peer.Server) {
			text, _, _, _ := peer.Node{ID: "other", Concurrency: 1, Now: time.Now}.Acquire("", false)
			s.Write(text)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, ctx context.Context) {
				m, s := sim.NewMachine(t, sim.NewServer(), "worker"), &peer.Server{}
				s.Install()
				beside(m, s, true)
				m.PodsFor, m.Policy.DrainTimeout = 24*time.Hour, 0
				go m.Live(ctx)
				m.Reaches(plan.Drain)
				lose(m, s)
				m.Until("gives up", 10*time.Minute, func() bool { return !m.Node().Spec.Unschedulable && m.Record().Phase == plan.Required })
				m.Until("the lock is gone", time.Minute, func() bool { return !holds(s, "worker") })
			})
		})
	}
}

// A lock that was taken off by mistake is taken again, and the drain goes on.
func TestInterlockTakenAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		m, s := sim.NewMachine(t, sim.NewServer(), "worker"), &peer.Server{}
		s.Install()
		beside(m, s, true)
		m.PodsFor = 10 * time.Minute
		go m.Live(ctx)
		m.Reaches(plan.Drain)
		s.Write("")
		m.Until("taken again", time.Minute, func() bool { return holds(s, "worker") })
		m.Back(1)
		if s.Text() != "" || m.Drains > 2 {
			t.Errorf("the lock is %q after %d drains", s.Text(), m.Drains)
		}
	})
}

// What an agent left that is no more goes when the next one starts.
func TestInterlockLeftBehind(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		m, s := sim.NewMachine(t, sim.NewServer(), "worker"), &peer.Server{}
		s.Install()
		s.Write(`{"nodeID":"rebootd/worker","created":"2020-01-01T00:00:00Z","TTL":0}`)
		m.Wanted = plan.No
		clients := beside(m, s, true)
		go m.Live(ctx)
		m.Until("gone", time.Minute, func() bool { return s.Text() == "" })
		m.Pass(10 * time.Minute)
		before := clients()[0].Calls
		m.Pass(24 * time.Hour)
		if n := clients()[0].Calls - before; n > 0 {
			t.Errorf("%d requests for kured in a day", n)
		}
	})
}

// Requests whose answers get lost, or that are refused, are settled by looking again.
func TestInterlockWithFaults(t *testing.T) {
	for seed := range 40 {
		inBubble(t, func(t *testing.T, ctx context.Context) {
			m, s := sim.NewMachine(t, sim.NewServer(), "worker"), &peer.Server{}
			s.Install()
			beside(m, s, true)
			order(m, s)
			chance := rand.New(rand.NewPCG(uint64(seed), 0))
			parts := m.Parts
			m.Parts = func(p *sim.Process, to *agent.Parts) {
				parts(p, to)
				c := to.KuredLock.(*kured.Interlock).DaemonSets.(*peer.Client)
				fault := func() error {
					if chance.IntN(7) > 0 { // by chance: each life of an agent asks as often as the one before it
						return nil
					}
					if seed%3 == 0 {
						go p.Die()
					}
					return errors.New("the answer is lost")
				}
				c.Before, c.After = fault, fault
			}
			go m.Live(ctx)
			m.Back(1)
			m.Until("released", 5*time.Minute, func() bool { return s.Text() == "" })
		})
	}
}

// A DaemonSet of kured's name that runs rebootd itself holds nobody back, and its lock isn't asked for; one that still carries kured's lock does.
func TestOwnDaemonSetUnderKuredsName(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		m, s := sim.NewMachine(t, sim.NewServer(), "worker"), &peer.Server{}
		s.Install()
		s.Change(func(d *appsv1.DaemonSet) {
			d.Spec.Template.Spec.Containers = []corev1.Container{{Name: "rebootd", Image: "rebootd", Env: []corev1.EnvVar{{Name: "REBOOTD_NODE_NAME"}}}}
			d.Annotations = map[string]string{peer.Annotation: `{"nodeID":"other"}`}
		})
		beside(m, s, false)
		go m.Live(ctx)
		m.Until("kured's lock is there still", time.Minute, says(m, plan.KuredPresent, "kured is installed"))
		s.Change(func(d *appsv1.DaemonSet) { delete(d.Annotations, peer.Annotation) })
		m.Back(1)
	})
}

func TestOwnDaemonSetIsNoLock(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		m, s := sim.NewMachine(t, sim.NewServer(), "worker"), &peer.Server{}
		s.Install()
		s.Change(func(d *appsv1.DaemonSet) {
			d.Spec.Template.Spec.Containers = []corev1.Container{{Name: "rebootd", Image: "rebootd", Env: []corev1.EnvVar{{Name: "REBOOTD_NODE_NAME"}}}}
		})
		beside(m, s, true)
		s.Patched = func(lock string) { m.T.Errorf("its lock is written: %q", lock) }
		go m.Live(ctx)
		m.Back(1)
	})
}
