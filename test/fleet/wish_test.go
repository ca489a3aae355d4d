package fleet

import (
	"fmt"
	"time"

	"github.com/rebootd/rebootd/pkg/plan"
)

// wishes are what asks for a machine's reboot besides its sentinel, and what stands against it; guarded by the machine's Set.
type wishes struct {
	// requests are the annotations that ask for one, by annotation.
	requests map[string]*request
	// hold is whether a person holds the node.
	hold bool
	// paused is whether somebody holds all nodes.
	paused bool
	// allowedUntil is when all but the clock last allowed a reboot; zero: it does now.
	allowedUntil time.Time
	// nowUntil is when a request that needs no window was withdrawn last.
	nowUntil time.Time
}

// request is one that stands on the Node.
type request struct {
	text string
	// boot is the one in which it came, recorded that in which an agent took it down; 0: none has.
	boot, recorded int
}

// open is whether a request still asks, at so many boots.
func (q *request) open(boots int) bool { return q.recorded == 0 || boots <= q.recorded }

const requestNow = "rebootd.io/request-now"

// wantsSomehow is whether anything asks for a reboot. It wants the machine's lock.
func (b *box) wantsSomehow() bool {
	for _, q := range b.wishes.requests {
		if q.open(b.Boots) {
			return true
		}
	}
	return b.Wanted == plan.Yes
}

// allowed is whether all but the clock allows a reboot. It wants the machine's lock.
func (b *box) allowed() bool {
	return b.wantsSomehow() && b.Gate.Open && !b.wishes.hold && !b.wishes.paused
}

// change is whatever may allow a reboot or forbid it.
func (b *box) change(f func()) {
	b.Set(func() {
		was, now := b.allowed(), b.wishes.requests[requestNow] != nil
		f()
		if now && b.wishes.requests[requestNow] == nil {
			b.wishes.nowUntil = time.Now()
		}
		switch is := b.allowed(); {
		case is:
			b.wishes.allowedUntil = time.Time{}
		case was:
			b.wishes.allowedUntil = time.Now()
		}
	})
	b.charge(time.Minute + b.Policy.GateGrace)
}

// mayGo is whether wish and gates allow a reboot, or did so long ago that what was decided then may still be on its way.
func (b *box) mayGo(ago time.Duration) (may bool) {
	inWindow := b.inWindow(ago)
	b.Set(func() {
		may = b.allowed() || !b.wishes.allowedUntil.IsZero() && time.Since(b.wishes.allowedUntil) < ago
		may = may && (inWindow || b.wishes.requests[requestNow] != nil || time.Since(b.wishes.nowUntil) < ago)
	})
	return may
}

// inWindow is whether a window is open by the machine's clock, or was not long ago.
func (b *box) inWindow(ago time.Duration) bool {
	if b.w.window == "" || b.w.jumps {
		return true
	}
	now := time.Now().Add(time.Duration(b.skew.Load()))
	for at := now; !at.Before(now.Add(-ago)); at = at.Add(-5 * time.Second) {
		if b.w.schedule.At(at, 0).Open {
			return true
		}
	}
	return false
}

// recorded notes that the record has taken these requests down.
func (b *box) recorded(all []plan.Request) {
	b.Set(func() {
		for _, taken := range all {
			for _, q := range b.wishes.requests {
				if q.text == taken.Text && q.recorded == 0 {
					q.recorded = b.Boots
				}
			}
		}
	})
}

func (w *world) want(b *box) {
	w.tell(b.Name, "wants a reboot")
	b.change(func() { b.Wanted, b.wantedAt = plan.Yes, b.Boots })
}

func (w *world) unwant(b *box) { w.answer(b, plan.No, "wants no reboot any more") }
func (w *world) doubt(b *box)  { w.answer(b, plan.Unknown, "can't say whether it wants a reboot") }

func (w *world) answer(b *box, a plan.Answer, what string) {
	if w.chance.one(2) {
		w.tell(b.Name, "%s", what)
		b.change(func() {
			if b.Wanted = a; a == plan.No {
				b.wantedAt = 0
			}
		})
	}
}

func (w *world) closeGate(b *box) {
	w.tell(b.Name, "its gate closes")
	b.change(func() { b.Gate.Open, b.Gate.Everyone = false, w.chance.one(2) })
}

func (w *world) openGate(b *box) { b.change(func() { b.Gate.Open = true }) }

// request is a person who asks for a reboot, and perhaps for one at once.
func (w *world) request(b *box) {
	key := "rebootd.io/request"
	if w.chance.one(3) {
		key = requestNow
	}
	text := fmt.Sprintf("for reason %d", w.chance.IntN(1e6))
	if w.annotate(b, key, &text) {
		b.change(func() { b.wishes.requests[key] = &request{text: text, boot: b.Boots} })
	}
}

// withdraw takes a request back.
func (w *world) withdraw(b *box) {
	for _, key := range []string{"rebootd.io/request", requestNow} {
		if w.annotate(b, key, nil) {
			b.change(func() { delete(b.wishes.requests, key) })
		}
	}
}

func (w *world) hold(b *box) {
	why := "looking into it"
	if w.annotate(b, "rebootd.io/hold", &why) {
		b.change(func() { b.wishes.hold = true })
	}
}

func (w *world) letGo(b *box) {
	if w.annotate(b, "rebootd.io/hold", nil) {
		b.change(func() { b.wishes.hold = false })
	}
}

// prefer sets a priority, which may be none.
func (w *world) prefer(b *box) {
	w.annotate(b, "rebootd.io/priority", &[]string{"10", "-5", "0", "high"}[w.chance.IntN(4)])
}

// annotate is a person who annotates a Node; false: there is none. What is written before a wish is noted is noted in the same
// instant.
func (w *world) annotate(b *box, key string, value *string) bool {
	n := b.Node()
	if _, has := n.Annotations[key]; n.UID == "" || value == nil && !has {
		return false
	}
	text := "null"
	if value != nil {
		text = fmt.Sprintf("%q", *value)
	}
	w.tell(b.Name, "a person sets %s=%s", key, text)
	b.Patch(fmt.Sprintf(`{"metadata":{"annotations":{%q:%s}}}`, key, text))
	return true
}

func (b *box) boots() (n int) {
	b.Set(func() { n = b.Boots })
	return n
}
