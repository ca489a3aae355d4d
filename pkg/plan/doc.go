// Package plan decides what one node does next, and says why.
//
// A reader of rebootd starts here. [Decide] is a pure function: it takes an [Observation] (what the
// machine, its Node object, the slots and the gates look like), a [Policy] (what the owner
// configured) and the time, and returns one [Action] with its [Reason]. The agent carries the action out,
// looks again and asks again. Nothing is remembered between two calls but what the [Record] on the
// Node says, so a crash at any instant is followed by the same decision as no crash.
//
// The order that never changes, and why:
//
//	take slot < record + cordon < drain < record < reboot command
//
// so that nothing disruptive happens without the slot, and what was done can be found on the Node
// afterwards; then
//
//	boot ID changed < healthy < uncordon + record < settled < record idle < free slot
//
// so that the next node starts only when this one serves again.
//
// This package imports nothing that talks to the outside: no client-go, no os, no net. A test holds
// it to that. Every other package may use its words (reasons, phases, the record).
package plan
