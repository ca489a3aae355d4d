package node

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rebootd/rebootd/pkg/mirror"
)

func TestAttached(t *testing.T) {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}
	for _, name := range []corev1.UniqueVolumeName{"kubernetes.io/csi/d.example.com^h^1", "kubernetes.io/iscsi/x^y", "kubernetes.io/csi/odd", ""} {
		n.Status.VolumesAttached = append(n.Status.VolumesAttached, corev1.AttachedVolume{Name: name})
	}
	if got := attached(n); !slices.Equal(got, []string{attachment("d.example.com", "h^1", "n1")}) {
		t.Errorf("got %v", got)
	}
	if got := attachment("d", "h", "n"); got != "csi-9072ed11cc1acb5fa433a877ff339b6311d013f33bddd1d0092711a8ace5b16d" {
		t.Errorf("got %q", got)
	}
}

// bare lists pods that were given.
type bare struct {
	mirror.Lister[*corev1.PodList]
	pods []corev1.Pod
	err  error
}

func (b bare) List(context.Context, metav1.ListOptions) (*corev1.PodList, error) {
	return &corev1.PodList{Items: b.pods}, b.err
}

func TestVolumesLeft(t *testing.T) {
	notFound := apierrors.NewNotFound(storagev1.Resource("volumeattachments"), "x")
	pod := func(claim string, phase corev1.PodPhase) corev1.Pod {
		p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "p"}, Status: corev1.PodStatus{Phase: phase}}
		p.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim}}}}
		return p
	}
	ephemeral := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "p"}}
	ephemeral.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{}}}}
	var asked []string
	there := map[string]error{}
	v := &Volumes{
		NodeName: "n1",
		Claim: func(_ context.Context, _, name string) (*corev1.PersistentVolumeClaim, error) {
			if name == "forbidden" {
				return nil, errors.New("forbidden")
			}
			if name == "gone" {
				return nil, notFound
			}
			return &corev1.PersistentVolumeClaim{Spec: corev1.PersistentVolumeClaimSpec{VolumeName: map[string]string{"unbound": ""}[name] + name}}, nil
		},
		Volume: func(_ context.Context, name string) (*corev1.PersistentVolume, error) {
			pv := &corev1.PersistentVolume{}
			if name != "nfs" {
				pv.Spec.CSI = &corev1.CSIPersistentVolumeSource{Driver: "d", VolumeHandle: name}
			}
			return pv, nil
		},
		Attachment: func(_ context.Context, name string) (*storagev1.VolumeAttachment, error) {
			asked = append(asked, name)
			pv := "pv of " + name[:8]
			return &storagev1.VolumeAttachment{Spec: storagev1.VolumeAttachmentSpec{NodeName: "n1", Source: storagev1.VolumeAttachmentSource{PersistentVolumeName: &pv}}}, there[name]
		},
	}
	one, two := attachment("d", "one", "n1"), attachment("d", "p-v", "n1")
	for _, tt := range []struct {
		name  string
		pods  []corev1.Pod
		fails map[string]error
		left  int
		err   string
	}{
		{name: "no pods", left: 2},
		{name: "a pod that stays", pods: []corev1.Pod{pod("one", corev1.PodRunning)}, left: 1},
		{name: "one that has ended", pods: []corev1.Pod{pod("one", corev1.PodSucceeded)}, left: 2},
		{name: "an ephemeral volume", pods: []corev1.Pod{ephemeral}, left: 1},
		{name: "other claims", pods: []corev1.Pod{pod("gone", ""), pod("nfs", ""), pod("other", "")}, left: 2},
		{name: "a claim that can't be read", pods: []corev1.Pod{pod("forbidden", "")}, err: "PersistentVolumeClaim forbidden in namespace ns: forbidden"},
		{name: "detached", fails: map[string]error{one: notFound}, left: 1},
		{name: "an attachment that can't be read", fails: map[string]error{two: errors.New("no answer")}, left: 1, err: "no answer"},
	} {
		v.Pods, there = bare{pods: tt.pods}, tt.fails
		var d Detaching
		left, err := v.Left(t.Context(), &d, []string{one, two})
		if len(left) != tt.left || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %q, %v", tt.name, left, err)
		}
	}
	// What is gone isn't asked for again, and with nothing attached nothing is asked at all.
	v.Pods, there, asked = bare{}, map[string]error{one: notFound}, nil
	var d Detaching
	for range 3 {
		_, _ = v.Left(t.Context(), &d, []string{one, two})
	}
	if len(asked) != 4 {
		t.Errorf("asked for %q", asked)
	}
	v.Pods = bare{err: errors.New("not to be asked")}
	if left, err := v.Left(t.Context(), &Detaching{}, nil); left != nil || err != nil {
		t.Errorf("with nothing attached: %q, %v", left, err)
	}
}
