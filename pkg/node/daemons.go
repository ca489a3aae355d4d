package node

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"github.com/rebootd/rebootd/pkg/mirror"
	"github.com/rebootd/rebootd/pkg/plan"
)

// Daemons reads the DaemonSets' pods of one node.
type Daemons struct {
	// Pods is the client for all namespaces.
	Pods     mirror.Lister[*corev1.PodList]
	NodeName string
	// Selector is a label selector: other pods don't count. "" means all.
	Selector string
	// Self is namespace/name of a pod whose DaemonSet doesn't count either: the agent's own.
	Self string
}

func (d *Daemons) selectors() mirror.Selectors {
	return mirror.Selectors{Fields: fields.OneTermEqualSelector("spec.nodeName", d.NodeName).String(), Labels: d.Selector}
}

// Source lists and watches the node's pods.
func (d *Daemons) Source() mirror.Source {
	return mirror.Select(d.Pods, d.selectors(), func(verb string, err error) error { return explain(verb+" the pods of", d.NodeName, err) })
}

// Read reads them once, consistently.
func (d *Daemons) Read(ctx context.Context) ([]plan.Daemon, error) {
	only := d.selectors()
	list, err := d.Pods.List(ctx, metav1.ListOptions{FieldSelector: only.Fields, LabelSelector: only.Labels})
	if err != nil {
		return nil, explain("list the pods of", d.NodeName, err)
	}
	pods := make([]*corev1.Pod, 0, len(list.Items))
	for i := range list.Items {
		pods = append(pods, &list.Items[i])
	}
	return d.Of(pods), nil
}

// Of are the DaemonSets that these pods belong to, by name. Where one has two pods, for an update makes the new one before the old
// one goes, the better one stands for it.
func (d *Daemons) Of(pods []*corev1.Pod) []plan.Daemon {
	best, own := map[string]*corev1.Pod{}, ""
	for _, p := range pods {
		name, ok := daemonSet(p)
		if !ok {
			continue
		}
		if p.Namespace+"/"+p.Name == d.Self {
			own = name
		}
		if old := best[name]; old == nil || cmp.Or(cmp.Compare(quality(p), quality(old)), p.CreationTimestamp.Compare(old.CreationTimestamp.Time)) > 0 {
			best[name] = p
		}
	}
	delete(best, own)
	var all []plan.Daemon
	for _, name := range slices.Sorted(maps.Keys(best)) {
		all = append(all, daemon(name, best[name]))
	}
	return all
}

func daemonSet(p *corev1.Pod) (string, bool) {
	owner := metav1.GetControllerOfNoCopy(p)
	if owner == nil || owner.Kind != "DaemonSet" {
		return "", false
	}
	return p.Namespace + "/" + owner.Name, true
}

func quality(p *corev1.Pod) int {
	switch {
	case p.DeletionTimestamp != nil:
		return 0
	case !podReady(p):
		return 1
	default:
		return 2
	}
}

func podReady(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

func daemon(name string, p *corev1.Pod) plan.Daemon {
	d := plan.Daemon{Name: name, Ready: quality(p) == 2, Why: why(p)}
	ids := []string{string(p.UID)}
	for _, c := range p.Status.ContainerStatuses {
		ids = append(ids, c.ContainerID)
		if r := c.State.Running; r != nil && (d.Started.IsZero() || r.StartedAt.Time.Before(d.Started)) {
			d.Started = r.StartedAt.Time
		}
	}
	slices.Sort(ids)
	h := fnv.New32a()
	_, _ = fmt.Fprint(h, ids) // a hash.Hash never returns an error
	d.Containers = fmt.Sprintf("%08x", h.Sum32())
	return d
}

// why says in a few words what the pod waits for.
func why(p *corev1.Pod) string {
	if p.DeletionTimestamp != nil {
		return "its pod is being deleted"
	}
	for _, c := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		sidecar := c.Started != nil && *c.Started && c.State.Running != nil
		switch done := c.State.Terminated; {
		case c.Ready, sidecar && c.Name != "" && isInit(p, c.Name), done != nil && done.ExitCode == 0 && isInit(p, c.Name):
		case c.State.Waiting != nil:
			return fmt.Sprintf("container %s: %s", c.Name, c.State.Waiting.Reason)
		case done != nil:
			return fmt.Sprintf("container %s: %s", c.Name, done.Reason)
		default:
			return fmt.Sprintf("container %s is not ready", c.Name)
		}
	}
	return cmp.Or(p.Status.Reason, string(p.Status.Phase), "its pod has not started")
}

func isInit(p *corev1.Pod, name string) bool {
	return slices.ContainsFunc(p.Status.InitContainerStatuses, func(c corev1.ContainerStatus) bool { return c.Name == name })
}
