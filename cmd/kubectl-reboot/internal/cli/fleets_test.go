package cli

import (
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rebootd/rebootd/pkg/lock"
	"github.com/rebootd/rebootd/pkg/node"
	"github.com/rebootd/rebootd/pkg/plan"
)

// noon is when all the fleets here are looked at.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) time.Time { return noon.Add(-d) }

// world is a cluster under construction.
type world struct {
	nodes   []*corev1.Node
	objects []runtime.Object
	noPods  map[string]bool
}

func (w *world) add(objects ...runtime.Object) { w.objects = append(w.objects, objects...) }

// node is one with an agent that says this.
func (w *world) node(name string, r plan.Record, reason plan.Reason, message string) *corev1.Node {
	n := w.bare(name)
	if r.Phase != "" {
		r.BootID = "boot-" + name
		r.Reason = reason
		if r.Since.IsZero() {
			r.Since = ago(72 * time.Hour)
		}
		metav1.SetMetaDataAnnotation(&n.ObjectMeta, node.StateAnnotation, r.String())
	}
	status := corev1.ConditionTrue
	if r.Phase == plan.Idle {
		status = corev1.ConditionFalse
	}
	n.Status.Conditions = append(n.Status.Conditions, corev1.NodeCondition{
		Type: node.ConditionType, Status: status, Reason: string(reason), Message: message, LastHeartbeatTime: metav1.NewTime(ago(2 * time.Minute)),
	})
	return n
}

// bare is a node without an agent.
func (w *world) bare(name string) *corev1.Node {
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("uid-" + name)},
		Status:     corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}},
	}
	w.nodes = append(w.nodes, n)
	return n
}

const asks = "/var/run/reboot-required asks for a reboot (packages: linux-image-6.1.0-28-amd64, libc6)."

func (w *world) idle(name string, reboots ...plan.Reboot) *corev1.Node {
	return w.node(name, plan.Record{Phase: plan.Idle, History: reboots}, plan.NotRequired,
		"Nothing asks for a reboot (looked at: file /var/run/reboot-required).")
}

func (w *world) waits(name string, since time.Duration, reason plan.Reason, message string) *corev1.Node {
	return w.node(name, plan.Record{
		Phase: plan.Required, Since: ago(since), RequiredSince: ago(since), AskedBy: []string{"file /var/run/reboot-required"},
	}, reason, message)
}

func (w *world) out(name string, phase plan.Phase, since time.Duration, reason plan.Reason, message string) *corev1.Node {
	n := w.node(name, plan.Record{
		Phase: phase, Since: ago(since), RequiredSince: ago(3 * time.Hour), OutSince: ago(since + time.Minute), Cordon: plan.CordonOurs,
		Slot: "rebootd-default-0", LeaseUID: "lease-" + name, AskedBy: []string{"file /var/run/reboot-required"},
	}, reason, message)
	n.Spec.Unschedulable = phase != plan.Settle
	return n
}

// rebooted is one reboot in a history.
func rebooted(ended, took time.Duration) plan.Reboot {
	return plan.Reboot{From: "a", To: "b", Out: ago(ended + took), In: ago(ended), Ours: true, Cleared: true, By: []string{"file /var/run/reboot-required"}}
}

func (w *world) slot(holder string, index, slots int, since time.Duration) *coordinationv1.Lease {
	l := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{
			Name: lock.Name("default", index), Namespace: "rebootd", UID: types.UID("lease-" + holder), CreationTimestamp: metav1.NewTime(ago(since)),
			Labels: map[string]string{lock.GroupLabel: "default"}, Annotations: map[string]string{lock.SlotsAnnotation: fmt.Sprint(slots)},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: holder, UID: types.UID("uid-" + holder)}},
		},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder},
	}
	w.add(l)
	return l
}

func (w *world) configMap(name string, data map[string]string) {
	w.add(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "rebootd", UID: "uid-" + types.UID(name)}, Data: data})
}

// all is everything in it, with an agent's pod for each node that isn't excepted.
func (w *world) all() []runtime.Object {
	objects := append([]runtime.Object(nil), w.objects...)
	labels := map[string]string{"app.kubernetes.io/name": "rebootd"}
	objects = append(objects, &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Name: "rebootd", Namespace: "rebootd", Labels: labels},
		Spec: appsv1.DaemonSetSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "rebootd", Args: []string{"--host-root=/host", "--settle-time=1m", "--lock-group-label=pool"},
		}}}}},
	})
	for _, n := range w.nodes {
		objects = append(objects, n)
		if !w.noPods[n.Name] {
			objects = append(objects, &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Name: "rebootd-" + n.Name, Namespace: "rebootd", Labels: labels, CreationTimestamp: metav1.NewTime(ago(72 * time.Hour))},
				Spec:       corev1.PodSpec{NodeName: n.Name},
				Status: corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{
					{Type: corev1.PodReady, Status: corev1.ConditionTrue},
				}},
			})
		}
	}
	return objects
}

const slotTaken = "The one slot of lock group default is taken (--concurrency). To see by whom: kubectl get leases -n rebootd -l rebootd.io/lock-group=default"

// fleets are the clusters that the golden files show.
func fleets() map[string]*world {
	return map[string]*world{
		"idle": idleFleet(), "midroll": midRoll(), "window": outsideWindow(), "circuit": circuitOpen(), "orphan": orphanedSlot(),
		"paused": paused(), "kured": kuredBeside(), "unreadable": unreadable(), "noagent": noAgent(), "twogroups": twoGroups(),
	}
}

func idleFleet() *world {
	w := &world{}
	w.idle("worker-1", rebooted(48*time.Hour, 5*time.Minute))
	w.idle("worker-2")
	w.idle("worker-3")
	return w
}

// midRoll: 40 nodes; three are done, one is out, one is held, one backs off, the rest wait.
func midRoll() *world {
	w := &world{}
	for i := 1; i <= 3; i++ {
		w.idle(fmt.Sprintf("worker-%02d", i), rebooted(time.Duration(60-15*i)*time.Minute, time.Duration(3+i)*time.Minute))
	}
	w.out("worker-04", plan.Drain, 2*time.Minute, plan.BlockedByPDB, "Cordoned; evicting the pods. 8 of 9 pods are gone. In the way: shop/db-0 (PDB db): The disruption budget db needs 3 healthy pods and has 3 currently.")
	w.slot("worker-04", 0, 1, 3*time.Minute)
	for i := 5; i <= 38; i++ {
		n := w.waits(fmt.Sprintf("worker-%02d", i), 2*time.Hour-time.Duration(i)*time.Minute, plan.WaitingForSlot, slotTaken)
		n.Labels = map[string]string{"topology.kubernetes.io/zone": []string{"a", "b"}[i%2]}
	}
	held := w.waits("worker-39", 2*time.Hour, plan.Held, `Held by annotation rebootd.io/hold="rebuilding the index"; to let it go: kubectl annotate node worker-39 rebootd.io/hold-, or kubectl reboot unhold worker-39`)
	held.Annotations[node.HoldAnnotation] = "rebuilding the index (by alice)"
	backs := plan.Record{Phase: plan.Required, Since: ago(20 * time.Minute), RequiredSince: ago(2 * time.Hour), AskedBy: []string{`request "new firmware (by bob at 2026-11-23T10:00:00.000Z)"`},
		Requests: []plan.Request{{Text: "new firmware (by bob at 2026-11-23T10:00:00.000Z)"}},
		BackOff: &plan.BackOff{Failures: 2, Until: noon.Add(8 * time.Minute), Reason: plan.DrainTimedOut,
			Cause: "The drain did not end within 10m0s. 3 of 4 pods are gone. In the way: shop/cache-0 (PDB cache): The disruption budget cache needs 2 healthy pods and has 2 currently."}}
	n := w.node("worker-40", backs, plan.BackingOff, "Backing off until 2026-11-23T12:08:00Z after 2 attempts in a row. The last: The drain did not end within 10m0s. "+
		"3 of 4 pods are gone. In the way: shop/cache-0 (PDB cache): The disruption budget cache needs 2 healthy pods and has 2 currently.")
	n.Annotations[node.RequestAnnotation] = "new firmware (by bob at 2026-11-23T10:00:00.000Z)"
	return w
}

func outsideWindow() *world {
	w := &world{}
	for i := 1; i <= 3; i++ {
		w.waits(fmt.Sprintf("worker-%d", i), time.Duration(i)*time.Hour, plan.OutsideWindow,
			"No maintenance window is open; the next one opens at 2026-11-28T02:00:00Z (sat 02:00-06:00). "+asks)
	}
	w.idle("worker-4")
	return w
}

func circuitOpen() *world {
	w := &world{}
	const said = "3 nodes in a row failed after their reboot command, so no node of the cluster reboots since 2026-11-23T11:00:00Z: worker-1 (RebootTimedOut), " +
		"worker-2 (NotReadyAfterReboot), worker-3 (RebootTimedOut). When that is put right: kubectl delete configmap -n rebootd rebootd-circuit, or kubectl reboot circuit reset."
	w.out("worker-3", plan.Rebooting, 90*time.Minute, plan.RebootTimedOut, "The reboot command was given at 2026-11-23T10:40:00Z, and 15m0s later the boot ID is still boot-worker-3.")
	w.slot("worker-3", 0, 1, 91*time.Minute)
	w.waits("worker-4", 3*time.Hour, plan.CircuitOpen, said)
	w.waits("worker-5", 2*time.Hour, plan.CircuitOpen, said)
	w.configMap("rebootd-circuit", map[string]string{"open": "2026-11-23T11:00:00Z", "failures": "2026-11-23T09:00:00Z worker-1 RebootTimedOut\n" +
		"2026-11-23T09:40:00Z worker-2 NotReadyAfterReboot\n2026-11-23T10:20:00Z worker-3 RebootTimedOut\n"})
	return w
}

func orphanedSlot() *world {
	w := &world{}
	l := w.slot("worker-9", 0, 1, 5*time.Hour)
	l.OwnerReferences = nil
	w.waits("worker-1", time.Hour, plan.GateError, "No slot is free. Lease rebootd-default-0 lost the reference to its owner, so nothing frees it when Node worker-9 is gone. "+
		"If that node is not out of service: kubectl delete lease -n rebootd rebootd-default-0")
	w.idle("worker-2")
	return w
}

func paused() *world {
	w := &world{}
	w.waits("worker-1", time.Hour, plan.Paused, "Reboots are paused until 2026-11-23T18:00:00Z: the sale (by alice).")
	w.idle("worker-2", rebooted(5*time.Hour, 4*time.Minute))
	w.configMap("rebootd-control", map[string]string{"paused": "true", "reason": "the sale (by alice)", "until": "2026-11-23T18:00:00Z"})
	return w
}

func kuredBeside() *world {
	w := &world{}
	n := w.waits("worker-1", time.Hour, plan.KuredPresent, "kured is installed in this cluster, so rebootd only watches.")
	n.Annotations["weave.works/kured-most-recent-reboot-needed"] = "2026-11-23T11:00:00Z"
	n = w.idle("worker-2")
	n.Annotations["weave.works/kured-reboot-in-progress"] = "2026-11-23T11:55:00Z"
	w.add(&appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Name: "kured", Namespace: "kube-system", Annotations: map[string]string{
		"weave.works/kured-node-lock": `{"nodeID":"worker-2","metadata":{"unschedulable":false},"created":"2026-11-23T11:54:00Z","TTL":0}`,
	}}})
	return w
}

// kuredsDaemonSet is as kured's chart 5 makes it.
func kuredsDaemonSet(lock string) *appsv1.DaemonSet {
	d := &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Name: "kured", Namespace: "kube-system", Annotations: map[string]string{"meta.helm.sh/release-name": "kured", "meta.helm.sh/release-namespace": "kube-system"}},
		Status:     appsv1.DaemonSetStatus{DesiredNumberScheduled: 5, NumberReady: 5},
	}
	if lock != "" {
		d.Annotations["weave.works/kured-node-lock"] = lock
	}
	d.Spec.Template.Spec = corev1.PodSpec{
		NodeSelector: map[string]string{"kubernetes.io/os": "linux"},
		Tolerations:  []corev1.Toleration{{Key: "node-role.kubernetes.io/control-plane", Effect: corev1.TaintEffectNoSchedule}},
		Volumes:      []corev1.Volume{{Name: "sentinel", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/var/run"}}}},
		Containers: []corev1.Container{{
			Name: "kured", Image: "ghcr.io/kubereboot/kured:1.17.1", Command: []string{"/usr/bin/kured"},
			Args: []string{"--ds-name=kured", "--ds-namespace=kube-system", "--metrics-port=8080", "--reboot-sentinel=/sentinel/reboot-required", "--reboot-days=sa,su",
				"--start-time=22:00", "--end-time=4am", "--time-zone=Europe/Berlin", "--reboot-command=/bin/systemctl reboot", "--prefer-no-schedule-taint=example.com/reboot",
				"--annotate-nodes", `--notify-url="slack://hook:AAAAAAAAA-BBBBBBBBB-123456789123456789123456@webhook"`},
			Env:          []corev1.EnvVar{{Name: "KURED_NODE_ID", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "spec.nodeName"}}}},
			VolumeMounts: []corev1.VolumeMount{{Name: "sentinel", MountPath: "/sentinel", ReadOnly: true}},
		}},
	}
	return d
}

// cordoned makes managedFields say who cordoned a Node, and the kubelet when it came back.
func cordoned(n *corev1.Node, by string, at, back time.Time) *corev1.Node {
	n.Spec.Unschedulable = true
	n.ManagedFields = append(n.ManagedFields, metav1.ManagedFieldsEntry{
		Manager: by, Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: "v1", Time: &metav1.Time{Time: at},
		FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:unschedulable":{}}}`),
	})
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Time{Time: back}}}
	return n
}

// leftByKured: worker-1 came back and wasn't uncordoned, worker-2 hasn't rebooted yet, worker-3 is a person's, worker-4 is in service.
func leftByKured(kureds ...*appsv1.DaemonSet) *world {
	w := &world{noPods: map[string]bool{}}
	for i := range 5 {
		w.noPods[fmt.Sprintf("worker-%d", i)] = true
	}
	mark := func(n *corev1.Node) *corev1.Node {
		n.Annotations = map[string]string{"weave.works/kured-reboot-in-progress": "2026-11-23T09:00:00Z", "weave.works/kured-most-recent-reboot-needed": "2026-11-23T09:00:00Z"}
		n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: "example.com/reboot", Effect: corev1.TaintEffectPreferNoSchedule})
		return n
	}
	cordoned(mark(w.bare("worker-1")), "kured", ago(3*time.Hour), ago(2*time.Hour))
	cordoned(mark(w.bare("worker-2")), "kured", ago(time.Minute), ago(900*time.Hour))
	cordoned(w.bare("worker-3"), "kubectl-cordon", ago(5*time.Hour), ago(900*time.Hour))
	mark(w.bare("worker-4"))
	for _, d := range kureds {
		w.add(d)
	}
	return w
}

func unreadable() *world {
	w := &world{}
	n := w.node("worker-1", plan.Record{}, plan.GateError, "The record in annotation rebootd.io/state can't be read: version 9, but this rebootd knows only version 1. Nothing is done until it is put right.")
	n.Annotations = map[string]string{node.StateAnnotation: `{"version":9,"phase":"Idle"}`}
	n.Spec.Unschedulable = true
	w.slot("worker-1", 0, 1, time.Hour)
	w.waits("worker-2", time.Hour, plan.WaitingForSlot, slotTaken)
	return w
}

func noAgent() *world {
	w := &world{noPods: map[string]bool{"windows-1": true, "windows-2": true, "worker-2": true}}
	w.bare("windows-1")
	w.bare("windows-2")
	w.bare("worker-3")
	w.idle("worker-1")
	w.waits("worker-2", 5*time.Hour, plan.WaitingForSlot, slotTaken)
	return w
}

// twoGroups: pools a and b go side by side; control planes go last, and one at a time.
func twoGroups() *world {
	w := &world{}
	add := func(name, pool string, since time.Duration) *corev1.Node {
		n := w.waits(name, since, plan.WaitingForSlot, "All slots are taken.")
		n.Labels = map[string]string{"pool": pool}
		return n
	}
	done := w.idle("a-1", rebooted(30*time.Minute, 9*time.Minute))
	done.Labels = map[string]string{"pool": "a"}
	add("a-2", "a", 3*time.Hour)
	add("a-3", "a", 2*time.Hour).Annotations["rebootd.io/priority"] = "10"
	control := add("a-control", "a", 5*time.Hour)
	control.Labels["node-role.kubernetes.io/control-plane"] = ""
	add("b-1", "b", time.Hour)
	w.waits("no-pool", time.Hour, plan.WaitingForSlot, slotTaken)
	return w
}
