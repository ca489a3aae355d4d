package integration

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rebootd/rebootd/pkg/plan"
)

// story is a way through a reboot.
type story struct {
	name  string
	fates map[string]fate
	begin func(m *machine)
}

func stories() []story {
	return []story{
		{"reboot", map[string]fate{"arrived": answerLost, "never arrived": neverArrives}, func(m *machine) { m.app("web") }},
		{"control plane", map[string]fate{"arrived": answerLost}, func(m *machine) {
			m.patch(map[string]any{"metadata": map[string]any{"labels": map[string]string{"node-role.kubernetes.io/control-plane": ""}}})
		}},
	}
}

// Whatever write is the last one before a crash, and whether it arrived or not: the end is the same.
func TestKilledAtAnyWrite(t *testing.T) {
	t.Parallel()
	f := shared(t)
	for _, s := range stories() {
		writes := countWrites(t, f, s)
		t.Logf("%s: %d writes", s.name, writes)
		for name, end := range s.fates {
			for k := 1; k <= writes; k++ {
				t.Run(fmt.Sprintf("%s/%s/%d", s.name, name, k), func(t *testing.T) {
					t.Parallel()
					killAtWrite(t, f, s, end, k)
				})
			}
		}
	}
}

// Every other write goes wrong, and the agent lives on.
func TestEveryOtherWriteFails(t *testing.T) {
	t.Parallel()
	f := shared(t)
	for name, end := range map[string]fate{"answer lost": answerLost, "never arrives": neverArrives, "refused": refused} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := f.machine(t, f.namespace(t), "unlucky")
			m.app("web")
			m.require()
			g := f.gateway(t, nil)
			var mu sync.Mutex
			n := 0
			g.decide(func(c call) fate {
				mu.Lock()
				defer mu.Unlock()
				if !c.writes() {
					return served
				}
				if n++; n%2 == 1 {
					return end
				}
				return served
			})
			m.power(func() *process { return m.agent(g.flag()) })
			m.back(1)
			if m.orders() != 1 {
				t.Errorf("ordered %d times", m.orders())
			}
		})
	}
}

// countWrites runs once without trouble.
func countWrites(t *testing.T, f *fleet, s story) int {
	m := f.machine(t, f.namespace(t), "undisturbed")
	s.begin(m)
	m.require()
	g := f.gateway(t, nil)
	m.power(func() *process { return m.agent(g.flag()) })
	m.back(1)
	n := 0
	for _, c := range g.passed() {
		if c.writes() {
			n++
		}
	}
	return n
}

func killAtWrite(t *testing.T, f *fleet, s story, end fate, k int) {
	m := f.machine(t, f.namespace(t), "crashed")
	s.begin(m)
	m.require()
	g := f.gateway(t, nil)
	var now atomic.Pointer[process]
	hit := make(chan call, 1)
	victim := make(chan *process, 1)
	g.doom = func() { // before the agent can know how the write ended
		a := now.Load()
		for ; a == nil; a = now.Load() { // it may write before the test knows it
			time.Sleep(time.Millisecond)
		}
		_ = a.cmd.Process.Kill()
		victim <- a
	}
	var mu sync.Mutex
	n := 0
	g.decide(func(c call) fate {
		mu.Lock()
		defer mu.Unlock()
		if !c.writes() {
			return served
		}
		if n++; n != k {
			return served
		}
		hit <- c
		return end
	})
	o := observe(t, 1, m)
	p := m.power(func() *process {
		a := m.agent(g.flag())
		now.Store(a)
		return a
	})
	until(t, fmt.Sprintf("write %d, or the end without it", k), func() bool {
		// How often a drain's progress is written depends on how quick the machine is.
		return len(hit) == 1 || m.over()
	})
	select {
	case c := <-hit:
		t.Logf("write %d was: %s", k, c)
	default:
		t.Skipf("there was no write %d this time", k)
	}
	p.revive(<-victim)
	m.back(1)
	if left := m.marks(); left != [3]string{"-", "-", "-"} {
		t.Errorf("it still carries %q", left)
	}
	if most, _ := o.seen(); most != 1 || m.orders() == 0 || m.orders() > 2 {
		t.Errorf("out %d times at once, ordered %d times", most, m.orders())
	}
}

// over reports whether the machine is in service after its one reboot, and holds nothing any more.
func (m *machine) over() bool {
	return m.phase() == plan.Idle && len(m.record().History) == 1 && !m.holds()
}

// revive starts the agent again that was killed, on the same boot, unless a reboot has done so.
func (p *plug) revive(killed *process) {
	<-killed.done
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.now.running() {
		p.now = p.start()
	}
}
