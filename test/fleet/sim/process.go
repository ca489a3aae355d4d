package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/rebootd/rebootd/pkg/agent"
	"github.com/rebootd/rebootd/pkg/circuit"
	"github.com/rebootd/rebootd/pkg/fleet"
	"github.com/rebootd/rebootd/pkg/gate"
	"github.com/rebootd/rebootd/pkg/host"
	"github.com/rebootd/rebootd/pkg/lock"
	"github.com/rebootd/rebootd/pkg/node"
	"github.com/rebootd/rebootd/pkg/node/drain"
	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/pkg/tell"
)

// Process is one run of the agent.
type Process struct {
	*agent.Agent
	Machine *Machine
	Client  *Client
	// Ended is closed when it has ended.
	Ended chan struct{}
	// Number counts the machine's processes, from 1.
	Number int

	cancel context.CancelFunc
	mu     sync.Mutex
	dead   bool
}

// Start starts an agent in the machine.
func (m *Machine) Start() *Process {
	bootID, _ := m.BootID()
	p := &Process{Machine: m, Client: NewClient(m.Server), Ended: make(chan struct{}), Number: len(m.Procs) + 1}
	p.Client.Name = m.Name
	log := logrus.New()
	log.SetOutput(m)
	log.SetFormatter(&logrus.TextFormatter{DisableTimestamp: true})
	p.Client.Meddle = func(c Call) Outcome {
		if p.Gone() {
			return Outcome{Before: ErrCrash}
		}
		var meddle func(*Process, Call) Outcome
		m.Set(func() { meddle = m.Meddle })
		if meddle == nil {
			return Outcome{}
		}
		return meddle(p, c)
	}
	parts := m.parts(p, fmt.Sprintf("agent-%d@%s", p.Number, bootID), log)
	if m.Parts != nil {
		m.Parts(p, &parts)
	}
	p.Agent = agent.New(parts)
	ctx, cancel := context.WithCancel(m.T.Context())
	p.cancel = cancel
	m.Set(func() { m.Procs = append(m.Procs, p) })
	go func() {
		defer close(p.Ended)
		p.Run(ctx)
	}()
	return p
}

func (m *Machine) parts(p *Process, identity string, log logrus.FieldLogger) agent.Parts {
	leases := p.Client.Leases("ns")
	reader := &fleet.Reader{Nodes: p.Client.Nodes()}
	var slots, maxUnavailable int
	m.Set(func() { slots, maxUnavailable = m.Slots, m.MaxUnavailable })
	var breaker *circuit.Breaker
	if m.Threshold > 0 {
		breaker = &circuit.Breaker{
			ConfigMaps: p.Client.ConfigMaps("ns"), Namespace: "ns", Now: time.Now, Rules: circuit.Rules{Threshold: m.Threshold, Reset: m.CircuitReset},
		}
	}
	var pause agent.Rule[*corev1.ConfigMap]
	if m.Pausable {
		pause = gate.Pause{ConfigMaps: p.Client.ConfigMaps("ns"), Namespace: "ns", Now: time.Now}
	}
	metrics := m.Metrics
	if metrics == nil {
		metrics = tell.NewMetrics(prometheus.NewRegistry(), m.Name, "test")
	}
	return agent.Parts{
		Pause: pause, Pods: m.Pods,
		NodeName: m.Name, Identity: identity,
		Writer: node.Writer{Nodes: p.Client.Nodes(), Manager: "test", Now: time.Now},
		Groups: func(name, _ string) *lock.Group {
			return &lock.Group{Leases: leases, Namespace: "ns", Name: name, Slots: slots}
		},
		LockGroup: "default", LockGroupLabel: m.GroupLabel, Fleet: reader,
		ControlPlanes:  &lock.Group{Leases: leases, Namespace: "ns", Name: "control-plane", Only: lock.ControlPlaneSlot, Slots: 1},
		MaxUnavailable: func(int) int { return maxUnavailable }, Circuit: breaker, LockTTL: lock.TTL(m.LockTTL),
		Drainer: p, Rebooter: p, Sentinels: []agent.Sentinel{m}, Gates: []agent.Gate{m}, BootID: m.BootID,
		Policy: m.Policy, Period: m.Period, DryRun: m.DryRun,
		Tell: &tell.Teller{Log: log, Events: p, Metrics: metrics, Now: time.Now},
		Log:  log, Now: time.Now, Chance: rand.Float64,
	}
}

// Running is the agent that was started last.
func (m *Machine) Running() (p *Process) {
	m.Set(func() { p = m.Procs[len(m.Procs)-1] })
	return p
}

// Gone reports whether the process is dead.
func (p *Process) Gone() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dead
}

// Die makes a crash of what is left: nothing that the process does from now on has an effect.
func (p *Process) Die() {
	p.mu.Lock()
	p.dead = true
	p.mu.Unlock()
	p.cancel()
}

// Kill is SIGKILL.
func (p *Process) Kill() {
	p.Die()
	<-p.Ended
}

// Stop is SIGTERM.
func (p *Process) Stop() {
	p.cancel()
	<-p.Ended
}

// Drain is the machine's drain.
func (p *Process) Drain(ctx context.Context, way drain.Way, report func(drain.Progress)) error {
	m := p.Machine
	m.Set(func() { m.Drains++; m.Draining++ })
	defer m.Set(func() { m.Draining-- })
	if m.OnDrain != nil {
		return m.OnDrain(ctx, p, way, report)
	}
	report(drain.Progress{Total: 3})
	var takes time.Duration
	m.Set(func() { takes = m.PodsFor })
	if takes < 0 {
		return errors.New("no drain here")
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(takes):
		return nil
	}
}

func (p *Process) String() string { return "a test" }

// Reboot is the command. It looks whether it may run at all.
func (p *Process) Reboot(context.Context) host.Result {
	if p.Gone() {
		return host.Result{Err: ErrCrash}
	}
	m := p.Machine
	if m.OnReboot != nil {
		return m.OnReboot(p)
	}
	n, r := m.Node(), m.Record()
	if l := m.Lease(); l == nil || string(l.UID) != r.LeaseUID {
		m.T.Errorf("%s: reboots without its slot: %v, record %s", m.Name, l, r)
	}
	if bootID, _ := m.BootID(); r.Phase != plan.Rebooting || r.BootID != bootID || !n.Spec.Unschedulable {
		m.T.Errorf("%s: reboots with record %s, unschedulable %v", m.Name, r, n.Spec.Unschedulable)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.Commands++
	switch {
	case m.Draining > 0:
		m.T.Errorf("%s: reboots while a drain is under way", m.Name)
	case m.Fails > 0:
		m.Fails--
		return host.Result{ExitCode: 1, Err: errors.New("exit status 1")}
	case !m.Silent:
		m.Down <- struct{}{}
	}
	return host.Result{}
}

// Event takes in the Events.
func (p *Process) Event(_ runtime.Object, kind, reason, message string) {
	if !p.Gone() {
		p.Machine.Set(func() { p.Machine.Events = append(p.Machine.Events, kind+" "+reason+" "+message) })
	}
}

// Eventf is not used.
func (p *Process) Eventf(runtime.Object, string, string, string, ...any) {}

// AnnotatedEventf is not used.
func (p *Process) AnnotatedEventf(runtime.Object, map[string]string, string, string, string, ...any) {
}
