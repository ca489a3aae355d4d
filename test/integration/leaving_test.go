package integration

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/pkg/plan"
)

const (
	scaleDown = "cluster-autoscaler.kubernetes.io/scale-down-disabled"
	karpenter = "karpenter.sh/do-not-disrupt"
	balancers = "node.kubernetes.io/exclude-from-external-load-balancers"
)

// marks are what the Node carries for other programs, each with a dash where there is none.
func (m *machine) marks() [3]string { return marksOf(m.node()) }

func marksOf(n *corev1.Node) [3]string {
	read := func(from map[string]string, key string) string {
		if v, ok := from[key]; ok {
			return v
		}
		return "-"
	}
	return [3]string{read(n.Annotations, scaleDown), read(n.Annotations, karpenter), read(n.Labels, balancers)}
}

// A node that is out carries marks, from the cordon's own write on; then it looks as it did before, but for what somebody
// changed meanwhile.
func TestMarksAreTakenOffAgain(t *testing.T) {
	t.Parallel()
	f := shared(t)
	for name, tt := range map[string]struct {
		giveUp        bool
		flags         []string
		before, out   [3]string
		meddle, after [3]string
	}{
		"bare": {
			before: [3]string{"-", "-", "-"}, out: [3]string{"true", "true", "-"}, after: [3]string{"-", "-", "-"},
		},
		"with all of them": {
			flags:  []string{"--exclude-from-load-balancers"},
			before: [3]string{"-", "-", "-"}, out: [3]string{"true", "true", "rebootd"}, after: [3]string{"-", "-", "-"},
		},
		"there before": {
			flags:  []string{"--exclude-from-load-balancers"},
			before: [3]string{"false", "true", ""}, out: [3]string{"true", "true", "rebootd"}, after: [3]string{"false", "true", ""},
		},
		"changed meanwhile": {
			flags:  []string{"--exclude-from-load-balancers"},
			before: [3]string{"false", "-", "-"}, out: [3]string{"true", "true", "rebootd"},
			meddle: [3]string{"false", "mine", "mine"}, after: [3]string{"false", "mine", "mine"},
		},
		"given up": {
			giveUp: true, flags: []string{"--exclude-from-load-balancers"},
			before: [3]string{"false", "-", "-"}, out: [3]string{"true", "true", "rebootd"}, after: [3]string{"false", "-", "-"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := f.machine(t, f.namespace(t), "marked")
			_, free := m.stuck()
			m.mark(tt.before)
			p := m.power(func() *process { return m.agent(tt.flags...) })
			unmarked := true
			m.require()
			until(t, "the drain", func() bool {
				n := m.node() // one reading: the cordon may come between two
				r, err := plan.ParseRecord(n.Annotations["rebootd.io/state"])
				cordoned := n.Spec.Unschedulable
				if err != nil || cordoned != (condition(n).Reason != "" && r.Out()) || !cordoned && marksOf(n) != tt.before {
					unmarked = false
				}
				return cordoned
			})
			if got := m.marks(); got != tt.out || !unmarked {
				t.Errorf("in the drain it carries %q, want %q; before it: as it was %v", got, tt.out, unmarked)
			}
			m.says(plan.BlockedByPDB)
			if tt.meddle != [3]string{} {
				m.mark(tt.meddle)
			}
			p.restart(func() *process { return m.agent(tt.flags...) }) // of all that, only the Node knows now
			if tt.giveUp {
				p.restart(func() *process {
					return m.agent(append(tt.flags, "--drain-timeout=1s", "--back-off=1h", "--back-off-max=1h")...)
				})
				m.says(plan.BackingOff)
			} else {
				free()
				m.back(1)
			}
			if got := m.marks(); got != tt.after || m.cordoned() {
				t.Errorf("afterwards it carries %q, want %q", got, tt.after)
			}
		})
	}
}

// mark sets the marks; a dash removes one.
func (m *machine) mark(values [3]string) {
	m.t.Helper()
	var to [3]any
	for i, v := range values {
		if v != "-" {
			to[i] = v
		}
	}
	m.patch(map[string]any{"metadata": map[string]any{
		"annotations": map[string]any{scaleDown: to[0], karpenter: to[1]}, "labels": map[string]any{balancers: to[2]},
	}})
	until(m.t, "the marks are seen", func() bool { return m.marks() == values })
}

// A node that an autoscaler is about to remove isn't touched, and keeps nobody waiting.
func TestNodeThatAnAutoscalerRemoves(t *testing.T) {
	t.Parallel()
	f := shared(t)
	ns := f.namespace(t)
	m, next := f.machine(t, ns, "removed"), f.machine(t, ns, "next")
	taint := func(key, effect string) {
		m.patch(map[string]any{"spec": map[string]any{"taints": []map[string]any{{"key": key, "value": "1", "effect": effect}}}})
	}
	taint("ToBeDeletedByClusterAutoscaler", "NoSchedule")
	m.require()
	m.power(func() *process { return m.agent() })
	m.says(plan.BlockedByAutoscaler, "the Cluster Autoscaler", "ToBeDeletedByClusterAutoscaler")
	next.require()
	next.power(func() *process { return next.agent() })
	next.back(1)
	if m.cordoned() || m.orders() != 0 {
		t.Errorf("cordoned %v, ordered %d times", m.cordoned(), m.orders())
	}
	taint("DeletionCandidateOfClusterAutoscaler", "PreferNoSchedule")
	m.back(1)
}

// The load balancers are waited for once, also across a restart, and no pod goes before.
func TestLoadBalancerDelay(t *testing.T) {
	t.Parallel()
	f := shared(t)
	m := f.machine(t, f.namespace(t), "balanced")
	pod := m.app("web")
	m.require()
	p := m.power(func() *process { return m.agent("--exclude-from-load-balancers", "--load-balancer-delay=8s") })
	m.says(plan.Draining, "waiting for the load balancers")
	begun := m.record().OutSince
	for !time.Now().After(begun.Add(4 * time.Second)) {
		if !m.hasPod(pod) {
			t.Fatal("the pod is gone before its time")
		}
		time.Sleep(50 * time.Millisecond)
	}
	p.restart(func() *process { return m.agent("--exclude-from-load-balancers", "--load-balancer-delay=8s") })
	until(t, "the pod is gone", func() bool { return !m.hasPod(pod) })
	if took := time.Since(begun); took < 8*time.Second {
		t.Errorf("gone %s after the cordon", took)
	}
	m.back(1)
}

// After the reboot the pods of DaemonSets that were ready before must be ready again, by news and not by what was said before it.
func TestDaemonSetsAreWaitedFor(t *testing.T) {
	t.Parallel()
	f := shared(t)
	m := f.machine(t, f.namespace(t), "network")
	m.deadDaemons = true
	cni, broken := m.daemon("cni"), m.daemon("broken")
	m.container(broken, "ErrImagePull")
	m.require()
	p := m.power(func() *process { return m.agent() })
	m.says(plan.NotReadyAfterReboot, m.namespace+"/cni (the kubelet has not reported on it since the reboot)")
	if text := condition(m.node()).Message; strings.Contains(text, "broken") {
		t.Errorf("it waits for what was not ready before: %s", text)
	}
	m.container(cni, "CrashLoopBackOff")
	m.says(plan.NotReadyAfterReboot, m.namespace+"/cni (container c: CrashLoopBackOff)")
	p.restart(func() *process { return m.agent() })
	always(t, 3*time.Second, "out of service, slot held", func() bool { return m.cordoned() && m.holds() && m.phase() == plan.Recovering })
	m.container(cni, "")
	m.back(1)
	if len(m.record().Daemons) != 0 {
		t.Errorf("the record still knows them: %s", m.record())
	}
}

func TestDaemonSetsNeedNotBeWaitedFor(t *testing.T) {
	t.Parallel()
	f := shared(t)
	for name, flag := range map[string]string{"none": "--wait-for-daemonsets=false", "not this one": "--daemonset-selector=app!=cni"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := f.machine(t, f.namespace(t), "impatient")
			m.deadDaemons = true
			m.daemon("cni")
			m.require()
			m.power(func() *process { return m.agent(flag) })
			m.back(1)
		})
	}
}
