package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/rebootd/rebootd/test/bench/page"
	"github.com/rebootd/rebootd/test/cluster/lab"
)

// rollPlan is a fleet all of whose nodes reboot.
type rollPlan struct {
	nodes int
	// down is how long a reboot takes on average, vary how much longer or shorter at most, as a part of it: machines that all take
	// exactly as long come back in waves.
	down        time.Duration
	vary        float64
	concurrency string
	slots       int
	// judged is how long a reboot is taken to be where the overhead is compared with it; 0: as long as it is here.
	judged time.Duration
}

// takes is how long the reboot of machine i takes; neighbours differ, and all of them are evenly spread.
func (p rollPlan) takes(i int) time.Duration {
	const golden = 0.618033988749895
	_, part := math.Modf(float64(i) * golden)
	return time.Duration((1 + p.vary*(2*part-1)) * float64(p.down))
}

// rolled is how a roll went.
type rolled struct {
	// limit is the nodes' own time, from their reboot commands until their pods run again, shared out among the slots. out is the time that they
	// were out of service, from cordon to uncordon, shared out likewise.
	took, limit, out time.Duration
	// ideal is how long it takes where no time is lost between two nodes; more than limit, because not all slots are in use to the end.
	ideal time.Duration
	most  int
	// handed says how long a freed slot was nobody's.
	handed string
}

// steady is of all rolls.
const steady = " --steady-time is 0 here; by default each node is out for 10 s longer."

// roll lets all nodes of a fleet reboot, one after another or some at a time, with the observer looking on.
func (b *bench) roll(ctx context.Context, p rollPlan) (rolled, error) {
	w, err := b.world(ctx, 5*time.Minute)
	if err != nil {
		return rolled{}, err
	}
	defer b.end(w)
	all, err := w.machines(ctx, p.nodes, p.down, "--concurrency="+p.concurrency)
	if err != nil {
		return rolled{}, err
	}
	defer haltAll(all)
	// All wait for a pause to end, so that the roll begins when everyone is there.
	if _, err := w.kubectl(ctx, "create", "configmap", "-n", namespace, "rebootd-control", "--from-literal=paused=true"); err != nil {
		return rolled{}, err
	}
	own := time.Duration(0)
	for i, m := range all {
		m.slow(p.takes(i))
		own += m.takes() + startsAfter
		if err := m.require(); err != nil {
			return rolled{}, err
		}
	}
	if err := lab.InParallel(len(all), func(i int) error { return all[i].start(ctx) }); err != nil {
		return rolled{}, err
	}
	err = until(ctx, 10*time.Minute, "all are paused", func() (bool, error) { return w.seen.count(says("Paused")) == p.nodes, nil })
	if err != nil {
		return rolled{}, err
	}
	w.seen.begin()
	if _, err := w.kubectl(ctx, "delete", "configmap", "-n", namespace, "rebootd-control"); err != nil {
		return rolled{}, err
	}
	begin, told := time.Now(), 0
	err = until(ctx, 3*time.Hour, "all have rebooted", func() (bool, error) {
		trips, _ := w.seen.saw()
		if len(trips) >= told+100 {
			told = len(trips)
			b.say("%d of %d nodes after %s", told, p.nodes, time.Since(begin).Round(time.Second))
		}
		time.Sleep(20 * time.Millisecond)
		return len(trips) >= p.nodes, nil
	})
	trips, most := w.seen.saw()
	r := rolled{most: most}
	if err != nil || len(trips) == 0 {
		return r, err
	}
	first, last := trips[0].cordoned, time.Time{}
	for _, t := range trips {
		r.out += t.uncordoned.Sub(t.cordoned) / time.Duration(p.slots)
		if t.cordoned.Before(first) {
			first = t.cordoned
		}
		if t.uncordoned.After(last) {
			last = t.uncordoned
		}
	}
	r.took = last.Sub(first)
	r.limit = own / time.Duration(p.slots)
	handed, unnamed := w.seen.handovers()
	r.handed = fmt.Sprintf("slot freed → next node cordoned: median %.0f ms, p90 %.0f ms, p99 %.0f ms of %d, %d of them left to nobody by name",
		quantile(handed, 0.5), quantile(handed, 0.9), quantile(handed, 0.99), len(handed), unnamed)
	b.say("%s", r.handed)
	r.ideal = ideal(trips, all, p.slots)
	// The last one's Events and condition follow.
	err = until(ctx, time.Minute, "all say that no reboot is required", func() (bool, error) { return w.seen.count(content) == p.nodes, nil })
	return r, errors.Join(err, w.seen.broken(p.slots), w.over(all), w.complete(ctx))
}

// ideal is how long the roll takes where no time is lost between two nodes: the machines in the order in which they went, each as soon as a
// slot is free.
func ideal(trips []trip, all []*machine, slots int) time.Duration {
	takes := map[string]time.Duration{}
	for _, m := range all {
		takes[m.name] = m.takes() + startsAfter
	}
	slices.SortFunc(trips, func(a, b trip) int { return a.cordoned.Compare(b.cordoned) })
	free := make([]time.Duration, slots)
	for _, t := range trips {
		slices.Sort(free)
		free[0] += takes[t.node]
	}
	return slices.Max(free)
}

// smallRoll is the roll of 10 nodes.
func (b *bench) smallRoll(ctx context.Context) error {
	const nodes, down = 10, 10 * time.Second
	r, err := b.roll(ctx, rollPlan{nodes: nodes, down: down, concurrency: "1", slots: 1})
	if err != nil {
		return err
	}
	per := (r.took - r.limit) / nodes
	b.row(page.Row{ID: "roll-10", What: "roll of 10 nodes with 10 s reboots, concurrency 1: overhead per node", Target: "≤ 1 s", Measured: fmt.Sprintf("%.2f s", per.Seconds()), Met: per <= time.Second,
		Note: "kured at its shortest practical period, 1 min: 82 s. All that isn't the reboot itself, until the node's pods run again, counts as overhead: cordon, drain of an empty node, uncordon, handover." + steady})
	b.row(page.Row{ID: "roll-10-out", What: "in that roll, nodes out of service at once", Target: "≤ 1", Count: true, Measured: fmt.Sprint(r.most), Met: r.most <= 1})
	return nil
}

// largeRoll is a roll of many nodes.
func (b *bench) largeRoll(ctx context.Context, id string, p rollPlan) error {
	r, err := b.roll(ctx, p)
	if err != nil {
		return err
	}
	over := (r.took - r.limit).Seconds()
	each := over / float64(p.nodes) * float64(p.slots)
	row := page.Row{ID: id, What: fmt.Sprintf("roll of %d nodes, %d at once, %s reboots: overhead", p.nodes, p.slots, p.down), Target: "≤ 2 %",
		Note: fmt.Sprintf("%s from the first cordon to the last uncordon; the nodes' own time, from the reboot command until their pods run again, makes %s. "+
			"It is %.2f s for each reboot, %.2f s of it between a node's uncordon and the next one's cordon; %s.%s",
			r.took.Round(time.Second), r.limit.Round(time.Second), each, (r.took-r.out).Seconds()/float64(p.nodes)*float64(p.slots), r.handed, steady)}
	if p.vary > 0 {
		row.Note += fmt.Sprintf(" The reboots take up to %.0f %% longer or shorter. That slots are empty at the end, when no node is left to go, counts as overhead: "+
			"without a moment lost between two nodes it would take %s, and beside that the overhead is %.1f %%.", 100*p.vary, r.ideal.Round(time.Second), 100*(r.took-r.ideal).Seconds()/r.ideal.Seconds())
	}
	share := 100 * over / r.limit.Seconds()
	row.Measured = fmt.Sprintf("%.1f %%", share)
	if p.judged > 0 {
		share = 100 * each / p.judged.Seconds()
		row.What = fmt.Sprintf("roll of %d nodes, %d at once, reboots shortened to %s: overhead of each, as a part of a reboot of %s", p.nodes, p.slots, p.down, p.judged)
		row.Measured = fmt.Sprintf("%.1f %%", share)
		row.Note += fmt.Sprintf(" The reboots are this short so that all of them take less than an hour. So the overhead of each was measured, and its part of %s is derived from it: "+
			"measured against reboots of %s it would be %.0f %%.", p.judged, p.down, 100*over/r.limit.Seconds())
	}
	row.Met = share <= 2
	b.row(row)
	b.row(page.Row{ID: id + "-out", What: "in that roll, nodes out of service at once", Target: fmt.Sprintf("≤ %d", p.slots), Count: true, Measured: fmt.Sprint(r.most), Met: r.most <= p.slots})
	return nil
}
