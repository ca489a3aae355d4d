package fleet

import (
	"context"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rebootd/rebootd/pkg/agent"
	"github.com/rebootd/rebootd/pkg/fleet"
	"github.com/rebootd/rebootd/pkg/node/drain"
	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/test/fleet/sim"
)

// turnMutants are those that don't keep to their turn: a slot, a time, a gate.
func turnMutants() []mutant {
	circuits := func(s setup) bool { return s.threshold > 0 }
	forGood := func(s setup) bool { return s.threshold > 0 && s.reset == 0 }
	expiring := func(s setup) bool { return s.ttl > 0 }
	return []mutant{
		{"IgnoresCircuit", "takes the circuit for closed", ignoresCircuit, forGood},
		{"NeverOpensCircuit", "counts failures, and never opens the circuit", neverOpensCircuit, circuits},
		{"NeverRenews", "goes on by a slot that it doesn't renew", neverRenews, expiring},
		{"ExpiresTooEarly", "frees another's slot before its TTL has passed", expiresTooEarly, expiring},
		{"NoBackOff", "doesn't back off after a failed drain", noBackOff, nil},
		{"DrainsForEver", "doesn't give up a drain that takes too long", drainsForEver, nil},
		{"NeverFrees", "doesn't free its slot", neverFrees, nil},
		{"DeletesAtOnce", "deletes pods in place of evicting them", deletesAtOnce, nil},
		{"SkipsDrain", "takes the node for drained", skipsDrain, nil},
		{"IgnoresPriority", "doesn't look at priorities when it hands on", ignoresPriority, nil},
		{"IgnoresGates", "asks no gate", ignoresGates, nil},
		{"ForgetsHonoured", "forgets which requests it has honoured", forgetsHonoured, nil},
		{"WaitsForEver", "doesn't take a slot that another was named for", waitsForEver, nil},
	}
}

func ignoresCircuit(_ *box, _ *sim.Process, parts *agent.Parts) {
	if parts.Circuit != nil {
		parts.Circuit.Rules.Reset = 1
	}
}

func neverOpensCircuit(_ *box, _ *sim.Process, parts *agent.Parts) {
	if parts.Circuit != nil {
		parts.Circuit.Rules.Threshold = 1000
	}
}

func (c meddlingLeases) Patch(ctx context.Context, name string, pt types.PatchType, data []byte, o metav1.PatchOptions, sub ...string) (*coordinationv1.Lease, error) {
	if c.mute && strings.Contains(string(data), "renewTime") {
		return &coordinationv1.Lease{}, nil
	}
	return c.Leases.Patch(ctx, name, pt, data, o, sub...)
}

func (c meddlingLeases) Delete(ctx context.Context, name string, o metav1.DeleteOptions) error {
	if c.keep {
		return nil
	}
	return c.Leases.Delete(ctx, name, o)
}

func neverRenews(_ *box, _ *sim.Process, parts *agent.Parts) {
	withLeases(parts, func(c *meddlingLeases) { c.mute = true })
}

func expiresTooEarly(_ *box, _ *sim.Process, parts *agent.Parts) { parts.LockTTL /= 4 }

func noBackOff(_ *box, _ *sim.Process, parts *agent.Parts) {
	parts.Policy.BackOff, parts.Policy.BackOffMax = time.Millisecond, time.Millisecond
}

func drainsForEver(_ *box, _ *sim.Process, parts *agent.Parts) { parts.Policy.DrainTimeout = 0 }

func neverFrees(_ *box, _ *sim.Process, parts *agent.Parts) {
	withLeases(parts, func(c *meddlingLeases) { c.keep = true })
}

// drainer is a drain that is done otherwise.
type drainer func(context.Context, drain.Way, func(drain.Progress)) error

func (d drainer) Drain(ctx context.Context, way drain.Way, report func(drain.Progress)) error {
	return d(ctx, way, report)
}

func deletesAtOnce(_ *box, _ *sim.Process, parts *agent.Parts) {
	actual := parts.Drainer
	parts.Drainer = drainer(func(ctx context.Context, _ drain.Way, report func(drain.Progress)) error {
		return actual.Drain(ctx, drain.Delete, report)
	})
}

func skipsDrain(_ *box, _ *sim.Process, parts *agent.Parts) {
	parts.Drainer = drainer(func(context.Context, drain.Way, func(drain.Progress)) error { return nil })
}

// unranked knows no priorities.
type unranked struct{ agent.Fleet }

func (f unranked) Waiting(ctx context.Context, members string) ([]fleet.Waiter, error) {
	all, err := f.Fleet.Waiting(ctx, members)
	for i := range all {
		all[i].Priority = 0
	}
	return all, err
}

func ignoresPriority(_ *box, _ *sim.Process, parts *agent.Parts) {
	parts.Fleet = unranked{parts.Fleet}
}

func ignoresGates(_ *box, _ *sim.Process, parts *agent.Parts) { parts.Gates = nil }

func forgetsHonoured(b *box, p *sim.Process, parts *agent.Parts) {
	rewritesRecord(`"honoured":`, `"forgotten":`)(b, p, parts)
}

// waitsForEver: by its clock of chance it is never the turn of one that wasn't named.
func waitsForEver(b *box, _ *sim.Process, parts *agent.Parts) {
	actual := parts.Chance
	parts.Chance = func() float64 {
		if b.Record().Reason == plan.WaitingForSlot {
			return 10000
		}
		return actual()
	}
}
