package integration

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rebootd/rebootd/pkg/plan"
)

// atOnce is far less than the half minute after which an agent looks without being woken. It takes a fraction of a second, but not
// on a machine that is busy with other things.
const atOnce = 4 * time.Second

// promptly has something done and waits for what has to follow at once.
func promptly(t *testing.T, what string, do func(), ok func() bool) {
	t.Helper()
	do()
	begin := time.Now()
	within(t, atOnce, what, ok)
	t.Logf("%s after %s", what, time.Since(begin).Round(time.Millisecond))
}

func (m *machine) tells(reason plan.Reason, texts ...string) func() bool {
	return func() bool {
		c := condition(m.node())
		for _, text := range texts {
			if !strings.Contains(c.Message, text) {
				return false
			}
		}
		return c.Reason == string(reason)
	}
}

// A pause holds back who waits and who drains. It holds at once, costs nothing, and ends at once.
func TestPause(t *testing.T) {
	t.Parallel()
	f := shared(t)
	ns := f.namespace(t)
	m, next := f.machine(t, ns, "paused"), f.machine(t, ns, "next")
	pause := func() {
		f.kubectl(t, "create", "configmap", "-n", ns, "rebootd-control", "--from-literal=paused=true", "--from-literal=reason=month's end")
	}
	resume := func() { f.kubectl(t, "delete", "configmap", "-n", ns, "rebootd-control") }
	pod, free := m.stuck()
	pause()
	g, ng := f.gateway(t, nil), f.gateway(t, nil)
	m.require()
	m.power(func() *process { return m.agent(g.flag(), "--period=1h") })
	m.says(plan.Paused, "ConfigMap "+ns+"/rebootd-control", `"month's end"`, "kubectl delete configmap -n "+ns+" rebootd-control")
	time.Sleep(time.Second) // what follows from that is done
	g.waits(t, 6*time.Second)
	resume()
	within(t, 2*atOnce, "resumed: a slot is taken", m.holds) // all see the end at once, so they don't try at once
	m.says(plan.BlockedByPDB, pod)

	next.require()
	next.power(func() *process { return next.agent(ng.flag(), "--period=1h") })
	next.says(plan.WaitingForSlot)
	promptly(t, "paused: who drains says so", pause, m.tells(plan.Paused, "cordoned already"))
	next.says(plan.Paused) // in its time: all that wait have to
	free()
	time.Sleep(time.Second)
	ng.waits(t, 6*time.Second)
	if !m.hasPod(pod) || m.orders() > 0 {
		t.Errorf("paused in mid-drain: pod there %v, %d reboots", m.hasPod(pod), m.orders())
	}
	promptly(t, "resumed: the drain goes on", resume, func() bool { return !m.tells(plan.Paused)() })
	m.back(1)
	next.back(1)
}

func TestPauseIsWrittenWrongly(t *testing.T) {
	t.Parallel()
	f := shared(t)
	ns := f.namespace(t)
	m := f.machine(t, ns, "unclear")
	f.kubectl(t, "create", "configmap", "-n", ns, "rebootd-control", "--from-literal=paused=yes")
	m.require()
	m.power(func() *process { return m.agent() })
	m.says(plan.GateError, "ConfigMap "+ns+"/rebootd-control", `key paused is "yes"`, `only "true" or "false" is allowed`)
	soon := time.Now().Add(25 * time.Second).UTC().Format(time.RFC3339)
	f.kubectl(t, "patch", "configmap", "-n", ns, "rebootd-control", "--type=merge", "-p", `{"data":{"paused":"true","until":"`+soon+`"}}`)
	m.says(plan.Paused, "until "+soon)
	if m.orders() > 0 || m.holds() {
		t.Error("it went on")
	}
	m.back(1)
	if end, _ := time.Parse(time.RFC3339, soon); m.record().History[0].Out.Before(end) {
		t.Errorf("paused until %s, and out at %s", soon, m.record().History[0].Out)
	}
}

// A pod on hold keeps its node from being cordoned, whatever runs it, and costs nothing; when it is let go, or has ended, the node goes
// on at once.
func TestPodHoldsItsNode(t *testing.T) {
	t.Parallel()
	f := shared(t)
	for name, tt := range map[string]struct {
		flag string
		hold []string // what is done with kubectl to the pod, and what undoes it
		free []string
		says string
	}{
		"annotation": {"", []string{"annotate", "pod", "rebootd.io/hold=moving shards"}, []string{"annotate", "pod", "rebootd.io/hold-"}, `annotation rebootd.io/hold="moving shards"`},
		"label":      {"", []string{"label", "pod", "rebootd.io/hold=true"}, []string{"label", "--overwrite", "pod", "rebootd.io/hold=false"}, "label rebootd.io/hold"},
		"selector": {"--blocking-pod-selector=app in (web,daemon),busy", []string{"label", "pod", "busy=now"}, []string{"label", "pod", "busy-"},
			"--blocking-pod-selector="},
		"do-not-disrupt": {"", []string{"annotate", "pod", "karpenter.sh/do-not-disrupt=true"}, []string{"annotate", "pod", "karpenter.sh/do-not-disrupt-"}, "karpenter.sh/do-not-disrupt"},
		"has ended": {"", []string{"annotate", "pod", "rebootd.io/hold=x"},
			[]string{"patch", "pod", "--subresource=status", "--type=merge", "-p", `{"status":{"phase":"Succeeded"}}`}, "rebootd.io/hold"},
	} {
		for _, kind := range []string{"web", "daemon"} {
			if name != "annotation" && kind == "daemon" {
				continue
			}
			t.Run(name+" on "+kind, func(t *testing.T) {
				t.Parallel()
				m := f.machine(t, f.namespace(t), "pods")
				run := map[string]func(string) string{"web": m.app, "daemon": m.daemon}[kind]
				pod := run(kind)
				other := f.machine(t, m.namespace, "elsewhere")
				elsewhere := other.app("busy")
				kubectl := func(pod string, args []string) {
					f.kubectl(t, append([]string{"-n", m.namespace}, with(args, pod)...)...)
				}
				kubectl(pod, tt.hold)
				kubectl(elsewhere, tt.hold) // says nothing to this node
				g := f.gateway(t, nil)
				flags := []string{g.flag(), "--period=1h"}
				if tt.flag != "" {
					flags = append(flags, tt.flag)
				}
				m.require()
				m.power(func() *process { return m.agent(flags...) })
				m.says(plan.BlockedByPod, "1 pod on this node holds it back: "+m.namespace+"/"+pod, tt.says)
				time.Sleep(time.Second)
				g.waits(t, 6*time.Second)
				if m.cordoned() || m.holds() || m.orders() > 0 {
					t.Error("it went on")
				}
				promptly(t, "let go: a slot is taken", func() { kubectl(pod, tt.free) }, func() bool { return m.holds() || m.orders() > 0 })
				m.back(1)
			})
		}
	}
}

// with puts the pod's name after the word "pod".
func with(args []string, pod string) []string {
	var all []string
	for _, a := range args {
		if all = append(all, a); a == "pod" {
			all = append(all, pod)
		}
	}
	return all
}

// A hold that comes in mid-drain stops the drain: the pod isn't evicted, not even when it could be. After the grace the node goes back
// into service.
func TestHoldInMidDrain(t *testing.T) {
	t.Parallel()
	f := shared(t)
	m := f.machine(t, f.namespace(t), "late")
	pod, free := m.stuck()
	m.require()
	m.power(func() *process { return m.agent("--period=1h", "--gate-grace=6s") })
	m.says(plan.BlockedByPDB, pod)
	promptly(t, "held: it says so", func() { f.kubectl(t, "annotate", "pod", "-n", m.namespace, pod, "rebootd.io/hold=busy") },
		m.tells(plan.BlockedByPod, m.namespace+"/"+pod, "cordoned already"))
	free()
	until(t, "back in service", func() bool { return !m.cordoned() && !m.holds() })
	always(t, 3*time.Second, "the pod is left alone", func() bool { return m.hasPod(pod) && !m.cordoned() && m.orders() == 0 })
	f.kubectl(t, "annotate", "pod", "-n", m.namespace, pod, "rebootd.io/hold-")
	m.back(1)
	if m.hasPod(pod) {
		t.Error("the pod was never evicted")
	}
}

// A pod that comes after the cordon, in spite of it, counts too.
func TestHoldingPodComesAfterTheCordon(t *testing.T) {
	t.Parallel()
	f := shared(t)
	m := f.machine(t, f.namespace(t), "after")
	pod, free := m.stuck()
	m.require()
	m.power(func() *process { return m.agent("--period=1h", "--blocking-pod-selector=job=backup") })
	m.says(plan.BlockedByPDB, pod)
	spec := m.podSpec()
	spec.NodeName, spec.Tolerations = m.name, []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
	promptly(t, "a pod comes: it says so", func() {
		m.created(f.client.CoreV1().Pods(m.namespace).Create(t.Context(), &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: "backup", Labels: map[string]string{"job": "backup"}}, Spec: spec,
		}, metav1.CreateOptions{}))
	}, m.tells(plan.BlockedByPod, m.namespace+"/backup (--blocking-pod-selector=job=backup)", "cordoned already"))
	free()
	always(t, 3*time.Second, "no pod is evicted", func() bool { return m.hasPod(pod) && m.hasPod("backup") && m.orders() == 0 })
	_, err := f.client.CoreV1().Pods(m.namespace).Patch(t.Context(), "backup", types.MergePatchType, []byte(`{"status":{"phase":"Failed"}}`), metav1.PatchOptions{}, "status")
	m.created(nil, err)
	m.back(1)
}
