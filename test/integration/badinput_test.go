package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/pkg/plan"
)

// untouched watches that the machine stays in service; the end of that is what it returns.
func untouched(t *testing.T, m *machine) (putRight func()) {
	t.Helper()
	o := observe(t, 0, m)
	return func() {
		if n := len(m.leases()); n != 0 || m.orders() != 0 {
			t.Errorf("%d Leases and %d orders before it was put right", n, m.orders())
		}
		o.allow(1)
	}
}

func TestSentinelThatCannotBeSeen(t *testing.T) {
	t.Parallel()
	f := shared(t)
	t.Run("no directory", func(t *testing.T) {
		t.Parallel()
		m := f.machine(t, f.namespace(t), "nodir")
		m.remove("run")
		putRight := untouched(t, m)
		p := m.power(func() *process { return m.agent() })
		m.says(plan.SentinelUnknown, "--reboot-sentinel", m.sentinel(), "directory")
		p.agent().logs("reason=SentinelUnknown")
		putRight()
		if err := os.Mkdir(m.path("run"), 0o755); err != nil {
			t.Fatal(err)
		}
		m.says(plan.NotRequired)
		m.require()
		m.back(1)
	})
	t.Run("link to nowhere", func(t *testing.T) {
		t.Parallel()
		m := f.machine(t, f.namespace(t), "link")
		if err := os.Symlink(m.path("nowhere"), m.sentinel()); err != nil {
			t.Fatal(err)
		}
		putRight := untouched(t, m)
		p := m.power(func() *process { return m.agent() })
		m.says(plan.SentinelUnknown, m.sentinel(), "link")
		p.agent().logs("reason=SentinelUnknown")
		putRight()
		m.file("nowhere", "")
		m.back(1)
	})
}

func TestUnknownNodeName(t *testing.T) {
	t.Parallel()
	f := shared(t)
	m := f.machineWithoutNode(t, f.namespace(t), "unknown")
	m.require()
	p := m.power(func() *process { return m.agent() })
	p.agent().logs("There is no Node " + m.name)
	p.agent().answers("/healthz", 200)
	if code, why := p.agent().get("/readyz"); code == 200 || !strings.Contains(why, "--node-name") {
		t.Errorf("/readyz: %d %s", code, why)
	}
	if m.orders() != 0 || len(m.leases()) != 0 {
		t.Errorf("without a Node: %d orders, %d Leases", m.orders(), len(m.leases()))
	}
	m.createNode()
	m.back(1)
}

func TestRecordThatCannotBeRead(t *testing.T) {
	t.Parallel()
	f := shared(t)
	for name, tt := range map[string]struct{ record, says string }{
		"not JSON":      {`once upon a time`, "not a record"},
		"version 99":    {`{"version":99,"phase":"Idle"}`, "version 99"},
		"unknown phase": {`{"version":1,"phase":"Dancing"}`, `unknown phase "Dancing"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := f.machine(t, f.namespace(t), "record")
			m.annotate("rebootd.io/state", tt.record)
			m.require()
			putRight := untouched(t, m)
			p := m.power(func() *process { return m.agent() })
			m.says(plan.GateError, tt.says, "kubectl annotate node "+m.name+" rebootd.io/state-")
			p.agent().logs("reason=GateError")
			if got := m.node().Annotations["rebootd.io/state"]; got != tt.record {
				t.Errorf("the record was changed to %s", got)
			}
			putRight()
			f.kubectl(t, "annotate", "node", m.name, "rebootd.io/state-")
			m.eventually("the record is gone", func(n *corev1.Node) bool { return n.Annotations["rebootd.io/state"] != tt.record })
			m.back(1)
		})
	}
}

func TestRebootCommandThatIsNotThere(t *testing.T) {
	t.Parallel()
	f := shared(t)
	m := f.machine(t, f.namespace(t), "missing")
	script := m.path("reboot.sh")
	m.require()
	putRight := untouched(t, m)
	p := m.power(func() *process { return m.agent("--reboot-command=" + script) })
	m.says(plan.GateError, "--reboot-command", script)
	p.agent().logs("reason=GateError")
	putRight()
	if err := os.WriteFile(script+".new", []byte("#!/bin/sh\necho x >> "+m.path("ordered")+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(script+".new", script); err != nil {
		t.Fatal(err)
	}
	m.back(1)
}

func TestRebootCommandThatFails(t *testing.T) {
	t.Parallel()
	f := shared(t)
	m := f.machine(t, f.namespace(t), "failing")
	m.file("reboot.sh", "echo tried >> "+m.path("tries")+"\necho the switch is stuck\nexit 1\n")
	m.require()
	p := m.power(func() *process {
		return m.agent("--reboot-command=sh "+m.path("reboot.sh"), "--reboot-attempts=2", "--back-off=10s", "--back-off-max=10s")
	})
	m.event(plan.RebootFailed, "the switch is stuck")
	m.says(plan.BackingOff, "the switch is stuck", "failed 2 times")
	if n := strings.Count(m.read("tries"), "tried"); n != 2 {
		t.Errorf("tried %d times, want 2", n)
	}
	if b := m.record().BackOff; m.cordoned() || b == nil || b.Failures != 1 {
		t.Errorf("cordoned %v, back-off %+v", m.cordoned(), b)
	}
	until(t, "slot freed", func() bool { return !m.holds() })
	p.agent().logs("reason=RebootFailed", "exit_code=1")
	m.file("reboot.sh", "echo x >> "+m.path("ordered")+"\n")
	m.back(1)
}

func TestWrongOptions(t *testing.T) {
	t.Parallel()
	f := shared(t)
	t.Run("all at once", func(t *testing.T) {
		t.Parallel()
		m := f.machineWithoutNode(t, "none", "wrong")
		a := m.agent("--period=soon", "--reboot-attempts=-1", "--reboot-method=teleport", "--no-such-flag=1")
		if code := a.exits(); code != 2 {
			t.Errorf("exit code %d", code)
		}
		a.logs("--period", "soon", "--reboot-attempts", "-1", "--reboot-method", "teleport", "no-such-flag", "--help")
	})
	for name, content := range map[string]string{"no kubeconfig": "", "broken kubeconfig": "{"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := f.machineWithoutNode(t, "none", "wrong")
			file := filepath.Join(m.dir, "kubeconfig")
			if content != "" {
				m.file("kubeconfig", content)
			}
			a := m.agent("--kubeconfig=" + file)
			want := 1
			if content == "" {
				want = 2 // as any value that can't be right
			}
			if code := a.exits(); code != want {
				t.Errorf("exit code %d, want %d", code, want)
			}
			a.logs("--kubeconfig", file)
		})
	}
}
