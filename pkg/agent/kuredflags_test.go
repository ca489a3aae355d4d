package agent_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rebootd/rebootd/pkg/agent"
	"github.com/rebootd/rebootd/pkg/config"
	"github.com/rebootd/rebootd/pkg/gate"
	"github.com/rebootd/rebootd/pkg/kured"
	"github.com/rebootd/rebootd/pkg/node/drain"
	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/test/fleet/sim"
)

// kuredsFlags are all flags of kured 1.23.
const kuredsFlags = `alert-filter-match-only alert-filter-regexp alert-firing-only annotate-nodes blocking-pod-selector concurrency drain-delay
drain-grace-period drain-pod-selector drain-timeout ds-name ds-namespace end-time force-reboot lock-annotation lock-release-delay lock-ttl
log-format message-template-drain message-template-reboot message-template-uncordon metrics-host metrics-port node-id notify-url period
post-reboot-node-labels pre-reboot-node-labels prefer-no-schedule-taint prometheus-url reboot-command reboot-days reboot-delay reboot-method
reboot-sentinel reboot-sentinel-command reboot-signal skip-wait-for-delete-timeout slack-channel slack-hook-url slack-username start-time time-zone`

// given is what a row looks at: the agent that a flag makes, what it reads and the servers it asks.
type given struct {
	*testing.T
	agent  *agent.Agent
	config config.Config
	world  *outside
	host   string // the host's root
}

// row is one of kured's flags, and what is seen of it.
type row struct {
	flag, value string
	others      []string // flags that it needs
	sees        func(g given) bool
	// slow is whether it is seen on the way through a reboot.
	slow bool
}

func kuredRows() []row {
	const hook = "https://hooks.slack.com/services/AAAAAAAAA/BBBBBBBBB/123456789123456789123456"
	return slices.Concat(alertRows(), windowRows(), drainRows(), wayRows(), lockRows(), []row{
		{flag: "node-id", value: "other", sees: func(g given) bool { return g.agent.NodeName == "other" }},
		{flag: "period", value: "90m", sees: func(g given) bool { return g.agent.Period == 90*time.Minute }},
		{flag: "reboot-sentinel", value: "/opt/needed", sees: func(g given) bool {
			g.hostFile("opt/needed")
			return g.agent.Sentinels[0].Look(g.Context()).Answer == plan.Yes
		}},
		{flag: "reboot-sentinel-command", value: "sh -c 'test -e /nowhere'", others: []string{"--reboot-sentinel=/opt/needed"}, sees: func(g given) bool {
			return slices.Equal(g.agent.Sentinels[0].Look(g.Context()).By, []string{"command sh -c 'test -e /nowhere'"})
		}},
		{flag: "reboot-command", value: "/bin/reboot --force", sees: func(g given) bool { return strings.HasPrefix(g.agent.Rebooter.String(), "/bin/reboot --force in ") }},
		{flag: "reboot-method", value: "signal", sees: func(g given) bool { return g.agent.Rebooter.String() == "signal 39 (SIGRTMIN+5) to PID 1" }},
		{flag: "reboot-signal", value: "40", others: []string{"--reboot-method=signal"}, sees: func(g given) bool {
			return strings.HasPrefix(g.agent.Rebooter.String(), "signal 40 ")
		}},
		{flag: "blocking-pod-selector", value: "app in (a, b),tier!=db", sees: func(g given) bool {
			pod := func(labels map[string]string) []*metav1.PartialObjectMetadata {
				return []*metav1.PartialObjectMetadata{{ObjectMeta: metav1.ObjectMeta{Name: "p", Labels: labels}}}
			}
			return !g.agent.Pods.Judge(pod(map[string]string{"app": "b"})).Open && g.agent.Pods.Judge(pod(map[string]string{"app": "c"})).Open
		}},
		{flag: "prefer-no-schedule-taint", value: "weave.works/kured-node-reboot", sees: func(g given) bool {
			return g.agent.Policy.Taint == "weave.works/kured-node-reboot"
		}},
		{flag: "metrics-host", value: "::1", sees: func(g given) bool { return g.config.MetricsHost == "::1" }},
		{flag: "metrics-port", value: "9090", sees: func(g given) bool { return g.config.MetricsPort == 9090 }},
		{flag: "log-format", value: "json", sees: func(g given) bool { return g.config.LogFormat == "json" }},
		{flag: "notify-url", value: `"generic://example.com"`, sees: func(g given) bool {
			return slices.Equal(g.config.NotifyURLs, []string{"generic://example.com"}) && g.agent.Tell.Notices != nil
		}},
		{flag: "slack-hook-url", value: hook, sees: func(g given) bool {
			return strings.HasPrefix(strings.Join(g.config.NotifyURLs, " "), "slack://hook:AAAAAAAAA-BBBBBBBBB-")
		}},
		{flag: "slack-username", value: "watchman", others: []string{"--slack-hook-url=" + hook}, sees: func(g given) bool {
			return strings.Contains(g.config.NotifyURLs[0], "watchman")
		}},
		{flag: "slack-channel", value: "ops", others: []string{"--slack-hook-url=" + hook}, sees: func(g given) bool {
			return strings.Contains(strings.Join(g.config.Warnings, "\n"), "--slack-channel changes nothing") // as with kured
		}},
		{flag: "message-template-drain", value: "Off %s", sees: templates("draining=Off {{.Node}}")},
		{flag: "message-template-reboot", value: "Off %s", sees: templates("rebooting=Off {{.Node}}")},
		{flag: "message-template-uncordon", value: "On %s", sees: templates("back=On {{.Node}}")},
	})
}

func templates(want string) func(given) bool {
	return func(g given) bool { return slices.Equal(g.config.NotifyTemplates, []string{want}) }
}

// alertRows: A is firing, B pending.
func alertRows() []row {
	blocks := func(names string) func(given) bool {
		return func(g given) bool {
			for _, one := range g.agent.CostlyGates {
				if _, ok := one.(gate.Alerts); !ok {
					continue
				}
				v := one.Ask(g.Context(), &corev1.Node{})
				for _, name := range []string{"Alpha", "Beta"} {
					if strings.Contains(v.Message, name) != strings.Contains(names, name) {
						return false
					}
				}
				return v.Open == (names == "")
			}
			return false
		}
	}
	return []row{
		{flag: "prometheus-url", value: "URL", sees: blocks("Alpha Beta")},
		{flag: "alert-filter-regexp", value: "^Al", others: []string{"--prometheus-url=URL"}, sees: blocks("Beta")},
		{flag: "alert-filter-match-only", value: "true", others: []string{"--prometheus-url=URL", "--alert-filter-regexp=^Al"}, sees: blocks("Alpha")},
		{flag: "alert-firing-only", value: "true", others: []string{"--prometheus-url=URL"}, sees: blocks("Alpha")},
	}
}

func windowRows() []row {
	// open says whether a reboot may begin at times in UTC; 2026-11-27 is a Friday.
	open := func(yes, no string) func(given) bool {
		return func(g given) bool {
			for _, one := range g.agent.Gates {
				w, ok := one.(gate.Window)
				if !ok {
					continue
				}
				at := func(s string) bool {
					when, err := time.Parse("2006-01-02 15:04:05", s)
					if err != nil {
						g.Fatal(err)
					}
					w.Now = func() time.Time { return when }
					return w.Ask(g.Context(), &corev1.Node{}).Open
				}
				return at(yes) && !at(no)
			}
			return false
		}
	}
	return []row{
		{flag: "reboot-days", value: "Mo,friday,3", sees: open("2026-11-27 23:59:59", "2026-11-28 00:00:00")},
		{flag: "start-time", value: "3pm", sees: open("2026-11-27 15:00:00", "2026-11-27 14:59:59")},
		{flag: "end-time", value: "15:30", sees: open("2026-11-27 15:30:00", "2026-11-27 15:30:01")},
		{flag: "time-zone", value: "Asia/Tokyo", others: []string{"--start-time=9"}, sees: open("2026-11-27 00:00:00", "2026-11-27 15:00:00")},
	}
}

// drainRows: the node has the pods a, b and one that should have ended long ago.
func drainRows() []row {
	evicted := func(g given, want string) bool {
		ctx, cancel := context.WithTimeout(g.Context(), 500*time.Millisecond)
		defer cancel()
		_ = g.agent.Drainer.Drain(ctx, drain.Evict, func(drain.Progress) {}) // the pods never go
		return g.world.said() == want
	}
	return []row{
		{flag: "drain-pod-selector", value: "app=a", sees: func(g given) bool { return evicted(g, "a") }},
		{flag: "drain-grace-period", value: "60", sees: func(g given) bool { return evicted(g, "a 60s b 60s late 60s") }},
		{flag: "skip-wait-for-delete-timeout", value: "10", others: []string{"--drain-pod-selector=app=late"}, sees: func(g given) bool {
			ctx, cancel := context.WithTimeout(g.Context(), 10*time.Second)
			defer cancel()
			return g.agent.Drainer.Drain(ctx, drain.Evict, func(drain.Progress) {}) == nil
		}},
	}
}

// wayRows are seen on a simulated machine's way through a reboot.
func wayRows() []row {
	way := func(change func(*sim.Machine), sees func(m *sim.Machine, began time.Time) bool) func(given) bool {
		return func(g given) (ok bool) {
			inBubble(g.T, func(t *testing.T, ctx context.Context) {
				m := sim.NewMachine(t, sim.NewServer(), "worker")
				m.Policy = g.agent.Policy
				if change != nil {
					change(m)
				}
				began := time.Now()
				go m.Live(ctx)
				ok = sees(m, began)
				m.Pass(time.Minute) // a machine that is down is back before the test ends
			})
			return ok
		}
	}
	stuck := func(m *sim.Machine) { m.PodsFor = 1000 * time.Hour }
	after := func(phase plan.Phase, d time.Duration) func(*sim.Machine, time.Time) bool {
		return func(m *sim.Machine, began time.Time) bool {
			m.Reaches(phase)
			took := time.Since(began)
			return took >= d && took < d+2*time.Minute
		}
	}
	rows := []row{
		{flag: "drain-delay", value: "10m", sees: way(nil, after(plan.Drain, 10*time.Minute))},
		{flag: "reboot-delay", value: "10m", sees: way(nil, after(plan.Rebooting, 10*time.Minute))},
		{flag: "drain-timeout", value: "20m", sees: way(stuck, func(m *sim.Machine, began time.Time) bool {
			m.Reaches(plan.Drain)
			m.Until("it gives up", time.Hour, func() bool { return !m.Node().Spec.Unschedulable })
			return time.Since(began) >= 20*time.Minute && time.Since(began) < 22*time.Minute && m.Commands == 0
		})},
		{flag: "force-reboot", value: "true", others: []string{"--drain-timeout=20m"}, sees: way(stuck, after(plan.Rebooting, 20*time.Minute))},
		{flag: "lock-release-delay", value: "30m", sees: way(nil, func(m *sim.Machine, _ time.Time) bool {
			m.Reaches(plan.Settle)
			m.Pass(29 * time.Minute)
			held := m.Lease() != nil && !m.Node().Spec.Unschedulable
			m.Pass(2 * time.Minute)
			return held && m.Lease() == nil
		})},
		{flag: "annotate-nodes", value: "true", sees: way(nil, func(m *sim.Machine, began time.Time) bool {
			const progress, recent = "weave.works/kured-reboot-in-progress", "weave.works/kured-most-recent-reboot-needed"
			m.Reaches(plan.Drain)
			out := m.Node().Annotations
			m.Back(1)
			_, still := m.Node().Annotations[progress]
			at, err := time.Parse(time.RFC3339, out[progress])
			return err == nil && at.Sub(began).Abs() < time.Minute && out[recent] == out[progress] && !still && m.Node().Annotations[recent] == out[recent]
		})},
		{flag: "pre-reboot-node-labels", value: "example.com/state=out,a=b", sees: way(nil, func(m *sim.Machine, _ time.Time) bool {
			m.Reaches(plan.Drain)
			l := m.Node().Labels
			return l["example.com/state"] == "out" && l["a"] == "b"
		})},
		{flag: "post-reboot-node-labels", value: "example.com/state=in,a=c", sees: way(nil, func(m *sim.Machine, _ time.Time) bool {
			m.Reaches(plan.Drain)
			_, early := m.Node().Labels["a"]
			m.Back(1)
			l := m.Node().Labels
			return !early && l["example.com/state"] == "in" && l["a"] == "c"
		})},
	}
	for i := range rows {
		rows[i].slow = true
	}
	return rows
}

func lockRows() []row {
	takes := func(want string) func(given) bool {
		return func(g given) bool {
			_ = g.agent.KuredLock.Take(g.Context(), 1)
			return strings.Contains(g.world.said(), want)
		}
	}
	return []row{
		{flag: "concurrency", value: "3", sees: func(g given) bool { return g.agent.Groups("g", "").Slots == 3 }},
		{flag: "lock-ttl", value: "30m", sees: func(g given) bool { return time.Duration(g.agent.LockTTL) == 30*time.Minute }},
		{flag: "ds-namespace", value: "ops", others: []string{"--kured-interlock"}, sees: takes("/apis/apps/v1/namespaces/ops/daemonsets/kured")},
		{flag: "ds-name", value: "reboots", others: []string{"--kured-interlock"}, sees: takes("/apis/apps/v1/namespaces/kube-system/daemonsets/reboots")},
		{flag: "lock-annotation", value: "example.com/lock", others: []string{"--kured-interlock"}, sees: takes(`"example.com/lock":"{`)},
	}
}

// Each of kured's flags does what kured says of it, in each form in which it can be given.
func TestEveryFlagOfKured(t *testing.T) {
	rows := map[string]bool{}
	for _, r := range kuredRows() {
		rows[r.flag] = true
		if g := build(t, slices.Clone(r.others), nil); !r.slow && r.sees(g) {
			t.Errorf("--%s=%s: seen also without it", r.flag, r.value)
		}
		for form, spell := range map[string]func() (args, env []string){
			"--flag=value": func() ([]string, []string) { return []string{"--" + r.flag + "=" + r.value}, nil },
			"--flag value": func() ([]string, []string) { return []string{"--" + r.flag, r.value}, nil },
			"environment": func() ([]string, []string) {
				return nil, []string{"KURED_" + strings.ToUpper(strings.ReplaceAll(r.flag, "-", "_")) + "=" + r.value}
			},
		} {
			if form == "--flag value" && r.value == "true" {
				form, spell = "--flag", func() ([]string, []string) { return []string{"--" + r.flag}, nil } // as of pflag
			}
			t.Run(r.flag+"/"+form, func(t *testing.T) {
				args, env := spell()
				g := build(t, append(args, r.others...), env)
				if !r.sees(g) {
					t.Errorf("%s %v, %v: not seen; asked %s", args, env, r.others, g.world.said())
				}
			})
		}
	}
	for flag := range strings.FieldsSeq(kuredsFlags) {
		if !rows[flag] || !known(flag) {
			t.Errorf("--%s has no row, or isn't known", flag)
		}
		if _, unknown := kured.Settings(corev1.Container{Args: []string{"--" + flag + "=1"}}); len(unknown) > 0 {
			t.Errorf("--%s isn't taken over from kured", flag)
		}
	}
}

func known(flag string) bool {
	_, err := config.Parse([]string{"--" + flag, "--node-id=n"}, nil, io.Discard)
	return err == nil || !strings.Contains(err.Error(), "there is no such flag")
}

func base(t *testing.T, root, kubeconfig string, args []string) []string {
	t.Helper()
	all := append([]string{"--namespace=ns", "--command-namespace=own", "--host-root=" + root}, args...)
	if kubeconfig != "" {
		all = append(all, "--kubeconfig="+kubeconfig)
	}
	if !strings.Contains(strings.Join(all, " "), "--node-id") {
		all = append(all, "--node-id=worker")
	}
	return all
}

func build(t *testing.T, args, env []string) given {
	t.Helper()
	w := newOutside(t)
	g := given{T: t, world: w, host: t.TempDir()}
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "URL", w.url)
	}
	for i := range env {
		env[i] = strings.ReplaceAll(env[i], "=URL", "="+w.url)
	}
	kubeconfig := filepath.Join(g.host, "kubeconfig")
	text := fmt.Sprintf(`{"apiVersion":"v1","kind":"Config","clusters":[{"name":"c","cluster":{"server":%q}}],"contexts":[{"name":"c","context":{"cluster":"c"}}],"current-context":"c"}`, w.url)
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	args = base(t, g.host, kubeconfig, args)
	if len(env) > 0 && strings.HasPrefix(env[0], "KURED_NODE_ID") {
		args = slices.DeleteFunc(args, func(a string) bool { return a == "--node-id=worker" })
	}
	var err error
	if g.config, err = config.Parse(args, env, io.Discard); err != nil {
		t.Fatal(err)
	}
	log := logrus.New()
	log.SetOutput(io.Discard)
	if g.agent, err = agent.Build(t.Context(), g.config, "test", prometheus.NewRegistry(), log); err != nil {
		t.Fatal(err)
	}
	return g
}

func (g given) hostFile(path string) {
	g.Helper()
	path = filepath.Join(g.host, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		g.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		g.Fatal(err)
	}
}
