// Package kube is the agent's client: typed, for the few kinds of objects that an agent works with. client-go's clientset knows every kind that there
// is, which would be half of the binary and much of what an idle agent has in memory.
package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"
)

// Client sends requests to the API server.
type Client struct {
	scheme                                    *runtime.Scheme
	codec                                     runtime.ParameterCodec
	core, apps, coordination, policy, storage rest.Interface
	metadata                                  metadata.Interface
	// keep is which labels and annotations EachNode and EachNodeMetadata leave; nil: all.
	keep func(key string) bool
}

// New makes a client. It sends nothing.
func New(rc *rest.Config) (*Client, error) {
	c := &Client{scheme: runtime.NewScheme()}
	for _, add := range []func(*runtime.Scheme) error{
		corev1.AddToScheme, appsv1.AddToScheme, coordinationv1.AddToScheme, policyv1.AddToScheme, storagev1.AddToScheme,
	} {
		if err := add(c.scheme); err != nil {
			return nil, fmt.Errorf("registering the kinds of objects: %w", err)
		}
	}
	c.codec = runtime.NewParameterCodec(c.scheme)
	wire, err := wireOf(rc)
	if err != nil {
		return nil, err
	}
	for _, group := range []struct {
		client  *rest.Interface
		version schema.GroupVersion
	}{
		{&c.core, corev1.SchemeGroupVersion},
		{&c.apps, appsv1.SchemeGroupVersion},
		{&c.coordination, coordinationv1.SchemeGroupVersion},
		{&c.policy, policyv1.SchemeGroupVersion},
		{&c.storage, storagev1.SchemeGroupVersion},
	} {
		if *group.client, err = c.group(rc, wire, group.version); err != nil {
			return nil, err
		}
	}
	c.metadata, err = metadata.NewForConfigAndClient(rc, wire)
	return c, err
}

// receives is how many bytes of an answer are taken in before they are read. The transport's own four megabytes would be a fifth of what the
// agent has in memory, when thousands of Nodes come.
const receives = 256 << 10

func wireOf(rc *rest.Config) (*http.Client, error) {
	own := rest.CopyConfig(rc)
	if own.Proxy == nil {
		own.Proxy = http.ProxyFromEnvironment // as without; but a transport whose proxy is set is shared with nobody
	}
	own.WrapTransport = transport.Wrappers(smallBuffers, patient, own.WrapTransport)
	return rest.HTTPClientFor(own)
}

func smallBuffers(rt http.RoundTripper) http.RoundTripper {
	for inner := rt; ; {
		switch t := inner.(type) {
		case utilnet.RoundTripperWrapper:
			inner = t.WrappedRoundTripper()
			continue
		case *http.Transport:
			t.HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerStream: receives}
		}
		return rt
	}
}

func (c *Client) group(rc *rest.Config, wire *http.Client, version schema.GroupVersion) (rest.Interface, error) {
	of := rest.CopyConfig(rc)
	of.GroupVersion, of.APIPath = &version, "/apis"
	if version.Group == "" {
		of.APIPath = "/api"
	}
	of.NegotiatedSerializer = serializer.NewCodecFactory(c.scheme).WithoutConversion()
	return rest.RESTClientForConfigAndClient(of, wire)
}

// Scheme knows the kinds of objects that the client does.
func (c *Client) Scheme() *runtime.Scheme { return c.scheme }

// Core is the client of the core group for what has no typed one.
func (c *Client) Core() rest.Interface { return c.core }

// Metadata is the client for the metadata of objects of the core group.
func (c *Client) Metadata(resource string) metadata.ResourceInterface {
	return c.metadata.Resource(corev1.SchemeGroupVersion.WithResource(resource))
}

func objects[T, L any, P object[T], PL list[L]](c *Client, in rest.Interface, resource, namespace string) Objects[T, L, P, PL] {
	return Objects[T, L, P, PL]{rest: in, codec: c.codec, resource: resource, namespace: namespace}
}

// Nodes is for Nodes.
func (c *Client) Nodes() Objects[corev1.Node, corev1.NodeList, *corev1.Node, *corev1.NodeList] {
	return objects[corev1.Node, corev1.NodeList](c, c.core, "nodes", "")
}

// Pods is for pods; "" is all namespaces.
func (c *Client) Pods(namespace string) Objects[corev1.Pod, corev1.PodList, *corev1.Pod, *corev1.PodList] {
	return objects[corev1.Pod, corev1.PodList](c, c.core, "pods", namespace)
}

// ConfigMaps is for ConfigMaps.
func (c *Client) ConfigMaps(namespace string) Objects[corev1.ConfigMap, corev1.ConfigMapList, *corev1.ConfigMap, *corev1.ConfigMapList] {
	return objects[corev1.ConfigMap, corev1.ConfigMapList](c, c.core, "configmaps", namespace)
}

// Events is for Events.
func (c *Client) Events(namespace string) Objects[corev1.Event, corev1.EventList, *corev1.Event, *corev1.EventList] {
	return objects[corev1.Event, corev1.EventList](c, c.core, "events", namespace)
}

// Claims is for PersistentVolumeClaims.
func (c *Client) Claims(namespace string) Objects[corev1.PersistentVolumeClaim, corev1.PersistentVolumeClaimList, *corev1.PersistentVolumeClaim, *corev1.PersistentVolumeClaimList] {
	return objects[corev1.PersistentVolumeClaim, corev1.PersistentVolumeClaimList](c, c.core, "persistentvolumeclaims", namespace)
}

// Volumes is for PersistentVolumes.
func (c *Client) Volumes() Objects[corev1.PersistentVolume, corev1.PersistentVolumeList, *corev1.PersistentVolume, *corev1.PersistentVolumeList] {
	return objects[corev1.PersistentVolume, corev1.PersistentVolumeList](c, c.core, "persistentvolumes", "")
}

// DaemonSets is for DaemonSets.
func (c *Client) DaemonSets(namespace string) Objects[appsv1.DaemonSet, appsv1.DaemonSetList, *appsv1.DaemonSet, *appsv1.DaemonSetList] {
	return objects[appsv1.DaemonSet, appsv1.DaemonSetList](c, c.apps, "daemonsets", namespace)
}

// Leases is for Leases.
func (c *Client) Leases(namespace string) Objects[coordinationv1.Lease, coordinationv1.LeaseList, *coordinationv1.Lease, *coordinationv1.LeaseList] {
	return objects[coordinationv1.Lease, coordinationv1.LeaseList](c, c.coordination, "leases", namespace)
}

// Budgets is for PodDisruptionBudgets; "" is all namespaces.
func (c *Client) Budgets(namespace string) Objects[policyv1.PodDisruptionBudget, policyv1.PodDisruptionBudgetList, *policyv1.PodDisruptionBudget, *policyv1.PodDisruptionBudgetList] {
	return objects[policyv1.PodDisruptionBudget, policyv1.PodDisruptionBudgetList](c, c.policy, "poddisruptionbudgets", namespace)
}

// Attachments is for VolumeAttachments.
func (c *Client) Attachments() Objects[storagev1.VolumeAttachment, storagev1.VolumeAttachmentList, *storagev1.VolumeAttachment, *storagev1.VolumeAttachmentList] {
	return objects[storagev1.VolumeAttachment, storagev1.VolumeAttachmentList](c, c.storage, "volumeattachments", "")
}

// ServerVersion asks the API server for its version.
func (c *Client) ServerVersion(ctx context.Context) (string, error) {
	raw, err := c.core.Get().AbsPath("/version").Do(ctx).Raw()
	if err != nil {
		return "", fmt.Errorf("get /version: %w", err)
	}
	var info version.Info
	if err := json.Unmarshal(raw, &info); err != nil {
		return "", fmt.Errorf("get /version: %w", err)
	}
	return info.GitVersion, nil
}
