package sentinel

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rebootd/rebootd/pkg/plan"
)

func exited(code int, output string) Exit {
	x := Exit{Exited: true, Code: code, Output: output}
	if code != 0 {
		x.Err = errors.New("exited")
	}
	return x
}

func TestJudge(t *testing.T) {
	kured := Check{Argvs: [][]string{{"needs", "-r"}}, Yes: []int{0}}
	rhel, _ := PresetOf("rhel")
	suse, _ := PresetOf("suse")
	const hint = "Core libraries or services have been updated since boot-up:\n  * kernel\n  * glibc\n\nReboot is required to fully utilize these updates.\n"
	for _, tt := range []struct {
		name   string
		check  Check
		exit   Exit
		answer plan.Answer
		says   string
	}{
		{"kured yes", kured, exited(0, ""), plan.Yes, "The command needs -r asks for a reboot (exit code 0)."},
		{"kured no", kured, exited(1, ""), plan.No, "(exit code 1)"},
		{"kured no, too", kured, exited(125, ""), plan.No, "(exit code 125)"},
		{"not executable", kured, exited(126, "sh: x: Permission denied"), plan.Unknown, "126, which means neither yes nor no (--sentinel-command-yes, --sentinel-command-no): sh: x: Perm"},
		{"not found by a shell", kured, exited(127, ""), plan.Unknown, "(--reboot-sentinel-command) ended with exit code 127"},
		{"a shell's word for a signal", kured, exited(139, ""), plan.Unknown, "139"},
		{"missing", kured, Exit{Missing: true, Err: errors.New("not found")}, plan.Unknown, "gave no answer: not found"},
		{"a signal", kured, Exit{Err: errors.New("killed by SIGSEGV")}, plan.Unknown, "gave no answer: killed by SIGSEGV"},
		{"too slow", kured, Exit{Err: errors.New("not ended after 2m")}, plan.Unknown, "not ended after 2m"},
		{"rhel yes", rhel.Check, exited(1, hint), plan.Yes, "asks for a reboot (exit code 1) (packages: kernel, glibc)."},
		{"rhel no", rhel.Check, exited(0, "Reboot should not be necessary."), plan.No, "(exit code 0)"},
		{"dnf without the plugin", rhel.Check, exited(1, "No such command: needs-restarting."), plan.Unknown, `did not say "Reboot is required": No such command`},
		{"dnf locked", rhel.Check, exited(200, ""), plan.Unknown, "200"},
		{"suse yes", suse.Check, exited(102, ""), plan.Yes, "zypper needs-rebooting asks for a reboot (exit code 102)"},
		{"suse no", suse.Check, exited(0, ""), plan.No, "(exit code 0)"},
		{"suse locked", suse.Check, exited(7, "System management is locked"), plan.Unknown, "exit code 7"},
		{"an old zypper", suse.Check, exited(2, "Unknown command 'needs-rebooting'"), plan.Unknown, "Unknown command"},
		{"listed by the owner", Check{Argvs: [][]string{{"x"}}, Yes: []int{127}, No: []int{139}}, exited(127, ""), plan.Yes, "127"},
		{"much output", kured, exited(127, strings.Repeat("ä\n", 5000)), plan.Unknown, "…"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := NewCommand(tt.check, func(context.Context, []string) Exit { return tt.exit }, Pace{Every: time.Minute, Timeout: time.Minute, Now: time.Now})
			got := c.ask(t.Context())
			if got.Answer != tt.answer || !strings.Contains(got.Message, tt.says) || len(got.Message) > 1000 || len(got.By) != 1 {
				t.Errorf("got %+v, want %v and %q", got, tt.answer, tt.says)
			}
		})
	}
}

// The first command that is there counts.
func TestFirstThatIsThere(t *testing.T) {
	rhel, _ := PresetOf("rhel")
	var ran []string
	c := NewCommand(rhel.Check, func(_ context.Context, argv []string) Exit {
		ran = append(ran, argv[0])
		if argv[0] == "needs-restarting" {
			return Exit{Missing: true, Err: errors.New("not found")}
		}
		return exited(1, "Reboot is required")
	}, Pace{Every: time.Minute, Timeout: time.Minute, Now: time.Now})
	if got := c.ask(t.Context()); got.Answer != plan.Yes || got.By[0] != "command dnf needs-restarting -r" || len(ran) != 2 {
		t.Errorf("ran %v, got %+v", ran, got)
	}
}

// tool is a command that takes its time and says what it is told to.
type tool struct {
	takes time.Duration
	code  atomic.Int32
	runs  atomic.Int32
	hangs atomic.Bool
}

func newTool(code int32, takes time.Duration) *tool {
	u := &tool{takes: takes}
	u.code.Store(code)
	return u
}

func (u *tool) run(ctx context.Context, _ []string) Exit {
	u.runs.Add(1)
	code := int(u.code.Load())
	if u.hangs.Load() {
		<-ctx.Done()
		return Exit{Err: ctx.Err()}
	}
	select {
	case <-ctx.Done():
		return Exit{Err: ctx.Err()}
	case <-time.After(u.takes):
	}
	return exited(code, "")
}

func watch(t *testing.T, u *tool, f func(c *Command, woken *atomic.Int32)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := NewCommand(Check{Argvs: [][]string{{"x"}}, Yes: []int{0}}, u.run, Pace{Every: time.Hour, Timeout: 2 * time.Minute, Now: time.Now})
		var woken atomic.Int32
		ctx, cancel := context.WithCancel(t.Context())
		go c.Watch(ctx, func() { woken.Add(1) })
		synctest.Wait()
		f(c, &woken)
		cancel()
		synctest.Wait()
	})
}

func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestWatch(t *testing.T) {
	u := newTool(1, 30*time.Second)
	watch(t, u, func(c *Command, woken *atomic.Int32) {
		began := time.Now()
		if w := c.Look(t.Context()); w.Answer != plan.Unknown || !strings.Contains(w.Message, "has not ended yet") || c.Asked(time.Time{}) {
			t.Errorf("before its first answer: %+v", w)
		}
		pass(31 * time.Second)
		if w := c.Look(t.Context()); w.Answer != plan.No || !w.At.Equal(began) || !c.Asked(time.Time{}) || woken.Load() != 1 || u.runs.Load() != 1 {
			t.Errorf("after it: %+v, %d runs, woken %d times", w, u.runs.Load(), woken.Load())
		}
		u.code.Store(0)
		pass(10 * time.Minute)
		if w := c.Look(t.Context()); w.Answer != plan.No || u.runs.Load() != 1 {
			t.Errorf("it ran %d times within the period: %+v", u.runs.Load(), w)
		}
		due := time.Now()
		for range 40 { // asked on every turn of the loop
			if c.Asked(due) {
				break
			}
			pass(time.Second)
		}
		if w := c.Look(t.Context()); w.Answer != plan.Yes || !c.Asked(due) || u.runs.Load() != 2 || woken.Load() != 2 {
			t.Errorf("asked once more: %+v, %d runs", w, u.runs.Load())
		}
		pass(50 * time.Minute)
		if u.runs.Load() != 2 {
			t.Errorf("%d runs; the period begins with the last one", u.runs.Load())
		}
		pass(11 * time.Minute)
		if u.runs.Load() != 3 || woken.Load() != 3 {
			t.Errorf("%d runs, woken %d times; the period has passed", u.runs.Load(), woken.Load())
		}
	})
}

// A tool that was only busy is asked again soon, whatever the period.
// One who asks before anything runs is served by the first run: there is no second one.
func TestAskedBeforeTheFirstRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := newTool(0, time.Minute)
		c := NewCommand(Check{Argvs: [][]string{{"x"}}, Yes: []int{0}}, u.run, Pace{Every: time.Hour, Timeout: 2 * time.Minute, Now: time.Now})
		if c.Asked(time.Time{}) {
			t.Error("an answer before anything ran")
		}
		ctx, cancel := context.WithCancel(t.Context())
		go c.Watch(ctx, func() {})
		pass(61 * time.Second)
		if !c.Asked(time.Time{}) || u.runs.Load() != 1 {
			t.Errorf("%d runs", u.runs.Load())
		}
		cancel()
		synctest.Wait()
	})
}

func TestAgainSoon(t *testing.T) {
	u := newTool(127, time.Second)
	watch(t, u, func(c *Command, _ *atomic.Int32) {
		pass(30 * time.Second)
		u.code.Store(0)
		if w := c.Look(t.Context()); w.Answer != plan.Unknown {
			t.Errorf("got %+v", w)
		}
		pass(time.Minute)
		if w := c.Look(t.Context()); w.Answer != plan.Yes || u.runs.Load() != 2 {
			t.Errorf("a minute later: %+v", w)
		}
	})
}

// A command that never comes back is no answer for ever: the last one grows too old, and the loop goes on.
func TestTooOld(t *testing.T) {
	u := newTool(0, 0)
	watch(t, u, func(c *Command, _ *atomic.Int32) {
		u.hangs.Store(true)
		pass(time.Hour + 4*time.Minute)
		if w := c.Look(t.Context()); w.Answer != plan.Yes {
			t.Errorf("an hour later: %+v", w)
		}
		pass(2 * time.Minute)
		if w := c.Look(t.Context()); w.Answer != plan.Unknown || !strings.Contains(w.Message, "has not ended since 2") || w.At.IsZero() {
			t.Errorf("too late: %+v", w)
		}
	})
	u = newTool(0, 0)
	u.hangs.Store(true)
	watch(t, u, func(c *Command, _ *atomic.Int32) {
		pass(time.Hour)
		if c.Asked(time.Time{}) {
			t.Error("answered?")
		}
		pass(10 * time.Minute)
		if w := c.Look(t.Context()); w.Answer != plan.Unknown || !c.Asked(time.Time{}) {
			t.Errorf("the loop still waits: %+v", w)
		}
		if c.Asked(time.Now()) || u.runs.Load() != 1 {
			t.Errorf("%d runs", u.runs.Load())
		}
	})
}
