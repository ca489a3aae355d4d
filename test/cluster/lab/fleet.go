package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/kubernetes"
)

// A node with this label is simulated; a Node object without it stays as silent as a machine that is off.
const (
	kwokLabel = "type"
	kwokValue = "kwok"
)

// AddFakeNodes makes sure of n simulated nodes, fake-0 to fake-(n-1), and returns when they are
// Ready. labels, which may be nil, gives what each new one carries besides its host name and
// type=kwok. A new node has a random boot ID; to simulate a reboot, patch it in the node's status.
// Without the label type=kwok a node falls silent.
func (c *Cluster) AddFakeNodes(ctx context.Context, n int, labels func(i int) map[string]string) error {
	if c.opts.Tier != 2 {
		return fmt.Errorf("simulated nodes need a tier 2 cluster; this is tier %d", max(1, c.opts.Tier))
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	server, err := client.Discovery().ServerVersion()
	if err != nil {
		return fmt.Errorf("the API server's version: %w", err)
	}
	create := func(i int) error {
		node := fakeNode(i)
		node.Status.NodeInfo.KubeletVersion = server.GitVersion // what kwok would put in its place is no version
		if labels != nil {
			maps.Copy(node.Labels, labels(i))
		}
		_, err := client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("creating node %s: %w", node.Name, err)
		}
		return nil
	}
	if err := InParallel(n, create); err != nil {
		return err
	}
	return c.WaitReady(ctx, n)
}

// Report says of a simulated node what a kubelet, or the control plane about a silent one, would say of its machine.
func Report(ctx context.Context, client kubernetes.Interface, node, bootID string, up bool) error {
	ready := corev1.NodeCondition{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady", Message: "The simulated machine is up."}
	var label any = kwokValue // which is what lets kwok answer for the machine
	if !up {
		ready.Status, ready.Reason, ready.Message = corev1.ConditionUnknown, "NodeStatusUnknown", "The simulated machine is down."
		label = nil
	}
	now := metav1.Now()
	ready.LastHeartbeatTime, ready.LastTransitionTime = now, now
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"labels": map[string]any{kwokLabel: label}},
		"status":   map[string]any{"nodeInfo": map[string]any{"bootID": bootID}, "conditions": []corev1.NodeCondition{ready}},
	})
	if err != nil {
		return fmt.Errorf("encoding a patch: %w", err)
	}
	_, err = client.CoreV1().Nodes().Patch(ctx, node, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	return err
}

// WaitReady returns when at least n nodes are Ready.
func (c *Cluster) WaitReady(ctx context.Context, n int) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	ready, next := 0, time.Now()
	err = poll(ctx, func() (bool, error) {
		if time.Now().Before(next) {
			return false, nil
		}
		// Not to take the processor from those who make them Ready.
		next = time.Now().Add(time.Duration(n) * time.Millisecond)
		ready, err = countReady(ctx, client)
		return ready >= n, err
	})
	if err != nil {
		return fmt.Errorf("waiting for nodes (%d of %d are Ready): %w", ready, n, err)
	}
	c.logf("%d nodes: Ready", ready)
	return nil
}

func countReady(ctx context.Context, client kubernetes.Interface) (int, error) {
	// From the API server's cache: asking often stays cheap with thousands of nodes.
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return 0, fmt.Errorf("listing nodes: %w", err)
	}
	ready := 0
	for _, node := range nodes.Items {
		for _, condition := range node.Status.Conditions {
			if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue {
				ready++
			}
		}
	}
	return ready, nil
}

func fakeNode(i int) *corev1.Node {
	name := "fake-" + strconv.Itoa(i)
	resources := corev1.ResourceList{
		corev1.ResourceCPU:    resource.MustParse("32"),
		corev1.ResourceMemory: resource.MustParse("256Gi"),
		corev1.ResourcePods:   resource.MustParse("110"),
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: name,
			Labels: map[string]string{
				kwokLabel:              kwokValue,
				corev1.LabelHostname:   name,
				corev1.LabelOSStable:   "linux",
				corev1.LabelArchStable: "amd64",
			},
		},
		Status: corev1.NodeStatus{
			Capacity:    resources,
			Allocatable: resources,
			NodeInfo:    corev1.NodeSystemInfo{BootID: string(uuid.NewUUID())},
		},
	}
}

// InParallel calls work(0) to work(n-1), some at a time.
func InParallel(n int, work func(i int) error) error {
	const workers = 16
	failed := make([]error, n)
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for i := w; i < n; i += workers {
				failed[i] = work(i)
			}
		})
	}
	group.Wait()
	return errors.Join(failed...)
}

// kwokConfig is how kwok works, and how its nodes and pods behave: as the binary says.
func (c *Cluster) kwokConfig(ctx context.Context) ([]byte, error) {
	const parallel = `apiVersion: config.kwok.x-k8s.io/v1alpha1
kind: KwokConfiguration
options:
  nodePlayStageParallelism: 32
  podPlayStageParallelism: 32
  nodeLeaseParallelism: 32
`
	stages, err := exec.CommandContext(ctx, filepath.Join(c.bin, "kwok-stages")).Output()
	if err != nil {
		return nil, fmt.Errorf("getting kwok's stages: %w", err)
	}
	return append([]byte(parallel), stages...), nil
}
