package view

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rebootd/rebootd/pkg/config"
	"github.com/rebootd/rebootd/pkg/kured"
	"github.com/rebootd/rebootd/pkg/lock"
	"github.com/rebootd/rebootd/pkg/node"
	"github.com/rebootd/rebootd/pkg/plan"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func TestKuredLock(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		want []string // nil and an error: it can't be read
		bad  bool
	}{
		"none":              {``, nil, false},
		"one":               {`{"nodeID":"n1","metadata":{"unschedulable":false},"created":"2026-11-23T11:00:00Z","TTL":0}`, []string{"n1"}, false},
		"several":           {`{"maxOwners":2,"locks":[{"nodeID":"n1","created":"2026-11-23T11:00:00Z","TTL":0},{"nodeID":"n2","created":"2026-11-23T11:00:00Z"}]}`, []string{"n1", "n2"}, false},
		"several, nobody":   {`{"maxOwners":2,"locks":[]}`, nil, false},
		"several, null":     {`{"maxOwners":2,"locks":null}`, nil, false},
		"expired":           {`{"nodeID":"n1","created":"2026-11-23T11:00:00Z","TTL":3599000000000}`, nil, false},
		"not expired":       {`{"nodeID":"n1","created":"2026-11-23T11:00:00Z","TTL":3601000000000}`, []string{"n1"}, false},
		"the manual pause":  {`{"nodeID":"manual"}`, []string{"manual"}, false},
		"no JSON":           {`{`, nil, true},
		"another kind":      {`[]`, nil, true},
		"an unreadable day": {`{"nodeID":"n1","created":"yesterday"}`, nil, true},
	} {
		k := newKured(locked(tt.text), noon)
		var got []string
		for _, h := range k.Holders {
			got = append(got, h.Node)
		}
		if (k.Unreadable != "") != tt.bad || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v", name, k)
		}
	}
	for text, want := range map[string]string{
		``:                    "nobody holds its lock",
		`{"nodeID":"manual"}`: "paused by hand",
		`{`:                   "can't be read",
		`{"nodeID":"n1","created":"2026-11-23T11:00:00Z"}`: "held by n1 since 2026-11-23T11:00:00Z",
	} {
		if got := newKured(locked(text), noon).String(); !strings.Contains(got, want) || !strings.Contains(got, "kube-system/kured") {
			t.Errorf("%s: %s", text, got)
		}
	}
}

// Several files, or a file and a command, may name packages.
func TestPackages(t *testing.T) {
	got := packages("/a asks for a reboot (packages: kernel, glibc). The command x asks for a reboot (exit code 1) (packages: glibc, systemd and 2 more). By uptime.")
	if want := []string{"kernel", "glibc", "systemd and 2 more"}; !slices.Equal(got, want) || packages("Nothing asks.") != nil {
		t.Errorf("%q", got)
	}
}

// locked is kured's DaemonSet with this lock; empty: with none.
func locked(text string) *appsv1.DaemonSet {
	d := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "kured"}}
	if text != "" {
		d.Annotations = map[string]string{kured.LockAnnotation: text}
	}
	return d
}

func FuzzKuredLock(f *testing.F) {
	f.Add(`{"maxOwners":2,"locks":[{"nodeID":"n1"}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		k := newKured(locked(text), noon)
		for _, h := range k.Holders {
			if h.Node == "" || k.Unreadable != "" {
				t.Errorf("%q: %+v", text, k)
			}
		}
	})
}

func TestOptions(t *testing.T) {
	set := func(c ...corev1.Container) []appsv1.DaemonSet {
		return []appsv1.DaemonSet{{Spec: appsv1.DaemonSetSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: c}}}}}
	}
	byDefault := options{concurrency: config.Amount{Number: 1}, group: "default", orderLabel: "topology.kubernetes.io/zone"}
	with := func(change func(*options)) options { o := byDefault; change(&o); return o }
	for name, tt := range map[string]struct {
		sets []appsv1.DaemonSet
		want options
	}{
		"none": {nil, byDefault},
		"flags, joined and apart, one given twice, and some that this plugin doesn't know": {
			set(corev1.Container{Command: []string{"rebootd", "--concurrency=2"}, Args: []string{"--new-option", "x", "--lock-group-label", "pool", "--concurrency=10%"}}),
			with(func(o *options) { o.concurrency, o.groupLabel = config.Amount{Percent: 10}, "pool" }),
		},
		"the environment": {
			set(corev1.Container{Env: []corev1.EnvVar{{Name: "KURED_CONCURRENCY", Value: "3"}, {Name: "REBOOTD_CONCURRENCY", Value: "4"}, {Name: "REBOOTD_LOCK_GROUP", Value: "g"}}}),
			with(func(o *options) { o.concurrency, o.group = config.Amount{Number: 4}, "g" }),
		},
		"a flag wins": {
			set(corev1.Container{Env: []corev1.EnvVar{{Name: "REBOOTD_CONCURRENCY", Value: "4"}}, Args: []string{"--concurrency=5"}}),
			with(func(o *options) { o.concurrency = config.Amount{Number: 5} }),
		},
		"the longer delay": {
			set(corev1.Container{Args: []string{"--settle-time=1m", "--lock-release-delay=2m", "--circuit-reset=24h"}}),
			with(func(o *options) { o.settle, o.circuitReset = 2*time.Minute, 24*time.Hour }),
		},
		"of several containers rebootd's": {
			set(corev1.Container{Name: "rebootd", Args: []string{"--concurrency=2"}}, corev1.Container{Name: "proxy", Args: []string{"--concurrency=9"}}),
			with(func(o *options) { o.concurrency = config.Amount{Number: 2} }),
		},
		"one that is wrong": {set(corev1.Container{Args: []string{"--concurrency=none"}}), byDefault},
	} {
		if got := readOptions(tt.sets); got != tt.want {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
	}
	o := options{group: "default", groupLabel: "pool"}
	if a, b, c := o.groupOf(map[string]string{"pool": "a"}), o.groupOf(nil), o.groupOf(map[string]string{"pool": "A b"}); a != "a" || b != "default" || c != lock.GroupName("A b", "default") {
		t.Errorf("%s, %s, %s", a, b, c)
	}
}

func TestPause(t *testing.T) {
	for name, tt := range map[string]struct {
		data map[string]string
		want string // empty: not paused
	}{
		"absent":       {nil, ""},
		"false":        {map[string]string{"paused": "false", "reason": "x"}, ""},
		"true":         {map[string]string{"paused": "true"}, "Reboots are paused."},
		"with all":     {map[string]string{"paused": " true\n", "reason": "the sale.", "until": "2026-11-23T14:00:00+01:00"}, "Reboots are paused until 2026-11-23T13:00:00Z: the sale."},
		"over":         {map[string]string{"paused": "true", "until": "2026-11-23T12:00:00Z"}, ""},
		"wrong":        {map[string]string{"paused": "yes"}, `can't be known: ConfigMap rebootd-control: key paused is "yes"`},
		"wrong, until": {map[string]string{"paused": "true", "until": "tomorrow"}, "can't be known: ConfigMap rebootd-control: key until"},
	} {
		p := newPause(&corev1.ConfigMap{Data: tt.data}, noon)
		if (p == nil) != (tt.want == "") || p != nil && !strings.Contains(p.String(), tt.want) {
			t.Errorf("%s: %v", name, p)
		}
	}
	if newPause(nil, noon) != nil {
		t.Error("paused without a ConfigMap")
	}
}

func TestBreaker(t *testing.T) {
	data := func(failures, open string) *corev1.ConfigMap {
		return &corev1.ConfigMap{Data: map[string]string{"failures": failures, "open": open}}
	}
	const one = "2026-11-23T10:00:00Z n1 RebootTimedOut\n"
	for name, tt := range map[string]struct {
		m     *corev1.ConfigMap
		reset time.Duration
		open  bool
		want  string // empty: nothing to say
	}{
		"absent":     {nil, 0, false, ""},
		"empty":      {data("", ""), 0, false, ""},
		"a failure":  {data(one, ""), 0, false, "in a row so far: n1 (RebootTimedOut)"},
		"open":       {data(one, "2026-11-23T11:00:00Z"), 0, true, "open since 2026-11-23T11:00:00Z"},
		"open still": {data(one, "2026-11-23T11:00:00Z"), 61 * time.Minute, true, "open since"},
		"reset":      {data(one, "2026-11-23T11:00:00Z"), time.Hour, false, "--circuit-reset has closed it"},
		"unreadable": {data("x", ""), 0, false, "can't be known"},
	} {
		b := NewBreaker(tt.m).after(tt.reset, noon)
		if (b == nil) != (tt.want == "") || b != nil && (b.Open != tt.open || !strings.Contains(b.String(), tt.want)) {
			t.Errorf("%s: %+v", name, b)
		}
	}
}

func TestWhenTheWindowOpens(t *testing.T) {
	for message, want := range map[string]string{
		"No window is open; the next one opens at 2026-11-28T02:00:00Z (sat 02:00-06:00).":                       "2026-11-28T02:00:00Z",
		"Freeze x holds until 2027-01-04T00:00:00Z; the next one opens at 2027-01-09T03:00:00+01:00 (sat 03:00)": "2027-01-09T02:00:00Z",
		"Freeze x holds until 2027-01-04T00:00:00Z; it opens at 2027-01-04T00:00:00Z.":                           "2027-01-04T00:00:00Z",
		"No window opens within a year.": "",
		"It opens at noon.":              "",
	} {
		at, ok := opens(message)
		if ok != (want != "") || ok && Stamp(at) != want {
			t.Errorf("%s: %s, %v", message, at, ok)
		}
	}
}

// aNode is a Node with this record; a reason goes into its condition too.
func aNode(name string, r plan.Record) corev1.Node {
	n := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("uid-" + name), Annotations: map[string]string{}}}
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	if r.Phase != "" {
		r.BootID = "boot"
		n.Annotations[node.StateAnnotation] = r.String()
		n.Status.Conditions = append(n.Status.Conditions, corev1.NodeCondition{Type: node.ConditionType, Reason: string(r.Reason), LastHeartbeatTime: metav1.NewTime(r.Since)})
	}
	return n
}

func aSlot(name, holder string) coordinationv1.Lease {
	return coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, UID: types.UID("lease-" + name), Labels: map[string]string{lock.GroupLabel: "default"},
			OwnerReferences: []metav1.OwnerReference{{Kind: "Node", Name: holder, UID: types.UID("uid-" + holder)}},
		},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder},
	}
}

func TestSlotTrouble(t *testing.T) {
	nodes := []corev1.Node{aNode("here", plan.Record{Phase: plan.Idle, Since: noon})}
	orphan := aSlot("rebootd-default-1", "here")
	orphan.OwnerReferences = nil
	earlier := aSlot("rebootd-default-2", "here")
	earlier.OwnerReferences[0].UID = "another"
	for want, l := range map[string]coordinationv1.Lease{
		"":                          aSlot("rebootd-default-0", "here"),
		"lost the reference":        orphan,
		"an earlier Node here":      earlier,
		"there is no Node gone":     aSlot("rebootd-default-3", "gone"),
		"no slot: it has no number": aSlot("rebootd-default", "here"),
	} {
		s := New(Facts{Now: noon, Nodes: nodes, Leases: []coordinationv1.Lease{l}})
		if strings.HasPrefix(want, "no slot") {
			if len(s.Slots) != 0 {
				t.Errorf("%s: %+v", l.Name, s.Slots)
			}
			continue
		}
		if len(s.Slots) != 1 || !strings.Contains(s.Slots[0].Trouble, want) || (want == "") != (s.Slots[0].Trouble == "") {
			t.Errorf("%q: %+v", want, s.Slots)
		}
		if mine := s.Find("here").Slot; (mine != "") != (want == "") {
			t.Errorf("%q: the node's own slot is %q", want, mine)
		}
	}
	control := aSlot(lock.ControlPlaneSlot, "here")
	control.Labels[lock.GroupLabel] = controlPlanes
	s := New(Facts{Now: noon, Nodes: nodes, Leases: []coordinationv1.Lease{control}})
	if len(s.Slots) != 1 || s.Find("here").Group != "default" {
		t.Errorf("%+v %+v", s.Slots, s.Nodes)
	}
}

func TestDanger(t *testing.T) {
	for phase, want := range map[plan.Phase]string{
		plan.Drain: "two nodes may be out at once", plan.Rebooting: "two nodes may be out at once", plan.Recovering: "two nodes may be out at once",
		plan.Aborting: "two nodes may be out at once", plan.Settle: "before it has settled", plan.Idle: "it is in service", plan.Required: "takes a slot again",
		"": "can't be known",
	} {
		n := aNode("n", plan.Record{Phase: phase})
		one := OneNode(&n, noon)
		if got := strings.Join(Slot{Holder: "n"}.Danger(&one), " "); !strings.Contains(got, want) {
			t.Errorf("%s: %s", phase, got)
		}
	}
	if got := strings.Join(Slot{Holder: "n"}.Danger(nil), " "); !strings.Contains(got, "There is no Node n") {
		t.Error(got)
	}
}

func pod(on string, ready bool, why string) corev1.Pod {
	p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "pod-" + on}, Spec: corev1.PodSpec{NodeName: on}}
	if ready {
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	}
	if why != "" {
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: why}}}}
	}
	return p
}

func unready(n corev1.Node) corev1.Node {
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionUnknown}}
	return n
}

// young is a pod that was made just now.
func young(p corev1.Pod) corev1.Pod {
	p.CreationTimestamp = metav1.NewTime(noon.Add(-5 * time.Second))
	return p
}

// ended has its container have ended with last words.
func ended(p corev1.Pod, words string) corev1.Pod {
	if len(p.Status.ContainerStatuses) == 0 {
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{}}
	}
	p.Status.ContainerStatuses[0].LastTerminationState.Terminated = &corev1.ContainerStateTerminated{Reason: "Error", Message: words}
	return p
}

func TestAgentTrouble(t *testing.T) {
	unread := []Unread{{What: Pods, Why: "you may not"}}
	at := func(p plan.Phase, age time.Duration) corev1.Node {
		return aNode("n", plan.Record{Phase: p, Since: noon.Add(-age)})
	}
	for name, tt := range map[string]struct {
		n      corev1.Node
		pods   []corev1.Pod
		unread []Unread
		want   string // empty: no trouble
	}{
		"all is well":                    {at(plan.Idle, 0), []corev1.Pod{pod("n", true, "")}, nil, ""},
		"idle for months":                {at(plan.Idle, 2000*time.Hour), []corev1.Pod{pod("n", true, "")}, nil, ""},
		"no pod":                         {at(plan.Idle, 3*time.Hour), []corev1.Pod{pod("other", true, "")}, nil, "no agent runs here any more; what it says was written 3h ago"},
		"no pod that may be seen":        {at(plan.Idle, 3*time.Hour), nil, unread, ""},
		"the pod crashes":                {at(plan.Required, 0), []corev1.Pod{pod("n", false, "CrashLoopBackOff")}, nil, "isn't ready (CrashLoopBackOff)"},
		"a new pod crashes":              {at(plan.Idle, 0), []corev1.Pod{young(ended(pod("n", false, "CrashLoopBackOff"), "--window: \"satt\"\n is wrong"))}, nil, `isn't ready (CrashLoopBackOff: --window: "satt" is wrong)`},
		"a new pod has crashed once":     {at(plan.Idle, 0), []corev1.Pod{young(ended(pod("n", false, ""), "oops"))}, nil, ""},
		"a new pod is being made":        {at(plan.Idle, 0), []corev1.Pod{young(pod("n", false, "ContainerCreating"))}, nil, ""},
		"a new pod has no image":         {at(plan.Idle, 0), []corev1.Pod{young(pod("n", false, "ErrImagePull"))}, nil, "isn't ready (ErrImagePull)"},
		"an old pod and a new one":       {at(plan.Required, 0), []corev1.Pod{pod("n", false, "Error"), pod("n", true, "")}, nil, ""},
		"the machine is down":            {at(plan.Rebooting, 0), []corev1.Pod{pod("n", false, "")}, nil, ""},
		"back, and its agent crashes":    {at(plan.Rebooting, 0), []corev1.Pod{pod("n", false, "CrashLoopBackOff")}, nil, "isn't ready (CrashLoopBackOff)"},
		"not Ready, and it crashed":      {unready(at(plan.Rebooting, 0)), []corev1.Pod{pod("n", false, "CrashLoopBackOff")}, nil, ""},
		"out and silent":                 {at(plan.Drain, 2*time.Hour), []corev1.Pod{pod("n", true, "")}, nil, "has written nothing for 120m"},
		"out and not silent":             {at(plan.Drain, time.Minute), []corev1.Pod{pod("n", true, "")}, nil, ""},
		"nothing at all":                 {aNode("n", plan.Record{}), nil, nil, "no agent (no record, no condition, no pod"},
		"nothing but a pod":              {aNode("n", plan.Record{}), []corev1.Pod{pod("n", false, "ImagePullBackOff")}, nil, "pod-n (ImagePullBackOff) has written nothing"},
		"nothing, and pods are a secret": {aNode("n", plan.Record{}), nil, unread, "no agent (no record and no condition)"},
	} {
		s := New(Facts{Now: noon, Nodes: []corev1.Node{tt.n}, Pods: tt.pods, Unread: tt.unread})
		if got := s.Nodes[0].Trouble; (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// A pod that never ran has no log; what is wrong with it stands in its Events.
func TestAdviceAboutTheAgent(t *testing.T) {
	for want, p := range map[string]corev1.Pod{
		"kubectl describe pod -n rebootd pod-n": pod("n", false, "ErrImagePull"),
		"kubectl logs -n rebootd pod-n":         ended(pod("n", false, "CrashLoopBackOff"), "no"),
	} {
		f := Facts{Now: noon, Namespace: "rebootd", Nodes: []corev1.Node{aNode("n", plan.Record{})}, Pods: []corev1.Pod{p}}
		if e := Explain(New(f), "n", f); len(e.Advice) != 1 || e.Advice[0].Command != want {
			t.Errorf("%+v, want %s", e.Advice, want)
		}
	}
}

// One line each about ten nodes is enough; those without an agent share one.
func TestNotesAreFew(t *testing.T) {
	var nodes []corev1.Node
	for i := range 30 {
		nodes = append(nodes, aNode("none-"+string(rune('a'+i)), plan.Record{}), aNode("gone-"+string(rune('a'+i)), plan.Record{Phase: plan.Idle, Since: noon}))
	}
	s := New(Facts{Now: noon, Nodes: nodes})
	if len(s.Notes) != 11 || !strings.Contains(strings.Join(s.Notes, "\n"), "21 nodes more with trouble") {
		t.Errorf("%d notes:\n%s", len(s.Notes), strings.Join(s.Notes, "\n"))
	}
}

// A record that can't be read is what is wrong, even if the agent that could say so isn't there.
func TestUnreadableWithoutAnAgent(t *testing.T) {
	n := aNode("n", plan.Record{Phase: plan.Required, Reason: plan.WaitingForSlot, Since: noon})
	n.Annotations[node.StateAnnotation] = `{"version":9}`
	n.Status.Conditions = []corev1.NodeCondition{{Type: node.ConditionType, Reason: string(plan.WaitingForSlot), Message: "All slots are taken."}}
	f := Facts{Now: noon, Nodes: []corev1.Node{n}}
	e := Explain(New(f), "n", f)
	if !strings.Contains(e.Node.Message, "version 9") || e.Node.Reason != "" {
		t.Errorf("%s: %s", e.Node.Reason, e.Node.Message)
	}
	if strings.Contains(e.Node.Trouble, "ago") {
		t.Error(e.Node.Trouble)
	}
	if len(e.Advice) != 2 || !strings.Contains(e.Advice[1].Command, "rebootd.io/state- rebootd.io/hold=") {
		t.Errorf("%+v", e.Advice)
	}
}

// What goes past nothing isn't offered as the way out.
func TestAdviceAboutNow(t *testing.T) {
	for reason, want := range map[plan.Reason]bool{
		plan.OutsideWindow: true, plan.BlockedByAlert: true, plan.Frozen: false, plan.BlockedByQuery: false,
	} {
		a, ok := unblock(Node{Name: "n", Reason: string(reason)})
		if offered := strings.Contains(a.Command, "--now"); !ok || offered != want {
			t.Errorf("%s: %+v, want --now: %v", reason, a, want)
		}
	}
}
