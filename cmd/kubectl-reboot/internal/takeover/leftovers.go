package takeover

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rebootd/rebootd/pkg/kured"
	"github.com/rebootd/rebootd/pkg/node"
	"github.com/rebootd/rebootd/pkg/plan"
)

// Fix is what is put right in one object, in one write on the version that was looked at.
type Fix struct {
	// Node or DaemonSet is the object.
	Node      *corev1.Node
	DaemonSet *appsv1.DaemonSet
	// What is done, and why it is known to be right.
	What, Why string

	// Uncordon, Annotations and Taints are what goes off a Node.
	Uncordon    bool
	Annotations []string
	Taints      []string
	// Lock is the annotation of the DaemonSet and what it is to be; empty: none.
	LockKey, Lock string
}

// Name is the object as kubectl names it.
func (f Fix) Name() string {
	if f.Node != nil {
		return "node/" + f.Node.Name
	}
	return "daemonset.apps/" + f.DaemonSet.Name
}

// Same reports whether both do the same in the same object, whatever its version.
func (f Fix) Same(other Fix) bool {
	return f.Name() == other.Name() && f.What == other.What && f.Lock == other.Lock && f.uid() == other.uid()
}

func (f Fix) uid() string {
	if f.Node != nil {
		return string(f.Node.UID)
	}
	return string(f.DaemonSet.UID)
}

// TaintsLeft are the Node's without those that go off.
func (f Fix) TaintsLeft() []corev1.Taint {
	return slices.DeleteFunc(slices.Clone(f.Node.Spec.Taints), func(t corev1.Taint) bool {
		return t.Effect == corev1.TaintEffectPreferNoSchedule && slices.Contains(f.Taints, t.Key)
	})
}

// Leftovers are what kured left behind.
type Leftovers struct {
	// Fixes can be put right now.
	Fixes []Fix
	// Busy is what isn't touched while kured is there.
	Busy []string
	// Steps are left to a person, because it can't be known what is right.
	Steps []Step
	// Others are nodes that somebody else cordoned, and by whom.
	Others []string
}

// NewLeftovers looks for what kured left behind. While kured is there only what no kured holds is put right.
func NewLeftovers(f Facts) Leftovers {
	var l Leftovers
	for i := range f.Kureds {
		l.lock(f, &f.Kureds[i])
	}
	for i := range f.Rebootds {
		l.oldLock(f, &f.Rebootds[i])
	}
	for i := range f.Nodes {
		l.node(f, &f.Nodes[i])
		l.labels(f, &f.Nodes[i])
	}
	return l
}

func (l *Leftovers) step(command, format string, args ...any) {
	l.Steps = append(l.Steps, Step{fmt.Sprintf(format, args...), command})
}

func (f Facts) find(name string) *corev1.Node {
	if i := slices.IndexFunc(f.Nodes, func(n corev1.Node) bool { return n.Name == name }); i >= 0 {
		return &f.Nodes[i]
	}
	return nil
}

// lock looks for what nobody will ever release of the lock of a kured that is still there.
func (l *Leftovers) lock(f Facts, d *appsv1.DaemonSet) {
	key := kured.LockKey(d)
	held, err := kured.Of(d, key)
	switch {
	case err != nil:
		l.step(fmt.Sprintf("kubectl annotate daemonset -n %s %s %s-", d.Namespace, d.Name, key),
			"The lock of kured in DaemonSet %s can't be read, so kured waits for ever. If no node is out of service, take it off.", place(d))
		return
	case len(f.Nodes) == 0:
		return // whose Node is gone can't be known
	}
	var stale []string
	left := held.Drop(func(e kured.Entry) bool {
		why := f.stale(e)
		if why != "" {
			stale = append(stale, why)
		}
		return why != ""
	})
	if len(left.Nodes()) == 0 && f.withoutRebootd() {
		before := len(left.Entries)
		if left = left.Drop(func(e kured.Entry) bool { _, ours := e.Rebootd(); return ours }); len(left.Entries) < before {
			stale = append(stale, "it is held by places that rebootd took up, but rebootd isn't installed")
		}
	}
	if held.Manual(f.Now) {
		l.step(fmt.Sprintf("kubectl annotate daemonset -n %s %s %s-", d.Namespace, d.Name, key),
			"A person holds kured's lock in DaemonSet %s by the name manual, so it stays. When reboots may go on, take it off.", place(d))
	}
	n, _ := kured.Concurrency(d)
	misread := held.Misread(n)
	if misread {
		stale = append(stale, "nobody is in it, but a kured with --concurrency=1 reads it as the lock of a node without a name")
	}
	if len(stale) == 0 {
		return
	}
	fix := Fix{DaemonSet: d, LockKey: key, Lock: left.String(), What: "stale entries of kured's lock removed", Why: strings.Join(stale, "; ")}
	if fix.Lock == "" {
		fix.What = "kured's stale lock removed"
	}
	l.Fixes = append(l.Fixes, fix)
}

// stale says why nobody will ever release an entry of the lock; empty: somebody may.
func (f Facts) stale(e kured.Entry) string {
	name, ours := e.Rebootd()
	switch {
	case e.Manual(), ours && name == "":
		return ""
	case !ours:
		name = e.NodeID
	}
	n := f.find(name)
	switch {
	case n == nil:
		return fmt.Sprintf("it is held by %s, but there is no Node %q", e.NodeID, name)
	case !ours || !f.withoutRebootd():
		return ""
	}
	if _, record, err := node.Observe(n.Name, n); err != nil || record.Out() || n.Spec.Unschedulable {
		return "" // it may be out of service
	}
	return fmt.Sprintf("it is held by %s, but rebootd isn't installed, and node %s is in service", e.NodeID, n.Name)
}

// withoutRebootd reports whether it is known that rebootd isn't there.
func (f Facts) withoutRebootd() bool {
	return len(f.Rebootds) == 0 && len(f.RebootdPods) == 0 && f.Blind == ""
}

// oldLock is kured's lock on a DaemonSet that runs rebootd by now: somebody installed it under kured's name.
func (l *Leftovers) oldLock(f Facts, d *appsv1.DaemonSet) {
	text, there := d.Annotations[kured.LockAnnotation]
	switch {
	case !there:
		return
	case f.running() != "" || f.Blind != "":
		l.Busy = append(l.Busy, fmt.Sprintf("DaemonSet %s runs rebootd and carries kured's lock (%s), but %s.", place(d), text, cmpOr(f.running(), f.Blind)))
		return
	}
	l.Fixes = append(l.Fixes, Fix{DaemonSet: d, LockKey: kured.LockAnnotation, What: "kured's stale lock removed", Why: "this DaemonSet runs rebootd, and no pod of kured is left"})
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// node looks for what kured left on a Node.
func (l *Leftovers) node(f Facts, n *corev1.Node) {
	fix, cordon := f.marks(n), cordonOf(n)
	if !cordon.kureds && cordon.by == "" && len(fix.Annotations)+len(fix.Taints) == 0 {
		return
	}
	if !cordon.kureds && len(fix.Annotations)+len(fix.Taints) == 0 {
		l.Others = append(l.Others, fmt.Sprintf("%s (by %s)", n.Name, cordon.by))
		return
	}
	_, record, err := node.Observe(n.Name, n)
	uncordon := "kubectl uncordon " + n.Name
	switch {
	case f.running() != "" || f.Blind != "":
		l.busy(f, n, cordon, fix)
	case err != nil || record.Out():
		l.Busy = append(l.Busy, fmt.Sprintf("Node %s: rebootd is at work there, so nothing is touched.", n.Name))
	case !cordon.kureds:
		if cordon.by != "" {
			l.step(uncordon, "Node %s is cordoned by %s, so not by kured, and stays so. If that is over, uncordon it.", n.Name, cordon.by)
		}
		l.add(fix)
	case !ready(n):
		l.step(uncordon, "Node %s is cordoned by kured and not Ready. It may be rebooting, or not come back. When it is back, uncordon it.", n.Name)
	case cordon.over(n) == "":
		l.step(uncordon, "Node %s is cordoned by kured since %s, and nothing shows that it has rebooted since: kured may have been removed before its reboot. If the machine "+
			"isn't about to reboot, uncordon it; rebootd reboots it in its turn if it still wants that.", n.Name, stamp(cordon.at))
	default:
		fix.Uncordon, fix.Why = true, cordon.over(n)
		l.add(fix)
	}
}

// labels looks for labels of --pre-reboot-node-labels on a Node that isn't at work. Whether they are kured's or were there before isn't known.
func (l *Leftovers) labels(f Facts, n *corev1.Node) {
	if _, record, err := node.Observe(n.Name, n); err != nil || record.Out() || f.holds(n.Name) {
		return
	}
	for _, d := range slices.Concat(f.Kureds, f.Rebootds) {
		after := nodeLabels(&d, "post-reboot-node-labels")
		var has, to []string
		before := nodeLabels(&d, "pre-reboot-node-labels")
		for _, key := range sorted(before) {
			switch value, there := n.Labels[key]; {
			case !there || value != before[key]:
				continue
			case after[key] == value:
				continue
			case after[key] == "":
				to = append(to, key+"-")
			default:
				to = append(to, key+"="+after[key])
			}
			has = append(has, key+"="+before[key])
		}
		if len(has) > 0 {
			l.step(fmt.Sprintf("kubectl label node %s --overwrite %s", n.Name, strings.Join(to, " ")),
				"Node %s carries %s of --pre-reboot-node-labels, but is in no reboot. If nobody else put that there, change it.", n.Name, strings.Join(has, ", "))
			return
		}
	}
}

// holds reports whether a node may be at work for a kured.
func (f Facts) holds(name string) bool {
	return slices.ContainsFunc(f.Kureds, func(d appsv1.DaemonSet) bool {
		lock, err := kured.Of(&d, kured.LockKey(&d))
		return err != nil || slices.ContainsFunc(lock.Entries, func(e kured.Entry) bool { return e.NodeID == name })
	})
}

// busy says what of a Node isn't touched while kured is there.
func (l *Leftovers) busy(f Facts, n *corev1.Node, c cordon, fix Fix) {
	held := f.holds(n.Name)
	var has []string
	switch {
	case c.kureds && held:
		has = append(has, "cordoned by kured, which is at work there")
	case c.kureds:
		has = append(has, "cordoned by kured, which doesn't hold its lock for it any more and so never uncordons it")
	case c.by != "":
		has = append(has, "cordoned by "+c.by+", so not by kured")
	}
	has = append(has, fix.Annotations...)
	for _, t := range fix.Taints {
		has = append(has, "taint "+t)
	}
	l.Busy = append(l.Busy, fmt.Sprintf("Node %s: %s.", n.Name, strings.Join(has, ", ")))
}

func (l *Leftovers) add(fix Fix) {
	var what []string
	if fix.Uncordon {
		what = append(what, "uncordoned")
	}
	if n := len(fix.Annotations); n > 0 {
		what = append(what, "kured's annotations removed")
	}
	if len(fix.Taints) > 0 {
		what = append(what, "taint "+strings.Join(fix.Taints, ", ")+" removed")
	}
	if len(what) == 0 {
		return
	}
	fix.What = strings.Join(what, ", ")
	if fix.Why == "" {
		fix.Why = "kured isn't there any more"
	}
	l.Fixes = append(l.Fixes, fix)
}

// marks are kured's annotations and taints on a Node. What rebootd keeps by its own options is rebootd's.
func (f Facts) marks(n *corev1.Node) Fix {
	fix := Fix{Node: n}
	annotates, taints := false, map[string]bool{}
	for _, d := range f.Rebootds {
		on := option(&d, "annotate-nodes")
		annotates = annotates || on != "" && on != "false"
		taints[strings.TrimSuffix(option(&d, "prefer-no-schedule-taint"), ":PreferNoSchedule")] = true
	}
	for _, key := range []string{plan.KuredInProgress, plan.KuredMostRecent} {
		if _, there := n.Annotations[key]; there && !annotates {
			fix.Annotations = append(fix.Annotations, key)
		}
	}
	for _, t := range n.Spec.Taints {
		if t.Effect == corev1.TaintEffectPreferNoSchedule && slices.Contains(f.taints(), t.Key) && !taints[t.Key] {
			fix.Taints = append(fix.Taints, t.Key)
		}
	}
	return fix
}

// cordon is who cordoned a Node.
type cordon struct {
	// by is the name in managedFields, or that there is none; empty: it isn't cordoned.
	by     string
	kureds bool
	// at is when kured last wrote to the Node, which isn't before the cordon.
	at time.Time
}

// cordonOf reads who cordoned a Node from its managedFields. A cordon repeated over another one can't be seen, as nothing is written.
func cordonOf(n *corev1.Node) cordon {
	if !n.Spec.Unschedulable {
		return cordon{}
	}
	var by []string
	c := cordon{}
	for _, m := range n.ManagedFields {
		if m.Subresource != "" || !owns(m) {
			continue
		}
		by = append(by, m.Manager)
		if c.kureds = c.kureds || m.Manager == kured.Manager; m.Manager == kured.Manager && m.Time != nil {
			c.at = m.Time.Time
		}
	}
	if c.kureds = c.kureds && len(by) == 1; c.kureds {
		c.by = kured.Manager
		return c
	}
	c.by = strings.Join(by, " and ")
	if len(by) == 0 {
		c.by = "somebody whom the API server didn't note"
	}
	return c
}

func owns(m metav1.ManagedFieldsEntry) bool {
	if m.FieldsV1 == nil {
		return false
	}
	var fields struct {
		Spec map[string]json.RawMessage `json:"f:spec"`
	}
	if err := json.NewDecoder(m.FieldsV1.GetRawReader()).Decode(&fields); err != nil {
		return false
	}
	_, has := fields.Spec["f:unschedulable"]
	return has
}

// over says what shows that the reboot for which kured cordoned the Node is over; empty: nothing does.
func (c cordon) over(n *corev1.Node) string {
	for _, is := range n.Status.Conditions {
		at := is.LastTransitionTime.Time
		switch {
		case c.at.IsZero() || !at.After(c.at):
		case is.Type == corev1.NodeReady && is.Status == corev1.ConditionTrue:
			return fmt.Sprintf("kured cordoned it before %s, and it came back at %s", stamp(c.at), stamp(at))
		case is.Type == node.ConditionType && is.Status == corev1.ConditionFalse && is.Reason == string(plan.NotRequired):
			return fmt.Sprintf("kured cordoned it before %s, and since %s no reboot is wanted there any more", stamp(c.at), stamp(at))
		}
	}
	return ""
}

func ready(n *corev1.Node) bool {
	return slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
