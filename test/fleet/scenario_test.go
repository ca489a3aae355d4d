package fleet

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/types"

	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/pkg/node"
	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/test/fleet/sim"
)

// TestScenarios plays the stories in testdata: what other reboot agents get wrong, told in a few words. A line is one of
//
//	nodes A B …             machines, whose agents start; nothing is wanted yet
//	slots N                 how many may be out; the agents that run are restarted one after another
//	drain-timeout D         and other times of the policy: settle-time D, drain-delay D
//	A wants|rests           a reboot is wanted, or not any more
//	A VERB                  what happens to it: see verbs
//	person VERB A           what a person does: cordons, uncordons, deletes-node, creates-node, frees-slot, spoils-record, mends-record
//	wait D                  lets time pass
//	until A FACT            waits until it is so, for up to 3 hours
//	expect A FACT           it is so now
//	never more than N out   from here on, looked at with every write
//
// A FACT is a phase, a reason that is told, or a word of facts. At every write it is checked, too, that whoever is out holds its slot.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) { newScenario(t).play(string(text)) })
		})
	}
}

type scenario struct {
	t        *testing.T
	ctx      context.Context
	server   *sim.Server
	machines map[string]*sim.Machine
	names    []string
	slots    int
	policy   plan.Policy
	spoiled  string

	most   atomic.Int64 // how many may be out; 0: not said
	person atomic.Bool  // has freed a slot: then its holder is out without one
}

func newScenario(t *testing.T) *scenario {
	s := &scenario{t: t, server: sim.NewServer(), machines: map[string]*sim.Machine{}, slots: 1, policy: sim.DefaultPolicy()}
	s.server.Changed = s.changed
	return s
}

func (s *scenario) play(text string) {
	ctx, cancel := context.WithCancel(s.t.Context())
	s.ctx = ctx
	for i, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		if words := strings.Fields(line); len(words) > 0 {
			if err := s.line(words); err != nil {
				s.t.Errorf("line %d: %s: %v", i+1, strings.TrimSpace(line), err)
				break
			}
		}
	}
	cancel()
	synctest.Wait()
	time.Sleep(2 * time.Minute)
}

// changed looks at every write.
func (s *scenario) changed(sim.Change) {
	var out []string
	for name, o := range s.server.Objects(sim.NodeKind) {
		r, err := plan.ParseRecord(o.GetAnnotations()[node.StateAnnotation])
		if err != nil || !r.Out() {
			continue
		}
		out = append(out, name)
		if l := s.server.Objects(sim.LeaseKind)[r.Slot]; !s.person.Load() && (l == nil || string(l.GetUID()) != r.LeaseUID) {
			s.t.Errorf("%s is out without its slot: %s", name, r)
		}
	}
	if most := int(s.most.Load()); most > 0 && len(out) > most {
		s.t.Errorf("%q are out", out)
	}
}

func (s *scenario) line(words []string) error {
	if m := s.machines[words[0]]; m != nil {
		return s.machine(m, words[1])
	}
	switch words[0] {
	case "nodes":
		for _, name := range words[1:] {
			s.add(name)
		}
	case "slots":
		return s.restart(words[1])
	case "drain-timeout", "settle-time", "drain-delay":
		return s.time(words[0], words[1])
	case "person":
		return s.does(words[1], s.machines[words[2]])
	case "wait":
		d, err := time.ParseDuration(words[1])
		time.Sleep(d)
		synctest.Wait()
		return err
	case "until":
		return s.until(s.machines[words[1]], words[2])
	case "expect":
		synctest.Wait()
		return s.expect(s.machines[words[1]], words[2])
	case "never":
		n, err := strconv.Atoi(words[3])
		s.most.Store(int64(n))
		return err
	default:
		return fmt.Errorf("%q is no word of this language", words[0])
	}
	return nil
}

func (s *scenario) add(name string) {
	m := sim.NewMachine(s.t, s.server, name)
	m.Wanted, m.Slots, m.Policy = plan.No, s.slots, s.policy
	s.machines[name] = m
	s.names = append(s.names, name)
	go m.Live(s.ctx)
	time.Sleep(time.Second)
}

func (s *scenario) restart(slots string) error {
	n, err := strconv.Atoi(slots)
	s.slots = n
	for _, name := range s.names {
		m := s.machines[name]
		m.Set(func() { m.Slots = n })
		m.Running().Stop()
		time.Sleep(5 * time.Second)
	}
	return err
}

func (s *scenario) time(what, value string) error {
	d, err := time.ParseDuration(value)
	switch what {
	case "drain-timeout":
		s.policy.DrainTimeout = d
	case "settle-time":
		s.policy.SettleTime = d
	case "drain-delay":
		s.policy.DrainDelay = d
	}
	return err
}

// machine does what happens to a machine.
func (s *scenario) machine(m *sim.Machine, verb string) error {
	verbs := map[string]func(){
		"wants":         func() { m.Wanted = plan.Yes },
		"rests":         func() { m.Wanted = plan.No },
		"gate-closes":   func() { m.Gate.Open, m.Gate.Everyone, m.Gate.Reason = false, true, plan.Paused },
		"gate-opens":    func() { m.Gate.Open = true },
		"pods-stuck":    func() { m.PodsFor = 100 * time.Hour },
		"pods-go":       func() { m.PodsFor = 10 * time.Second },
		"stays-up":      func() { m.Silent = true },
		"comes-up-sick": func() { m.Sick = true },
		"loses-answers": func() { m.Meddle = losesAnswer() },
		"cut-off":       func() { m.Meddle = cutOff },
		"connected":     func() { m.Meddle = nil },
	}
	switch verb {
	case "crashes":
		m.Running().Kill()
	case "power-cut":
		m.Down <- struct{}{}
	case "recovers":
		m.Kubelet(true)
	default:
		if verbs[verb] == nil {
			return fmt.Errorf("no machine can %q", verb)
		}
		m.Set(verbs[verb])
	}
	return nil
}

// losesAnswer loses the answer to the first create.
func losesAnswer() func(*sim.Process, sim.Call) sim.Outcome {
	lost := false
	return func(_ *sim.Process, c sim.Call) sim.Outcome {
		if c.Verb != "create" || lost {
			return sim.Outcome{}
		}
		lost = true
		return sim.Outcome{After: errNoWay}
	}
}

func cutOff(*sim.Process, sim.Call) sim.Outcome { return sim.Outcome{Before: errNoWay} }

// does is what a person does.
func (s *scenario) does(verb string, m *sim.Machine) error {
	switch verb {
	case "cordons":
		m.Patch(`{"spec":{"unschedulable":true}}`)
	case "uncordons":
		m.Patch(`{"spec":{"unschedulable":null}}`)
	case "deletes-node":
		return s.server.Remove(nil, sim.NodeKind, m.Name, nil)
	case "creates-node":
		m.Register(nil)
		m.Kubelet(true)
	case "frees-slot":
		s.person.Store(true)
		return s.server.Remove(nil, sim.LeaseKind, m.Lease().Name, nil)
	case "spoils-record":
		s.spoiled = m.Node().Annotations[node.StateAnnotation]
		return s.annotate(m, "?")
	case "mends-record":
		return s.annotate(m, s.spoiled)
	default:
		return fmt.Errorf("no person %s", verb)
	}
	return nil
}

func (s *scenario) annotate(m *sim.Machine, record string) error {
	_, err := s.server.Patch(nil, sim.NodeKind, m.Name, types.StrategicMergePatchType,
		fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, node.StateAnnotation, record), false)
	return err
}

func (s *scenario) until(m *sim.Machine, fact string) error {
	var err error
	for end := time.Now().Add(3 * time.Hour); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		synctest.Wait()
		if err = s.expect(m, fact); err == nil {
			return nil
		}
	}
	return err
}

// expect looks whether something is so. A number after a colon is how many.
func (s *scenario) expect(m *sim.Machine, fact string) error {
	n := m.Node()
	record, _ := plan.ParseRecord(n.Annotations[node.StateAnnotation])
	leases, _ := s.server.List(sim.LeaseKind, nil)
	word, number, _ := strings.Cut(fact, ":")
	want, _ := strconv.Atoi(number)
	var boots, commands int
	m.Set(func() { boots, commands = m.Boots, m.Commands })
	facts := map[string]bool{
		"cordoned": n.Spec.Unschedulable, "uncordoned": !n.Spec.Unschedulable,
		"holds-slot": m.Lease() != nil, "holds-none": m.Lease() == nil,
		"boots": boots == want, "commands": commands == want, "reboots": len(record.History) == want, "all-slots": len(leases) == want,
	}
	for _, p := range plan.Phases() {
		facts[string(p)] = record.Phase == p
	}
	for _, r := range plan.Reasons() {
		facts[string(r)] = facts[string(r)] || m.Told().Reason == string(r)
	}
	switch so, known := facts[word]; {
	case !known:
		return fmt.Errorf("%q is no fact", word)
	case !so:
		return fmt.Errorf("it isn't so: boot %d, %d commands, %d slots, unschedulable %v, told %s, record %s", boots, commands, len(leases),
			n.Spec.Unschedulable, condition(n).Reason, record)
	}
	return nil
}

func condition(n *corev1.Node) corev1.NodeCondition {
	for _, c := range n.Status.Conditions {
		if c.Type == node.ConditionType {
			return c
		}
	}
	return corev1.NodeCondition{}
}
