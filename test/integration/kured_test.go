package integration

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/rebootd/rebootd/pkg/plan"
	peer "github.com/rebootd/rebootd/test/kured"
)

// kuredManifest is the shape of what kured's chart installs. Its pods would run nowhere here.
const kuredManifest = `
apiVersion: apps/v1
kind: DaemonSet
metadata:
  name: kured
  namespace: %s
  labels: {app.kubernetes.io/name: kured}
spec:
  selector: {matchLabels: {app.kubernetes.io/name: kured}}
  updateStrategy: {type: RollingUpdate}
  template:
    metadata: {labels: {app.kubernetes.io/name: kured}}
    spec:
      serviceAccountName: kured
      hostPID: true
      nodeSelector: {example.com/kured: "yes"}
      containers:
        - name: kured
          image: ghcr.io/kubereboot/kured:1.23.0
          command: [/usr/bin/kured]
          args: [--ds-name=kured, --ds-namespace=%s, --concurrency=%d, --reboot-sentinel=/sentinel/reboot-required]
          env: [{name: KURED_NODE_ID, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}]
          volumeMounts: [{mountPath: /sentinel, name: sentinel, readOnly: true}]
      volumes: [{name: sentinel, hostPath: {path: /var/run, type: Directory}}]
`

// kured installs kured in a namespace, for kured's own would hold every test's agents back.
func (f *fleet) kured(t *testing.T, namespace string, concurrency int) {
	t.Helper()
	f.apply(t, fmt.Sprintf(kuredManifest, namespace, namespace, concurrency))
}

func (f *fleet) apply(t *testing.T, manifest string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(f.Bin(), "kubectl"), "--kubeconfig="+f.Kubeconfig(), "apply", "-f", "-")
	cmd.Stdin = strings.NewReader(manifest)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func (f *fleet) kuredLock(t *testing.T, namespace string) string {
	t.Helper()
	d, err := f.client.AppsV1().DaemonSets(namespace).Get(context.Background(), "kured", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return d.Annotations[peer.Annotation]
}

// player reboots one machine's node as kured 1.23 does, again and again.
type player struct {
	peer.Node
	m     *machine
	turns int
}

// update reads the lock, and writes what comes of it on the version that was read, until nobody wrote in between.
func (p *player) update(ctx context.Context, change func(text string, there bool) (next string, write, still bool)) {
	sets := p.m.f.client.AppsV1().DaemonSets(p.m.namespace)
	for ctx.Err() == nil {
		d, err := sets.Get(ctx, "kured", metav1.GetOptions{})
		if err != nil {
			continue
		}
		text, there := d.Annotations[peer.Annotation]
		next, write, still := change(text, there)
		if !write {
			return
		}
		if d.Annotations == nil {
			d.Annotations = map[string]string{}
		}
		d.Annotations[peer.Annotation] = next
		if !still {
			delete(d.Annotations, peer.Annotation)
		}
		if _, err := sets.Update(ctx, d, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
			if err != nil && ctx.Err() == nil {
				p.m.t.Error(err)
			}
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (p *player) play(ctx context.Context) {
	for ctx.Err() == nil {
		got := false
		p.update(ctx, func(text string, there bool) (string, bool, bool) {
			next, write, ok, err := p.Acquire(text, there)
			if err != nil {
				p.m.t.Errorf("kured can't read its lock %q: %v", text, err)
			}
			got = ok
			return next, write, true
		})
		if !got || ctx.Err() != nil {
			time.Sleep(50 * time.Millisecond)
			continue
		}
		p.m.cordon(true)
		time.Sleep(300 * time.Millisecond)
		p.m.cordon(false)
		p.turns++
		p.update(context.Background(), func(text string, there bool) (string, bool, bool) {
			next, still, err := p.Release(text, there)
			if err != nil {
				p.m.t.Errorf("kured can't release its lock %q: %v", text, err)
			}
			return next, err == nil, still
		})
		time.Sleep(200 * time.Millisecond)
	}
}

// Kured's nodes and rebootd's take turns: never more are out than either allows, and all get there, though agents crash.
func TestBesideKured(t *testing.T) {
	t.Parallel()
	f := shared(t)
	for _, tt := range []struct{ kured, rebootd int }{{1, 1}, {2, 2}, {1, 2}} {
		t.Run(fmt.Sprintf("%d of kured and %d of rebootd", tt.kured, tt.rebootd), func(t *testing.T) {
			t.Parallel()
			all := f.machines(t, 5)
			ns := all[0].namespace
			f.kured(t, ns, tt.kured)
			observe(t, min(tt.kured, tt.rebootd), all...)
			g := f.limited(t, ns, "../../manifests/kured-interlock")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var wg sync.WaitGroup
			var players []*player
			for _, m := range all[:2] {
				p := &player{Node: peer.Node{ID: m.name, Concurrency: tt.kured, Now: time.Now}, m: m}
				players = append(players, p)
				wg.Go(func() { p.play(ctx) })
			}
			for _, m := range all[2:] {
				plug := m.power(func() *process {
					return m.agent(g.flag(), "--kured-interlock", "--ds-namespace="+ns, fmt.Sprintf("--concurrency=%d", tt.rebootd))
				})
				wg.Go(func() { // one crash in mid-reboot
					for !m.cordoned() && ctx.Err() == nil {
						time.Sleep(10 * time.Millisecond)
					}
					killed := plug.agent()
					killed.kill()
					plug.revive(killed)
				})
			}
			for _, m := range all[2:] {
				within(t, 3*time.Minute, m.name+" has rebooted", func() bool { return m.record().Phase == plan.Idle && len(m.record().History) == 1 && !m.holds() })
			}
			until(t, "rebootd holds nothing of kured's lock", func() bool { return !strings.Contains(f.kuredLock(t, ns), "rebootd") })
			cancel()
			wg.Wait()
			f.usedBeyondBase(t, ns, "kured-interlock", g.passed())
			for _, p := range players {
				if p.turns == 0 {
					t.Errorf("kured's %s never had a turn", p.ID)
				}
			}
		})
	}
}

// A kured that is there holds every node back; without it they go.
func TestKuredIsThere(t *testing.T) {
	t.Parallel()
	f := shared(t)
	m := f.machine(t, f.namespace(t), "present")
	f.kured(t, m.namespace, 1)
	g := f.limited(t, m.namespace, "../../manifests")
	m.require()
	putRight := untouched(t, m)
	p := m.power(func() *process { return m.agent(g.flag(), "--ds-namespace="+m.namespace) })
	m.says(plan.KuredPresent, "DaemonSet "+m.namespace+"/kured", "--kured-interlock")
	p.agent().logs("reason=KuredPresent")
	putRight()
	f.kubectl(t, "delete", "daemonset", "-n", m.namespace, "kured", "--wait=false")
	m.back(1)
}

// A person's pause of kured is one of rebootd's too, and what is no lock isn't taken for a free one.
func TestKuredsLockInOtherHands(t *testing.T) {
	t.Parallel()
	f := shared(t)
	for name, tt := range map[string]struct {
		lock   string
		reason plan.Reason
		says   string
	}{
		"manual":     {`{"nodeID":"manual"}`, plan.KuredPresent, "A person holds kured's lock"},
		"no lock":    {"manual", plan.GateError, "not kured's lock"},
		"a node's":   {`{"maxOwners":2,"locks":[{"nodeID":"a"},{"nodeID":"b"}]}`, plan.KuredPresent, `"a" and "b"`},
		"of K1":      {`{"maxOwners":2,"locks":[]}`, "", ""},
		"of a ghost": {`{"nodeID":"rebootd/ghost","created":"2026-01-01T00:00:00Z","TTL":0}`, "", ""},
		"expired":    {`{"nodeID":"a","created":"2020-01-01T00:00:00Z","TTL":1000}`, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := f.machine(t, f.namespace(t), "hands")
			f.kured(t, m.namespace, 1+strings.Count(tt.lock, `"b"`))
			f.kubectl(t, "annotate", "daemonset", "-n", m.namespace, "kured", peer.Annotation+"="+tt.lock)
			g := f.limited(t, m.namespace, "../../manifests/kured-interlock")
			m.require()
			m.power(func() *process {
				return m.agent(g.flag(), "--kured-interlock", "--concurrency=2", "--ds-namespace="+m.namespace)
			})
			if tt.reason != "" {
				m.says(tt.reason, tt.says)
				always(t, time.Second, "in service", func() bool { return !m.cordoned() })
				f.kubectl(t, "annotate", "daemonset", "-n", m.namespace, "kured", peer.Annotation+"-")
			}
			m.back(1)
			if lock := f.kuredLock(t, m.namespace); lock != "" {
				t.Errorf("left behind: %s", lock)
			}
		})
	}
}

// limited is the way of an agent that may do what these manifests give, with kured in its own namespace.
func (f *fleet) limited(t *testing.T, namespace, manifests string) *gateway {
	t.Helper()
	text := f.kubectl(t, "kustomize", manifests)
	user := "limited:" + namespace
	who := []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user}}
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	api := f.client.RbacV1()
	d := yaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4096)
	for {
		var r rbacv1.Role // a ClusterRole has the same fields
		if err := d.Decode(&r); err != nil {
			break
		}
		meta := metav1.ObjectMeta{Name: namespace + "-" + r.Name}
		switch r.Kind {
		case "ClusterRole":
			must(api.ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{ObjectMeta: meta, Rules: r.Rules}, metav1.CreateOptions{}))
			must(api.ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{ObjectMeta: meta, Subjects: who,
				RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: meta.Name}}, metav1.CreateOptions{}))
		case "Role":
			in := namespace
			if r.Namespace == "default" {
				in = r.Namespace
			}
			must(api.Roles(in).Create(t.Context(), &rbacv1.Role{ObjectMeta: meta, Rules: r.Rules}, metav1.CreateOptions{}))
			must(api.RoleBindings(in).Create(t.Context(), &rbacv1.RoleBinding{ObjectMeta: meta, Subjects: who,
				RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: meta.Name}}, metav1.CreateOptions{}))
		}
	}
	config, err := f.ClientCert(user)
	must(config, err)
	return f.gateway(t, config)
}

// The rights to see kured are for kured's DaemonSet alone, and only the interlock may change it.
func TestRightsOverKured(t *testing.T) {
	t.Parallel()
	f := shared(t)
	for manifests, patches := range map[string]bool{"../../manifests": false, "../../manifests/kured-interlock": true} {
		ns := f.namespace(t)
		f.limited(t, ns, manifests)
		for _, tt := range []struct {
			verb, name string
			may        bool
		}{
			{"get", "kured", true}, {"list", "kured", true}, {"watch", "kured", true}, {"patch", "kured", patches},
			{"update", "kured", false}, {"delete", "kured", false}, {"patch", "other", false}, {"list", "", false},
		} {
			until(t, fmt.Sprintf("%s: an agent may %s DaemonSet %q: %v", manifests, tt.verb, tt.name, tt.may), func() bool { // the API server learns of roles by and by
				answer, err := f.client.AuthorizationV1().SubjectAccessReviews().Create(t.Context(), &authorizationv1.SubjectAccessReview{
					Spec: authorizationv1.SubjectAccessReviewSpec{User: "limited:" + ns, ResourceAttributes: &authorizationv1.ResourceAttributes{
						Namespace: ns, Group: appsv1.GroupName, Verb: tt.verb, Resource: "daemonsets", Name: tt.name,
					}},
				}, metav1.CreateOptions{})
				if err != nil {
					t.Fatal(err)
				}
				return answer.Status.Allowed == tt.may
			})
		}
	}
}
