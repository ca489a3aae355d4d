package integration

import (
	"io"
	"log"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"
)

// observer watches some machines' Nodes and counts, at every change of any of them, how many are out of service. It
// trusts nothing that the agents say: out is who is cordoned or not Ready.
type observer struct {
	mu      sync.Mutex
	out     map[string]time.Time // since when
	limit   int
	most    int
	over    [][]string
	handed  []time.Duration // from one's return to the next one's going, while nobody was out
	emptyAt time.Time
	order   []string
}

// observe begins to watch; broken promises fail the test at its end.
func observe(t *testing.T, limit int, machines ...*machine) *observer {
	t.Helper()
	o := &observer{out: map[string]time.Time{}, limit: limit}
	mine := map[string]bool{}
	for _, m := range machines {
		mine[m.name] = true
	}
	nodes := machines[0].f.nodes
	see := func(obj any) {
		if n, ok := obj.(*corev1.Node); ok && mine[n.Name] {
			o.see(n.Name, n.Spec.Unschedulable || !ready(n))
		}
	}
	reg, err := nodes.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: see, UpdateFunc: func(_, obj any) { see(obj) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = nodes.RemoveEventHandler(reg)
		o.mu.Lock()
		defer o.mu.Unlock()
		for _, names := range o.over {
			t.Errorf("%d nodes out of service at once: %v", len(names), names)
		}
	})
	return o
}

func (o *observer) see(name string, isOut bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, was := o.out[name]
	switch {
	case isOut && !was:
		if len(o.out) == 0 && !o.emptyAt.IsZero() {
			o.handed = append(o.handed, time.Since(o.emptyAt))
		}
		o.out[name] = time.Now()
		o.order = append(o.order, name)
	case !isOut && was:
		delete(o.out, name)
		if len(o.out) == 0 {
			o.emptyAt = time.Now()
		}
	default:
		return
	}
	o.most = max(o.most, len(o.out))
	if len(o.out) > o.limit {
		var names []string
		for n := range o.out {
			names = append(names, n)
		}
		o.over = append(o.over, names)
	}
}

// allow changes how many may be out from now on.
func (o *observer) allow(limit int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.limit = limit
}

func (o *observer) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.out)
}

// seen is the most that were ever out at once, and how long the handovers took.
func (o *observer) seen() (most int, handed []time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.most, append([]time.Duration(nil), o.handed...)
}

func discardLog() *log.Logger { return log.New(io.Discard, "", 0) }
