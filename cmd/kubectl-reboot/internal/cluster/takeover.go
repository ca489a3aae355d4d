package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rebootd/rebootd/cmd/kubectl-reboot/internal/takeover"
	"github.com/rebootd/rebootd/pkg/kured"
)

// KuredAt is where kured is, as far as somebody said it.
type KuredAt struct {
	Namespace, Name string
	// Taints are keys of its --prefer-no-schedule-taint.
	Taints []string
}

// names reports whether somebody says that this DaemonSet is kured's.
func (k KuredAt) names(d *appsv1.DaemonSet) bool { return k.Name != "" && k.allows(d) }

func (k KuredAt) allows(d *appsv1.DaemonSet) bool {
	return (k.Name == "" || d.Name == k.Name) && (k.Namespace == "" || d.Namespace == k.Namespace)
}

// ReadKured reads what there is of kured, and nothing else. What may not be read is told in the facts; an error is another failure.
func (c *Client) ReadKured(ctx context.Context, at KuredAt) (takeover.Facts, error) {
	f := takeover.Facts{Now: c.Now(), Taints: at.Taints}
	sets, err := c.daemonSets(ctx, metav1.NamespaceAll)
	if unread, ok := forbidden(err); ok {
		if sets, err = c.namedSets(ctx, at); err == nil && (at.Name == "" || at.Namespace == "") {
			f.Blind = unread.Error()
			f.Unread = append(f.Unread, "Not seen: whether kured runs anywhere else; "+unread.Error()+".")
		}
	}
	if err != nil {
		return f, err
	}
	for _, d := range sets {
		switch {
		case at.names(&d) || kured.Is(&d):
			f.Kureds = append(f.Kureds, d)
			if at.allows(&d) {
				f.Meant = append(f.Meant, d)
			}
		case d.Labels[appLabel] == app || kured.RunsRebootd(&d):
			f.Rebootds = append(f.Rebootds, d)
		}
	}
	if err := c.remains(ctx, at, &f); err != nil {
		return f, err
	}
	nodes, err := c.nodesWithManagers(ctx)
	if unread, ok := forbidden(err); ok {
		f.Unread, err = append(f.Unread, "Not seen: what kured left on nodes; "+unread.Error()+"."), nil
	}
	f.Nodes = nodes
	return f, err
}

func forbidden(err error) (*ForbiddenError, bool) {
	var f *ForbiddenError
	return f, errors.As(err, &f)
}

// namedSets is for somebody who may not list all DaemonSets: the one that was named, or that kured has by default.
func (c *Client) namedSets(ctx context.Context, at KuredAt) ([]appsv1.DaemonSet, error) {
	ns, name := at.Namespace, at.Name
	if ns == "" {
		ns = "kube-system"
	}
	if name == "" {
		name = "kured"
	}
	d, err := c.Kube.AppsV1().DaemonSets(ns).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, explain(err, "get", "daemonsets.apps", inNamespace(ns))
	}
	return []appsv1.DaemonSet{*d}, nil
}

// remains are the pods that still run, by the labels that both have in their manifests. Who may not list all sees those of the namespace that
// was named.
func (c *Client) remains(ctx context.Context, at KuredAt, f *takeover.Facts) error {
	err := c.podsOf(ctx, metav1.NamespaceAll, f)
	unread, ok := forbidden(err)
	if ok && at.Namespace != "" {
		err = c.podsOf(ctx, at.Namespace, f)
		unread, ok = forbidden(err)
	}
	if !ok {
		return err
	}
	f.Unread = append(f.Unread, "Not seen: whether pods of kured still run; "+unread.Error()+".")
	if f.Blind == "" {
		f.Blind = unread.Error()
	}
	return nil
}

func (c *Client) podsOf(ctx context.Context, namespace string, f *takeover.Facts) error {
	where := " in all namespaces"
	if namespace != metav1.NamespaceAll {
		where = inNamespace(namespace)
	}
	for _, want := range []struct {
		selector string
		pods     *[]corev1.Pod
	}{
		{appLabel + "=kured", &f.KuredPods}, {"name=kured", &f.KuredPods}, {appLabel + "=" + app, &f.RebootdPods},
	} {
		err := pages(func(o metav1.ListOptions) (string, error) {
			o.LabelSelector = want.selector
			list, err := c.Kube.CoreV1().Pods(namespace).List(ctx, o)
			if err != nil {
				return "", explain(err, "list", "pods", where)
			}
			for _, p := range list.Items {
				if p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed {
					*want.pods = append(*want.pods, p)
				}
			}
			return list.Continue, nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// nodesWithManagers are all Nodes, with who wrote what.
func (c *Client) nodesWithManagers(ctx context.Context) ([]corev1.Node, error) {
	var all []corev1.Node
	err := pages(func(o metav1.ListOptions) (string, error) {
		list, err := c.Kube.CoreV1().Nodes().List(ctx, o)
		if err != nil {
			return "", explain(err, "list", "nodes", "")
		}
		for i := range list.Items {
			list.Items[i].Status.Images = nil
		}
		all = append(all, list.Items...)
		return list.Continue, nil
	})
	return all, err
}

// PutRight writes a fix, if the object is still the version that was looked at.
func (c *Client) PutRight(ctx context.Context, f takeover.Fix) error {
	o := metav1.PatchOptions{FieldManager: manager}
	if f.DaemonSet != nil {
		var lock any // null takes it off
		if f.Lock != "" {
			lock = f.Lock
		}
		patch, err := onVersion(f.DaemonSet.ObjectMeta, map[string]any{f.LockKey: lock}, nil)
		if err == nil {
			_, err = c.Kube.AppsV1().DaemonSets(f.DaemonSet.Namespace).Patch(ctx, f.DaemonSet.Name, types.MergePatchType, patch, o)
		}
		return explain(err, "patch", "daemonsets.apps", inNamespace(f.DaemonSet.Namespace))
	}
	annotations := map[string]any{}
	for _, key := range f.Annotations {
		annotations[key] = nil
	}
	spec := map[string]any{}
	if f.Uncordon {
		spec["unschedulable"] = nil
	}
	if len(f.Taints) > 0 {
		spec["taints"] = f.TaintsLeft()
	}
	patch, err := onVersion(f.Node.ObjectMeta, annotations, spec)
	if err == nil {
		_, err = c.Kube.CoreV1().Nodes().Patch(ctx, f.Node.Name, types.MergePatchType, patch, o)
	}
	return explain(err, "patch", "nodes", " ("+f.Node.Name+")")
}

// onVersion is a merge patch of the one version of an object.
func onVersion(m metav1.ObjectMeta, annotations, spec map[string]any) ([]byte, error) {
	patch := map[string]any{"metadata": map[string]any{"uid": m.UID, "resourceVersion": m.ResourceVersion, "annotations": annotations}}
	if len(spec) > 0 {
		patch["spec"] = spec
	}
	return json.Marshal(patch)
}

// MayPutRight says which right is missing for the fixes; empty: none, as far as the API server says.
func (c *Client) MayPutRight(ctx context.Context, fixes []takeover.Fix) string {
	var missing []string
	asked := map[string]bool{}
	for _, f := range fixes {
		a := &authorizationv1.ResourceAttributes{Verb: "patch", Resource: "nodes"}
		what := "patch nodes"
		if f.DaemonSet != nil {
			a.Group, a.Resource, a.Namespace = appsv1.GroupName, "daemonsets", f.DaemonSet.Namespace
			what = "patch daemonsets.apps" + inNamespace(a.Namespace)
		}
		if asked[what] {
			continue
		}
		asked[what] = true
		answer, err := c.Kube.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx,
			&authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: a}}, metav1.CreateOptions{})
		if err == nil && !answer.Status.Allowed {
			missing = append(missing, what)
		}
	}
	if len(missing) == 0 {
		return ""
	}
	return fmt.Sprintf("you may not %s", strings.Join(missing, ", nor "))
}
