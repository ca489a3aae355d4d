package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/test/cluster/lab"
	"github.com/rebootd/rebootd/test/monitoring"
)

// pager is what Alertmanager tells, as a webhook gets it.
type pager struct {
	mu    sync.Mutex
	calls []string // "status alert node"
}

func (p *pager) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var said struct {
		Alerts []struct {
			Status string
			Labels map[string]string
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&said); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range said.Alerts {
		p.calls = append(p.calls, fmt.Sprintf("%s %s %s", a.Status, a.Labels["alertname"], a.Labels["node"]))
	}
}

func (p *pager) told(call string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Contains(p.calls, call)
}

// chat is what a webhook for notices gets.
type chat struct {
	mu   sync.Mutex
	said []string
}

func (c *chat) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.said = append(c.said, string(body))
}

func (c *chat) all() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.said)
}

// The whole way of an alert: a real agent, Prometheus and Alertmanager. A reboot that is held back for long is told, the node is let go and
// reboots, and that is told too. Meanwhile the Node says all of it, and a chat what it was asked to be told.
func TestAlertFiresAndResolves(t *testing.T) {
	t.Parallel()
	f := shared(t)
	m := f.machine(t, f.namespace(t), "alerted")
	port := freePort(t)
	people := &pager{}
	webhook := httptest.NewServer(people)
	t.Cleanup(webhook.Close)
	alertmanager := monitoring.Alertmanager(t, fmt.Sprintf("route: {receiver: people, group_by: ['...'], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}\n"+
		"receivers: [{name: people, webhook_configs: [{url: %q}]}]\n", webhook.URL))
	monitoring.Prometheus(t, fmt.Sprintf("global: {scrape_interval: 500ms, evaluation_interval: 500ms}\nrule_files: [alerts.yaml]\n"+
		"scrape_configs: [{job_name: rebootd, static_configs: [{targets: ['127.0.0.1:%d']}]}]\n"+
		"alerting: {alertmanagers: [{static_configs: [{targets: [%q]}]}]}\n", port, alertmanager.Address), map[string]string{"alerts.yaml": monitoring.Hurried(t)}, nil)

	m.taint("example.com/theirs")
	m.annotate("rebootd.io/hold", "a test looks on")
	m.file("run/reboot-required.pkgs", "linux-image-6.1\nlibc6\n")
	m.require()
	chat := &chat{}
	hook := httptest.NewServer(chat)
	t.Cleanup(hook.Close)
	m.file("urls", fmt.Sprintf("# where people talk\ngeneric://me:geheim@%s/hook/geheim?disabletls=yes\n", strings.TrimPrefix(hook.URL, "http://")))
	p := m.power(func() *process {
		return m.agent(fmt.Sprintf("--metrics-port=%d", port), "--prefer-no-schedule-taint="+plan.DefaultTaint, "--settle-time=1s",
			"--notify-url-file="+m.path("urls"), "--notify-on=required,rebooting,back", "--cluster-name=lab",
			`--notify-template=required={{.Node}}/{{.Cluster}} {{.Reason}} for {{join .Packages "+"}}`,
			"--notify-template=back={{.Node}} is back, out for {{.OutFor}}", "--log-format=json", "--log-level=debug")
	})
	first := p.agent()
	m.says(plan.Held, "a test looks on", "A reboot is wanted since 20", "packages: linux-image-6.1, libc6")
	m.eventually("tainted, beside what others put on", func(n *corev1.Node) bool { return taints(n) == "example.com/theirs rebootd.io/reboot-required" })
	until(t, "Alertmanager tells that the reboot is pending", func() bool { return people.told("firing RebootdRebootPending " + m.name) })
	m.annotate("rebootd.io/hold", nil)
	m.back(1)
	m.eventually("the taint is off, and only that", func(n *corev1.Node) bool { return taints(n) == "example.com/theirs" })
	until(t, "Alertmanager tells that it is not any more", func() bool { return people.told("resolved RebootdRebootPending " + m.name) })
	m.event(plan.Uncordoned)
	m.tellsTheStory(t)
	until(t, "the chat is told of the way back", func() bool { return len(chat.all()) >= 3 })
	heard := chat.all()
	for i, want := range []string{m.name + "/lab RebootRequired for linux-image-6.1+libc6", m.name + " (lab): Drained; the reboot command comes next.", m.name + " is back, out for "} {
		if i >= len(heard) || !strings.HasPrefix(heard[i], want) {
			t.Errorf("the chat got %q, want %q", heard, want)
		}
	}
	first.oneStream(m.name)
	p.agent().oneStream(m.name)
	if len(heard) != 3 || strings.Contains(first.log()+p.agent().log(), "geheim") {
		t.Errorf("the chat got %q; the log says\n%s", heard, p.agent().log())
	}
}

// oneStream checks that all which the process and its libraries say is JSON, of this node, and says in which phase and attempt it was.
func (p *process) oneStream(node string) {
	p.t.Helper()
	looked := false
	for line := range strings.Lines(p.log()) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			p.t.Errorf("%q: %v", line, err)
			continue
		}
		phase, _ := fields["phase"].(string)
		looked = looked || phase != ""
		if fields["node"] != node || fields["msg"] == nil || fields["level"] == nil || looked && phase == "" ||
			!slices.Contains([]string{"", "Idle"}, phase) && fields["attempt"] == nil && fields["reason"] != "RebootRequired" {
			p.t.Errorf("fields are missing: %s", line)
		}
	}
	if !looked {
		p.t.Errorf("no line says the phase:\n%s", p.log())
	}
}

// taint is what somebody else puts on.
func (m *machine) taint(key string) {
	m.t.Helper()
	m.patch(map[string]any{"spec": map[string]any{"taints": []corev1.Taint{{Key: key, Effect: corev1.TaintEffectPreferNoSchedule}}}})
}

// taints are the keys of the soft ones.
func taints(n *corev1.Node) string {
	var keys []string
	for _, t := range n.Spec.Taints {
		if t.Effect == corev1.TaintEffectPreferNoSchedule {
			keys = append(keys, t.Key)
		}
	}
	return strings.Join(keys, " ")
}

// tellsTheStory looks at what kubectl describe node says after a reboot, and that each Event was sent once.
func (m *machine) tellsTheStory(t *testing.T) {
	t.Helper()
	text := m.kubectl("describe", "node", m.name)
	for _, want := range []string{
		"RebootRequired   False", "RebootSucceeded", "Rebooted and in service again at 20", "out of service (drain ", "reboot ",
		"Asked for by file ", ", since 20",
	} {
		if !strings.Contains(strings.Join(strings.Fields(text), " "), strings.Join(strings.Fields(want), " ")) {
			t.Errorf("kubectl describe node doesn't say %q", want)
		}
	}
	list, err := m.f.client.CoreV1().Events("default").List(t.Context(), metav1.ListOptions{FieldSelector: "involvedObject.name=" + m.name + ",source=rebootd"})
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int32{}
	for _, e := range list.Items {
		counts[e.Reason] += e.Count
		if e.InvolvedObject.UID != m.node().UID {
			t.Errorf("the Event %s is of %s", e.Reason, e.InvolvedObject.UID)
		}
	}
	for _, r := range []plan.Reason{plan.RebootRequired, plan.Held, plan.SlotTaken, plan.Draining, plan.RebootIssued, plan.RebootSucceeded, plan.Uncordoned} {
		if !strings.Contains(text, string(r)) || counts[string(r)] == 0 || counts[string(r)] > 2 {
			t.Errorf("kubectl describe node shows %d Events %s", counts[string(r)], r)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

// kubectl runs it with all rights.
func (m *machine) kubectl(args ...string) string {
	m.t.Helper()
	out, err := m.trySh("kubectl " + strings.Join(args, " "))
	if err != nil {
		m.t.Fatalf("kubectl %q: %v\n%s", args, err, out)
	}
	return out
}

// trySh runs one line that begins with kubectl.
func (m *machine) trySh(line string) (string, error) {
	bin, err := lab.EnsureBinaries(context.Background(), os.Stderr)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", line)
	cmd.Env = []string{"PATH=" + bin + ":/usr/bin:/bin", "KUBECONFIG=" + m.f.Kubeconfig(), "HOME=" + m.dir}
	out, err := cmd.CombinedOutput()
	return string(out), err
}
