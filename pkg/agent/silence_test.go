package agent_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/rebootd/rebootd/pkg/agent"
	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/pkg/silence"
	"github.com/rebootd/rebootd/test/fleet/sim"
)

// muted is a machine whose alerts an Alertmanager silences.
type muted struct {
	*sim.Machine
	takes time.Duration
	fails bool
	hangs bool // doesn't end by itself, but does what it was asked to all the same
	// until is when the silence ends; zero: there is none.
	until      time.Time
	sets, ends int
	failures   int
	last       silence.Node
}

func newMuted(t *testing.T) *muted {
	t.Helper()
	m := &muted{Machine: sim.NewMachine(t, sim.NewServer(), "worker"), takes: 100 * time.Millisecond}
	m.Parts = func(p *sim.Process, parts *agent.Parts) {
		parts.Silence = agent.Silence{By: silencer{m, p}, Linger: 2 * time.Minute}
	}
	return m
}

type silencer struct {
	*muted
	p *sim.Process
}

func (s silencer) Set(ctx context.Context, n silence.Node, until time.Time) error {
	return s.ask(ctx, func() { s.last, s.until, s.sets = n, until, s.sets+1 })
}

func (s silencer) End(ctx context.Context, n silence.Node, until time.Time) error {
	return s.ask(ctx, func() {
		s.ends++
		if s.last.Name != "" && fmt.Sprint(s.last) != fmt.Sprint(n) {
			s.T.Errorf("set for %v, ended for %v", s.last, n)
		}
		if until.Before(s.until) {
			s.until = until
		}
	})
}

func (s silencer) ask(ctx context.Context, do func()) (err error) {
	if s.p.Gone() {
		return sim.ErrCrash
	}
	var takes time.Duration
	s.muted.Set(func() {
		if takes = s.takes; s.hangs {
			takes = time.Hour
			do()
		}
	})
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(takes):
	}
	if s.p.Gone() {
		return sim.ErrCrash
	}
	s.muted.Set(func() {
		if s.fails {
			s.failures++
			err = errors.New("connection refused")
			return
		}
		do()
	})
	return err
}

// left is for how much longer it is silent.
func (m *muted) left() (d time.Duration) {
	m.Set(func() { d = time.Until(m.until) })
	return d
}

// count is how often something was asked for.
func (m *muted) count() (sets, ends int) {
	m.Set(func() { sets, ends = m.sets, m.ends })
	return sets, ends
}

// silentWhileOut looks that the node is silent whenever it is out, but for a moment, and not much longer.
func (m *muted) silentWhileOut(ctx context.Context) {
	var out, in time.Time
	for ctx.Err() == nil {
		time.Sleep(time.Second)
		now := time.Now()
		if m.Record().Out() {
			in = time.Time{}
			if out.IsZero() {
				out = now
			}
		} else {
			out = time.Time{}
			if in.IsZero() {
				in = now
			}
		}
		left := m.left()
		if !out.IsZero() && now.Sub(out) > 2*time.Second && left < m.Policy.RebootTimeout {
			m.T.Errorf("out since %s, and silent for no longer than %s", now.Sub(out), left)
			return
		}
		if !in.IsZero() && now.Sub(in) > 2*time.Second && left > 2*time.Minute {
			m.T.Errorf("in service for %s, and silent for another %s", now.Sub(in), left)
			return
		}
	}
}

func TestSilentWhileOut(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		m := newMuted(t)
		m.PodsFor = 20 * time.Minute
		m.Patch(`{"metadata":{"annotations":{"a":"b"}}}`)
		go m.Live(ctx)
		go m.silentWhileOut(ctx)
		m.Reaches(plan.Drain)
		m.Back(1)
		m.Pass(time.Minute)
		sets, ends := m.count()
		if left := m.left(); left > time.Minute+5*time.Second || left < 50*time.Second || sets < 4 || sets > 7 || ends != 1 {
			t.Errorf("%s left a minute later, %d times set, %d times ended", left, sets, ends)
		}
		m.Pass(24 * time.Hour)
		if s, e := m.count(); s != sets || e != ends {
			t.Error("an idle node asks Alertmanager")
		}
		if m.last.Name != "worker" {
			t.Errorf("%+v", m.last)
		}
	})
}

// addressed gives the Node addresses, with this internal one.
func (m *muted) addressed(ip string) {
	patch := fmt.Sprintf(`{"status":{"addresses":[{"type":"Hostname","address":"w"},{"type":"InternalIP","address":%q},{"type":"ExternalIP","address":"192.0.2.1"}]}}`, ip)
	if _, err := m.Server.Patch(nil, sim.NodeKind, m.Name, types.StrategicMergePatchType, []byte(patch), true); err != nil {
		m.T.Fatal(err)
	}
}

// The addresses are the Node's, internal ones only.
func TestSilenceKnowsTheAddresses(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		m := newMuted(t)
		m.addressed("10.0.0.1")
		go m.Live(ctx)
		m.Back(1)
		if fmt.Sprint(m.last.IPs) != "[10.0.0.1]" {
			t.Errorf("%+v", m.last)
		}
	})
}

// Nothing waits for Alertmanager. That it fails is told once, and it is tried again with care; what it takes in when it is back is right.
func TestSilenceHoldsNothing(t *testing.T) {
	for name, told := range map[string]int{"fails": 2, "hangs": 1} { // by the two processes; the first is gone before it knows that nothing comes
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, ctx context.Context) {
				quick, m := sim.NewMachine(t, sim.NewServer(), "worker"), newMuted(t)
				if m.fails = name == "fails"; !m.fails {
					m.takes = 10 * time.Hour
				}
				go quick.Live(ctx)
				quick.Back(1)
				began := time.Now()
				go m.Live(ctx)
				m.Back(1)
				h := quick.Record().History[0]
				if took, want := m.Record().History[0].In.Sub(began), h.In.Sub(h.Out); took > want+10*time.Second {
					t.Errorf("took %s; %s without silences", took, want)
				}
				m.Pass(24 * time.Hour)
				if n := strings.Count(m.Logged(), "The silence in Alertmanager (--silence-alerts) can't be"); n != told {
					t.Errorf("told %d times\n%s", n, m.Logged())
				}
				if m.failures > 40 {
					t.Errorf("tried %d times", m.failures)
				}
				m.Set(func() { m.fails, m.takes = false, time.Second })
				m.Pass(time.Hour)
				if m.sets+m.ends > 0 {
					t.Error("it goes on when every silence is over")
				}
			})
		})
	}
}

func TestSilenceComesLate(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		m := newMuted(t)
		m.fails, m.PodsFor = true, 25*time.Minute
		go m.Live(ctx)
		m.Reaches(plan.Drain)
		m.Pass(time.Minute)
		m.Set(func() { m.fails = false })
		m.Pass(2 * time.Minute)
		if m.left() < m.Policy.RebootTimeout {
			t.Errorf("silent for %s", m.left())
		}
		m.Until("it says so", time.Minute, func() bool { return contains(m.Logged(), "is as it should be again") })
		m.Set(func() { m.fails = true })
		m.Back(1)
		m.Set(func() { m.fails = false })
		m.Pass(6 * time.Minute)
		if m.left() > 0 {
			t.Errorf("in service, and silent for %s", m.left())
		}
	})
}

// A node that doesn't come back is one that somebody has to hear of; when it comes it is silent again until it is in service.
func TestNodeThatStaysAwayIsHeard(t *testing.T) {
	t.Run("no reboot", func(t *testing.T) {
		inBubble(t, func(t *testing.T, ctx context.Context) {
			m := newMuted(t)
			m.Silent = true
			go m.Live(ctx)
			m.Until("it takes too long", time.Hour, func() bool { return m.Record().Reason == plan.RebootTimedOut })
			m.Pass(5 * time.Second)
			if m.left() > 0 {
				t.Errorf("silent for %s", m.left())
			}
			m.Down <- struct{}{}
			m.Back(1)
			m.Pass(time.Minute)
			if left := m.left(); left < 50*time.Second || left > 2*time.Minute {
				t.Errorf("silent for %s", left)
			}
		})
	})
	t.Run("not healthy", func(t *testing.T) {
		inBubble(t, func(t *testing.T, ctx context.Context) {
			m := newMuted(t)
			m.Sick = true
			go m.Live(ctx)
			m.Reaches(plan.Recovering)
			m.Pass(m.Policy.RebootTimeout - time.Minute)
			if m.left() < m.Policy.RebootTimeout {
				t.Errorf("silent for %s", m.left())
			}
			m.Pass(2 * time.Minute)
			sets, ends := m.count()
			m.Pass(5 * time.Hour)
			if s, e := m.count(); m.left() > 0 || s != sets || e != ends {
				t.Errorf("silent for %s; %d times set, %d times ended in hours", m.left(), s-sets, e-ends)
			}
			m.Kubelet(true)
			m.Back(1)
		})
	})
	t.Run("the machine is gone", func(t *testing.T) {
		inBubble(t, func(t *testing.T, _ context.Context) {
			m := newMuted(t)
			p := m.Start()
			m.Until("it goes down", time.Hour, func() bool { return m.Commands == 1 })
			p.Kill()
			if left := m.left(); left < m.Policy.RebootTimeout || left > m.Policy.RebootTimeout+15*time.Minute {
				t.Errorf("silent for %s", left)
			}
		})
	})
}

// A process that dies or ends at any time leaves what the next one puts right.
func TestSilenceOutlivesTheProcess(t *testing.T) {
	for _, phase := range []plan.Phase{plan.Drain, plan.Rebooting, plan.Recovering, plan.Settle} {
		for name, end := range map[string]func(*sim.Process){"killed": (*sim.Process).Kill, "stopped": (*sim.Process).Stop} {
			t.Run(fmt.Sprint(phase, " ", name), func(t *testing.T) {
				inBubble(t, func(t *testing.T, ctx context.Context) {
					m := newMuted(t)
					m.PodsFor, m.Silent, m.Policy.SettleTime, m.Policy.SteadyTime = time.Minute, true, time.Minute, 30*time.Second
					m.Start()
					if phase == plan.Recovering || phase == plan.Settle {
						m.Reaches(plan.Rebooting)
						m.Running().Kill()
						m.PowerCut()
						m.Start()
					}
					m.Until("phase", time.Hour, func() bool { // not a look later: what was to be done by now is under way
						m.Set(func() { m.takes = time.Second })
						return m.Record().Phase == phase
					})
					before := m.left()
					end(m.Running())
					m.Pass(time.Minute)
					if left := m.left(); phase != plan.Settle && before > 0 && left < 0 {
						t.Errorf("silent for %s with no agent", left)
					}
					go m.Live(ctx)
					m.Pass(10 * time.Second)
					if phase == plan.Drain || phase == plan.Rebooting {
						if m.left() < m.Policy.RebootTimeout {
							t.Errorf("silent for %s", m.left())
						}
						m.Set(func() { m.Silent = false })
						m.Reaches(plan.Rebooting)
						m.Pass(time.Second)
						if phase == plan.Rebooting {
							m.Down <- struct{}{}
						}
					}
					m.Back(1)
					m.Pass(time.Second)
					if left := m.left(); left > 2*time.Minute {
						t.Errorf("in service, and silent for %s", left)
					}
				})
			})
		}
	}
}

// An agent that starts on a node that was not out lately asks nothing.
func TestSilenceCostsNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		m := newMuted(t)
		m.Wanted = plan.No
		go m.Live(ctx)
		m.Pass(time.Hour)
		m.Set(func() { m.Wanted, m.Gate = plan.Yes, plan.Verdict{Gate: "test", Reason: plan.Held, Message: "No."} })
		m.Pass(time.Hour)
		m.Running().Stop()
		m.Pass(time.Minute)
		if m.sets+m.ends != 0 {
			t.Errorf("%d times set, %d times ended", m.sets, m.ends)
		}
		m.Set(func() { m.Gate.Open = true })
		m.Back(1)
		m.Pass(time.Hour)
		_, ends := m.count()
		m.Running().Stop()
		m.Pass(time.Hour)
		if _, e := m.count(); e != ends {
			t.Errorf("asked %d times an hour after the reboot", e-ends)
		}
	})
}
