package integration

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func (m *machine) podSpec() corev1.PodSpec {
	return corev1.PodSpec{
		NodeSelector: map[string]string{"kubernetes.io/hostname": m.name},
		Containers:   []corev1.Container{{Name: "c", Image: "none"}},
	}
}

// template makes pods of an app that can run on this machine only.
func (m *machine) template(app string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": app}}, Spec: m.podSpec()}
}

func selector(app string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}
}

// app runs one pod of a ReplicaSet on the machine and returns its name.
func (m *machine) app(name string) string {
	m.t.Helper()
	one := int32(1)
	m.created(m.f.client.AppsV1().ReplicaSets(m.namespace).Create(context.Background(), &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       appsv1.ReplicaSetSpec{Replicas: &one, Selector: selector(name), Template: m.template(name)},
	}, metav1.CreateOptions{}))
	return m.runs(name)
}

// daemon runs a DaemonSet's pod on the machine and returns its name.
func (m *machine) daemon(name string) string {
	m.t.Helper()
	m.created(m.f.client.AppsV1().DaemonSets(m.namespace).Create(context.Background(), &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       appsv1.DaemonSetSpec{Selector: selector(name), Template: m.template(name)},
	}, metav1.CreateOptions{}))
	return m.runs(name)
}

// restartDaemons is what a kubelet does after a boot: it starts the containers of the pods that stayed.
func (m *machine) restartDaemons() {
	m.t.Helper()
	pods, err := m.f.client.CoreV1().Pods(m.namespace).List(context.Background(), metav1.ListOptions{FieldSelector: "spec.nodeName=" + m.name})
	if err != nil {
		m.t.Error(err)
		return
	}
	for _, p := range pods.Items {
		if owner := metav1.GetControllerOf(&p); owner != nil && owner.Kind == "DaemonSet" && !m.deadDaemons {
			m.container(p.Name, "")
		}
	}
}

// container reports a new container for a pod: Ready, or waiting for a reason.
func (m *machine) container(pod, waits string) {
	m.t.Helper()
	c := corev1.ContainerStatus{Name: "c", ContainerID: "test://" + rand.Text(), Ready: waits == "", Image: "none", ImageID: "none"}
	c.State.Running = &corev1.ContainerStateRunning{StartedAt: metav1.Now()}
	ready := corev1.ConditionTrue
	if waits != "" {
		c.State, ready = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: waits}}, corev1.ConditionFalse
	}
	data, err := json.Marshal(map[string]any{"status": map[string]any{
		"containerStatuses": []corev1.ContainerStatus{c},
		"conditions":        []corev1.PodCondition{{Type: corev1.PodReady, Status: ready, LastTransitionTime: metav1.Now()}},
	}})
	if err == nil {
		_, err = m.f.client.CoreV1().Pods(m.namespace).Patch(context.Background(), pod, types.StrategicMergePatchType, data, metav1.PatchOptions{}, "status")
	}
	if err != nil && !apierrors.IsNotFound(err) {
		m.t.Error(err)
	}
}

// mirror makes a pod that stands for one that a kubelet runs from a file.
func (m *machine) mirror(name string) string {
	m.t.Helper()
	spec := m.podSpec()
	spec.NodeName = m.name
	m.created(m.f.client.CoreV1().Pods(m.namespace).Create(context.Background(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Labels: map[string]string{"app": name},
			Annotations: map[string]string{corev1.MirrorPodAnnotationKey: "x"},
		},
		Spec: spec,
	}, metav1.CreateOptions{}))
	return name
}

// budget lets no pod of the app be evicted.
func (m *machine) budget(app string) {
	m.t.Helper()
	none := intstr.FromInt32(0)
	budgets := m.f.client.PolicyV1().PodDisruptionBudgets(m.namespace)
	m.created(budgets.Create(context.Background(), &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Name: app + "-budget"},
		Spec:       policyv1.PodDisruptionBudgetSpec{MaxUnavailable: &none, Selector: selector(app)},
	}, metav1.CreateOptions{}))
	until(m.t, "the budget of "+app+" counts", func() bool {
		b, err := budgets.Get(context.Background(), app+"-budget", metav1.GetOptions{})
		return err == nil && b.Status.ExpectedPods == 1 && b.Status.ObservedGeneration > 0
	})
}

func (m *machine) dropBudget(app string) {
	m.t.Helper()
	err := m.f.client.PolicyV1().PodDisruptionBudgets(m.namespace).Delete(context.Background(), app+"-budget", metav1.DeleteOptions{})
	if err != nil {
		m.t.Error(err)
	}
}

// stuck gives the machine a pod that can't be evicted, until free is called.
func (m *machine) stuck() (pod string, free func()) {
	m.t.Helper()
	app := "web-" + strings.SplitN(m.name, "-", 2)[0]
	pod = m.app(app)
	m.budget(app)
	return pod, func() { m.dropBudget(app) }
}

// runs waits for a running pod of the app and returns its name.
func (m *machine) runs(app string) string {
	m.t.Helper()
	name := ""
	until(m.t, "a pod of "+app+" runs", func() bool {
		pods, err := m.f.client.CoreV1().Pods(m.namespace).List(context.Background(), metav1.ListOptions{LabelSelector: "app=" + app})
		if err != nil || len(pods.Items) != 1 || pods.Items[0].Status.Phase != corev1.PodRunning {
			return false
		}
		name = pods.Items[0].Name
		return true
	})
	return name
}

func (m *machine) hasPod(name string) bool {
	p, err := m.f.client.CoreV1().Pods(m.namespace).Get(context.Background(), name, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		m.t.Error(err)
	}
	return err == nil && p.Spec.NodeName == m.name
}

func (m *machine) created(_ any, err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}
