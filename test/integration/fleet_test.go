// Package integration runs the real agent, as a process of its own, against a real control plane with
// simulated nodes. Nothing here touches the machine that it runs on: commands run in the agent's own namespaces,
// and a "reboot" is a script that changes a file with a boot ID.
package integration

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/rebootd/rebootd/test/cluster/lab"
)

// theFleet is shared by all tests: a control plane takes longer to start than most of them run.
var theFleet struct { //nolint:gochecknoglobals // there is no other place that all tests and TestMain see
	once sync.Once
	*fleet
	err error
}

func TestMain(m *testing.M) {
	flag.Parse()
	// Nearly all of the time the tests wait for something.
	if err := flag.Set("test.parallel", "24"); err != nil {
		panic(err)
	}
	code := m.Run()
	if f := theFleet.fleet; f != nil {
		if err := f.stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// fleet is one control plane, what it says of its Nodes and Leases, and the agent's binary.
type fleet struct {
	*lab.Cluster
	client kubernetes.Interface
	dir    string
	binary string
	nodes  cache.SharedIndexInformer
	leases cache.SharedIndexInformer
	// version is the API server's.
	version string
	cancel  context.CancelFunc
}

// shared is the fleet; the first test that asks for it starts it.
func shared(t *testing.T) *fleet {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a control plane")
	}
	theFleet.once.Do(func() { theFleet.fleet, theFleet.err = newFleet() })
	if theFleet.err != nil {
		t.Fatal(theFleet.err)
	}
	return theFleet.fleet
}

func newFleet() (*fleet, error) {
	ctx, cancel := context.WithCancel(context.Background())
	c, err := lab.Start(ctx, lab.Options{Tier: 2, AdmissionPlugins: []string{"OwnerReferencesPermissionEnforcement"}})
	if err != nil {
		cancel()
		return nil, err
	}
	f := &fleet{Cluster: c, cancel: cancel}
	if err := f.prepare(ctx); err != nil {
		return nil, errors.Join(err, f.stop())
	}
	return f, nil
}

func (f *fleet) prepare(ctx context.Context) error {
	var err error
	if f.client, err = kubernetes.NewForConfig(f.Config()); err != nil {
		return err
	}
	info, err := f.client.Discovery().ServerVersion()
	if err != nil {
		return err
	}
	f.version = info.GitVersion
	if f.dir, err = os.MkdirTemp("", "rebootd-integration-"); err != nil {
		return err
	}
	f.binary = filepath.Join(f.dir, "rebootd")
	build := exec.CommandContext(ctx, "go", "build", "-race", "-o", f.binary, "../../cmd/rebootd")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building the agent: %w\n%s", err, out)
	}
	factory := informers.NewSharedInformerFactory(f.client, 0)
	f.nodes, f.leases = factory.Core().V1().Nodes().Informer(), factory.Coordination().V1().Leases().Informer()
	factory.StartWithContext(ctx)
	if !cache.WaitForCacheSync(ctx.Done(), f.nodes.HasSynced, f.leases.HasSynced) {
		return errors.New("the informers did not sync")
	}
	return nil
}

func (f *fleet) stop() error {
	f.cancel()
	return errors.Join(f.Stop(), os.RemoveAll(f.dir))
}

// namespace makes a namespace of its own for one test's Leases and pods.
func (f *fleet) namespace(t *testing.T) string {
	t.Helper()
	ns, err := f.client.CoreV1().Namespaces().Create(t.Context(),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "rebootd-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return ns.Name
}

// slots lists the Leases in a namespace, as of a moment ago.
func (f *fleet) slots(namespace string) []*coordinationv1.Lease {
	var found []*coordinationv1.Lease
	for _, obj := range f.leases.GetStore().List() {
		if l, ok := obj.(*coordinationv1.Lease); ok && l.Namespace == namespace {
			found = append(found, l)
		}
	}
	return found
}

// kubectl runs the real kubectl as an administrator.
func (f *fleet) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(f.Bin(), "kubectl"), append([]string{"--kubeconfig=" + f.Kubeconfig()}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	within(t, 3*time.Minute, what, ok)
}

func within(t *testing.T, d time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(d)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", d, what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// always checks for a while that something stays as it is.
func always(t *testing.T, d time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if !ok() {
			t.Fatalf("not always: %s", what)
		}
	}
}
