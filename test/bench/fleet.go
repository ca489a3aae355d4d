package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/test/bench/page"
	"github.com/rebootd/rebootd/test/cluster/lab"
)

// fleetPlan says how a fleet is measured.
type fleetPlan struct {
	// nodes wait; so many of them reboot, each for so long.
	nodes, reboots int
	down           time.Duration
	// quiet is how long to look whether nothing is sent.
	quiet time.Duration
	// restart is whether the API server is started again in the end.
	restart bool
}

// fleetRun measures one fleet, from the first agent's start to the end.
func fleetRun(ctx context.Context, w *world, p fleetPlan) (page.Scale, error) {
	s := page.Scale{Waiting: p.nodes, Reboots: p.reboots}
	f := &fleetWork{world: w, plan: p, scale: &s}
	opens := time.Now().Add(f.startup()).Truncate(time.Minute).Add(time.Minute)
	closes := opens.Add(23 * time.Hour)
	var err error
	w.say("%d nodes", p.nodes)
	f.all, err = w.machines(ctx, p.nodes, p.down,
		"--time-zone=UTC", "--start-time="+opens.UTC().Format("15:04"), "--end-time="+closes.UTC().Format("15:04"))
	if err != nil {
		return s, err
	}
	defer haltAll(f.all)
	steps := []func(context.Context) error{f.idle, f.closed, func(ctx context.Context) error { return f.open(ctx, opens) }, f.roll, f.waiting}
	if p.restart {
		steps = append(steps, f.restart)
	}
	for _, step := range steps {
		err := step(ctx)
		if lost := w.complete(ctx); lost != nil {
			return page.Scale{}, errors.Join(err, lost)
		}
		if err != nil {
			return s, err
		}
	}
	return s, nil
}

type fleetWork struct {
	*world
	plan   fleetPlan
	scale  *page.Scale
	all    []*machine
	asked  time.Time
	opened time.Time
	own    int // watches of their own Nodes that agents renewed in the last quiet time
}

// startup is how long it takes, at most, until all agents wait for the window.
func (f *fleetWork) startup() time.Duration {
	return 2*f.plan.quiet + 2*time.Minute + time.Duration(f.plan.nodes)*80*time.Millisecond
}

// idle starts the agents and looks what those send that have nothing to do.
func (f *fleetWork) idle(ctx context.Context) error {
	if err := lab.InParallel(len(f.all), func(i int) error { return f.all[i].start(ctx) }); err != nil {
		return err
	}
	err := until(ctx, 5*time.Minute, "all agents have looked", func() (bool, error) {
		return f.seen.count(says("NotRequired")) == len(f.all), nil
	})
	if err != nil {
		return err
	}
	f.say("all agents are up; %s of nothing", f.plan.quiet)
	if err := f.settle(ctx); err != nil {
		return err
	}
	n, watches, err := f.during(ctx, f.plan.quiet)
	f.scale.IdleRequests, f.scale.IdleSeconds = n+watches, f.plan.quiet.Seconds()
	return err
}

// settle waits until the agents have sent what follows from the last change; of thousands of watches, some are renewed at any time.
func (f *fleetWork) settle(ctx context.Context) error {
	const calm = 10 * time.Second
	last, since := 0, time.Now()
	return until(ctx, 5*time.Minute, "no more requests come", func() (bool, error) {
		time.Sleep(time.Second)
		all, err := f.audit.read()
		n := 0
		for _, r := range all {
			if r.verb != "watch" {
				n++
			}
		}
		if n != last {
			last, since = n, time.Now()
		}
		return time.Since(since) >= calm, err
	})
}

// during counts the requests in some time, but for the agents' watches of their Nodes; and how many watches of other things were renewed, which the
// client does every one to two hours.
func (f *fleetWork) during(ctx context.Context, d time.Duration) (requests, renewals int, err error) {
	from := time.Now()
	select {
	case <-ctx.Done():
		return 0, 0, ctx.Err()
	case <-time.After(d):
	}
	time.Sleep(time.Second) // the log is written in batches
	all, err := f.audit.read()
	some := map[string]int{}
	f.own = 0
	for _, r := range between(all, from, from.Add(d)) {
		switch {
		case r.node == "":
			continue
		case r.ownWatch():
			f.own++
			continue
		case r.verb == "watch":
			renewals++
		default:
			requests++
		}
		some[r.verb+" "+r.resource]++
	}
	if requests+renewals > 0 {
		f.say("requests in a quiet time: %v", some)
	}
	return requests, renewals, err
}

// closed asks every node for a reboot; none may go yet.
func (f *fleetWork) closed(ctx context.Context) error {
	f.asked = time.Now()
	for _, m := range f.all {
		if err := m.require(); err != nil {
			return err
		}
	}
	err := until(ctx, 5*time.Minute, "all nodes wait for the window", func() (bool, error) {
		return f.seen.count(says("OutsideWindow")) == len(f.all), nil
	})
	if err != nil {
		return err
	}
	if err := until(ctx, 5*time.Minute, "all nodes have counted the Nodes", f.counted); err != nil {
		return err
	}
	if err := f.settle(ctx); err != nil {
		return err
	}
	f.say("all nodes wait for the window since %s", time.Since(f.asked).Round(time.Second))
	n, watches, err := f.during(ctx, f.plan.quiet)
	f.scale.WaitRequests += n
	f.scale.WaitRenewals += watches
	f.scale.WaitSeconds += f.plan.quiet.Seconds()
	return err
}

// counted is whether each node has counted the Nodes since it was asked for a reboot: it does so within a minute, or later if it was refused.
func (f *fleetWork) counted() (bool, error) {
	time.Sleep(time.Second)
	all, err := f.audit.read()
	nodes := map[string]bool{}
	for _, r := range since(all, f.asked) {
		if r.verb == "list" && r.resource == "nodes" && r.code == 200 {
			nodes[r.node] = true
		}
	}
	return len(nodes) >= len(f.all), err
}

// open waits for the window, and for the first cordon.
func (f *fleetWork) open(ctx context.Context, at time.Time) error {
	if time.Now().After(at) {
		return fmt.Errorf("the window opened before all waited for it; give %d nodes more time", f.plan.nodes)
	}
	for _, m := range f.all {
		m.slow(f.tells())
	}
	f.say("the window opens in %s", time.Until(at).Round(time.Second))
	time.Sleep(time.Until(at))
	f.opened = at
	f.seen.begin()
	err := until(ctx, 5*time.Minute, "the first cordon", func() (bool, error) { return f.seen.count(cordoned) > 0, nil })
	f.scale.FirstCordon = time.Since(at).Seconds()
	f.say("the first node was cordoned %.2f s after the window opened", f.scale.FirstCordon)
	if err != nil {
		return err
	}
	// The first reboot lasts until all have told of the window, for a slot is left only to a node that has. The others are short.
	err = until(ctx, time.Minute, "the first reboot", func() (bool, error) {
		return f.seen.count(func(n *corev1.Node) bool { return !ready(n) }) > 0, nil
	})
	for _, m := range f.all {
		m.slow(f.plan.down)
	}
	return err
}

// tells is how long it takes until all nodes have told of a window that opened.
func (f *fleetWork) tells() time.Duration {
	return 20*time.Second + max(15*time.Second, time.Duration(len(f.all))*10*time.Millisecond)
}

func cordoned(n *corev1.Node) bool { return n.Spec.Unschedulable }

// roll lets some nodes reboot, and counts what that costs.
func (f *fleetWork) roll(ctx context.Context) error {
	err := until(ctx, 30*time.Minute, "the reboots", func() (bool, error) {
		trips, _ := f.seen.saw()
		return len(trips) > f.plan.reboots, nil
	})
	if err != nil {
		return err
	}
	end := time.Now()
	time.Sleep(time.Second)
	all, err := f.audit.read()
	if err != nil {
		return err
	}
	trips, _ := f.seen.saw()
	if err := f.seen.broken(1); err != nil {
		return err
	}
	handed, unnamed := f.seen.handovers()
	if len(handed) == unnamed {
		return errors.New("no slot was left to a node by name: there is nothing to measure")
	}
	f.cost(all, trips, end)
	f.scale.HandoverMedian, f.scale.HandoverP99 = quantile(handed, 0.5), quantile(handed, 0.99)
	f.scale.Handovers, f.scale.Unnamed = len(handed), unnamed
	f.say("handover: median %.0f ms, p99 %.0f ms of %d, %d to nobody by name; requests: %.1f per reboot, %.4f per waiting node and handover",
		f.scale.HandoverMedian, f.scale.HandoverP99, len(handed), unnamed, f.scale.PerReboot, f.scale.PerWaiter)
	return nil
}

// cost counts the requests of those that rebooted, from the moment that their slot was free, and of those that waited meanwhile. The
// first reboot is left out: all nodes tell of the window in it.
func (f *fleetWork) cost(all []request, trips []trip, end time.Time) {
	own := map[string]trip{}
	begin := trips[0].end
	for _, t := range trips[1:] {
		if !t.freed.IsZero() {
			own[t.node] = t
		}
	}
	turned := map[string]bool{} // those whose turn it was, or is
	for _, r := range since(all, f.asked) {
		if r.resource == "leases" && r.verb == "create" && r.code < 300 {
			turned[r.node] = true
		}
	}
	kind := map[string]int{}
	mine, whole, others, writes, inAll := 0, 0, 0, 0, 0
	for _, r := range since(all, f.asked) {
		t, rebooted := own[r.node]
		if rebooted && !r.came.After(t.end.Add(2*time.Second)) {
			whole++
		}
		switch {
		case r.node == "" || r.came.After(end):
		case rebooted && !r.came.Before(t.freed.Add(-100*time.Millisecond)):
			if !r.came.After(t.end.Add(2 * time.Second)) {
				mine++
				kind[r.verb+" "+r.resource]++
			}
		default:
			if r.writes() && !turned[r.node] {
				inAll++
				if !r.came.Before(f.opened) {
					writes++
				}
			}
			if !r.came.Before(begin) && !turned[r.node] && !r.ownWatch() {
				others++
			}
		}
	}
	n := float64(len(own))
	waiting := float64(len(f.all) - len(turned))
	f.scale.Reboots = len(own)
	f.scale.PerReboot, f.scale.Whole = round(float64(mine)/n), round(float64(whole)/n)
	f.scale.Kinds = map[string]float64{}
	for k, v := range kind {
		f.scale.Kinds[k] = round(float64(v) / n)
	}
	if waiting > 0 {
		f.scale.PerWaiter = math.Round(float64(others)/n/waiting*1e4) / 1e4
		f.scale.Writes, f.scale.WritesInAll = round(float64(writes)/waiting), round(float64(inAll)/waiting)
	}
	opened, burst := slices.DeleteFunc(since(all, f.opened), f.endedWith), between(all, f.asked, f.opened)
	f.scale.Refused, f.scale.BurstRefused = refused(opened), refused(burst)
	if f.scale.Refused+f.scale.BurstRefused > 0 {
		f.say("refused: since the window opened %v, before, when all sentinels came at once, %v", whatRefused(opened), whatRefused(burst))
	}
}

// endedWith is whether a request was cut off by the reboot of its agent's machine. An agent that gives up waiting leaves the same trace in the
// log; that is a refusal, for the API server was too slow.
func (f *fleetWork) endedWith(r request) bool {
	return r.cut && r.answered.Sub(f.marks.when(r.node)).Abs() < time.Second
}

// waiting looks what is sent while a slot is held and nothing changes: the machine whose turn it is takes long.
func (f *fleetWork) waiting(ctx context.Context) error {
	if len(f.all) <= f.plan.reboots+2 {
		return nil
	}
	for _, m := range f.all {
		m.slow(f.plan.quiet + 15*time.Second)
	}
	trips, _ := f.seen.saw()
	err := until(ctx, 5*time.Minute, "a slow reboot", func() (bool, error) {
		now, _ := f.seen.saw()
		return len(now) >= len(trips)+2 && f.seen.count(func(n *corev1.Node) bool { return !ready(n) }) > 0, nil
	})
	if err != nil {
		return err
	}
	time.Sleep(2 * time.Second)
	n, watches, err := f.during(ctx, f.plan.quiet)
	f.scale.WaitRequests += n
	f.scale.WaitRenewals += watches
	f.scale.WaitSeconds += f.plan.quiet.Seconds()
	return err
}

// slow sets how long the machine's next reboots take.
func (m *machine) slow(down time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = down
}

// quantile is in milliseconds.
func quantile(all []time.Duration, q float64) float64 {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return round(float64(sorted[min(len(sorted)-1, int(q*float64(len(sorted))))].Microseconds()) / 1000)
}

func round(f float64) float64 { return math.Round(f*10) / 10 }
