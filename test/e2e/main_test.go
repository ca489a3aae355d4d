//go:build e2e

package e2e

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/rebootd/rebootd/test/cluster/full"
	"github.com/rebootd/rebootd/test/cluster/machine"
)

const (
	machines     = 3
	startTimeout = 20 * time.Minute // the first start on a machine builds everything
)

// world is the one cluster that all tests share.
type world struct {
	*full.Cluster
	client kubernetes.Interface
	dir    string // for what is kept of failed tests
	image  string // of the agent, on every machine
	pool   *pool
	seen   *observer
	stop   context.CancelFunc
}

var lab *world

func TestMain(m *testing.M) {
	flag.Parse()
	if list := flag.Lookup("test.list"); list != nil && list.Value.String() != "" {
		os.Exit(m.Run())
	}
	// Tests wait for machines, not for processors: how many run at once is up to the pool.
	if err := flag.Set("test.parallel", "32"); err != nil {
		panic(err)
	}
	os.Exit(run(m))
}

func run(m *testing.M) (code int) {
	begin := time.Now()
	var err error
	if lab, err = newWorld(); err != nil {
		fmt.Fprintf(os.Stderr, "e2e: %v\n", err)
		return 1
	}
	defer func() {
		if err := lab.end(); err != nil {
			fmt.Fprintf(os.Stderr, "e2e: stopping the cluster: %v\n", err)
			code = 1
		}
	}()
	fmt.Fprintf(os.Stderr, "e2e: the cluster is ready after %s\n", time.Since(begin).Round(time.Second))
	return m.Run()
}

// newWorld starts the cluster and brings the agent's image to its machines.
func newWorld() (*world, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	dir := cmp.Or(os.Getenv("REBOOTD_E2E_DIR"), filepath.Join(os.TempDir(), "rebootd-e2e"))
	if err := os.RemoveAll(filepath.Join(dir, "failed")); err != nil {
		return nil, err
	}
	cluster, err := full.Start(ctx, full.Options{Dir: filepath.Join(dir, "cluster"), Nodes: machines, Log: os.Stderr})
	if err != nil {
		return nil, err
	}
	w := &world{Cluster: cluster, dir: filepath.Join(dir, "failed"), pool: newPool(cluster.Machines.Names()), stop: func() {}}
	if err := w.prepare(ctx, dir); err != nil {
		return nil, errors.Join(err, w.end())
	}
	return w, nil
}

func (w *world) prepare(ctx context.Context, dir string) error {
	var err error
	if w.client, err = kubernetes.NewForConfig(w.Config()); err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	watching, stop := context.WithCancel(context.Background())
	w.stop = stop
	w.seen = observe(watching, w.client.CoreV1().Nodes())
	tar := filepath.Join(dir, "rebootd.tar")
	if w.image, err = buildImage(ctx, tar); err != nil {
		return fmt.Errorf("building the agent's image: %w", err)
	}
	return w.each(w.Machines.Names(), func(m *machine.Machine) error { return m.LoadImage(ctx, tar) })
}

// each does something to machines, to all at once.
func (w *world) each(names []string, do func(*machine.Machine) error) error {
	failed := make([]error, len(names))
	var all sync.WaitGroup
	for i, name := range names {
		all.Go(func() {
			m, err := w.Machines.Machine(name)
			if err == nil {
				err = do(m)
			}
			failed[i] = err
		})
	}
	all.Wait()
	return errors.Join(failed...)
}

func (w *world) end() error {
	w.stop()
	return w.Stop()
}
