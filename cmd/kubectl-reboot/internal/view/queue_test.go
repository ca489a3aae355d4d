package view

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rebootd/rebootd/pkg/plan"
)

func waiter(name string, minutes int, change ...func(*corev1.Node)) corev1.Node {
	since := noon.Add(-time.Duration(minutes) * time.Minute)
	n := aNode(name, plan.Record{Phase: plan.Required, Reason: plan.WaitingForSlot, Since: since, RequiredSince: since})
	for _, c := range change {
		c(&n)
	}
	return n
}

func label(key, value string) func(*corev1.Node) {
	return func(n *corev1.Node) { metav1.SetMetaDataLabel(&n.ObjectMeta, key, value) }
}

func goesOut(name string, since time.Duration, change ...func(*corev1.Node)) corev1.Node {
	at := noon.Add(-since)
	n := aNode(name, plan.Record{Phase: plan.Drain, Reason: plan.Draining, Since: at, OutSince: at, RequiredSince: noon.Add(-24 * time.Hour)})
	for _, c := range change {
		c(&n)
	}
	return n
}

func reboots(name string, took ...time.Duration) corev1.Node {
	var history []plan.Reboot
	for i, d := range took {
		in := noon.Add(-time.Duration(len(took)-i) * time.Hour)
		history = append(history, plan.Reboot{Out: in.Add(-d), In: in, Ours: true})
	}
	return aNode(name, plan.Record{Phase: plan.Idle, Reason: plan.RebootSucceeded, Since: noon, History: history})
}

func agents(args ...string) []appsv1.DaemonSet {
	return []appsv1.DaemonSet{{Spec: appsv1.DaemonSetSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Args: args}}}}}}}
}

// inTurn are the names with their turns, and when each goes: "a 1 +0s".
func inTurn(s *Status) []string {
	var all []string
	for _, n := range s.Nodes {
		if n.Turn > 0 {
			text := fmt.Sprintf("%s %d", n.Name, n.Turn)
			if !n.Starts.IsZero() {
				text += " +" + n.Starts.Sub(noon).String()
			}
			all = append(all, text)
		}
	}
	return all
}

func TestTurns(t *testing.T) {
	zone := func(z string) func(*corev1.Node) { return label("topology.kubernetes.io/zone", z) }
	control := label("node-role.kubernetes.io/control-plane", "")
	past := reboots("past", 9*time.Minute, 10*time.Minute, 30*time.Minute)
	for name, tt := range map[string]struct {
		nodes  []corev1.Node
		leases []coordinationv1.Lease
		agents []appsv1.DaemonSet
		want   []string
	}{
		"who waited longest; nothing measured": {[]corev1.Node{waiter("b", 1), waiter("a", 2)}, nil, nil, []string{"a 1", "b 2"}},
		"one after another": {
			[]corev1.Node{past, waiter("b", 1), waiter("a", 2), waiter("c", 0)}, nil, nil, []string{"a 1 +0s", "b 2 +10m0s", "c 3 +20m0s"},
		},
		"when the one that is out is back": {
			[]corev1.Node{past, goesOut("x", 4*time.Minute), waiter("a", 2)}, []coordinationv1.Lease{aSlot("rebootd-default-0", "x")}, nil, []string{"a 1 +6m0s"},
		},
		"one that is out for longer than ever": {
			[]corev1.Node{past, goesOut("x", time.Hour), waiter("a", 2)}, []coordinationv1.Lease{aSlot("rebootd-default-0", "x")}, nil, []string{"a 1 +0s"},
		},
		"two at a time, and a settle time": {
			[]corev1.Node{past, waiter("a", 3), waiter("b", 2), waiter("c", 1)}, nil, agents("--concurrency=2", "--settle-time=2m"),
			[]string{"a 1 +0s", "b 2 +0s", "c 3 +12m0s"},
		},
		"one slot of two is lost with its holder": {
			[]corev1.Node{past, aNode("x", plan.Record{Phase: plan.Rebooting, Reason: plan.RebootTimedOut, OutSince: noon}), waiter("a", 3), waiter("b", 2)},
			[]coordinationv1.Lease{aSlot("rebootd-default-0", "x")}, agents("--concurrency=2"), []string{"a 1 +0s", "b 2 +10m0s"},
		},
		"the only slot is lost": {[]corev1.Node{past, waiter("a", 3)}, []coordinationv1.Lease{aSlot("rebootd-default-0", "gone")}, nil, []string{"a 1"}},
		"more out than there are slots": {
			[]corev1.Node{past, goesOut("x", 4*time.Minute), goesOut("y", 8*time.Minute), waiter("a", 3)},
			[]coordinationv1.Lease{aSlot("rebootd-default-0", "x"), aSlot("rebootd-default-1", "y")}, nil, []string{"a 1 +6m0s"},
		},
		"the zone under way first": {
			[]corev1.Node{goesOut("x", time.Minute, zone("b")), waiter("a", 9, zone("a")), waiter("b", 1, zone("b"))},
			[]coordinationv1.Lease{aSlot("rebootd-default-0", "x")}, nil, []string{"b 1", "a 2"},
		},
		"control planes last, one at a time": {
			[]corev1.Node{past, waiter("c1", 9, control), waiter("c2", 8, control), waiter("w", 1)}, nil, agents("--concurrency=3"),
			[]string{"w 1 +0s", "c1 2 +0s", "c2 3 +10m0s"},
		},
		"groups side by side": {
			[]corev1.Node{past, waiter("a1", 3, label("pool", "a")), waiter("a2", 2, label("pool", "a")), waiter("b1", 1, label("pool", "b"))}, nil, agents("--lock-group-label=pool"),
			[]string{"a1 1 +0s", "a2 2 +10m0s", "b1 1 +0s"},
		},
	} {
		s := New(Facts{Now: noon, Nodes: tt.nodes, Leases: tt.leases, Agents: tt.agents})
		if got := inTurn(s); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

func TestSummary(t *testing.T) {
	blocked := waiter("h", 1)
	blocked.Annotations["rebootd.io/state"] = plan.Record{Phase: plan.Required, Reason: plan.Held, BootID: "b", RequiredSince: noon}.String()
	settles := aNode("s", plan.Record{Phase: plan.Settle, Since: noon, RequiredSince: noon.Add(-time.Hour), OutSince: noon.Add(-time.Minute)})
	stale := reboots("stale", time.Minute)
	long := aNode("long", plan.Record{Phase: plan.Idle, History: []plan.Reboot{{Out: noon.Add(-101 * 24 * time.Hour), In: noon.Add(-100 * 24 * time.Hour), Ours: true}}})
	power := aNode("power", plan.Record{Phase: plan.Idle, History: []plan.Reboot{{Out: noon.Add(-time.Hour), In: noon.Add(-time.Minute)}}})
	for name, tt := range map[string]struct {
		f    Facts
		want string
	}{
		"nothing":           {Facts{}, "There are no nodes."},
		"nobody":            {Facts{Nodes: []corev1.Node{stale}}, "1 node: 1 wants no reboot."},
		"held back":         {Facts{Nodes: []corev1.Node{stale, blocked}}, "0 of 1 done, 0 out, 1 waiting (1 held back); 1 wants no reboot; no estimate: all that wait are held back."},
		"settling":          {Facts{Nodes: []corev1.Node{settles}}, "0 of 1 done, 0 out, 1 settling, 0 waiting; no estimate before a reboot was measured."},
		"slots are lost":    {Facts{Nodes: []corev1.Node{stale, waiter("w", 1)}, Leases: []coordinationv1.Lease{aSlot("rebootd-default-0", "gone")}}, "no estimate: who holds the slots doesn't come back."},
		"who can't see":     {Facts{Nodes: []corev1.Node{aNode("n", plan.Record{Phase: plan.Idle, Reason: plan.SentinelUnknown}), stale, aNode("none", plan.Record{})}}, "3 nodes: 1 wants no reboot, 1 without an agent, 1 that may or may not want one."},
		"long ago":          {Facts{Nodes: []corev1.Node{long, waiter("w", 1)}}, "0 of 1 done, 0 out, 1 waiting; 1 wants no reboot; no estimate before a reboot was measured."},
		"not our own":       {Facts{Nodes: []corev1.Node{power, waiter("w", 1)}}, "no estimate before a reboot was measured."},
		"done since it was": {Facts{Nodes: []corev1.Node{stale, waiter("w", 61)}}, "1 of 2 done, 0 out, 1 waiting; about 60s left (60s each)."},
		"paused":            {Facts{Nodes: []corev1.Node{stale, waiter("w", 1)}, Control: &corev1.ConfigMap{Data: map[string]string{"paused": "true"}}}, "no estimate while reboots are paused."},
	} {
		tt.f.Now = noon
		if got := New(tt.f).Summary.Text; !strings.HasSuffix(got, tt.want) {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// What helps is said for every reason that holds a node back, and the commands are whole.
func TestAdvice(t *testing.T) {
	nothing := []plan.Reason{plan.RebootRequired, plan.RebootRequested, plan.NotRequired, plan.Held, plan.Paused, plan.CircuitOpen, plan.WaitingForSlot,
		plan.WaitingForTurn, plan.SlotTaken, plan.SlotLost, plan.Draining, plan.DrainFailed, plan.HookFailed, plan.BlockedByHook, plan.BlockedByAutoscaler,
		plan.BlockedByVersionSkew, plan.RebootIssued, plan.RebootFailed, plan.RebootSucceeded, plan.Settling, plan.Uncordoned, plan.NodeRecreated}
	for _, r := range plan.Reasons() {
		n := aNode("n", plan.Record{Phase: plan.Required, Reason: r, Since: noon})
		s := New(Facts{Now: noon, Nodes: []corev1.Node{n}, Unread: []Unread{{What: Pods}}})
		e := Explain(s, "n", Facts{})
		if slices.Contains(nothing, r) != (len(e.Advice) == 0) {
			t.Errorf("%s: %+v", r, e.Advice)
		}
		for _, a := range e.Advice {
			if !strings.HasSuffix(a.Text, ".") || a.Command != "" && !strings.HasPrefix(a.Command, "kubectl ") {
				t.Errorf("%s: %+v", r, a)
			}
		}
	}
	n := waiter("n", 1)
	n.Annotations["rebootd.io/hold"] = "x"
	elsewhere := aSlot("rebootd-other-0", "gone") // of a lock group that isn't this node's
	elsewhere.Labels["rebootd.io/lock-group"] = "other"
	f := Facts{Now: noon, Nodes: []corev1.Node{n}, Pods: []corev1.Pod{pod("n", false, "CrashLoopBackOff")}, Leases: []coordinationv1.Lease{aSlot("rebootd-default-0", "gone"), elsewhere},
		Control: &corev1.ConfigMap{Data: map[string]string{"paused": "true"}}, Circuit: &corev1.ConfigMap{Data: map[string]string{"open": "2026-11-23T11:00:00Z"}}}
	var commands []string
	for _, a := range Explain(New(f), "n", f).Advice {
		commands = append(commands, a.Command)
	}
	want := []string{"kubectl logs -n  pod-n", "kubectl reboot circuit reset", "kubectl reboot resume", "kubectl reboot unhold n", "kubectl reboot release rebootd-default-0"}
	if !slices.Equal(commands, want) {
		t.Errorf("%q", commands)
	}
	if Explain(New(f), "nobody", f) != nil {
		t.Error("a node that isn't there is explained")
	}
}

func TestHistory(t *testing.T) {
	event := func(kind, reason, on string, minutes int) corev1.Event {
		return corev1.Event{Type: kind, Reason: reason, InvolvedObject: corev1.ObjectReference{Kind: "Node", Name: on}, LastTimestamp: metav1.NewTime(noon.Add(-time.Duration(minutes) * time.Minute))}
	}
	f := Facts{Now: noon, Nodes: []corev1.Node{reboots("a", time.Minute, 2*time.Minute), reboots("b")}, Events: []corev1.Event{
		event("Warning", "DrainTimedOut", "b", 30), event("Normal", "Draining", "b", 31), event("Warning", "RebootTimedOut", "other", 1),
	}}
	h := NewHistory(New(f), f)
	var got []string
	for _, p := range h.Items {
		got = append(got, p.Node+" "+p.What)
	}
	if want := []string{"b DrainTimedOut", "a Rebooted", "a Rebooted"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	h.Limit(1)
	if len(h.Items) != 1 || !strings.Contains(strings.Join(h.Notes, ""), "2 older ones") {
		t.Errorf("%+v", h)
	}
}
