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
	// mutant changes what an agent is made of; nil for the real one.
	mutant func(*box, *sim.Process, *agent.Parts)

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu       sync.Mutex
	faults   int
	calm     bool // nothing goes wrong any more
	outUntil time.Time
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
	steps, faults, checks int
	took                  time.Duration // of virtual time
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
	w := &world{TB: t, setup: s, story: &story{began: time.Now()}, seed: seed, chance: newChance(seed, "world"), server: sim.NewServer(), mutant: mutant}
	w.ctx, w.cancel = context.WithCancel(t.Context())
	w.rules = newRules(w)
	w.server.Changed = w.rules.changed
	w.server.CollectLater = s.slowGC
	for i := range s.nodes {
		w.boxes = append(w.boxes, newBox(w, i))
	}
	for _, b := range w.boxes {
		w.wg.Go(b.run)
		time.Sleep(w.chance.between(0, 300*time.Millisecond))
	}
	return w
}

func (w *world) result() result {
	return result{story: w.story, steps: w.rules.steps, faults: w.faults, checks: w.rules.checks, took: time.Since(w.began)}
}

// end stops everything that runs.
func (w *world) end() {
	w.cancel()
	w.wg.Wait()
	time.Sleep(2 * time.Minute) // what was on its way arrives
}

// fault notes that something goes wrong; false when it must not any more.
func (w *world) fault() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.calm {
		w.faults++
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
		pause := time.Duration(w.chance.ExpFloat64() * float64(w.deedEvery))
		time.Sleep(min(pause, 5*time.Minute))
		w.collect()
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

// heal ends all trouble and waits until every node is back.
func (w *world) heal() {
	w.mu.Lock()
	w.calm, w.outUntil = true, time.Time{}
	w.mu.Unlock()
	w.tell("world", "from now on nothing goes wrong any more")
	for _, b := range w.boxes {
		b.heal()
		time.Sleep(w.chance.between(0, 5*time.Millisecond)) // nothing happens in the same instant
	}
	w.server.Collect()
	why := "?"
	for end := time.Now().Add(longest); time.Now().Before(end) && !w.failed(); {
		time.Sleep(20*time.Second + 7*time.Microsecond)
		w.persons()
		if why = w.unrest(); why == "" {
			time.Sleep(3*time.Minute + 3*time.Microsecond) // and it stays so
			if why = w.unrest(); why == "" {
				w.rules.end()
				return
			}
		}
	}
	if !w.failed() {
		w.fail("world", "not at rest %s after the last trouble: %s", longest, why)
	}
}

// persons do what only persons can: they power cycle what rebootd says will not come back by itself.
func (w *world) persons() {
	for _, b := range w.boxes {
		time.Sleep(w.chance.between(0, time.Millisecond))
		if b.Told().Reason == string(plan.RebootTimedOut) && b.isUp() {
			b.order(powerCut)
		}
		if b.Told().Reason == string(plan.RebootLoop) {
			b.Set(func() { b.Wanted, b.wantedAt = plan.No, 0 })
		}
	}
}

// unrest is what is not yet as it is to be.
func (w *world) unrest() string {
	if left, _ := w.server.List(sim.LeaseKind, nil); len(left) > 0 {
		return fmt.Sprintf("slot %s is held by %s", left[0].GetName(), left[0].GetOwnerReferences()[0].Name)
	}
	for _, b := range w.boxes {
		if r := b.Record(); r.Phase != plan.Idle {
			return fmt.Sprintf("%s: %s", b.Name, r)
		}
		if n := b.Node(); len(n.Labels["rebootd.io/reboot-required"]) > 0 {
			return b.Name + " has the label still"
		}
		var busy bool
		b.Set(func() { busy = !b.up || b.Wanted != plan.No })
		if busy {
			return b.Name + " is down, or wants a reboot"
		}
	}
	return ""
}
