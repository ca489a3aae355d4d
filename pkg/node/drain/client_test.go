package drain

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// clientOf makes of client-go's clientset what a drain needs.
func clientOf(c kubernetes.Interface) Client {
	return Client{
		Pods: c.CoreV1().Pods(metav1.NamespaceAll),
		DaemonSet: func(ctx context.Context, namespace, name string) (*appsv1.DaemonSet, error) {
			return c.AppsV1().DaemonSets(namespace).Get(ctx, name, metav1.GetOptions{})
		},
	}
}
