//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/rebootd/rebootd/pkg/plan"
)

const (
	// hookFile is on the machine's disk; hook adds a line to it that says where and in which boot it ran.
	hookFile = "/var/lib/rebootd-e2e-hooks"
	hook     = `sh -c "echo $REBOOTD_HOOK $REBOOTD_NODE ${REBOOTD_OUTCOME:-none} $(cat /proc/sys/kernel/random/boot_id) >> ` + hookFile + `"`
)

// TestNotReadyAfterReboot: a DaemonSet's pod that was ready before the reboot isn't after it. The node stays out, says
// which pod it waits for, and goes on by itself when that is ready. Hooks run on the machine, those after the reboot
// only then.
func TestNotReadyAfterReboot(t *testing.T) {
	t.Parallel()
	probe := &probed{}
	probe.well.Store(true)
	at := serve(t, probe)
	s := begin(t, 1, append([]string{"--hook-before-drain=" + hook, "--hook-after-reboot=" + hook}, swift...)...)
	n := s.nodes[0]
	s.later(func(ctx context.Context) error {
		_, err := n.Exec(ctx, "rm -f "+hookFile)
		return err
	})
	s.daemons(n.Name(), at)
	before := n.bootID()
	n.require()
	n.reaches(plan.Rebooting, 2*quick)
	probe.well.Store(false)

	waits := fmt.Sprintf("these DaemonSets' pods are not: default/%s (container daemon is not ready).", s.name)
	n.eventually(reboot, "waits for the pod", func(seen *corev1.Node) error {
		if c := condition(seen, conditionType); c.Reason != string(plan.NotReadyAfterReboot) || !strings.HasSuffix(c.Message, waits) {
			return errors.New(summary(seen))
		}
		return nil
	})
	n.described(plan.NotReadyAfterReboot, waits)
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(pollEvery) {
		if seen := n.now(); !seen.Spec.Unschedulable {
			t.Fatalf("%s doesn't wait for the pod: %s", n.Name(), summary(seen))
		}
	}
	if _, err := n.lease(t.Context(), s.name); err != nil {
		t.Error(err)
	}
	after := n.bootID()
	ran := []string{fmt.Sprintf("before-drain %s none %s", n.Name(), before)}
	n.ran(ran)

	ready := time.Now()
	probe.well.Store(true)
	if last := n.rebootedOnce(before); !last.Ours || last.In.Before(ready.Truncate(time.Second)) {
		t.Errorf("the pod was made ready at %s, and the history has %+v", ready, last)
	}
	n.ran(append(ran, fmt.Sprintf("after-reboot %s rebooted %s", n.Name(), after)))
}

// ran checks which hooks have run on the machine.
func (n *node) ran(want []string) {
	n.t.Helper()
	if got := n.insist("cat " + hookFile); got != strings.Join(want, "\n") {
		n.t.Errorf("%s: the hooks wrote\n%s\nwant\n%s", n.Name(), got, strings.Join(want, "\n"))
	}
}

// daemons deploys a DaemonSet with a pod on one node, which is ready while what is at the URL says so.
func (s *scene) daemons(on, probe string) {
	s.t.Helper()
	to, err := url.Parse(probe)
	if err != nil {
		s.t.Fatal(err)
	}
	labels := map[string]string{sceneLabel: s.name, "app": "daemon"}
	grace := int64(5)
	sets := lab.client.AppsV1().DaemonSets(metav1.NamespaceDefault)
	_, err = sets.Create(s.t.Context(), &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Name: s.name},
		Spec: appsv1.DaemonSetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{
				NodeSelector:                  map[string]string{corev1.LabelHostname: on},
				TerminationGracePeriodSeconds: &grace,
				Containers: []corev1.Container{{
					Name: "daemon", Image: pauseImage, ImagePullPolicy: corev1.PullNever,
					ReadinessProbe: &corev1.Probe{
						PeriodSeconds: 1, TimeoutSeconds: 10,
						ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{
							Host: to.Hostname(), Port: intstr.Parse(to.Port()), Path: "/",
						}},
					},
				}},
			}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	s.later(func(ctx context.Context) error { return sets.Delete(ctx, s.name, metav1.DeleteOptions{}) })
	eventually(s.t, 2*quick, "the DaemonSet's pod is ready", func(ctx context.Context) error {
		d, err := sets.Get(ctx, s.name, metav1.GetOptions{})
		if err == nil && d.Status.NumberReady != 1 {
			err = fmt.Errorf("%d are ready", d.Status.NumberReady)
		}
		return err
	})
}
