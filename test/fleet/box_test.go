package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"

	"github.com/rebootd/rebootd/pkg/agent"
	"github.com/rebootd/rebootd/pkg/fleet"
	"github.com/rebootd/rebootd/pkg/gate"
	"github.com/rebootd/rebootd/pkg/host"
	"github.com/rebootd/rebootd/pkg/lock"
	"github.com/rebootd/rebootd/pkg/node"
	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/pkg/tell"
	"github.com/rebootd/rebootd/test/fleet/sim"
)

// order is what the world does to a machine.
type order string

const (
	crash    order = "the agent crashes"
	restart  order = "the agent is restarted"
	powerCut order = "the power is cut"
	overlap  order = "a second agent is started beside the first"
)

// box is a machine of the fleet: it fails in more ways than a test's.
type box struct {
	*sim.Machine
	w *world
	// life draws for what the machine does, calls for what becomes of its calls; each is used by one goroutine at a time.
	life, calls chance
	orders      chan order
	away        chan struct{} // closed when it is taken away for good
	skew        atomic.Int64

	// Guarded by the machine's Set.
	up, ready bool
	running   *sim.Process
	// wantedAt is the boot in which the wish came.
	wantedAt int
	wishes   wishes
	pods     pods
	labels   map[string]string
	cutUntil time.Time // no way to the API server
	lagUntil time.Time
	evicting map[*sim.Process]int
	gone     bool // for good
	// debt is how much time all that went wrong may have cost it, costs what may do so still.
	debt  time.Duration
	costs []cost
}

func newBox(w *world, i int) *box {
	name := fmt.Sprintf("n%d", i)
	b := &box{w: w, orders: make(chan order, 4), away: make(chan struct{}), life: newChance(w.seed, "life "+name), calls: newChance(w.seed, "calls "+name), up: true, ready: true, evicting: map[*sim.Process]int{}}
	b.wishes.paused = w.isPaused()
	b.labels, b.pods.left, b.wishes.requests = map[string]string{}, notDrained, map[string]*request{}
	if w.groups > 0 {
		b.labels["pool"] = poolOf(i, w.groups)
	}
	if i < w.controlPlanes {
		b.labels[[]string{"node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"}[b.life.IntN(2)]] = ""
	}
	b.Machine = &sim.Machine{
		T: w, Server: w.server, Name: name, Boots: 1, Wanted: plan.No, Clears: true, Slots: w.slots, MaxUnavailable: w.maxUnavailable,
		Pausable: w.pauses, Threshold: w.threshold, CircuitReset: w.reset, LockTTL: w.ttl,
		Period: w.period, Policy: w.policy, Gate: plan.Verdict{Gate: "test", Open: true, Reason: plan.Held, Message: "Closed by the world."}, Down: make(chan struct{}, 10),
		OnDrain: b.drain, OnReboot: b.reboot, Meddle: b.meddle, Parts: b.parts,
	}
	if w.groups > 0 {
		b.GroupLabel = "pool"
	}
	b.Metrics = tell.NewMetrics(prometheus.NewRegistry(), name, "test")
	if w.skewed {
		b.skew.Store(int64(b.life.between(-10*time.Minute, 10*time.Minute)))
	}
	w.rules.meet(b)
	b.Register(b.labels)
	b.report()
	return b
}

// parts makes an agent one of this machine: with its clock, its chance, and no log.
func (b *box) parts(p *sim.Process, parts *agent.Parts) {
	parts.Now = func() time.Time { return time.Now().Add(time.Duration(b.skew.Load())) }
	parts.Writer.Now = parts.Now
	parts.Chance = chanceByTime(b.w.seed, fmt.Sprintf("agent %s %d", b.Name, p.Number))
	log := logrus.New()
	log.SetOutput(io.Discard)
	log.SetLevel(logrus.PanicLevel)
	parts.Log = log
	parts.Tell = &tell.Teller{Log: log, Metrics: b.Metrics, Now: parts.Now}
	if b.w.window != "" {
		parts.Gates = append(parts.Gates, gate.Window{Schedule: b.w.schedule, Annotation: node.StateAnnotation, Now: parts.Now})
	}
	if b.w.slowGate > 0 {
		parts.CostlyGates = append(parts.CostlyGates, slowGate{b})
	}
	if p, ok := parts.Pause.(gate.Pause); ok {
		p.Now = parts.Now
		parts.Pause = p
	}
	parts.Gates = append(parts.Gates, gate.Hold{Annotation: node.HoldAnnotation})
	if parts.Circuit != nil {
		parts.Circuit.Now = parts.Now
	}
	b.w.rules.started(b, p)
	p.Client.Forget()
	p.Client.Due = b.due(p.Number)
	stale := newChance(b.w.seed, fmt.Sprintf("stale %s %d", b.Name, p.Number))
	var mu sync.Mutex // several watches list at the same time
	p.Client.Stale = func() time.Duration {
		mu.Lock()
		defer mu.Unlock()
		return stale.between(0, b.w.stale)
	}
	b.besideKured(p, parts)
	if b.w.percent > 0 {
		b.share(parts)
	}
	if b.w.mutant != nil {
		b.w.mutant(b, p, parts)
	}
}

// share makes the number of slots a share of the group's nodes.
func (b *box) share(parts *agent.Parts) {
	groups, reader := parts.Groups, parts.Fleet.(*fleet.Reader)
	parts.Groups = func(name, members string) *lock.Group {
		g := groups(name, members)
		g.Slots, g.Count = 0, func(ctx context.Context) (slots, nodes int, err error) {
			n, err := reader.Count(ctx, members)
			return b.w.shareOf(n), n, err
		}
		return g
	}
}

// shareOf is how many of so many nodes may be out.
func (s setup) shareOf(nodes int) int { return max(1, nodes*s.percent/100) }

func poolOf(i, groups int) string { return fmt.Sprintf("pool%d", i%groups) }

// run is the machine's life: agents one after another, and reboots.
func (b *box) run() {
	for b.w.ctx.Err() == nil && !b.isGone() {
		p := b.Start()
		b.Set(func() { b.running = p })
		if !b.live(p) {
			return
		}
	}
}

// live waits for what ends the agent.
func (b *box) live(p *sim.Process) bool {
	select {
	case <-b.w.ctx.Done():
		p.Stop()
		return false
	case <-b.away:
		p.Kill()
		return false
	case <-p.Ended:
		b.pause(b.life.between(time.Second, 10*time.Second))
	case <-b.Down:
		p.Kill()
		b.powerCycle()
	case o := <-b.orders:
		b.w.tell(b.Name, "%s", o)
		switch o {
		case crash:
			p.Kill()
			b.pause(b.life.between(time.Second, 30*time.Second))
		case restart:
			p.Stop()
			b.pause(b.life.between(time.Second, 5*time.Second))
		case powerCut:
			p.Kill()
			b.powerCycle()
		case overlap:
			return b.twice(p)
		}
	}
	return true
}

// twice lets a second agent run beside the first for a while, as an update does that overlaps.
func (b *box) twice(p *sim.Process) bool {
	second := b.Start()
	b.Set(func() { b.running = second })
	select {
	case <-time.After(b.life.between(time.Second, time.Minute)):
		p.Stop()
	case <-p.Ended:
	case <-b.w.ctx.Done():
		p.Stop()
	case <-b.away:
		p.Kill()
	case <-b.Down:
		p.Kill()
		second.Kill()
		b.powerCycle()
		return true
	}
	return b.live(second)
}

func (b *box) pause(d time.Duration) {
	select {
	case <-time.After(d):
	case <-b.w.ctx.Done():
	}
}

func (b *box) order(o order) {
	b.charge(2 * time.Minute)
	select {
	case b.orders <- o:
	default:
	}
}

func (b *box) isGone() (gone bool) {
	b.Set(func() { gone = b.gone })
	return gone
}

func (b *box) isUp() (up bool) {
	b.Set(func() { up = b.up })
	return up
}

// powerCycle is the time from the machine's end to the start of its agent. What it has done before its end is over.
func (b *box) powerCycle() {
	b.Set(func() { b.up = false })
	down := b.life.between(5*time.Second, time.Minute)
	if b.life.one(5) && b.w.fault("long boot") {
		down += b.life.between(time.Minute, 5*time.Minute)
	}
	b.charge(down + 2*time.Minute)
	const lost = 40 * time.Second // until the control plane gives it up
	if down > lost {
		b.pause(lost)
		b.report()
		down -= lost
	}
	b.pause(down)
	for len(b.Down) > 0 {
		<-b.Down
	}
	b.boot()
	boots := b.boots()
	b.w.tell(b.Name, "boots: boot-%d", boots)
	late := b.life.between(0, 20*time.Second)
	if b.life.one(5) && b.w.fault("late kubelet") {
		late += b.life.between(time.Minute, 5*time.Minute)
	}
	b.w.wg.Go(func() {
		b.pause(late)
		same := false
		b.Set(func() { same = b.up && b.Boots == boots })
		if same {
			b.report()
		}
	})
	b.pause(b.life.between(time.Second, 30*time.Second))
}

// boot is the instant of the boot. It may end the wish for it.
func (b *box) boot() {
	b.change(func() {
		if b.Boots++; b.Clears {
			b.Wanted = plan.No
		}
		b.up, b.pods.left, b.pods.old = true, notDrained, false
	})
}

// report is what the kubelet says of the machine, or the control plane in its place.
func (b *box) report() {
	var id string
	var ready bool
	b.Set(func() { ready = b.up && b.ready })
	id, _ = b.BootID()
	if !b.isUp() { // then only the control plane speaks
		id = b.Node().Status.NodeInfo.BootID
	}
	_ = b.Report(id, ready) // there may be no Node
}

// reboot is the reboot command, which can end in many ways.
func (b *box) reboot(p *sim.Process) host.Result {
	b.w.rules.commands(b, p)
	var n, boots int
	b.Set(func() { b.Commands++; n, boots = b.Commands, b.Boots })
	c := newChance(b.w.seed, fmt.Sprintf("command %s %d", b.Name, n))
	down, res := c.between(0, 3*time.Second), host.Result{Started: true, Exited: true}
	if c.one(3) && b.w.fault("reboot command") {
		switch c.IntN(5) {
		case 0:
			b.w.tell(b.Name, "the command fails")
			return failure()
		case 1:
			b.w.tell(b.Name, "the command fails, and the machine reboots all the same")
			res = failure()
		case 2:
			down = c.between(time.Minute, 3*b.Policy.RebootTimeout)
			b.w.tell(b.Name, "the reboot will take %s to begin", down)
		case 3:
			b.w.tell(b.Name, "the command says yes, and nothing happens")
			return res
		case 4:
			b.w.tell(b.Name, "the command is killed by the reboot")
			res = host.Result{Started: true, Signal: "killed", Err: errors.New("signal: killed")}
		}
	}
	b.w.wg.Go(func() {
		b.pause(down)
		var same bool
		b.Set(func() { same = b.up && b.Boots == boots })
		if same {
			b.Down <- struct{}{}
		}
	})
	return res
}

func failure() host.Result {
	return host.Result{Started: true, Exited: true, ExitCode: 1, Err: errors.New("exit status 1")}
}
