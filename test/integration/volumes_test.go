package integration

import (
	"context"
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rebootd/rebootd/pkg/plan"
)

// attach makes a volume that is attached to the machine, and returns its name and how to detach it.
func (m *machine) attach() (volume string, detach func()) {
	m.t.Helper()
	volume = "pv-" + m.name + fmt.Sprint(len(m.node().Status.VolumesAttached))
	name := fmt.Sprintf("csi-%x", sha256.Sum256([]byte("h-"+volume+"csi.example.com"+m.name)))
	m.created(m.f.client.StorageV1().VolumeAttachments().Create(context.Background(), &storagev1.VolumeAttachment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: storagev1.VolumeAttachmentSpec{
			Attacher: "csi.example.com", NodeName: m.name, Source: storagev1.VolumeAttachmentSource{PersistentVolumeName: &volume},
		},
	}, metav1.CreateOptions{}))
	was := m.node().Status.VolumesAttached
	m.patch(map[string]any{"status": map[string]any{
		"volumesAttached": append(was, corev1.AttachedVolume{Name: corev1.UniqueVolumeName("kubernetes.io/csi/csi.example.com^h-" + volume)}),
	}}, "status")
	m.eventually("volume attached", func(n *corev1.Node) bool { return len(n.Status.VolumesAttached) == len(was)+1 })
	return volume, func() {
		m.patch(map[string]any{"status": map[string]any{"volumesAttached": []any{}}}, "status")
		if err := m.f.client.StorageV1().VolumeAttachments().Delete(context.Background(), name, metav1.DeleteOptions{}); err != nil {
			m.t.Error(err)
		}
	}
}

// daemonWithVolume runs a DaemonSet's pod that uses a volume.
func (m *machine) daemonWithVolume(name, volume string) {
	m.t.Helper()
	some, class := corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}, ""
	access := []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}
	m.created(m.f.client.CoreV1().PersistentVolumes().Create(context.Background(), &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: volume},
		Spec: corev1.PersistentVolumeSpec{
			Capacity: some, AccessModes: access, StorageClassName: class,
			ClaimRef: &corev1.ObjectReference{Kind: "PersistentVolumeClaim", Namespace: m.namespace, Name: name},
			PersistentVolumeSource: corev1.PersistentVolumeSource{
				CSI: &corev1.CSIPersistentVolumeSource{Driver: "csi.example.com", VolumeHandle: "h-" + volume},
			},
		},
	}, metav1.CreateOptions{}))
	m.created(m.f.client.CoreV1().PersistentVolumeClaims(m.namespace).Create(context.Background(), &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: access, StorageClassName: &class, VolumeName: volume, Resources: corev1.VolumeResourceRequirements{Requests: some},
		},
	}, metav1.CreateOptions{}))
	template := m.template(name)
	template.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{
		PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name},
	}}}
	m.created(m.f.client.AppsV1().DaemonSets(m.namespace).Create(context.Background(), &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: appsv1.DaemonSetSpec{Selector: selector(name), Template: template},
	}, metav1.CreateOptions{}))
	m.runs(name)
}

// A drained node isn't rebooted while its volumes are being detached, not even when the Node doesn't show them any more and
// the agent has restarted; a volume of a pod that stays isn't waited for.
func TestVolumesAreDetachedBeforeTheReboot(t *testing.T) {
	t.Parallel()
	f := shared(t)
	m := f.machine(t, f.namespace(t), "disks")
	kept, _ := m.attach()
	m.daemonWithVolume("keeper", kept)
	volume, detach := m.attach()
	m.require()
	p := m.power(func() *process { return m.agent("--volume-detach-timeout=10m") })
	p.agent().logs("Drained; waiting until its volumes are detached, for up to 10m0s (--volume-detach-timeout). Still attached: " + volume + ".")
	m.patch(map[string]any{"status": map[string]any{"volumesAttached": []any{}}}, "status")
	p.restart(func() *process { return m.agent("--volume-detach-timeout=10m") })
	p.agent().logs("Still attached: " + volume + ".")
	always(t, 3*time.Second, "not rebooted", func() bool { return m.orders() == 0 && m.cordoned() })
	detach()
	m.back(1)
}

func TestVolumesThatAreNotDetached(t *testing.T) {
	t.Parallel()
	f := shared(t)
	m := f.machine(t, f.namespace(t), "stuckdisk")
	volume, detach := m.attach()
	defer detach()
	m.require()
	m.power(func() *process { return m.agent("--volume-detach-timeout=3s") })
	m.event(plan.DrainFailed, "not all volumes were detached within 3s", volume, "Rebooting all the same")
	m.back(1)
}
