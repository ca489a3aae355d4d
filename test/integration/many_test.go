package integration

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// machines makes some in one namespace, all wanting a reboot.
func (f *fleet) machines(t *testing.T, n int) []*machine {
	t.Helper()
	ns := f.namespace(t)
	var all []*machine
	for i := range n {
		m := f.machine(t, ns, fmt.Sprintf("many%d", i))
		m.require()
		all = append(all, m)
	}
	return all
}

func TestNeverMoreThanAllowed(t *testing.T) {
	t.Parallel()
	f := shared(t)
	for _, tt := range []struct{ nodes, concurrency int }{{2, 1}, {5, 1}, {5, 2}} {
		t.Run(fmt.Sprintf("%d nodes, %d at once", tt.nodes, tt.concurrency), func(t *testing.T) {
			t.Parallel()
			all := f.machines(t, tt.nodes)
			o := observe(t, tt.concurrency, all...)
			for _, m := range all {
				m.power(func() *process { return m.agent(fmt.Sprintf("--concurrency=%d", tt.concurrency)) })
			}
			for _, m := range all {
				m.back(1)
			}
			most, handed := o.seen()
			t.Logf("at most %d out at once; handed over in %v", most, handed)
			if most != tt.concurrency {
				t.Errorf("at most %d were out at once, want %d", most, tt.concurrency)
			}
			// It takes a fraction of a second, but not on a machine that is busy with other things. Nobody is waited for, which would
			// take five; so the quickest of several says it.
			if tt.concurrency == 1 && len(handed) > 2 && slices.Min(handed) > 4*time.Second {
				t.Errorf("handed over in %v, want less than 4 seconds", handed)
			}
		})
	}
}

// While the agents are told another number, the larger one holds.
func TestConcurrencyChangesInFlight(t *testing.T) {
	t.Parallel()
	f := shared(t)
	for _, tt := range []struct{ from, to int }{{2, 1}, {1, 2}} {
		t.Run(fmt.Sprintf("%d to %d", tt.from, tt.to), func(t *testing.T) {
			t.Parallel()
			all := f.machines(t, 4)
			o := observe(t, max(tt.from, tt.to), all...)
			var plugs []*plug
			for _, m := range all {
				m.downFor = time.Second
				plugs = append(plugs, m.power(func() *process { return m.agent(fmt.Sprintf("--concurrency=%d", tt.from)) }))
			}
			until(t, "as many are out as may be", func() bool { return o.count() == tt.from })
			for i, m := range all {
				plugs[i].restart(func() *process { return m.agent(fmt.Sprintf("--concurrency=%d", tt.to)) })
			}
			if tt.to < tt.from {
				until(t, "no more are out than may be now", func() bool { return o.count() <= tt.to })
				o.allow(tt.to)
			}
			for _, m := range all {
				m.back(1)
			}
			if n := len(all[0].leases()); n != 0 {
				t.Errorf("%d Leases are left", n)
			}
		})
	}
}
