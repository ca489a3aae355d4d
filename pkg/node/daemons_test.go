package node

import (
	"reflect"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rebootd/rebootd/pkg/plan"
)

// podOf is a pod of a DaemonSet, with one container.
func podOf(set, name string, ready bool, edit ...func(*corev1.Pod)) *corev1.Pod {
	yes := true
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: "ns", Name: name, UID: types.UID(name),
		OwnerReferences: []metav1.OwnerReference{{Kind: "DaemonSet", Name: set, Controller: &yes}},
	}}
	c := corev1.ContainerStatus{Name: "c", Ready: ready, ContainerID: "id"}
	status := corev1.ConditionFalse
	if ready {
		status = corev1.ConditionTrue
		c.State.Running = &corev1.ContainerStateRunning{StartedAt: metav1.Unix(100, 0)}
	}
	p.Status = corev1.PodStatus{
		Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{c},
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: status}},
	}
	for _, e := range edit {
		e(p)
	}
	return p
}

func deleting(p *corev1.Pod) {
	now := metav1.Now()
	p.DeletionTimestamp = &now
}

func TestDaemons(t *testing.T) {
	alone := podOf("x", "alone", true)
	alone.OwnerReferences = nil
	replica := podOf("x", "replica", true)
	replica.OwnerReferences[0].Kind = "ReplicaSet"
	d := Daemons{Self: "ns/me"}
	got := d.Of([]*corev1.Pod{
		podOf("b", "b1", false), podOf("b", "b2", true, deleting), podOf("a", "a1", true, deleting), podOf("a", "a2", true), alone, replica,
		podOf("own", "me", true), podOf("own", "other", false), podOf("c", "c1", true, deleting),
	})
	var names []string
	for _, one := range got {
		names = append(names, one.Name)
	}
	if want := []string{"ns/a", "ns/b", "ns/c"}; !reflect.DeepEqual(names, want) {
		t.Fatalf("got %v", got)
	}
	for i, want := range []plan.Daemon{{Ready: true, Started: time.Unix(100, 0)}, {Why: "container c is not ready"}, {Why: "its pod is being deleted", Started: time.Unix(100, 0)}} {
		if got[i].Ready != want.Ready || !got[i].Started.Equal(want.Started) || !want.Ready && got[i].Why != want.Why || got[i].Containers == "" {
			t.Errorf("got %+v, want %+v", got[i], want)
		}
	}
}

// Every start of a container, and every other pod, is told from the one before; nothing else is.
func TestContainersAreToldApart(t *testing.T) {
	of := func(edit func(*corev1.Pod)) string { return daemon("x", podOf("x", "p", true, edit)).Containers }
	same := of(func(*corev1.Pod) {})
	if len(same) != 8 || same != of(func(p *corev1.Pod) { p.Status.Conditions, p.ResourceVersion = nil, "7" }) {
		t.Errorf("%q changes with nothing", same)
	}
	for name, edit := range map[string]func(*corev1.Pod){
		"restarted":       func(p *corev1.Pod) { p.Status.ContainerStatuses[0].ContainerID = "id2" },
		"another pod":     func(p *corev1.Pod) { p.UID = "another" },
		"no container":    func(p *corev1.Pod) { p.Status.ContainerStatuses = nil },
		"not started yet": func(p *corev1.Pod) { p.Status.ContainerStatuses[0].ContainerID = "" },
	} {
		if of(edit) == same {
			t.Errorf("%s: %q stays", name, same)
		}
	}
}

func TestWhyAPodIsNotReady(t *testing.T) {
	yes := true
	waiting := func(reason string) corev1.ContainerState {
		return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}}
	}
	ended := func(code int32) corev1.ContainerState {
		return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: "Error"}}
	}
	running := corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	for _, tt := range []struct {
		init, main []corev1.ContainerStatus
		reason     string
		want       string
	}{
		{nil, []corev1.ContainerStatus{{Name: "a", Ready: true, State: running}, {Name: "b", State: waiting("CrashLoopBackOff")}}, "", "container b: CrashLoopBackOff"},
		{[]corev1.ContainerStatus{{Name: "i", State: waiting("ImagePullBackOff")}}, []corev1.ContainerStatus{{Name: "a", State: waiting("PodInitializing")}}, "", "container i: ImagePullBackOff"},
		{[]corev1.ContainerStatus{{Name: "i", State: ended(0)}}, []corev1.ContainerStatus{{Name: "a", State: running}}, "", "container a is not ready"},
		{[]corev1.ContainerStatus{{Name: "i", State: ended(1)}}, nil, "", "container i: Error"},
		{[]corev1.ContainerStatus{{Name: "i", Started: &yes, State: running}}, []corev1.ContainerStatus{{Name: "a", State: waiting("X")}}, "", "container a: X"},
		{nil, []corev1.ContainerStatus{{Name: "a", State: ended(0)}}, "", "container a: Error"},
		{nil, nil, "NodeShutdown", "NodeShutdown"},
		{nil, nil, "", "Running"},
	} {
		p := podOf("x", "p", false)
		p.Status.InitContainerStatuses, p.Status.ContainerStatuses, p.Status.Reason = tt.init, tt.main, tt.reason
		if got := why(p); got != tt.want || strings.Contains(got, "  ") {
			t.Errorf("%+v: %q", tt, got)
		}
	}
}
