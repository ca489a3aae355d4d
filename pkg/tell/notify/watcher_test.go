package notify

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rebootd/rebootd/pkg/plan"
)

// Each line is one look: minutes since the last one, phase, reason, and the events that it must bring.
func TestWatcher(t *testing.T) {
	for name, looks := range map[string]string{
		"the whole way": `
			0 Idle NotRequired
			1 Required RebootRequired : required
			1 Required WaitingForSlot
			1 Draining Draining : draining
			1 Draining BlockedByAlert
			1 Draining Draining
			1 Rebooting RebootIssued : rebooting
			1 Recovering RebootSucceeded
			1 Recovering NotReadyAfterReboot
			1 Settling Uncordoned : back
			1 Settling Settling
			1 Idle RebootSucceeded`,
		"a start in the middle tells nothing again": `
			0 Draining Draining
			1 Rebooting RebootIssued : rebooting`,
		"a first start that finds a reboot wanted": `
			0 >Required RebootRequired : required`,
		"a start after the reboot": `
			0 Rebooting>Recovering RebootSucceeded
			1 Settling Uncordoned : back`,
		"a start when the time is over already": `
			0 Rebooting RebootTimedOut
			1 Rebooting RebootTimedOut`,
		"held back for long, told once, and again when it was free in between": `
			0 Required Held
			30 Required Held
			29 Required BlockedByPod
			1 Required BlockedByPod : blocked
			300 Required GateError
			1 Required WaitingForSlot
			60 Required WaitingForSlot
			1 Required Held
			60 Required Held : blocked`,
		"what is waited for by design": `
			0 Required OutsideWindow
			900 Required Paused
			900 Required Frozen
			900 Required CircuitOpen
			900 Required WaitingForSlot`,
		"drain given up": `
			0 Required SlotTaken
			1 Draining Draining : draining
			1 Aborting DrainTimedOut : drain-failed
			1 Required DrainTimedOut
			1 Required BackingOff`,
		"no longer wanted": `
			0 Draining Draining
			1 Aborting NotRequired
			1 Idle NotRequired`,
		"the command fails": `
			0 Rebooting RebootIssued
			1 Rebooting RebootFailed
			1 Aborting RebootFailed : reboot-failed`,
		"it doesn't go down": `
			0 Draining Draining
			1 Rebooting RebootIssued : rebooting
			15 Rebooting RebootTimedOut : not-back
			1 Rebooting RebootTimedOut`,
		"it isn't healthy": `
			0 Recovering RebootSucceeded
			14 Recovering NotReadyAfterReboot
			1 Recovering NotReadyAfterReboot : not-back
			60 Recovering NotReadyAfterReboot
			1 Settling Uncordoned : back
			1 Settling NotReadyAfterReboot
			14 Settling NotReadyAfterReboot : not-back`,
		"a loop": `
			0 Idle RebootSucceeded
			1 Required RebootRequired : required
			1 Required RebootLoop : loop
			60 Required RebootLoop`,
	} {
		t.Run(name, func(t *testing.T) {
			w := Watcher{BlockedAfter: time.Hour, NotBackAfter: 15 * time.Minute}
			now := time.Unix(0, 0)
			for line := range strings.Lines(strings.TrimSpace(looks)) {
				look, want, _ := strings.Cut(strings.TrimSpace(line), " : ")
				var minutes int
				var phase, reason string
				if _, err := fmt.Sscan(look, &minutes, &phase, &reason); err != nil {
					t.Fatal(err)
				}
				found, phase, moved := strings.Cut(phase, ">")
				if !moved {
					phase = found
				}
				now = now.Add(time.Duration(minutes) * time.Minute)
				var got []string
				for _, e := range w.See(plan.Phase(found), plan.Phase(phase), plan.Reason(reason), now) {
					got = append(got, string(e))
				}
				if strings.Join(got, " ") != want {
					t.Errorf("%s: got %v", look, got)
				}
			}
		})
	}
}

func TestNeverBlocked(t *testing.T) {
	w := Watcher{NotBackAfter: time.Hour}
	w.See(plan.Required, plan.Required, plan.Held, time.Unix(0, 0))
	if got := w.See(plan.Required, plan.Required, plan.Held, time.Unix(1e9, 0)); got != nil {
		t.Errorf("--notify-blocked-after=0: %v", got)
	}
}
