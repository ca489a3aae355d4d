// Package model checks a model of lock and record (lock.pml) with spin: every order in which agents, crashes, failing calls and
// people can follow each other.
package model

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// What number in the model stands for what.
const (
	slotHeld   = 1 // no more nodes out than slots, and none without its own
	proved     = 2 // nothing disruptive without a live read of the slot
	cordonKept = 3 // a cordon is neither forgotten nor stolen
	noReturn   = 4 // no way back into service with a reboot on its way
	settled    = 5 // in the end every reboot was made and every slot is free
	forever    = 6 // spin's own: something goes on for ever
)

// variant is one run of spin. Without progress it looks at every state, with it also for whatever could go on for ever; then
// faults and acts of people must be counted, because without end they can keep a reboot from ever being made.
type variant struct {
	name, defines string
	progress      bool
	breaks        int // 0: it must hold
}

func variants() []variant {
	return []variant{
		{"three nodes, one slot, any crashes", "ACTS=0", false, 0},
		{"two nodes, one slot, any crashes, two acts of people", "NODES=2 ACTS=2", false, 0},
		{"three nodes, two slots, two crashes", "SLOTS=2 FAULTS=2 ACTS=0", false, 0},
		{"two nodes, the number of slots changes, any crashes", "NODES=2 CHANGE ACTS=0", false, 0},
		{"two nodes, deletions carried out after their sender gave up, any crashes", "NODES=2 ACTS=0 LATE", false, 0},
		{"every reboot is made: three nodes, a crash, an act", "FAULTS=1 ACTS=1", true, 0},
		{"every reboot is made: two nodes, two crashes, two acts", "NODES=2 FAULTS=2 ACTS=2", true, 0},
		{"every reboot is made: three nodes, the number of slots changes", "CHANGE FAULTS=0 ACTS=0", true, 0},

		// Agents that are broken on purpose: each must be caught.
		{"mutant: no live read before a step", "NODES=2 ACTS=1 MUTANT=NO_FENCE", false, proved},
		{"mutant: cordon and record in two writes", "NODES=2 ACTS=0 MUTANT=SPLIT_CORDON", false, cordonKept},
		{"mutant: slot freed before the uncordon", "NODES=2 ACTS=0 MUTANT=FREE_FIRST", false, slotHeld},
		{"mutant: Lease deleted by its name", "NODES=2 ACTS=1 MUTANT=FREE_BY_NAME", false, slotHeld},
		{"mutant: a restart means no command was run", "NODES=2 ACTS=1 MUTANT=NO_DOUBT", false, noReturn},
		{"mutant: a restart means rebooted", "NODES=2 ACTS=0 MUTANT=RESTART_IS_BOOT", false, noReturn},
		{"mutant: a person's cordon taken for our own", "NODES=2 ACTS=1 MUTANT=FORGET_PERSON", false, cordonKept},
		{"mutant: no second look after the take", "CHANGE FAULTS=0 ACTS=0 MUTANT=NO_REREAD", false, slotHeld},
		{"mutant: a slot left by a crash isn't looked for", "NODES=2 FAULTS=2 ACTS=0 MUTANT=FORGET_SLOT", false, settled},
		{"mutant: a slot used that was about to be freed", "NODES=2 ACTS=0 LATE MUTANT=TRUST_ALL", false, slotHeld},
		{"mutant: a slot asked for without waiting", "NODES=2 FAULTS=0 ACTS=0 MUTANT=NO_WAIT", true, forever},
	}
}

func TestModel(t *testing.T) {
	if _, err := exec.LookPath("spin"); err != nil {
		t.Skip("spin isn't installed: make model")
	}
	for _, v := range variants() {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			v.check(t)
		})
	}
}

func (v variant) check(t *testing.T) {
	dir := t.TempDir()
	model, err := os.ReadFile("lock.pml")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "lock.pml"), model, 0o644); err != nil {
		t.Fatal(err)
	}
	var defines []string
	for d := range strings.FieldsSeq(v.defines) {
		defines = append(defines, "-D"+d)
	}
	// -m is the longest path, -l looks for what goes on for ever. States are kept whole, so none is missed.
	gcc := []string{"-w", "-O1", "-o", "pan", "pan.c"}
	pan := []string{"-m100000"}
	if v.progress {
		gcc, pan = append(gcc, "-DNP"), append(pan, "-l")
	} else {
		gcc = append(gcc, "-DSAFETY")
	}
	run(t, dir, "spin", append(append([]string{"-a"}, defines...), "lock.pml")...)
	run(t, dir, "gcc", gcc...)
	start := time.Now()
	out := run(t, dir, "./pan", pan...)
	states := regexp.MustCompile(`(\S+) states, stored`).FindStringSubmatch(out)
	if states == nil || strings.Contains(out, "max search depth") {
		t.Fatalf("spin did not finish:\n%s", out)
	}
	switch fault(out) {
	case v.breaks:
		t.Logf("%s states, %.1f s", states[1], time.Since(start).Seconds())
	case 0:
		t.Errorf("nothing was found:\n%s", out)
	default:
		t.Errorf("%s\nThe way there:\n%s", out, run(t, dir, "spin", append(append([]string{"-t", "-p"}, defines...), "lock.pml")...))
	}
}

// fault is the number of what spin found broken: 0 is nothing, -1 what nobody thought of.
func fault(out string) int {
	switch m := regexp.MustCompile(`assertion violated \(broken!=(\d)\)`).FindStringSubmatch(out); {
	case m != nil:
		return int(m[1][0] - '0')
	case strings.Contains(out, "pan:1: non-progress cycle"):
		return forever
	case !strings.Contains(out, "errors: 0"):
		return -1
	}
	return 0
}

func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil && name != "./pan" {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	return string(out)
}
