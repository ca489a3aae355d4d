package integration

import (
	"slices"
	"testing"
	"time"

	"github.com/rebootd/rebootd/pkg/plan"
)

// What a reboot costs may not creep up. `make bench` measures the same with thousands of nodes; here it is counted with a few, and the cheapest
// reboot counts: on a busy machine answers get old and are asked for again.
const (
	// costOfReboot is how many requests the node that reboots sends from its take to its end, those of the drain of an empty node and the start of
	// its agent among them, costOfAsking how many more each time that all gates are asked once more, and costOfColliding each time that a write collides
	// with one of the node controller's: it is repeated after a look.
	costOfReboot, costOfAsking, costOfColliding = 42, 5, 2
	// waits is how long it is looked what a node sends that waits, or has nothing to do.
	waits = 20 * time.Second
)

func TestCostOfARoll(t *testing.T) {
	t.Parallel()
	f := shared(t)
	all := f.machines(t, 4)
	gates := make([]*gateway, len(all))
	for i, m := range all {
		gates[i] = f.gateway(t, nil)
		m.annotate("rebootd.io/hold", "until all are there")
		m.power(func() *process { return m.agent(gates[i].flag(), "--period=1m") })
	}
	for _, m := range all {
		m.says(plan.Held)
	}
	for _, m := range all {
		m.annotate("rebootd.io/hold", nil)
	}
	for _, m := range all {
		m.back(1)
	}
	var costs []int
	for i := range all {
		calls := gates[i].passed()
		take := slices.IndexFunc(calls, func(c call) bool { return c.verb == "create" && c.resource == "leases" })
		if take < 0 {
			t.Fatalf("%s took no slot: %v", all[i].name, calls)
		}
		asked, collided := 0, gates[i].collided()
		for _, c := range calls[take:] {
			if c.verb == "list" && c.resource == "configmaps" && c.name == "rebootd-circuit" {
				asked++
			}
		}
		costs = append(costs, len(calls)-take-costOfAsking*(asked-1)-costOfColliding*collided)
		t.Logf("%s: %d requests from its take on; asked all gates %d times, %d writes collided", all[i].name, len(calls)-take, asked, collided)
	}
	if n := slices.Min(costs); n > costOfReboot {
		t.Errorf("the cheapest reboot took %d requests; %d are allowed. What is asked now that was not? %v", n, costOfReboot, gates[slices.Index(costs, n)].passed())
	}
}

func TestCostOfWaiting(t *testing.T) {
	t.Parallel()
	f := shared(t)
	all := f.machines(t, 3)
	gates := make([]*gateway, len(all))
	for _, m := range all {
		m.downFor = waits + 40*time.Second
	}
	for i, m := range all {
		gates[i] = f.gateway(t, nil)
		m.power(func() *process { return m.agent(gates[i].flag(), "--period=1m") })
	}
	until(t, "one is out and the others say so", func() bool {
		out, waiting := 0, 0
		for _, m := range all {
			if m.cordoned() && m.orders() == 1 {
				out++
			}
			if condition(m.node()).Reason == string(plan.WaitingForSlot) {
				waiting++
			}
		}
		return out == 1 && waiting == 2
	})
	before := make([]int, len(all))
	until(t, "nothing more follows from that", func() bool { // Events follow what the Node says
		quiet := true
		for i := range all {
			n := len(gates[i].passed())
			quiet, before[i] = quiet && n == before[i], n
		}
		time.Sleep(time.Second)
		return quiet
	})
	time.Sleep(waits)
	for i, m := range all {
		sent := gates[i].passed()[before[i]:]
		asks := slices.DeleteFunc(slices.Clone(sent), func(c call) bool { return c.verb == "watch" })
		counts := len(asks) == 1 && asks[0].verb == "list" && asks[0].resource == "nodes" // once for each reboot
		if !m.cordoned() && (len(asks) > 0 && !counts || len(sent) > len(asks)) {
			t.Errorf("%s sent requests while it waited for another node: %v", m.name, sent)
		}
	}
}
