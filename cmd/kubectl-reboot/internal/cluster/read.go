// Package cluster reads what the views need, and writes what people decide. It needs nothing but the API server.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/rebootd/rebootd/cmd/kubectl-reboot/internal/view"
	"github.com/rebootd/rebootd/pkg/circuit"
	"github.com/rebootd/rebootd/pkg/kured"
	"github.com/rebootd/rebootd/pkg/lock"
	"github.com/rebootd/rebootd/pkg/pause"
)

const (
	// pageSize bounds one answer: a Node is some ten kilobytes.
	pageSize = 500
	// appLabel is on the agents' DaemonSet and pods.
	appLabel = "app.kubernetes.io/name"
	app      = "rebootd"
	// defaultNamespace is where the manifests put the agents.
	defaultNamespace = "rebootd"
)

// Client reads and writes one cluster.
type Client struct {
	Kube kubernetes.Interface
	// Namespace is the agents'; empty: it is looked for.
	Namespace string
	Now       func() time.Time
	// Warn, if not nil, is told what the user should know besides the answer.
	Warn func(format string, args ...any)

	guessed bool
}

// ForbiddenError is a right that the user doesn't have.
type ForbiddenError struct {
	Verb, Resource string
	// Where is " in namespace x", " in all namespaces" or empty.
	Where string
}

func (f *ForbiddenError) Error() string {
	return fmt.Sprintf("you may not %s %s%s", f.Verb, f.Resource, f.Where)
}

// explain makes a refusal by RBAC one clause that names verb and resource; other errors stay as they are.
func explain(err error, verb, resource, where string) error {
	// Admission refuses with the same code; then its own words say more.
	if apierrors.IsForbidden(err) && strings.Contains(err.Error(), "cannot "+verb+" resource") {
		return &ForbiddenError{Verb: verb, Resource: resource, Where: where}
	}
	return err
}

func inNamespace(ns string) string { return " in namespace " + ns }

// pages calls list until there are no more pages.
func pages(list func(o metav1.ListOptions) (string, error)) error {
	o := metav1.ListOptions{Limit: pageSize}
	for {
		next, err := list(o)
		if err != nil || next == "" {
			return err
		}
		o.Continue = next
	}
}

// unanswered is whether a request got no answer from the API server at all: then no other will.
func unanswered(err error) bool {
	var answer apierrors.APIStatus
	return err != nil && !errors.As(err, new(*ForbiddenError)) && !errors.As(err, &answer)
}

// Read reads all there is to show. An error is one about the Nodes, without which there is nothing to show, or about the
// namespace; what else can't be read is in Unread.
func (c *Client) Read(ctx context.Context, events bool) (view.Facts, error) {
	f := view.Facts{Now: c.Now()}
	sets, everywhere := c.daemonSets(ctx, metav1.NamespaceAll)
	if unanswered(everywhere) {
		return f, everywhere
	}
	var err error
	if f.Namespace, err = c.namespace(sets); err != nil {
		return f, err
	}
	c.misses(f.Namespace, sets)
	if everywhere != nil {
		c.guesses(everywhere)
		f.Unread = append(f.Unread, view.Unread{What: view.OtherKured, Why: everywhere.Error()})
		if sets, err = c.daemonSets(ctx, f.Namespace); err != nil {
			f.Unread = append(f.Unread, view.Unread{What: view.Agents, Why: err.Error()})
		}
	}
	for i := range sets {
		if d := &sets[i]; isRebootd(d) && d.Namespace == f.Namespace {
			f.Agents = append(f.Agents, *d)
		} else if f.Kured == nil && kured.Is(d) {
			f.Kured = d
		}
	}
	r := reader{Client: c, ctx: ctx, f: &f}
	var nodesErr error
	r.Go(func() { f.Nodes, nodesErr = c.nodes(ctx) })
	r.source(view.Leases, r.leases)
	r.source(view.Pods, r.pods)
	r.source(view.Control, func() error { return r.configMap(pause.ConfigMap, &f.Control) })
	r.source(view.Circuit, func() error { return r.configMap(circuit.Name, &f.Circuit) })
	if events {
		r.source(view.Events, r.events)
	}
	r.Wait()
	if err := ctx.Err(); err != nil {
		return f, err
	}
	slices.SortFunc(f.Unread, func(a, b view.Unread) int { return strings.Compare(string(a.What), string(b.What)) })
	return f, nodesErr
}

// isRebootd goes by the container too: the chart's nameOverride changes the label.
func isRebootd(d *appsv1.DaemonSet) bool {
	return d.Labels[appLabel] == app ||
		slices.ContainsFunc(d.Spec.Template.Spec.Containers, func(c corev1.Container) bool { return c.Name == app })
}

// namespace is the agents': the one that was given, or that their DaemonSet is in.
func (c *Client) namespace(sets []appsv1.DaemonSet) (string, error) {
	if c.Namespace != "" {
		return c.Namespace, nil
	}
	var found []string
	for _, d := range sets {
		if isRebootd(&d) && !slices.Contains(found, d.Namespace) {
			found = append(found, d.Namespace)
		}
	}
	switch len(found) {
	case 0:
		return defaultNamespace, nil
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("rebootd runs in several namespaces (%s): say which with --namespace", strings.Join(found, ", "))
}

// FindNamespace is the agents' namespace.
func (c *Client) FindNamespace(ctx context.Context) (string, error) {
	sets, err := c.daemonSets(ctx, metav1.NamespaceAll)
	if unanswered(err) {
		return "", err
	}
	if err != nil {
		c.guesses(err)
	}
	c.misses(c.Namespace, sets)
	return c.namespace(sets) // where they may not be listed, it is the default
}

// misses says, once, that there are no agents in the namespace that was given, but in another: what is written there stops nobody.
func (c *Client) misses(namespace string, sets []appsv1.DaemonSet) {
	var elsewhere []string
	for i := range sets {
		switch d := &sets[i]; {
		case isRebootd(d) && d.Namespace == namespace:
			return
		case isRebootd(d) && !slices.Contains(elsewhere, d.Namespace):
			elsewhere = append(elsewhere, d.Namespace)
		}
	}
	if c.Namespace != "" && len(elsewhere) > 0 && c.Warn != nil && !c.guessed {
		c.Warn("rebootd's agents are not in namespace %s, but in %s", namespace, strings.Join(elsewhere, ", "))
		c.guessed = true
	}
}

// guesses says, once, that the namespace is a guess: in a wrong one nothing is paused, no circuit is open and no slot is held.
func (c *Client) guesses(why error) {
	if c.Namespace == "" && c.Warn != nil && !c.guessed {
		c.Warn("%v, so the agents are taken to be in namespace %s; if they are in another: --namespace", why, defaultNamespace)
	}
	c.guessed = true
}

func (c *Client) daemonSets(ctx context.Context, namespace string) ([]appsv1.DaemonSet, error) {
	where := " in all namespaces"
	if namespace != metav1.NamespaceAll {
		where = inNamespace(namespace)
	}
	var all []appsv1.DaemonSet
	err := pages(func(o metav1.ListOptions) (string, error) {
		list, err := c.Kube.AppsV1().DaemonSets(namespace).List(ctx, o)
		if err != nil {
			return "", explain(err, "list", "daemonsets.apps", where)
		}
		all = append(all, list.Items...)
		return list.Continue, nil
	})
	return all, err
}

// Nodes lists those that the selector matches.
func (c *Client) Nodes(ctx context.Context, selector string) ([]corev1.Node, error) {
	var all []corev1.Node
	err := pages(func(o metav1.ListOptions) (string, error) {
		o.LabelSelector = selector
		list, err := c.Kube.CoreV1().Nodes().List(ctx, o)
		if err != nil {
			return "", explain(err, "list", "nodes", "")
		}
		for i := range list.Items {
			list.Items[i].Status.Images, list.Items[i].ManagedFields = nil, nil // most of a Node, and of no use here
		}
		all = append(all, list.Items...)
		return list.Continue, nil
	})
	return all, err
}

func (c *Client) nodes(ctx context.Context) ([]corev1.Node, error) { return c.Nodes(ctx, "") }

// reader reads several things at once.
type reader struct {
	*Client
	sync.WaitGroup

	ctx context.Context
	f   *view.Facts
	mu  sync.Mutex
}

// source reads one thing, and notes why if it can't.
func (r *reader) source(what view.Source, read func() error) {
	r.Go(func() {
		if err := read(); err != nil {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.f.Unread = append(r.f.Unread, view.Unread{What: what, Why: strings.TrimSuffix(err.Error(), ".")})
		}
	})
}

func (r *reader) leases() error {
	return pages(func(o metav1.ListOptions) (string, error) {
		o.LabelSelector = lock.GroupLabel
		list, err := r.Kube.CoordinationV1().Leases(r.f.Namespace).List(r.ctx, o)
		if err != nil {
			return "", explain(err, "list", "leases.coordination.k8s.io", inNamespace(r.f.Namespace))
		}
		r.f.Leases = append(r.f.Leases, list.Items...)
		return list.Continue, nil
	})
}

func (r *reader) pods() error {
	for _, selector := range r.podSelectors() {
		if err := pages(func(o metav1.ListOptions) (string, error) {
			o.LabelSelector = selector
			list, err := r.Kube.CoreV1().Pods(r.f.Namespace).List(r.ctx, o)
			if err != nil {
				return "", explain(err, "list", "pods", inNamespace(r.f.Namespace))
			}
			r.f.Pods = append(r.f.Pods, list.Items...)
			return list.Continue, nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// podSelectors are those of the agents' pods: the usual one, and those of DaemonSets whose pods it doesn't match.
func (r *reader) podSelectors() []string {
	all := []string{appLabel + "=" + app}
	for i := range r.f.Agents {
		d := &r.f.Agents[i]
		if s := metav1.FormatLabelSelector(d.Spec.Selector); d.Spec.Selector != nil && d.Spec.Template.Labels[appLabel] != app && !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all
}

func (r *reader) configMap(name string, to **corev1.ConfigMap) error {
	m, err := r.Kube.CoreV1().ConfigMaps(r.f.Namespace).Get(r.ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return explain(err, "get", "configmaps", inNamespace(r.f.Namespace))
	}
	*to = m
	return nil
}

// eventsIn is where Events about Nodes are.
const eventsIn = "default"

func (r *reader) events() error {
	return pages(func(o metav1.ListOptions) (string, error) {
		o.FieldSelector = "involvedObject.kind=Node,source=" + app
		list, err := r.Kube.CoreV1().Events(eventsIn).List(r.ctx, o)
		if err != nil {
			return "", explain(err, "list", "events", inNamespace(eventsIn))
		}
		r.f.Events = append(r.f.Events, list.Items...)
		return list.Continue, nil
	})
}
