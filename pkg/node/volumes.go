package node

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"github.com/rebootd/rebootd/pkg/mirror"
)

// Volumes knows which volumes are still attached to one node. It never lists VolumeAttachments: they can't be selected by
// node, and there may be as many as pods in the cluster. Their names follow from what the Node says is attached.
type Volumes struct {
	NodeName   string
	Pods       mirror.Lister[*corev1.PodList]
	Claim      func(ctx context.Context, namespace, name string) (*corev1.PersistentVolumeClaim, error)
	Volume     func(ctx context.Context, name string) (*corev1.PersistentVolume, error)
	Attachment func(ctx context.Context, name string) (*storagev1.VolumeAttachment, error)
}

// Detaching is what was found out while one drained node's volumes are being detached. The zero value knows nothing.
type Detaching struct {
	// settled are the attachments that are gone, or belong to a pod that stays.
	settled map[string]bool
}

// attached are the names of the VolumeAttachments that belong to what the Node says is attached. The control plane takes a volume off
// that list before it detaches it.
func attached(n *corev1.Node) []string {
	var names []string
	for _, v := range n.Status.VolumesAttached {
		volume, csi := strings.CutPrefix(string(v.Name), "kubernetes.io/csi/")
		if driver, handle, ok := strings.Cut(volume, "^"); csi && ok { // others have no attachment that could be asked for
			names = append(names, attachment(driver, handle, n.Name))
		}
	}
	slices.Sort(names)
	return names
}

// attachment is how kube-controller-manager names the attachment of a CSI volume to a node.
func attachment(driver, handle, node string) string {
	return fmt.Sprintf("csi-%x", sha256.Sum256([]byte(handle+driver+node)))
}

// Left says in words which of these attachments are still there, though no pod on the node needs them. With an error it is
// not known of all of them.
func (v *Volumes) Left(ctx context.Context, d *Detaching, names []string) ([]string, error) {
	if d.settled == nil && len(names) > 0 {
		settled, err := v.ofPods(ctx)
		if err != nil {
			return nil, err
		}
		d.settled = settled
	}
	var left []string
	for _, name := range names {
		if d.settled[name] {
			continue
		}
		a, err := v.Attachment(ctx, name)
		switch {
		case apierrors.IsNotFound(err), err == nil && a.Spec.NodeName != v.NodeName:
			d.settled[name] = true
		case err != nil:
			return left, fmt.Errorf("get VolumeAttachment %s: %w", name, err)
		default:
			left = append(left, words(a))
		}
	}
	return left, nil
}

func words(a *storagev1.VolumeAttachment) string {
	text := a.Name
	if pv := a.Spec.Source.PersistentVolumeName; pv != nil {
		text = *pv
	}
	if e := a.Status.DetachError; e != nil && e.Message != "" {
		text += " (" + e.Message + ")"
	}
	return text
}

// ofPods are the attachments of the pods that are on the node. After a drain those are the ones that stay.
func (v *Volumes) ofPods(ctx context.Context) (map[string]bool, error) {
	list, err := v.Pods.List(ctx, metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("spec.nodeName", v.NodeName).String()})
	if err != nil {
		return nil, explain("list the pods of", v.NodeName, err)
	}
	found := map[string]bool{}
	for i := range list.Items {
		p := &list.Items[i]
		if p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
			continue
		}
		for _, claim := range claims(p) {
			name, err := v.ofClaim(ctx, p.Namespace, claim)
			if err != nil {
				return nil, err
			}
			found[name] = true
		}
	}
	return found, nil
}

func claims(p *corev1.Pod) []string {
	var names []string
	for _, volume := range p.Spec.Volumes {
		switch {
		case volume.PersistentVolumeClaim != nil:
			names = append(names, volume.PersistentVolumeClaim.ClaimName)
		case volume.Ephemeral != nil:
			names = append(names, p.Name+"-"+volume.Name)
		}
	}
	return names
}

// ofClaim is the attachment of a claim's volume; empty if it has none.
func (v *Volumes) ofClaim(ctx context.Context, namespace, name string) (string, error) {
	claim, err := v.Claim(ctx, namespace, name)
	if apierrors.IsNotFound(err) || err == nil && claim.Spec.VolumeName == "" {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("get PersistentVolumeClaim %s in namespace %s: %w", name, namespace, err)
	}
	volume, err := v.Volume(ctx, claim.Spec.VolumeName)
	if apierrors.IsNotFound(err) || err == nil && volume.Spec.CSI == nil {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("get PersistentVolume %s: %w", claim.Spec.VolumeName, err)
	}
	return attachment(volume.Spec.CSI.Driver, volume.Spec.CSI.VolumeHandle, v.NodeName), nil
}
