package fleet

import (
	"fmt"
	"time"

	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/pkg/schedule"
)

// setup is what a seed makes of the world before it begins.
type setup struct {
	nodes, slots   int
	percent        int // of the group's nodes, in place of slots; 0: not
	groups         int // 0: no lock groups by label
	controlPlanes  int
	maxUnavailable int
	policy         plan.Policy
	period         time.Duration
	// threshold and reset are the circuit's; 0: there is none, it never closes by itself.
	threshold int
	reset     time.Duration
	ttl       time.Duration // the slots'; 0: for ever
	pauses    bool          // there is an operator who does
	slowGate  time.Duration // how long a gate takes that is asked beside the loop; 0: there is none
	window    string        // when reboots may begin; empty: always
	schedule  schedule.Schedule
	// trouble is how long things go wrong.
	trouble time.Duration
	// deedEvery is the mean time between two deeds.
	deedEvery time.Duration
	// callFaults is how many of a thousand calls fail in some way.
	callFaults int
	lag        time.Duration // the most that a watch usually lags
	skewed     bool
	jumps      bool
	noInitial  bool // the server can't begin a watch with the present state
	slowGC     bool
	stale      time.Duration // the most that a list which may be old is so
	// kureds is how many nodes a kured beside reboots, kuredMost how many of them at once.
	kureds, kuredMost int
}

// big is from how many nodes on a seed is one of the large ones.
const big = 50

func newSetup(seed int64) setup {
	c := newChance(seed, "setup")
	s := setup{nodes: 1 + c.IntN(6), slots: 1 + c.IntN(2), period: c.pick(20*time.Second, time.Minute), policy: newPolicy(c)}
	s.trouble = c.pick(5*time.Minute, 15*time.Minute, 30*time.Minute)
	s.deedEvery = c.pick(10*time.Second, 30*time.Second, time.Minute)
	s.callFaults = []int{0, 5, 20, 60, 150}[c.IntN(5)]
	s.lag = c.pick(20*time.Millisecond, 500*time.Millisecond, 5*time.Second, 30*time.Second)
	if c.one(2) {
		s.threshold, s.reset = 1+c.IntN(3), c.pick(0, 0, 10*time.Minute, 40*time.Minute)
	}
	if c.one(4) { // with drains that may outlast it
		s.ttl, s.policy.DrainTimeout = c.pick(4*time.Minute, 6*time.Minute), c.pick(3*time.Minute, 12*time.Minute)
	}
	s.pauses, s.slowGate = c.one(3), c.pick(0, 0, 500*time.Millisecond, 5*time.Second)
	if c.one(7) {
		s.window = "RRULE:FREQ=HOURLY;DTSTART=19991231T000700;DURATION=PT25M"
	}
	if c.one(20) {
		s.nodes, s.slots, s.trouble, s.deedEvery, s.window = big+c.IntN(151), 10+c.IntN(20), 4*time.Minute, 3*time.Second, ""
	}
	if c.one(4) {
		s.groups = 2
	}
	if c.one(6) {
		s.percent = 20 + c.IntN(60)
	}
	if c.one(3) {
		s.controlPlanes = min(s.nodes, 1+c.IntN(5))
	}
	if c.one(4) {
		s.maxUnavailable = 1 + c.IntN(3)
		if s.nodes >= big {
			s.maxUnavailable *= 10
		}
	}
	s.skewed, s.jumps, s.noInitial, s.slowGC = c.one(2), c.one(5) && s.ttl == 0, c.one(3), !c.one(4)
	s.stale = c.pick(0, time.Second, time.Minute)
	s.schedule = newSchedule(s.window)
	return s.withKured(seed)
}

func newSchedule(window string) schedule.Schedule {
	s := schedule.Schedule{Zone: time.UTC}
	if window != "" {
		w, err := schedule.ParseWindow(window)
		if err != nil {
			panic(err)
		}
		s.Windows = append(s.Windows, w)
	}
	return s
}

// newPolicy has short times, so that much happens in little time.
func newPolicy(c chance) plan.Policy {
	return plan.Policy{
		Marks:      []plan.Mark{plan.ForLoadBalancers()},
		DrainDelay: c.pick(0, 0, 5*time.Second), DrainTimeout: c.pick(time.Minute, 3*time.Minute),
		OnDrainTimeout: []plan.OnDrainTimeout{plan.AbortDrain, plan.AbortDrain, plan.DeletePods, plan.RebootAnyway}[c.IntN(4)],
		RebootDelay:    c.pick(0, 0, 10*time.Second), RebootTimeout: c.pick(2*time.Minute, 4*time.Minute),
		RebootAttempts: 1 + c.IntN(3), RetryDelay: 10 * time.Second, CommandTimeout: c.pick(0, 20*time.Second),
		SteadyTime: c.pick(0, 5*time.Second, 20*time.Second), SettleTime: c.pick(0, 0, 30*time.Second),
		GateGrace: c.pick(0, 30*time.Second, 2*time.Minute), TurnTime: c.pick(30*time.Second, 3*time.Minute),
		BackOff: 30 * time.Second, BackOffMax: 4 * time.Minute, MaxReboots: c.IntN(4), MaxRebootsPer: 24 * time.Hour,
	}
}

func (s setup) String() string {
	return fmt.Sprintf("%d nodes, %d slots or %d%%, %d groups, %d control planes, max-unavailable %d, circuit after %d for %s, TTL %s, pauses %v, a gate takes %s, window %q, "+
		"%d‰ of calls fail, watches lag up to %s, skewed %v, jumps %v, trouble for %s, a deed every %s, %d of kured's with %d at once; %+v",
		s.nodes, s.slots, s.percent, s.groups, s.controlPlanes, s.maxUnavailable, s.threshold, s.reset, s.ttl, s.pauses, s.slowGate, s.window,
		s.callFaults, s.lag, s.skewed, s.jumps, s.trouble, s.deedEvery, s.kureds, s.kuredMost, s.policy)
}
