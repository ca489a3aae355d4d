package agent

import (
	"testing"
	"time"

	"github.com/rebootd/rebootd/pkg/node"
)

func TestClaim(t *testing.T) {
	now := time.Unix(1000, 0)
	const me, other = "me@boot", "other@boot"
	for _, tt := range []struct {
		name         string
		claim        claim
		holder, call string
		mine         bool
		holderAfter  any // what is written; nil: the annotation isn't touched
		callAfter    any
		again        time.Duration
	}{
		{name: "nobody yet", holderAfter: me, callAfter: ""},
		{name: "mine", holder: me, mine: true},
		{name: "mine, and another asks", holder: me, call: other, mine: true, callAfter: ""},
		{name: "an agent of an earlier boot is dead", holder: "other@earlier", holderAfter: me, callAfter: ""},
		{name: "another: ask", holder: other, callAfter: me, again: answerWithin},
		{name: "asked just now", claim: claim{askedAt: now.Add(-time.Second)}, holder: other, call: me, again: answerWithin - time.Second},
		{name: "no answer", claim: claim{askedAt: now.Add(-answerWithin)}, holder: other, call: me, holderAfter: me, callAfter: ""},
		{name: "answered", claim: claim{askedAt: now.Add(-time.Second)}, holder: other, again: askAgain},
		{name: "answered a while ago", claim: claim{answeredAt: now.Add(-time.Second)}, holder: other, again: askAgain - time.Second},
		{name: "answered long ago: ask again", claim: claim{answeredAt: now.Add(-askAgain)}, holder: other, callAfter: me, again: answerWithin},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := tt.claim
			c.me = me
			step := c.next(tt.holder, tt.call, "boot", now)
			if step.mine != tt.mine || step.again != tt.again {
				t.Errorf("mine %v, again in %s", step.mine, step.again)
			}
			for key, want := range map[string]any{node.AgentAnnotation: tt.holderAfter, node.CallAnnotation: tt.callAfter} {
				got, written := step.write[key]
				if written != (want != nil) || want != nil && want != "" && got != want || want == "" && got != nil {
					t.Errorf("%s: writes %v (%v), want %v", key, got, written, want)
				}
			}
		})
	}
}
