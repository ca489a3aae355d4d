package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rebootd/rebootd/test/bench/page"
	"github.com/rebootd/rebootd/test/cluster/lab"
)

// others is how many Nodes there are when it is measured what a take reads.
const others = 5000

// take measures what the node reads whose turn it is, in a cluster of thousands: Nodes as large as real ones.
func (b *bench) take(ctx context.Context) error {
	w, err := b.world(ctx, time.Hour)
	if err != nil {
		return err
	}
	defer b.end(w)
	m, err := w.machines(ctx, 1, 2*time.Second, "--max-unavailable=10%")
	if err != nil {
		return err
	}
	size := 0
	err = lab.InParallel(others, func(i int) error {
		n := largeNode(i)
		size = n.Size()
		_, err := w.client.CoreV1().Nodes().Create(ctx, n, metav1.CreateOptions{})
		return err
	})
	if err != nil {
		return err
	}
	b.say("%d more Nodes of %d bytes", others, size)
	net, err := newWire(ctx, w.Config().Host)
	if err != nil {
		return err
	}
	if m[0].kubeconfig, err = w.kubeconfig(ctx, m[0].dir, m[0].name, "https://"+net.Addr().String()); err != nil {
		return err
	}
	p, err := m[0].run(ctx, nil)
	if err != nil {
		return err
	}
	defer p.kill()
	time.Sleep(15 * time.Second) // it has started, and given back what only that needed
	idle := p.memory("VmRSS")
	peak, err := p.peak()
	if err != nil {
		return err
	}
	net.sum()
	if err := m[0].require(); err != nil {
		return err
	}
	begin := time.Now()
	if err := until(ctx, 2*time.Minute, "the cordon", func() (bool, error) { return w.seen.count(cordoned) > 0, nil }); err != nil {
		return err
	}
	took := time.Since(begin)
	read := net.sum()
	most, anon := peak()
	b.row(page.Row{ID: "take-bytes", What: fmt.Sprintf("what a take reads with %d Nodes of %.0f kB, --max-unavailable set: bytes on the wire", others, float64(size)/1000), Target: page.NoTarget,
		Measured: fmt.Sprintf("%.1f MB in %.1f s from sentinel to cordon", float64(read)/1e6, took.Seconds()), Met: true})
	b.memory("take", "RSS at most, in that take", idle, most, anon)
	if err := b.lists(w, begin); err != nil {
		return err
	}
	return errors.Join(b.names(ctx, m[0], p, net), w.complete(ctx))
}

// lists counts how often the Nodes were read from the sentinel to the reboot command.
func (b *bench) lists(w *world, begin time.Time) error {
	time.Sleep(2 * time.Second)
	all, err := w.audit.read()
	pages := 0
	for _, r := range since(all, begin) {
		if r.verb == "list" && r.resource == "nodes" {
			pages++
		}
	}
	b.row(page.Row{ID: "take-lists", What: "lists of Nodes from the sentinel to the reboot command, with 5,001 Nodes", Target: "≤ 3", Count: true, Measured: fmt.Sprint(pages), Met: pages <= 3})
	return err
}

// names measures what the node reads that hands its slot on: all that wait. It has ordered its reboot, and comes back.
func (b *bench) names(ctx context.Context, m *machine, before *process, net *wire) error {
	before.end()
	if err := lab.InParallel(others, func(i int) error { return m.waits(ctx, fmt.Sprintf("large-%d", i)) }); err != nil {
		return err
	}
	err := errors.Join(m.report(ctx, false), os.Remove(m.sentinel()), os.WriteFile(m.path("boot-id"), []byte("the next boot"), 0o600), m.report(ctx, true))
	if err != nil {
		return err
	}
	p, err := m.run(ctx, nil, "--settle-time=25s")
	if err != nil {
		return err
	}
	defer p.kill()
	if err := until(ctx, time.Minute, "the uncordon", func() (bool, error) { return m.seen.count(cordoned) == 0, nil }); err != nil {
		return err
	}
	time.Sleep(15 * time.Second) // as above
	idle := p.memory("VmRSS")
	peak, err := p.peak()
	if err != nil {
		return err
	}
	net.sum()
	err = until(ctx, time.Minute, "the end of the slot", func() (bool, error) {
		trips, _ := m.seen.saw()
		return len(trips) == 1, nil
	})
	if err != nil {
		return err
	}
	read := net.sum()
	most, anon := peak()
	b.row(page.Row{ID: "names-bytes", What: fmt.Sprintf("what the node reads that hands its slot on, with %d Nodes that wait: bytes on the wire", others), Target: page.NoTarget,
		Measured: fmt.Sprintf("%.1f MB", float64(read)/1e6), Met: true, Note: "The metadata of those that wait."})
	b.memory("names", "RSS at most, in that handover", idle, most, anon)
	return nil
}

// memory says how much an agent had at most, and how much before.
func (b *bench) memory(id, what string, before, rss, anon int) {
	b.row(page.Row{ID: id + "-memory", What: what, Target: "≤ 20 MiB", Count: true, Measured: fmt.Sprintf("%s (%s before)", mib(rss), mib(before)), Met: rss <= mostRSS,
		Note: fmt.Sprintf("Anonymous: %s at most. The rest are pages of the binary that have been touched, which the kernel takes back when it wants them.", mib(anon))})
}

// waits makes a Node one that waits for nothing but a slot.
func (w *world) waits(ctx context.Context, name string) error {
	patch := fmt.Sprintf(`{"metadata":{"labels":{"rebootd.io/reboot-required":"true"},"annotations":{"rebootd.io/state":%q}}}`,
		`{"version":1,"phase":"Required","reason":"WaitingForSlot","requiredSince":"2026-01-01T00:00:00Z"}`)
	_, err := w.client.CoreV1().Nodes().Patch(ctx, name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	return err
}

// largeNode is a Node as a kubelet of a large cluster reports it: fifty images, and what cloud providers add.
func largeNode(i int) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("large-%d", i), Labels: map[string]string{}, Annotations: map[string]string{}}}
	for k := range 20 {
		n.Labels[fmt.Sprintf("example.com/label-%d", k)] = "a-value-of-some-length"
		n.Annotations[fmt.Sprintf("example.com/annotation-%d", k)] = "a value of some length, for a controller of some kind"
	}
	now := metav1.Now()
	for _, t := range []corev1.NodeConditionType{corev1.NodeReady, corev1.NodeMemoryPressure, corev1.NodeDiskPressure, corev1.NodePIDPressure} {
		status := corev1.ConditionFalse
		if t == corev1.NodeReady {
			status = corev1.ConditionTrue
		}
		n.Status.Conditions = append(n.Status.Conditions, corev1.NodeCondition{Type: t, Status: status, LastHeartbeatTime: now, LastTransitionTime: now,
			Reason: "KubeletHasSufficient", Message: "kubelet has sufficient of what this condition is about"})
	}
	for k := range 50 {
		n.Status.Images = append(n.Status.Images, corev1.ContainerImage{SizeBytes: int64(k) << 20, Names: []string{
			fmt.Sprintf("registry.example.com/team/application-%d@sha256:%064d", k, k*i), fmt.Sprintf("registry.example.com/team/application-%d:v1.%d", k, k)}})
	}
	n.Status.NodeInfo = corev1.NodeSystemInfo{BootID: string(types.UID(fmt.Sprintf("%036d", i))), KubeletVersion: "v1.36.2", KernelVersion: "6.1.0", OSImage: "Debian GNU/Linux 12 (bookworm)"}
	return n
}
