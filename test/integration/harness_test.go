// Package integration runs the real agent, as a process of its own, against a real control plane with
// simulated nodes. Nothing here touches the machine that it runs on: commands run in the agent's own namespaces,
// and a "reboot" is a script that changes a file with a boot ID.
package integration

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/test/cluster/lab"
)

// fleet is one control plane and the agent's binary, shared by the tests of a group.
type fleet struct {
	*lab.Cluster
	client kubernetes.Interface
	binary string
}

// newFleet starts a control plane with simulated nodes for one test function and its parts.
func newFleet(t *testing.T) *fleet {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a control plane")
	}
	c, err := lab.Start(t.Context(), lab.Options{Tier: 2, AdmissionPlugins: []string{"OwnerReferencesPermissionEnforcement"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	client, err := kubernetes.NewForConfig(c.Config())
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{Cluster: c, client: client, binary: filepath.Join(t.TempDir(), "rebootd")}
	build := exec.CommandContext(t.Context(), "go", "build", "-race", "-o", f.binary, "../../cmd/rebootd")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the agent: %v\n%s", err, out)
	}
	return f
}

// namespace makes a namespace of its own for one test's Leases.
func (f *fleet) namespace(t *testing.T) string {
	t.Helper()
	ns, err := f.client.CoreV1().Namespaces().Create(t.Context(),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "rebootd-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return ns.Name
}

// machine is one simulated machine: a Node that kwok keeps alive, and a folder with what the agent sees of the host.
type machine struct {
	t         *testing.T
	f         *fleet
	name      string
	namespace string
	dir       string
	// downFor is how long a reboot takes.
	downFor time.Duration
}

func (f *fleet) machine(t *testing.T, namespace, name string) *machine {
	t.Helper()
	m := &machine{t: t, f: f, name: name, namespace: namespace, dir: t.TempDir(), downFor: 500 * time.Millisecond}
	if err := os.Mkdir(filepath.Join(m.dir, "run"), 0o755); err != nil {
		t.Fatal(err)
	}
	m.createNode()
	m.file("boot-id", rand.Text())
	m.kubelet(true)
	return m
}

func (m *machine) createNode() {
	m.t.Helper()
	_, err := m.f.client.CoreV1().Nodes().Create(m.t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{
		Name: m.name, Labels: map[string]string{"type": "kwok", "kubernetes.io/hostname": m.name},
	}}, metav1.CreateOptions{})
	if err != nil {
		m.t.Fatal(err)
	}
	m.eventually("Node is Ready", func(n *corev1.Node) bool { return ready(n) })
}

func (m *machine) file(name, content string) {
	m.t.Helper()
	if err := os.WriteFile(filepath.Join(m.dir, name), []byte(content), 0o644); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) read(name string) string {
	b, _ := os.ReadFile(filepath.Join(m.dir, name))
	return strings.TrimSpace(string(b))
}

func (m *machine) sentinel() string { return filepath.Join(m.dir, "run", "reboot-required") }

func (m *machine) require() { m.file("run/reboot-required", "") }

// kubelet reports for the machine: Ready or not, with the machine's present boot ID.
func (m *machine) kubelet(isReady bool) {
	m.t.Helper()
	status, now := corev1.ConditionFalse, metav1.Now()
	if isReady {
		status = corev1.ConditionTrue
	}
	patch, err := json.Marshal(map[string]any{"status": map[string]any{
		"nodeInfo": map[string]any{"bootID": m.read("boot-id")},
		"conditions": []corev1.NodeCondition{{Type: corev1.NodeReady, Status: status, Reason: "Test",
			Message: "set by the test", LastHeartbeatTime: now, LastTransitionTime: now}},
	}})
	if err != nil {
		m.t.Fatal(err)
	}
	_, err = m.f.client.CoreV1().Nodes().Patch(context.Background(), m.name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	if err != nil && !apierrors.IsNotFound(err) {
		m.t.Error(err)
	}
}

// rebootCommand only leaves a mark; reboots makes of each mark what a machine would.
func (m *machine) rebootCommand() string {
	return fmt.Sprintf("sh -c 'echo x >> %s/ordered'", m.dir)
}

// orders is how often the reboot command was run.
func (m *machine) orders() int { return strings.Count(m.read("ordered"), "x") }

// reboot is what a machine does: it stops its agent, comes back with another boot ID and without its sentinel.
func (m *machine) reboot(a *process) {
	a.kill()
	time.Sleep(m.downFor)
	if err := os.Remove(m.sentinel()); err != nil && !os.IsNotExist(err) {
		m.t.Error(err)
	}
	m.file("boot-id", rand.Text())
	m.kubelet(true)
}

func (m *machine) node() *corev1.Node {
	n, err := m.f.client.CoreV1().Nodes().Get(context.Background(), m.name, metav1.GetOptions{})
	if err != nil {
		return &corev1.Node{}
	}
	return n
}

func (m *machine) record() plan.Record {
	r, err := plan.ParseRecord(m.node().Annotations["rebootd.io/state"])
	if err != nil {
		m.t.Errorf("record of %s: %v", m.name, err)
	}
	return r
}

func (m *machine) phase() plan.Phase { return m.record().Phase }

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

// says waits for a reason in the condition.
func (m *machine) says(reason plan.Reason) string {
	m.t.Helper()
	n := m.eventually("condition says "+string(reason), func(n *corev1.Node) bool {
		return condition(n).Reason == string(reason)
	})
	return condition(n).Message
}

func (m *machine) leases() []coordinationv1.Lease {
	l, err := m.f.client.CoordinationV1().Leases(m.namespace).List(context.Background(), metav1.ListOptions{})
	if err != nil {
		m.t.Error(err)
		return nil
	}
	return l.Items
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

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 30 s: %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// process is one running agent.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	out  output
	port int
	done chan struct{}
}

// agent starts the agent of a machine, with quick times; later flags win.
func (m *machine) agent(flags ...string) *process {
	m.t.Helper()
	p := &process{t: m.t, port: freePort(m.t), done: make(chan struct{})}
	args := append([]string{
		"--node-name=" + m.name, "--kubeconfig=" + m.f.Kubeconfig(), "--namespace=" + m.namespace,
		"--reboot-sentinel=" + m.sentinel(), "--boot-id-file=" + filepath.Join(m.dir, "boot-id"),
		"--command-namespace=own", "--reboot-command=" + m.rebootCommand(), "--steady-time=100ms", "--back-off=1s",
		"--period=1s", "--metrics-host=127.0.0.1", fmt.Sprintf("--metrics-port=%d", p.port),
	}, flags...)
	p.cmd = exec.Command(m.f.binary, args...)
	p.cmd.Env = []string{}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	if err := p.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	m.t.Cleanup(func() {
		p.kill()
		if m.t.Failed() {
			m.t.Logf("log of %s:\n%s", m.name, p.log())
		}
	})
	return p
}

// kill is a crash.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// stop is a polite end.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	<-p.done
}

func (p *process) log() string { return p.out.String() }

func (p *process) logs(text string) {
	p.t.Helper()
	until(p.t, fmt.Sprintf("the log says %q", text), func() bool { return strings.Contains(p.log(), text) })
}

// output is a buffer that may be read while it is written.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
