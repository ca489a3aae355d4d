package host

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestEnds(t *testing.T) {
	for name, c := range map[string]struct {
		argv []string
		want Result
		err  string
	}{
		"0":        {[]string{"true"}, Result{Started: true, Exited: true}, ""},
		"3":        {sh("echo a; echo b >&2; echo c; exit 3"), Result{Started: true, Exited: true, ExitCode: 3, Output: "a\nb\nc\n"}, "exited with 3"},
		"KILL":     {sh("kill -KILL $$"), Result{Started: true, Signal: "SIGKILL"}, "killed by SIGKILL"},
		"RT":       {sh("kill -39 $$"), Result{Started: true, Signal: "SIGRTMIN+5"}, "killed by SIGRTMIN+5"},
		"literal":  {[]string{"echo", "$HOME", "*", "a  b"}, Result{Started: true, Exited: true, Output: "$HOME * a  b\n"}, ""},
		"no input": {[]string{"cat"}, Result{Started: true, Exited: true}, ""},
		"no UTF-8": {[]string{"printf", `a\377b`}, Result{Started: true, Exited: true, Output: "a?b"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := ownHost().Run(t.Context(), c.argv, time.Minute)
			switch {
			case c.err != "":
				wantErr(t, r.Err, "command "+Quote(c.argv)+" in the agent's own mount namespace: "+c.err)
			case r.Err != nil:
				t.Error(r.Err)
			}
			if r.Duration <= 0 {
				t.Error("no duration")
			}
			if want := c.want.Exited && c.want.ExitCode != 0; r.Failed() != want {
				t.Errorf("Failed is %t", r.Failed())
			}
			r.Err, r.Duration = nil, 0
			if r != c.want {
				t.Errorf("got %+v, want %+v", r, c.want)
			}
		})
	}
}

func TestOutputIsBounded(t *testing.T) {
	r := ownHost().Run(t.Context(), sh("head -c 20000000 /dev/zero | tr '\\0' '\\303'; printf end"), time.Minute)
	if r.Err != nil || len(r.Output) > maxOutput || !utf8.ValidString(r.Output) || !strings.HasSuffix(r.Output, "end") {
		t.Errorf("%d bytes, %v", len(r.Output), r.Err)
	}
	var last tail
	for range 10000 {
		_, _ = last.Write([]byte("0123456789abcdef"))
	}
	if got := last.String(); got != strings.Repeat("0123456789abcdef", maxOutput/16) || cap(last.buf) > 4*maxOutput {
		t.Errorf("%d bytes kept in %d", len(got), cap(last.buf))
	}
}

// pidIn waits for the process ID that a command writes to file.
func pidIn(t *testing.T, file string) (pid int) {
	t.Helper()
	eventually(t, "a process ID in "+file, func() bool {
		content, _ := os.ReadFile(file)
		pid, _ = strconv.Atoi(strings.TrimSpace(string(content)))
		return strings.HasSuffix(string(content), "\n") && pid > 1
	})
	return pid
}

func TestTimeoutKillsTheGroup(t *testing.T) {
	t.Parallel()
	h, _ := fakeHost(t)
	file := filepath.Join(t.TempDir(), "pid")
	r := h.Run(t.Context(), sh(`echo before; sleep 600 & echo $! >"$1"; wait`, file), 300*time.Millisecond)
	wantErr(t, r.Err, "not ended after ", "killed")
	if !r.TimedOut || r.Exited || !r.Started || r.Failed() || r.Output != "before\n" || !errors.Is(r.Err, context.DeadlineExceeded) {
		t.Errorf("%+v", r)
	}
	if r.Duration > killGrace+drainGrace+4*time.Second {
		t.Errorf("took %s", r.Duration)
	}
	pid := pidIn(t, file)
	killLater(t, pid)
	eventually(t, "the child is gone", func() bool { return !alive(pid) })
}

func TestTimeoutIgnoredTERM(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "pid")
	// The first process goes at SIGTERM; its child doesn't.
	r := ownHost().Run(t.Context(), sh(`(trap "" TERM; exec sleep 600) & echo $! >"$1"; wait`, file), 500*time.Millisecond)
	if !r.TimedOut || r.Duration < killGrace || r.Duration > killGrace+4*time.Second {
		t.Errorf("%+v", r)
	}
	pid := pidIn(t, file)
	killLater(t, pid)
	eventually(t, "the child is gone", func() bool { return !alive(pid) })
}

// What a command does when it is told to stop is not its verdict.
func TestTimeoutIsNoExit(t *testing.T) {
	t.Parallel()
	r := ownHost().Run(t.Context(), sh(`trap "exit 0" TERM; while :; do sleep 0.05; done`), 300*time.Millisecond)
	if !r.TimedOut || r.Exited || r.Err == nil {
		t.Errorf("%+v", r)
	}
}

func TestCancelKills(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(200*time.Millisecond, cancel)
	r := ownHost().Run(ctx, []string{"sleep", "600"}, time.Minute)
	if r.TimedOut || r.Exited || !r.Started || !errors.Is(r.Err, context.Canceled) || r.Duration > 3*time.Second {
		t.Errorf("%+v", r)
	}
	for _, r := range []Result{
		ownHost().Run(ctx, []string{"true"}, 0),
		ownHost().RunAndLeave(ctx, []string{"true"}, 0),
	} {
		if r.Started || !r.Failed() || !errors.Is(r.Err, context.Canceled) {
			t.Errorf("%+v", r)
		}
	}
}

func TestGrandchildKeepsThePipe(t *testing.T) {
	t.Parallel()
	h, _ := fakeHost(t)
	for name, script := range map[string]string{
		"background": `echo hi; sleep 600 & echo $! >"$1"; exit 5`,
		"session":    `echo hi; setsid sh -c 'echo $$ >"$1"; exec sleep 600' sh "$1" & while ! [ -s "$1" ]; do sleep 0.01; done; exit 5`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "pid")
			r := h.Run(t.Context(), sh(script, file), time.Minute)
			pid := pidIn(t, file)
			killLater(t, pid)
			if !r.Exited || r.ExitCode != 5 || r.Output != "hi\n" || r.Duration > drainGrace+3*time.Second {
				t.Errorf("%+v", r)
			}
			if !alive(pid) {
				t.Error("a command that ended by itself lost its background process")
			}
		})
	}
}

// The command outlives its timeout, the agent's context, and the wish to write.
func TestRunAndLeave(t *testing.T) {
	t.Parallel()
	h, _ := fakeHost(t)
	const script = `echo begun; sleep 2; echo still heard && echo $$ >"$1"`
	t.Run("timeout", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(t.TempDir(), "pid")
		r := h.RunAndLeave(t.Context(), sh(script, file), 300*time.Millisecond)
		wantErr(t, r.Err, "left running, outcome unknown")
		if !r.Started || !r.TimedOut || r.Exited || r.Failed() || r.Output != "begun\n" {
			t.Errorf("%+v", r)
		}
		pidIn(t, file)
	})
	t.Run("cancel", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(300*time.Millisecond, cancel)
		file := filepath.Join(t.TempDir(), "pid")
		r := h.RunAndLeave(ctx, sh(script, file), time.Minute)
		if !r.Started || r.TimedOut || r.Exited || r.Failed() || !errors.Is(r.Err, context.Canceled) {
			t.Errorf("%+v", r)
		}
		pidIn(t, file)
	})
	t.Run("background", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(t.TempDir(), "pid")
		r := h.RunAndLeave(t.Context(), sh("("+script+") & exit 0", file), time.Minute)
		if r.Err != nil || !r.Exited {
			t.Errorf("%+v", r)
		}
		pidIn(t, file)
	})
	t.Run("failed", func(t *testing.T) {
		t.Parallel()
		if r := h.RunAndLeave(t.Context(), sh("exit 1"), time.Minute); !r.Failed() || r.ExitCode != 1 {
			t.Errorf("%+v", r)
		}
	})
}

// Variables are added to the environment; one that is there already is overridden.
func TestRunWith(t *testing.T) {
	t.Setenv("REBOOTD_NODE", "old")
	r := ownHost().RunWith(t.Context(), sh(`echo "$REBOOTD_NODE $PATH"`), []string{"REBOOTD_NODE=a b"}, time.Minute)
	if want := "a b " + os.Getenv("PATH") + "\n"; r.Err != nil || r.Output != want {
		t.Errorf("%q, %v", r.Output, r.Err)
	}
	h := New(Options{})
	if env := h.environ([]string{"REBOOTD_NODE=x"}); strings.Join(env, " ") != "PATH="+hostPath+" HOME=/root LANG=C.UTF-8 REBOOTD_NODE=x" {
		t.Errorf("in the host: %q", env)
	}
}
