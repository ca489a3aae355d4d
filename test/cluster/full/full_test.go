package full_test

import (
	"context"
	"os"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/rebootd/rebootd/test/cluster/full"
)

func TestNodeReboots(t *testing.T) {
	if os.Getenv("REBOOTD_TEST_TIER") != "3" {
		t.Skip("needs root and minutes; set REBOOTD_TEST_TIER=3")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	c, err := full.Start(ctx, full.Options{Dir: t.TempDir(), Nodes: 1, Log: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat("/run/netns/" + full.NetNS); err == nil {
			t.Error("the network namespace is left")
		}
	})
	client, err := kubernetes.NewForConfig(c.Config())
	if err != nil {
		t.Fatal(err)
	}
	bootID := func() string {
		node, err := client.CoreV1().Nodes().Get(ctx, "node1", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return node.Status.NodeInfo.BootID
	}
	before := bootID()
	m, err := c.Machines.Machine("node1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Exec(ctx, "systemctl reboot"); err != nil {
		t.Logf("the connection ended with the machine: %v", err)
	}
	for bootID() == before {
		time.Sleep(time.Second)
	}
}
