package agent_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rebootd/rebootd/pkg/host"
	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/test/fleet/sim"
)

// Machines that go down for good can't count themselves: the next node whose turn it is does, and the cluster stops.
func TestMachinesThatDieOpenTheCircuit(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		s := sim.NewServer()
		var all []*sim.Machine
		var dead atomic.Int32
		start := func(m *sim.Machine) {
			alive, die := context.WithCancel(ctx)
			m.OnReboot = func(*sim.Process) host.Result {
				dead.Add(1)
				m.Kubelet(false)
				die()
				return host.Result{Started: true, Exited: true}
			}
			go m.Live(alive)
		}
		for i := range 10 {
			m := sim.NewMachine(t, s, fmt.Sprintf("n%d", i))
			m.Slots, m.Threshold = 4, 3
			all = append(all, m)
		}
		for i, m := range all[:3] {
			start(m)
			m.Until("dead", time.Hour, func() bool { return dead.Load() == int32(i+1) })
		}
		all[0].Pass(20 * time.Minute)
		for _, m := range all[3:] {
			start(m)
		}
		all[3].Pass(3 * time.Hour)
		for _, m := range all[3:] {
			c := m.Told()
			if m.Node().Spec.Unschedulable || m.Lease() != nil || c.Reason != string(plan.CircuitOpen) || !strings.Contains(c.Message, "n0 (RebootTimedOut)") {
				t.Errorf("%s: lease %v, %+v", m.Name, m.Lease(), c)
			}
		}
		if dead.Load() != 3 {
			t.Errorf("%d machines died", dead.Load())
		}
	})
}
