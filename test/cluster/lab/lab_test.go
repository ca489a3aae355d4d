package lab_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/rebootd/rebootd/test/cluster/lab"
)

func TestControlPlane(t *testing.T) {
	ctx := testContext(t)
	a, _ := start(ctx, t, lab.Options{AdmissionPlugins: []string{"OwnerReferencesPermissionEnforcement"}})
	t.Run("an outage keeps the data", func(t *testing.T) { checkOutage(ctx, t, a) })
	t.Run("a client certificate is that user", func(t *testing.T) { checkClientCert(ctx, t, a) })
	t.Run("two clusters run side by side", func(t *testing.T) {
		b, _ := start(ctx, t, lab.Options{})
		if a.Config().Host == b.Config().Host {
			t.Errorf("both at %s", a.Config().Host)
		}
	})
}

func checkOutage(ctx context.Context, t *testing.T, c *lab.Cluster) {
	t.Helper()
	maps := clientFor(t, c.Config()).CoreV1().ConfigMaps("default")
	kept := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "kept"}}
	if _, err := maps.Create(ctx, kept, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	c.StopAPIServer()
	if _, err := maps.Get(ctx, kept.Name, metav1.GetOptions{}); err == nil {
		t.Error("the API server answers while it is stopped")
	}
	if err := c.StartAPIServer(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := maps.Get(ctx, kept.Name, metav1.GetOptions{}); err != nil {
		t.Errorf("after the outage: %v", err)
	}
}

func checkClientCert(ctx context.Context, t *testing.T, c *lab.Cluster) {
	t.Helper()
	config, err := c.ClientCert("system:node:n1", "system:nodes")
	if err != nil {
		t.Fatal(err)
	}
	nodes := clientFor(t, config).CoreV1().Nodes()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n2"}}
	if _, err := nodes.Create(ctx, node, metav1.CreateOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("node n1 creates node n2: %v, want forbidden", err)
	}
	node.Name = "n1"
	if _, err := nodes.Create(ctx, node, metav1.CreateOptions{}); err != nil {
		t.Errorf("node n1 creates itself: %v", err)
	}
}

func TestFleet(t *testing.T) {
	ctx := testContext(t)
	c, dir := start(ctx, t, lab.Options{Tier: 2})
	if err := c.AddFakeNodes(ctx, 20, func(int) map[string]string { return map[string]string{"pool": "a"} }); err != nil {
		t.Fatal(err)
	}
	client := clientFor(t, c.Config())
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "scheduled"},
		Spec:       corev1.PodSpec{NodeSelector: map[string]string{"pool": "a"}, Containers: []corev1.Container{{Name: "c", Image: "none"}}},
	}
	if _, err := client.CoreV1().Pods("default").Create(ctx, pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for pod.Status.Phase != corev1.PodRunning {
		var err error
		if pod, err = client.CoreV1().Pods("default").Get(ctx, pod.Name, metav1.GetOptions{}); err != nil {
			t.Fatalf("waiting for the pod to run: %v", err)
		}
		time.Sleep(20 * time.Millisecond)
	}

	if running := runningIn(t, dir); len(running) != 5 {
		t.Errorf("running: %q, want 5 programs", running)
	}
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	if left := runningIn(t, dir); len(left) > 0 {
		t.Errorf("still running after Stop: %q", left)
	}
}

func TestFailedStartLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	_, err := lab.Start(testContext(t), lab.Options{Dir: dir, APIServerFlags: []string{"--no-such-flag"}})
	if err == nil || !strings.Contains(err.Error(), "no-such-flag") {
		t.Errorf("error %v, want the API server's words", err)
	}
	if left := runningIn(t, dir); len(left) > 0 {
		t.Errorf("still running: %q", left)
	}
}

// start starts a cluster that ends with the test, and returns its folder too.
func start(ctx context.Context, t *testing.T, o lab.Options) (*lab.Cluster, string) {
	t.Helper()
	o.Dir, o.Log = t.TempDir(), t.Output()
	began := time.Now()
	c, err := lab.Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("started in %s", time.Since(began).Round(time.Millisecond))
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	return c, o.Dir
}

func clientFor(t *testing.T, config *rest.Config) kubernetes.Interface {
	t.Helper()
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// testContext leaves time for the first build on a machine.
func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// runningIn lists the command lines of all processes whose working directory is dir.
func runningIn(t *testing.T, dir string) []string {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, link := range links {
		cwd, err := os.Readlink(link)
		if err != nil || cwd != dir {
			continue
		}
		line, err := os.ReadFile(filepath.Join(filepath.Dir(link), "cmdline"))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		found = append(found, string(line))
	}
	return found
}
