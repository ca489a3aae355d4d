package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rebootd/rebootd/test/bench/page"
	"github.com/rebootd/rebootd/test/image/image"
)

// Limits of the rows that are about one agent.
const (
	mostRSS, mostAnon, mostImage = 20 << 10, 6 << 10, 15_000_000
	// quiet is how long an agent has had nothing to do when its memory is looked at. Then its metrics are read so often.
	quiet, scrapes = 3 * time.Minute, 4
)

// single measures one agent: what it needs, and how soon it does what.
func (b *bench) single(ctx context.Context) error {
	w, err := b.world(ctx, 40*time.Second)
	if err != nil {
		return err
	}
	defer b.end(w)
	if err := b.image(ctx, w); err != nil {
		return err
	}
	all, err := w.machines(ctx, 5, 2*time.Second)
	if err != nil {
		return err
	}
	if err := b.idle(ctx, all); err != nil {
		return err
	}
	if err := b.sentinel(ctx, all[0]); err != nil {
		return err
	}
	return b.reboots(ctx, all[1])
}

// image measures what a node has to pull.
func (b *bench) image(ctx context.Context, w *world) error {
	tar := filepath.Join(b.dir, "image.tar")
	if _, _, err := image.Build(ctx, image.Options{Output: tar, Version: "bench"}); err != nil {
		return err
	}
	info, err := os.Stat(tar)
	if err != nil {
		return err
	}
	b.row(page.Row{ID: "image", What: "image, compressed", Target: "≤ 15 MB", Count: true,
		Measured: fmt.Sprintf("%.1f MB", float64(info.Size())/1e6), Met: info.Size() <= mostImage})
	binary, err := build(ctx, w.dir)
	if err != nil {
		return err
	}
	if info, err = os.Stat(binary); err != nil {
		return err
	}
	b.row(page.Row{ID: "binary", What: "the agent's binary, not compressed", Target: page.NoTarget, Measured: fmt.Sprintf("%.1f MB", float64(info.Size())/1e6), Met: true, Note: "kured: 49 MB"})
	return nil
}

// idle measures agents with nothing to do, side by side: one as the image has it, and others with other settings of the Go runtime.
func (b *bench) idle(ctx context.Context, all []*machine) error {
	envs := [][]string{nil, {"GODEBUG=", "GOGC=100", "GOMAXPROCS=2"}, {"GOGC=50"}, {"GOGC=25"}, {"GOGC=100", "GOMEMLIMIT=12MiB"}}
	agents := make([]*process, len(envs))
	var ready []time.Duration
	for i, env := range envs {
		p, err := all[i].run(ctx, env)
		if err != nil {
			return err
		}
		defer p.kill()
		agents[i] = p
		ready = append(ready, p.ready)
	}
	probed(agents, quiet)
	found := make([]page.Setting, len(envs))
	for i, p := range agents {
		found[i] = page.Setting{Made: b.results.Made(), Env: strings.Join(image.Env(), ", "), RSS: p.memory("VmRSS"), Anon: p.memory("RssAnon")}
		if i > 0 {
			found[i].Env = strings.Join(envs[i], ", ")
		}
	}
	for range scrapes {
		probed(agents, 30*time.Second)
		for _, p := range agents {
			p.scrape()
		}
	}
	for i, p := range agents {
		s := &found[i]
		s.ScrapedRSS, s.ScrapedAnon = p.memory("VmRSS"), p.memory("RssAnon")
		p.end()
		s.CPU = (p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()).Milliseconds()
		b.say("idle agent, environment %s: %+v", s.Env, *s)
	}
	b.results.Settings = found
	s := found[0]
	b.row(page.Row{ID: "rss", What: "idle agent, RSS", Target: "≤ 20 MiB", Count: true, Measured: mib(s.RSS), Met: s.RSS <= mostRSS,
		Note: "kured: 36 MiB. Pages of the binary count, as far as they have been touched: they are shared between processes of one image."})
	b.row(page.Row{ID: "anon", What: "idle agent, anonymous part of it", Target: "≤ 6 MiB", Count: true, Measured: mib(s.Anon), Met: s.Anon <= mostAnon, Note: "kured: 5.9 MiB"})
	b.row(page.Row{ID: "scraped", What: fmt.Sprintf("the same agent, after its metrics were read %d times in as many half minutes", scrapes), Target: page.NoTarget, Met: true,
		Measured: fmt.Sprintf("RSS %s, anonymous %s", mib(s.ScrapedRSS), mib(s.ScrapedAnon))})
	slices.Sort(ready)
	b.row(page.Row{ID: "start", What: "start to ready", Target: "< 1 s", Measured: fmt.Sprintf("%d ms (median of %d)", ready[len(ready)/2].Milliseconds(), len(ready)), Note: "Of agents with the settings of the Go runtime below.",
		Met: ready[len(ready)/2] < time.Second})
	return nil
}

func mib(kib int) string { return fmt.Sprintf("%.1f MiB", float64(kib)/1024) }

// sentinel measures how soon the Node says what the file asks for. The node is on hold.
func (b *bench) sentinel(ctx context.Context, m *machine) error {
	if err := m.annotate(ctx, "rebootd.io/hold", "bench"); err != nil {
		return err
	}
	p, err := m.run(ctx, nil)
	if err != nil {
		return err
	}
	defer p.end()
	var took []time.Duration
	for range 10 {
		begin := time.Now()
		if err := m.require(); err != nil {
			return err
		}
		if err := until(ctx, time.Minute, "the condition", func() (bool, error) { return m.seen.count(wanted(m.name, corev1.ConditionTrue)) == 1, nil }); err != nil {
			return err
		}
		took = append(took, time.Since(begin))
		if err := os.Remove(m.sentinel()); err != nil {
			return err
		}
		if err := until(ctx, time.Minute, "no condition", func() (bool, error) { return m.seen.count(wanted(m.name, corev1.ConditionFalse)) == 1, nil }); err != nil {
			return err
		}
	}
	b.row(page.Row{ID: "sentinel", What: "sentinel file → condition on the Node", Target: "< 1 s", Measured: fmt.Sprintf("%d ms (the slowest of %d)", slices.Max(took).Milliseconds(), len(took)),
		Met: slices.Max(took) < time.Second})
	return m.annotate(ctx, "rebootd.io/hold", nil)
}

// wanted is whether a Node's condition has this status.
func wanted(name string, s corev1.ConditionStatus) func(*corev1.Node) bool {
	return func(n *corev1.Node) bool {
		for _, c := range n.Status.Conditions {
			if n.Name == name && c.Type == "RebootRequired" {
				return c.Status == s
			}
		}
		return false
	}
}

// reboots measures the pauses around a reboot that are the agent's own.
func (b *bench) reboots(ctx context.Context, m *machine) error {
	const times = 10
	m.seen.begin()
	var toCommand, toService []time.Duration
	for i := range times {
		pods, err := m.pods(ctx, m.name, 10, nil)
		if err != nil {
			return err
		}
		if i == 0 {
			if err := m.start(ctx); err != nil {
				return err
			}
			defer m.halt()
		}
		if err := m.require(); err != nil {
			return err
		}
		err = until(ctx, time.Minute, "a reboot", func() (bool, error) {
			trips, _ := m.seen.saw()
			return len(trips) == i+1, nil
		})
		if err != nil {
			return err
		}
		trips, _ := m.seen.saw()
		toCommand = append(toCommand, m.marks.when(m.name).Sub(pods.last()))
		toService = append(toService, trips[i].uncordoned.Sub(trips[i].ready))
		pods.stop()
	}
	b.row(page.Row{ID: "command", What: "last pod gone → reboot command", Target: "< 0.5 s", Measured: medianMost(toCommand), Met: slices.Max(toCommand) < 500*time.Millisecond, Note: "kured: 2.5 s"})
	b.row(page.Row{ID: "uncordon", What: "node Ready again → uncordoned, no settle time", Target: "< 1 s", Measured: medianMost(toService), Met: slices.Max(toService) < time.Second,
		Note: "kured: 58 s median. The agent starts 0.4 s after the Node is Ready; --steady-time is 0 here, 10 s by default."})
	return nil
}

func medianMost(all []time.Duration) string {
	sorted := slices.Sorted(slices.Values(all))
	return fmt.Sprintf("%d ms median, %d ms at most, of %d", sorted[len(sorted)/2].Milliseconds(), sorted[len(sorted)-1].Milliseconds(), len(sorted))
}

// annotate sets an annotation of the machine's Node; nil removes it.
func (m *machine) annotate(ctx context.Context, key string, value any) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]any{key: value}}})
	if err != nil {
		return err
	}
	_, err = m.client.CoreV1().Nodes().Patch(ctx, m.name, types.MergePatchType, patch, metav1.PatchOptions{})
	return err
}
