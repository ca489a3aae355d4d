//go:build e2e

package e2e

import (
	"context"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rebootd/rebootd/test/cluster/machine"
)

// TestOnlyNode: a cluster of one node. Nothing that runs on it can run elsewhere meanwhile, and nobody else could take
// its turn. It is rebooted all the same, and everything runs again.
func TestOnlyNode(t *testing.T) {
	s := begin(t, machines, swift...)
	n := s.nodes[0]
	s.remove(s.nodes[1:])
	w := s.workload(2, 2, "")
	before := n.bootID()
	n.require()
	n.rebootedOnce(before)
	w.runs(2)
	if all, err := lab.client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{}); err != nil || len(all.Items) != 1 {
		t.Errorf("%d nodes are in the cluster, want 1: %v", len(all.Items), err)
	}
}

// remove takes nodes out of the cluster until the test ends.
func (s *scene) remove(nodes []*node) {
	s.t.Helper()
	var names []string
	for _, n := range nodes {
		names = append(names, n.Name())
	}
	s.t.Cleanup(func() {
		err := lab.each(names, func(m *machine.Machine) error {
			_, err := m.Exec(context.Background(), "systemctl start kubelet")
			return err
		})
		if err != nil {
			s.t.Error(err)
		}
		for _, n := range nodes {
			n.eventually(2*time.Minute, "is back in the cluster", unsettled)
		}
	})
	for _, n := range nodes {
		n.run("systemctl stop kubelet")
		if err := lab.client.CoreV1().Nodes().Delete(s.t.Context(), n.Name(), metav1.DeleteOptions{}); err != nil {
			s.t.Fatal(err)
		}
	}
}
