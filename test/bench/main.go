// Command bench measures what rebootd costs and how fast it is: the real agents against a real API server, with simulated nodes.
//
//	go run ./test/bench                           the table, three quarters of an hour
//	go run ./test/bench -full                     with 5,000 waiting nodes and rolls of 1,000, some hours
//	go run ./test/bench -parts drain,fleet-100    some of it
//
// It fails where a count misses its target. Times depend on the machine and what else it does.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() { os.Exit(run()) }

// part is one thing that is measured.
type part struct {
	name string
	// full is whether it takes so long that it has to be asked for.
	full bool
	do   func(context.Context) error
}

func (b *bench) parts() []part {
	fleet := func(n int) func(context.Context) error {
		return func(ctx context.Context) error { return b.fleet(ctx, n) }
	}
	long := func(id string, p rollPlan) func(context.Context) error {
		return func(ctx context.Context) error { return b.largeRoll(ctx, id, p) }
	}
	return []part{
		{"single", false, b.single},
		{"drain", false, b.drains},
		{"take", false, b.take},
		{"roll-10", false, b.smallRoll},
		{"fleet-10", false, fleet(10)},
		{"fleet-100", false, fleet(100)},
		{"fleet-1000", false, fleet(1000)},
		{"fleet-5000", true, fleet(5000)},
		{"hour", true, b.hour},
		{"roll-1000-5%", true, long("roll-1000-5%", rollPlan{nodes: 1000, down: 2 * time.Minute, vary: 0.02, concurrency: "5%", slots: 50})},
		{"roll-1000", true, long("roll-1000", rollPlan{nodes: 1000, down: 200 * time.Millisecond, concurrency: "1", slots: 1, judged: time.Minute})},
	}
}

func run() int {
	full := flag.Bool("full", os.Getenv("BENCH") == "full", "measure also what takes long")
	only := flag.String("parts", "", "measure only these, separated by commas")
	out := flag.String("o", "", "write what was measured to this file too, as JSON; what it has of other parts is kept")
	profile := flag.String("cpuprofile", "", "write a profile of this process, and so of the agents, to this file")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	dir, err := os.MkdirTemp("", "rebootd-bench-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	b := &bench{dir: dir, log: os.Stderr}
	b.results.Machine, b.results.Versions = machineOf(), versions(ctx)
	b.results.Taken, b.results.Load = time.Now().UTC().Format("2006-01-02"), load()
	debug.SetGCPercent(400) // thousands of agents in one process aren't to pay for each other's memory
	defer manyWatches()()
	endProfile, err := profiled(*profile)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer endProfile()
	var failed []string
	for _, p := range b.parts() {
		if *only == "" && p.full && !*full || *only != "" && !slices.Contains(strings.Split(*only, ","), p.name) {
			continue
		}
		b.say("== %s", p.name)
		if err := p.do(ctx); err != nil {
			b.say("%s: %v", p.name, err)
			failed = append(failed, p.name)
		}
		b.results.Judge()
		if *out != "" {
			if err := b.results.WriteOver(*out); err != nil {
				b.say("%v", err)
				failed = append(failed, *out)
			}
		}
		if ctx.Err() != nil {
			break
		}
	}
	fmt.Print(b.results.Table())
	for _, r := range b.results.Rows {
		if r.Count && !r.Met {
			failed = append(failed, r.ID)
		}
	}
	if len(failed) > 0 {
		fmt.Printf("\nFailed, or missed a count: %s\n", strings.Join(failed, ", "))
		return 1
	}
	return 0
}

// profiled begins to write a profile of this process, and returns what ends it. "" is no file.
func profiled(file string) (func(), error) {
	if file == "" {
		return func() {}, nil
	}
	f, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	end := func() {
		pprof.StopCPUProfile()
		f.Close()
	}
	return end, pprof.StartCPUProfile(f)
}

// manyWatches lets more than a hundred agents on one machine watch their files, if it may; without that they look once a minute. And it lets
// thousands open what they need. It returns what puts back what is the machine's.
func manyWatches() func() {
	many := syscall.Rlimit{Cur: 1 << 20, Max: 1 << 20}
	_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &many) // if it may not, some of five thousand agents don't start again
	const file = "/proc/sys/fs/inotify/max_user_instances"
	old, err := os.ReadFile(file)
	if err != nil || os.WriteFile(file, []byte("16384"), 0) != nil {
		return func() {}
	}
	return func() { _ = os.WriteFile(file, old, 0) }
}

// openFiles is how many files this process may open.
func openFiles() int {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil {
		return 0
	}
	return int(min(l.Cur, 1<<30)) //nolint:gosec // it fits
}

func machineOf() string {
	model := "unknown processor"
	text, _ := os.ReadFile("/proc/cpuinfo") // then it stays unknown
	for line := range strings.Lines(string(text)) {
		if key, value, _ := strings.Cut(line, ":"); strings.TrimSpace(key) == "model name" {
			model = strings.TrimSpace(value)
			break
		}
	}
	return fmt.Sprintf("%d × %s, %s/%s", runtime.NumCPU(), model, runtime.GOOS, runtime.GOARCH)
}

// load is what the machine did besides: the load of the last minute before the run.
func load() string {
	text, _ := os.ReadFile("/proc/loadavg") // an empty word then
	one, _, _ := strings.Cut(string(text), " ")
	return one
}

// versions are those of what is measured. Where more than what was measured, and the documentation of that, differs from the commit, it is dirty.
func versions(ctx context.Context) map[string]string {
	v := map[string]string{"go": runtime.Version()}
	say := func(name string, args ...string) (string, bool) {
		out, err := exec.CommandContext(ctx, name, args...).Output()
		return strings.TrimSpace(string(out)), err == nil
	}
	if at, ok := say("git", "describe", "--tags", "--always"); ok {
		if other, ok := say("git", "status", "--porcelain", "--", ":/", ":!/test/bench/results.json", ":!/docs"); !ok || other != "" {
			at += "-dirty"
		}
		v["rebootd"] = at
	}
	if kube, ok := say("go", "list", "-C", "test/cluster/kube", "-m", "-f", "{{.Version}}", "k8s.io/kubernetes"); ok {
		v["kubernetes"] = kube
	}
	return v
}
