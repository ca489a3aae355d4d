package show_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rebootd/rebootd/test/demo/show"
)

const second = time.Second

// idle is a node in service that wants nothing.
func idle(node, boot string) show.Seen {
	return show.Seen{Node: node, BootID: boot, Ready: true, Phase: "Idle", Reason: "NotRequired", Message: "Nothing.", Agree: true}
}

func out(s show.Seen) show.Seen {
	s.Cordoned, s.Phase, s.Reason, s.Message = true, "Draining", "Draining", "Evicting."
	return s
}

// reboot takes one node through a reboot: out at a time, back at another.
func reboot(o *show.Observer, node string, from, to time.Duration) {
	o.See(from, out(idle(node, node+"-old")))
	o.See((from+to)/2, out(idle(node, node+"-new")))
	o.See(to, idle(node, node+"-new"))
}

func twoNodes() *show.Observer {
	o := show.NewObserver()
	for _, n := range []string{"a", "b"} {
		o.See(0, idle(n, n+"-old"))
	}
	return o
}

func TestLook(t *testing.T) {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", Annotations: map[string]string{
		"rebootd.io/state": `{"version":1,"phase":"Required","reason":"Paused","bootID":"x"}`,
	}}}
	n.Spec.Unschedulable = true
	n.Status.NodeInfo.BootID = "x"
	n.Status.Conditions = []corev1.NodeCondition{
		{Type: corev1.NodeReady, Status: corev1.ConditionUnknown},
		{Type: "RebootRequired", Reason: "Paused", Message: "By hand."},
	}
	want := show.Seen{Node: "n", Phase: "Required", Reason: "Paused", Message: "By hand.", Agree: true, Cordoned: true, BootID: "x"}
	if got := show.Look(n); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	n.Annotations["rebootd.io/state"] = "nonsense"
	if got := show.Look(n); got.Phase != "?" || got.Agree {
		t.Errorf("with a bad record: %+v", got)
	}
}

func TestService(t *testing.T) {
	for want, s := range map[string]show.Seen{
		"in":             {Ready: true},
		"OUT, cordoned":  {Ready: true, Cordoned: true},
		"OUT, not Ready": {},
		"OUT, both":      {Cordoned: true},
	} {
		if got := s.Service(); got != want || s.Out() != (want != "in") {
			t.Errorf("%+v: %q, out %v; want %q", s, got, s.Out(), want)
		}
	}
}

func TestOneLinePerChange(t *testing.T) {
	with := func(s show.Seen, change func(*show.Seen)) show.Seen { change(&s); return s }
	first := idle("a", "0123456789")
	cordoned := with(first, func(s *show.Seen) { s.Cordoned, s.Phase, s.Agree = true, "Draining", false })
	said := with(cordoned, func(s *show.Seen) { s.Reason, s.Message, s.Agree = "Draining", "Evicting.", true })
	rebooted := with(said, func(s *show.Seen) { s.BootID, s.Ready = "9876543210", false })
	back := with(rebooted, func(s *show.Seen) { s.Ready, s.Cordoned = true, false })
	o := show.NewObserver()
	for i, step := range []struct {
		seen show.Seen
		want string
	}{
		{first, "in Idle NotRequired: Nothing."},
		{first, ""},
		{cordoned, "OUT, cordoned Draining Cordoned."},
		{cordoned, ""},
		{said, "OUT, cordoned Draining Draining: Evicting."},
		{rebooted, "OUT, both Draining The Node is not Ready any more. The kubelet reports a new boot ID: 01234567 became 98765432."},
		{back, "in Draining Uncordoned. The Node is Ready again."},
		{back, ""},
	} {
		got := strings.Join(strings.Fields(o.See(second, step.seen)), " ")
		if want := strings.TrimSpace("a " + step.want); got != want && (got != "" || step.want != "") {
			t.Errorf("step %d: %q, want %q", i, got, want)
		}
	}
	if line := o.See(second, show.Seen{Node: "b", Ready: true}); !strings.Contains(line, "said nothing") {
		t.Errorf("a node without rebootd: %q", line)
	}
}

func TestTwoOutAtOnce(t *testing.T) {
	o := twoNodes()
	reboot(o, "a", 1*second, 5*second)
	reboot(o, "b", 5*second, 9*second)
	if p := o.Problems([]string{"a", "b"}); len(p) > 0 || !o.Done() || !strings.Contains(o.Measured(), "time: yes") {
		t.Errorf("one after another: %q, %s", p, o.Measured())
	}
	o = twoNodes()
	o.See(1*second, out(idle("a", "a-old")))
	o.See(2*second, show.Seen{Node: "b", BootID: "b-old"}) // not Ready is out as well
	if p := o.Problems(nil); !slices.Equal(p, []string{"a and b were out of service together at 2.0 s"}) {
		t.Errorf("together: %q", p)
	}
	if !slices.Equal(o.Out(), []string{"a", "b"}) || !strings.Contains(o.Measured(), "NO, up to 2: a and b") {
		t.Errorf("together: %q, %s", o.Out(), o.Measured())
	}
}

func TestGlanceCountsWhatTheWatchMissed(t *testing.T) {
	o := twoNodes()
	o.Glance(1*second, []show.Seen{idle("a", "a-old"), idle("b", "b-old")})
	o.Glance(3*second, []show.Seen{out(idle("b", "b-old")), out(idle("a", "a-old"))})
	if p := o.Problems(nil); !slices.Equal(p, []string{"a and b were out of service together at 3.0 s"}) {
		t.Errorf("problems: %q", p)
	}
	if !strings.Contains(o.Measured(), "at least every 2.0 s") {
		t.Error(o.Measured())
	}
	o = twoNodes()
	o.Glance(0, nil)
	o.Glance(time.Minute, nil)
	if p := o.Problems(nil); len(p) != 1 || !strings.Contains(p[0], "saw nothing for 60.0 s") {
		t.Errorf("blind: %q", p)
	}
}

func TestProblems(t *testing.T) {
	for name, c := range map[string]struct {
		story func(*show.Observer)
		want  string
	}{
		"never rebooted":  {func(*show.Observer) {}, "a rebooted 0 times"},
		"rebooted twice":  {func(o *show.Observer) { reboot(o, "a", 1, 5); o.See(6, out(idle("a", "x"))); o.See(7, idle("a", "x")) }, "a rebooted 2 times"},
		"not cordoned":    {func(o *show.Observer) { o.See(second, idle("a", "x")) }, "a rebooted, as was seen at 1.0 s, without a cordon"},
		"still out":       {func(o *show.Observer) { o.See(1, out(idle("a", "x"))) }, "a is still out of service (OUT, cordoned); a is in phase Draining: Draining: Evicting."},
		"something wrong": {func(o *show.Observer) { reboot(o, "a", 1, 5); o.Wrong("it burns") }, "it burns"},
	} {
		o := show.NewObserver()
		o.See(0, idle("a", "a-old"))
		c.story(o)
		if got := strings.Join(o.Problems([]string{"a"}), "; "); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	if p := show.NewObserver().Problems([]string{"a"}); !slices.Equal(p, []string{"a was never seen"}) {
		t.Errorf("never seen: %q", p)
	}
}

func TestTable(t *testing.T) {
	o := twoNodes()
	reboot(o, "a", 1*second, 5500*time.Millisecond)
	o.See(6*second, out(idle("b", "b-old")))
	o.Glance(8*second, nil)
	o.Moved("pod-1", "a")
	o.Moved("pod-1", "a")
	o.Moved("pod-2", "a")
	want := `NODE   BOOT ID BEFORE   BOOT ID NOW   OUT OF SERVICE   PODS MOVED
a      a-old            a-new         4.5 s            2
b      b-old            b-old         2.0 s            0
c      ?                ?             ?                0
`
	if got := o.Table([]string{"a", "b", "c"}); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestVerdict(t *testing.T) {
	if got := show.Verdict(3, nil, ""); got != "OK: 3 nodes rebooted, one at a time" {
		t.Error(got)
	}
	if got := show.Verdict(3, []string{"one\n  thing", "another"}, "/logs"); got != "FAILED: one thing; another; logs are in /logs" {
		t.Error(got)
	}
}

func TestExcerpt(t *testing.T) {
	const described = `Name:               n
Labels:             x=y
Unschedulable:      true
Conditions:
  Type             Status
  ----             ------
  RebootRequired   True
  MemoryPressure   False
  Ready            True
Addresses:
  Ready:  10.0.0.1
Events:
  Type    Reason     Age   From
  ----    ------     ----  ----
  Normal  Starting   1s    kubelet
  Normal  SlotTaken  1s    rebootd  Took it.
`
	const want = `Name:               n
Unschedulable:      true
Conditions:
  Type             Status
  ----             ------
  RebootRequired   True
  Ready            True
Events:
  Type    Reason     Age   From
  ----    ------     ----  ----
  Normal  SlotTaken  1s    rebootd  Took it.
`
	if got := show.Excerpt(described); got != want {
		t.Errorf("got\n%s", got)
	}
}
