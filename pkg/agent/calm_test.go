package agent

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rebootd/rebootd/pkg/lock"
	"github.com/rebootd/rebootd/pkg/plan"
)

// A node among many that wait looks once at several changes that are about others, and at once at what is about itself.
func TestCalm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var turns turns
		var looked atomic.Int32
		look := func() { looked.Add(1) }
		freed := func(next, waiting string) *coordinationv1.Lease {
			return &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "rebootd-g-0",
				Annotations: map[string]string{lock.NextAnnotation: next, lock.WaitingAnnotation: waiting}}}
		}
		whole := func() float64 { return 1 }
		for _, step := range []struct {
			name  string
			do    func()
			soon  int // looks after three changes at once
			later int // and after nine seconds
		}{
			{"at first", func() {}, 3, 0},
			{"nobody has said that anyone else waits", func() { turns.rest(plan.Record{}, "me", time.Now(), whole) }, 3, 0},
			{"a thousand wait", func() {
				turns.gone(freed("other", "1000"), "me", time.Now())
				turns.rest(plan.Record{}, "me", time.Now(), whole)
			}, 0, 1},
			{"ten wait", func() {
				turns.gone(freed("other", "10"), "me", time.Now())
				turns.rest(plan.Record{}, "me", time.Now(), whole)
			}, 0, 1},
			{"it is named", func() {
				turns.gone(freed("me", "1000"), "me", time.Now())
				turns.rest(plan.Record{}, "me", time.Now(), whole)
			}, 3, 0},
			{"all wait for a pause to end", func() {
				turns.gone(freed("other", "0"), "me", time.Now())
				turns.rest(plan.Record{Reason: plan.Paused}, "me", time.Now(), whole)
			}, 0, 1},
			{"it holds a slot", func() { turns.hurry() }, 3, 0},
		} {
			step.do()
			looked.Store(0)
			for range 3 {
				turns.changed(time.Now(), look)
			}
			soon := int(looked.Load())
			time.Sleep(9 * time.Second)
			synctest.Wait()
			if later := int(looked.Load()) - soon; soon != step.soon || later != step.later {
				t.Errorf("%s: %d looks at once, and %d later; want %d and %d", step.name, soon, later, step.soon, step.later)
			}
		}
	})
}

// A slot that was freed for nobody is looked at soon, though a look at what concerns others is due later already.
func TestBriskAmongCalm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var turns turns
		var mu sync.Mutex
		var looked []time.Duration
		begin := time.Now()
		look := func() {
			mu.Lock()
			defer mu.Unlock()
			looked = append(looked, time.Since(begin))
		}
		free := func(next string) {
			turns.gone(&coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "rebootd-g-0",
				Annotations: map[string]string{lock.NextAnnotation: next, lock.WaitingAnnotation: "1000"}}}, "me", time.Now())
			turns.changed(time.Now(), look)
		}
		turns.waiting = 1000
		turns.rest(plan.Record{}, "me", time.Now(), func() float64 { return 1 })
		free("other")
		free("")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		mu.Lock()
		if len(looked) != 1 || looked[0] != time.Second {
			t.Errorf("looked after %v, want once, after a second", looked)
		}
		mu.Unlock()
		time.Sleep(9 * time.Second)
		synctest.Wait()
	})
}

// Of all that wait none looks before half of the time is over, and enough have looked when the one that was named hasn't come.
func TestCalmAtLeast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var turns turns
		var looked atomic.Int64
		begin := time.Now()
		turns.waiting = 1000
		turns.rest(plan.Record{}, "me", begin, func() float64 { return 0 })
		if turns.news() {
			t.Error("there are news though nothing has changed")
		}
		turns.changed(begin, func() { looked.Store(int64(time.Since(begin))) })
		if !turns.news() {
			t.Error("there are no news though something has changed")
		}
		time.Sleep(calmMost)
		synctest.Wait()
		if got := time.Duration(looked.Load()); got != calmMost/2 {
			t.Errorf("looked after %s, want %s", got, calmMost/2)
		}
		left := lock.Handover{Next: "other", At: begin}
		if now := begin.Add(calmMost / 2); left.Reserved(now) != "other" {
			t.Error("the first look is after the time that is kept for the one that was named: others may be late")
		}
	})
}
