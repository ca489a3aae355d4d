package fleet

import (
	"context"
	"fmt"
	mathrand "math/rand"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rebootd/rebootd/pkg/agent"
	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/test/fleet/sim"
)

// world is one run: a server, its machines, and what goes wrong with them.
type world struct {
	testing.TB // of the machines: their errors are the story's
	setup
	*story
	seed   int64
	chance chance
	server *sim.Server
	rules  *rules
	boxes  []*box
	kured  *kureds // nil: there is none
	// mutant changes what an agent is made of; nil for the real one.
	mutant func(*box, *sim.Process, *agent.Parts)

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu       sync.Mutex
	faults   map[string]int // what went wrong how often
	calm     bool           // nothing goes wrong any more
	outUntil time.Time
	paused   bool
}

// Helper, Error, Errorf, Fatalf and Context are what a machine needs of a test.
func (w *world) Helper()                           {}
func (w *world) Error(args ...any)                 { w.fail("world", "%s", fmt.Sprint(args...)) }
func (w *world) Errorf(format string, args ...any) { w.fail("world", format, args...) }
func (w *world) Fatalf(format string, args ...any) { w.fail("world", format, args...) }
func (w *world) Context() context.Context          { return w.ctx }

// result is what is left of a run.
type result struct {
	*story
	tally
}

// play runs a seed.
func play(t *testing.T, seed int64, mutant func(*box, *sim.Process, *agent.Parts)) result {
	t.Helper()
	var r result
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, seed, newSetup(seed), mutant)
		w.tell("world", "%s", w.setup)
		w.trouble()
		w.heal()
		w.end()
		r = w.result()
	})
	return r
}

func newWorld(t *testing.T, seed int64, s setup, mutant func(*box, *sim.Process, *agent.Parts)) *world {
	mathrand.Seed(seed) //nolint:staticcheck // the API machinery's own back-off uses it
	w := &world{TB: t, setup: s, story: &story{began: time.Now()}, seed: seed, chance: newChance(seed, "world"), server: sim.NewServer(), mutant: mutant, faults: map[string]int{}}
	w.ctx, w.cancel = context.WithCancel(t.Context())
	w.rules, w.kured = newRules(w), newKureds(s)
	w.server.Changed = w.rules.changed
	w.server.CollectLater = s.slowGC
	for i := range s.nodes {
		w.boxes = append(w.boxes, newBox(w, i))
	}
	for _, b := range w.boxes {
		w.wg.Go(b.run)
		time.Sleep(w.chance.between(0, 300*time.Millisecond))
	}
	for i := range s.kureds {
		w.wg.Go(func() { w.kured.play(w, i) })
	}
	return w
}

func (w *world) result() result {
	t := tally{Seeds: 1, Steps: w.rules.steps, Faults: w.faults, Checks: w.rules.checks, Took: time.Since(w.began)}
	if w.nodes >= big {
		t.Big = 1
	}
	return result{w.story, t}
}

// end stops everything that runs.
func (w *world) end() {
	w.cancel()
	w.wg.Wait()
	time.Sleep(2 * time.Minute) // what was on its way arrives
}

// fault notes that something goes wrong; false when it must not any more.
func (w *world) fault(kind string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.calm {
		w.faults[kind]++
	}
	return !w.calm
}

func (w *world) isCalm() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calm
}

// trouble is the time in which things go wrong.
func (w *world) trouble() {
	end := time.Now().Add(w.setup.trouble)
	for time.Now().Before(end) && !w.failed() {
		w.deed()
		w.pulse()
		w.rules.look()
		pause := time.Duration(w.chance.ExpFloat64() * float64(w.deedEvery))
		time.Sleep(min(pause, 5*time.Minute))
		w.collect()
	}
}

// pulse: whatever happens, every agent's loop turns.
func (w *world) pulse() {
	for _, b := range w.there() {
		var p *sim.Process
		b.Set(func() { p = b.running })
		if p == nil || p.Gone() || w.jumps {
			continue
		}
		if err := p.Healthy(); err != nil {
			w.fail(b.Name, "not alive: %v", err)
		}
	}
}

// collect is the garbage collector, which takes its time.
func (w *world) collect() {
	if w.slowGC && w.chance.one(3) {
		w.server.Collect()
	}
}

// longest is how long the world may take to come to rest.
const longest = 6 * time.Hour

// heal ends all trouble and waits until every node is back: first all that can be drained, though others can't.
func (w *world) heal() {
	w.mu.Lock()
	w.calm, w.outUntil = true, time.Time{}
	w.mu.Unlock()
	w.tell("world", "from now on nothing goes wrong any more")
	w.resume(nil)
	for _, b := range w.there() {
		b.heal()
		time.Sleep(w.chance.between(0, 5*time.Millisecond)) // nothing happens in the same instant
	}
	w.server.Collect()
	w.rest("P8: with nodes that can't be drained, others are")
	for _, b := range w.there() {
		b.Set(func() { b.pods.held = loose })
	}
	w.rest("")
	if !w.failed() {
		w.rules.end()
	}
}

// rest waits until all is as it is to be, and stays so.
func (w *world) rest(what string) {
	why := "?"
	for end := time.Now().Add(longest); time.Now().Before(end) && !w.failed(); {
		time.Sleep(20*time.Second + 7*time.Microsecond)
		w.persons()
		w.rules.look()
		if why = w.unrest(); why == "" {
			time.Sleep(3*time.Minute + 3*time.Microsecond)
			if why = w.unrest(); why == "" {
				return
			}
		}
	}
	if !w.failed() {
		w.fail("world", "%s not at rest %s after the last trouble: %s", what, longest, why)
	}
}

// persons do what only persons can: they power cycle what rebootd says will not come back by itself, and close the circuit.
func (w *world) persons() {
	if w.rules.stopped() {
		w.closeCircuit(nil)
	}
	for _, b := range w.there() {
		time.Sleep(w.chance.between(0, time.Millisecond))
		if b.Told().Reason == string(plan.RebootTimedOut) && b.isUp() {
			b.order(powerCut)
		}
		if b.Told().Reason == string(plan.RebootLoop) {
			b.change(func() { b.Wanted, b.wantedAt = plan.No, 0 })
			w.withdraw(b)
		}
	}
}

// unrest is what is not yet as it is to be. Of nodes that can't be drained nothing is asked.
func (w *world) unrest() string {
	left, _ := w.server.List(sim.LeaseKind, nil)
	for _, l := range left {
		if holder := l.GetOwnerReferences()[0].Name; !w.box(holder).stubborn() {
			return fmt.Sprintf("slot %s is held by %s", l.GetName(), holder)
		}
	}
	if left := w.leftInKureds(); left != "" {
		return left
	}
	for _, b := range w.there() {
		if b.stubborn() {
			continue
		}
		if r := b.Record(); r.Phase != plan.Idle {
			return fmt.Sprintf("%s: %s, told %q", b.Name, r, b.Told().Message)
		}
		if n := b.Node(); len(n.Labels["rebootd.io/reboot-required"]) > 0 {
			return b.Name + " has the label still"
		}
		var busy bool
		b.Set(func() { busy = !b.up || b.Wanted == plan.Unknown || b.wantsSomehow() })
		if busy {
			return b.Name + " is down, or wants a reboot"
		}
	}
	return ""
}

func (w *world) box(name string) *box {
	for _, b := range w.boxes {
		if b.Name == name {
			return b
		}
	}
	panic("there is no machine " + name)
}

// there are the machines that there are, and may still be.
func (w *world) there() []*box {
	var all []*box
	for _, b := range w.boxes {
		if !b.isGone() {
			all = append(all, b)
		}
	}
	return all
}
