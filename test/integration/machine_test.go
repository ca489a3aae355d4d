package integration

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rebootd/rebootd/pkg/plan"
)

// groupLabel keeps each test's machines in a lock group of their own; else slots would be handed to other tests' machines.
const groupLabel = "example.com/test"

// machine is one simulated machine: a Node that kwok keeps alive, and a folder with what the agent sees of the host.
type machine struct {
	t         *testing.T
	f         *fleet
	name      string
	namespace string
	dir       string
	// deadDaemons keeps a reboot from starting the DaemonSets' pods again.
	deadDaemons bool
	// downFor is how long a reboot takes.
	downFor time.Duration
}

// machine makes a machine whose Node has a name of its own, beginning with this one.
func (f *fleet) machine(t *testing.T, namespace, name string) *machine {
	t.Helper()
	m := f.machineWithoutNode(t, namespace, name)
	m.createNode()
	return m
}

func (f *fleet) machineWithoutNode(t *testing.T, namespace, name string) *machine {
	t.Helper()
	name += "-" + strings.ToLower(rand.Text()[:6])
	m := &machine{t: t, f: f, name: name, namespace: namespace, dir: t.TempDir(), downFor: 300 * time.Millisecond}
	if err := os.Mkdir(filepath.Join(m.dir, "run"), 0o755); err != nil {
		t.Fatal(err)
	}
	m.file("boot-id", rand.Text())
	return m
}

func (m *machine) createNode() {
	m.t.Helper()
	_, err := m.f.client.CoreV1().Nodes().Create(context.Background(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{
		Name: m.name, Labels: map[string]string{"type": "kwok", "kubernetes.io/hostname": m.name, groupLabel: m.namespace},
	},
		// kwok keeps what is there; what it would put in its place is no version.
		Status: corev1.NodeStatus{NodeInfo: corev1.NodeSystemInfo{KubeletVersion: cmp.Or(m.read("kubelet-version"), m.f.version)}},
	}, metav1.CreateOptions{})
	if err != nil {
		m.t.Fatal(err)
	}
	m.eventually("Node is Ready", ready)
	m.kubelet(true)
	m.t.Cleanup(m.deleteNode)
}

func (m *machine) deleteNode() {
	err := m.f.client.CoreV1().Nodes().Delete(context.Background(), m.name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		m.t.Error(err)
	}
}

func (m *machine) path(name string) string { return filepath.Join(m.dir, name) }

func (m *machine) file(name, content string) {
	m.t.Helper()
	if err := os.WriteFile(m.path(name), []byte(content), 0o644); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) remove(name string) {
	m.t.Helper()
	if err := os.RemoveAll(m.path(name)); err != nil {
		m.t.Error(err)
	}
}

func (m *machine) read(name string) string {
	b, _ := os.ReadFile(m.path(name))
	return strings.TrimSpace(string(b))
}

func (m *machine) sentinel() string { return m.path("run/reboot-required") }

func (m *machine) require() { m.file("run/reboot-required", "") }

// kubelet reports for the machine: Ready or not, with the machine's present boot ID. kwok makes a Node Ready again
// at once, unless it has been silenced.
func (m *machine) kubelet(isReady bool) {
	m.t.Helper()
	status, now := corev1.ConditionFalse, metav1.Now()
	if isReady {
		status = corev1.ConditionTrue
	}
	m.patch(map[string]any{"status": map[string]any{
		"nodeInfo": map[string]any{"bootID": m.read("boot-id"), "kubeletVersion": cmp.Or(m.read("kubelet-version"), m.f.version)},
		"conditions": []corev1.NodeCondition{{Type: corev1.NodeReady, Status: status, Reason: "Test",
			Message: "set by the test", LastHeartbeatTime: now, LastTransitionTime: now}},
	}}, "status")
}

// silence takes the Node from kwok, for no longer than the control plane bears with a silent node.
func (m *machine) silence() {
	m.t.Helper()
	m.patch(map[string]any{"metadata": map[string]any{"labels": map[string]any{"type": nil}}})
}

func (m *machine) annotate(key string, value any) {
	m.t.Helper()
	m.patch(map[string]any{"metadata": map[string]any{"annotations": map[string]any{key: value}}})
}

func (m *machine) cordon(yes bool) {
	m.t.Helper()
	m.patch(map[string]any{"spec": map[string]any{"unschedulable": yes}})
}

func (m *machine) patch(patch map[string]any, subresources ...string) {
	m.t.Helper()
	data, err := json.Marshal(patch)
	if err != nil {
		m.t.Error(err)
		return
	}
	_, err = m.f.client.CoreV1().Nodes().Patch(context.Background(), m.name, types.StrategicMergePatchType, data, metav1.PatchOptions{}, subresources...)
	if err != nil && !apierrors.IsNotFound(err) {
		m.t.Error(err)
	}
}

// rebootCommand only leaves a mark; who plays the machine makes of each mark what a machine would.
func (m *machine) rebootCommand() string {
	return fmt.Sprintf("sh -c 'echo x >> %s'", m.path("ordered"))
}

// orders is how often the reboot command was run.
func (m *machine) orders() int { return strings.Count(m.read("ordered"), "x") }

// reboot is what a machine does: it stops its agent, comes back with another boot ID and without its sentinel.
func (m *machine) reboot(a *process) {
	m.t.Helper()
	a.kill()
	time.Sleep(m.downFor)
	m.remove("run/reboot-required")
	m.file("boot-id", rand.Text())
	m.kubelet(true)
	m.restartDaemons()
}

// node is the Node as of a moment ago; an empty one when there is none.
func (m *machine) node() *corev1.Node {
	obj, ok, err := m.f.nodes.GetStore().GetByKey(m.name)
	if n, is := obj.(*corev1.Node); err == nil && ok && is {
		return n
	}
	return &corev1.Node{}
}

func (m *machine) record() plan.Record {
	r, err := plan.ParseRecord(m.node().Annotations["rebootd.io/state"])
	if err != nil {
		m.t.Errorf("record of %s: %v", m.name, err)
	}
	return r
}

func (m *machine) phase() plan.Phase { return m.record().Phase }

func (m *machine) cordoned() bool { return m.node().Spec.Unschedulable }

// eventually waits for the Node to become as wanted.
func (m *machine) eventually(what string, ok func(*corev1.Node) bool) *corev1.Node {
	m.t.Helper()
	var n *corev1.Node
	until(m.t, m.name+": "+what, func() bool { n = m.node(); return ok(n) })
	return n
}

func (m *machine) reaches(p plan.Phase) {
	m.t.Helper()
	m.eventually("phase "+string(p), func(*corev1.Node) bool { return m.phase() == p })
}

// says waits for a reason in the condition, and for texts in its message.
func (m *machine) says(reason plan.Reason, texts ...string) string {
	m.t.Helper()
	n := m.eventually(fmt.Sprintf("condition says %s %q", reason, texts), func(n *corev1.Node) bool {
		c := condition(n)
		for _, text := range texts {
			if !strings.Contains(c.Message, text) {
				return false
			}
		}
		return c.Reason == string(reason)
	})
	return condition(n).Message
}

// back waits until the machine is in service again after a reboot of ours, with nothing left behind.
func (m *machine) back(reboots int) {
	m.t.Helper()
	m.eventually(fmt.Sprintf("back in service after reboot %d", reboots), func(n *corev1.Node) bool {
		r := m.record()
		return !n.Spec.Unschedulable && r.Phase == plan.Idle && len(r.History) == reboots
	})
	for _, b := range m.record().History {
		if !b.Ours || !b.Cleared || b.From == b.To {
			m.t.Errorf("history of %s: %+v", m.name, m.record().History)
		}
	}
	until(m.t, m.name+": slot freed", func() bool { return !m.holds() })
}

// holds reports whether this machine's Node holds a slot.
func (m *machine) holds() bool {
	for _, l := range m.leases() {
		if l.Spec.HolderIdentity != nil && *l.Spec.HolderIdentity == m.name {
			return true
		}
	}
	return false
}

func (m *machine) leases() []*coordinationv1.Lease { return m.f.slots(m.namespace) }

// events are the Events about the Node, as "Type Reason: message", the oldest first.
func (m *machine) events() []string {
	list, err := m.f.client.CoreV1().Events("default").List(context.Background(),
		metav1.ListOptions{FieldSelector: "involvedObject.name=" + m.name + ",source=rebootd"})
	if err != nil {
		m.t.Error(err)
		return nil
	}
	var lines []string
	for _, e := range list.Items {
		lines = append(lines, fmt.Sprintf("%s %s: %s", e.Type, e.Reason, e.Message))
	}
	return lines
}

// event waits for an Event of this reason that contains the texts, and returns how many there are of the reason.
func (m *machine) event(reason plan.Reason, texts ...string) int {
	m.t.Helper()
	n := 0
	until(m.t, fmt.Sprintf("%s: Event %s %q", m.name, reason, texts), func() bool {
		n = 0
		found := false
		for _, e := range m.events() {
			if !strings.Contains(e, " "+string(reason)+": ") {
				continue
			}
			n++
			all := true
			for _, text := range texts {
				all = all && strings.Contains(e, text)
			}
			found = found || all
		}
		if !found {
			time.Sleep(100 * time.Millisecond) // these are asked for, not watched
		}
		return found
	})
	return n
}

func condition(n *corev1.Node) corev1.NodeCondition {
	for _, c := range n.Status.Conditions {
		if c.Type == "RebootRequired" {
			return c
		}
	}
	return corev1.NodeCondition{}
}

func ready(n *corev1.Node) bool {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
