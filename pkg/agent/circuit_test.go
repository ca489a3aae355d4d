package agent_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rebootd/rebootd/pkg/circuit"
	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/test/fleet/sim"
)

// broken are machines that don't come back after the reboot command, in a group of so many slots.
func broken(t *testing.T, s *sim.Server, n int) []*sim.Machine {
	t.Helper()
	var all []*sim.Machine
	for i := range n {
		m := sim.NewMachine(t, s, fmt.Sprintf("n%d", i))
		m.Slots, m.Threshold, m.Silent = n, 3, true
		all = append(all, m)
	}
	return all
}

// Three nodes in a row don't come back: no other goes, and each that waits says why. A person lets them go on.
func TestCircuit(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		s := sim.NewServer()
		all := broken(t, s, 6)
		for _, m := range all[:3] {
			go m.Live(ctx)
		}
		for _, m := range all[:3] {
			m.Until("timed out", time.Hour, func() bool { return m.Told().Reason == string(plan.RebootTimedOut) })
		}
		all[0].Pass(time.Minute)
		for _, m := range all[3:] {
			m.Set(func() { m.Silent = false })
			go m.Live(ctx)
		}
		all[0].Pass(3 * time.Hour)
		for _, m := range all[3:] {
			if c := m.Told(); c.Reason != string(plan.CircuitOpen) || m.Node().Spec.Unschedulable || m.Lease() != nil ||
				!strings.Contains(c.Message, "n0 (RebootTimedOut)") || !strings.Contains(c.Message, "kubectl delete configmap -n ns rebootd-circuit, or kubectl reboot circuit reset") {
				t.Errorf("%s: %+v, lease %v", m.Name, c, m.Lease())
			}
		}
		opened := 0
		for _, m := range all[:3] {
			for _, e := range m.Events {
				if strings.Contains(e, "CircuitOpen") {
					opened++
				}
			}
		}
		if opened != 1 {
			t.Errorf("%d Events say that the circuit opened, want one", opened)
		}
		if err := s.Remove(nil, sim.ConfigMapKind, circuit.Name, nil); err != nil {
			t.Fatal(err)
		}
		for _, m := range all[3:] {
			m.Back(1)
		}
	})
}

// It closes by itself where that was asked for.
func TestCircuitReset(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		s := sim.NewServer()
		all := broken(t, s, 5)
		for _, m := range all {
			m.CircuitReset = 6 * time.Hour
		}
		for _, m := range all[:3] {
			go m.Live(ctx)
		}
		all[0].Pass(time.Hour)
		last := all[4]
		last.Set(func() { last.Silent = false })
		go last.Live(ctx)
		last.Pass(4 * time.Hour)
		if c := last.Told(); c.Reason != string(plan.CircuitOpen) {
			t.Errorf("%+v", c)
		}
		last.Back(1)
	})
}

// A node that reboots well in between ends the row; one that fails counts once, however often its agent starts.
func TestCircuitStaysClosed(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		s := sim.NewServer()
		all := broken(t, s, 5)
		state := func() circuit.State {
			o, err := s.Get(sim.ConfigMapKind, circuit.Name)
			if err != nil {
				return circuit.State{}
			}
			st, err := circuit.Parse(sim.Data(o))
			if err != nil {
				t.Error(err)
			}
			return st
		}
		for _, m := range all[:2] {
			p := m.Start()
			m.Pass(time.Hour)
			p.Kill()
			p = m.Start()
			m.Pass(time.Hour)
			p.Stop()
		}
		if st := state(); len(st.Failures) != 2 || !st.Opened.IsZero() {
			t.Errorf("%+v", st)
		}
		all[2].Set(func() { all[2].Silent = false })
		go all[2].Live(ctx)
		all[2].Back(1)
		if st := state(); len(st.Failures) != 0 {
			t.Errorf("%+v", st)
		}
		go all[3].Live(ctx)
		all[3].Pass(time.Hour)
		if st := state(); len(st.Failures) != 1 || st.Failures[0].Node != "n3" {
			t.Errorf("%+v", st)
		}
	})
}

// What stands in the ConfigMap and can't be read closes the gate, and nobody overwrites it.
func TestCircuitUnreadable(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		s := sim.NewServer()
		m := broken(t, s, 1)[0]
		m.Silent = false
		if err := s.Create(nil, sim.ConfigMapKind, sim.ConfigMap(circuit.Name, map[string]string{circuit.OpenKey: "yes"})); err != nil {
			t.Fatal(err)
		}
		go m.Live(ctx)
		m.Pass(time.Hour)
		if c := m.Told(); c.Reason != string(plan.GateError) || !strings.Contains(c.Message, "kubectl delete configmap -n ns rebootd-circuit") {
			t.Errorf("%+v", c)
		}
		if err := s.Remove(nil, sim.ConfigMapKind, circuit.Name, nil); err != nil {
			t.Fatal(err)
		}
		m.Back(1)
	})
}

// One node at a time, and each comes back only long after it was counted as failed, by a person's hand: that is a row all the same.
func TestCircuitCountsThoseThatCameBackLate(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		s := sim.NewServer()
		all := broken(t, s, 4)
		for _, m := range all {
			m.Slots = 1
		}
		for i, m := range all[:3] {
			go m.Live(ctx)
			m.Until("counted", time.Hour, func() bool { return m.Record().Failed })
			m.Down <- struct{}{} // a person reboots it
			m.Back(1)
			o, err := s.Get(sim.ConfigMapKind, circuit.Name)
			if err != nil {
				t.Fatal(err)
			}
			if st, err := circuit.Parse(sim.Data(o)); err != nil || len(st.Failures) != i+1 || st.Opened.IsZero() == (i == 2) {
				t.Errorf("after %d failures: %+v, %v", i+1, st, err)
			}
		}
	})
}
