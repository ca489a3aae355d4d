//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/rebootd/rebootd/test/image/image"
)

const (
	namespace  = "rebootd"
	manifests  = "../../manifests"
	sceneLabel = "rebootd.io/e2e" // says which test's an agent is
)

// kubectl runs the real one, as an administrator.
func (w *world) kubectl(ctx context.Context, stdin io.Reader, args ...string) (string, error) {
	command := exec.CommandContext(ctx, filepath.Join(w.Bin(), "kubectl"),
		append([]string{"--kubeconfig=" + w.Kubeconfig()}, args...)...)
	var stderr bytes.Buffer
	command.Stdin, command.Stderr = stdin, &stderr
	out, err := command.Output()
	if err != nil {
		return string(out), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, stderr.String())
	}
	return string(out), nil
}

// buildImage builds the agent's image as the repository does, and returns the name by which pods know it.
func buildImage(ctx context.Context, tar string) (name string, err error) {
	const tag = "localhost/rebootd:e2e"
	_, _, err = image.Build(ctx, image.Options{Output: tar, Tag: tag})
	return tag, err
}

// render is a folder of manifests: the DaemonSet, and all the rest as YAML.
func (w *world) render(ctx context.Context, folder string) (*appsv1.DaemonSet, string, error) {
	all, err := w.kubectl(ctx, nil, "kustomize", folder)
	if err != nil {
		return nil, "", err
	}
	var agents *appsv1.DaemonSet
	var rest strings.Builder
	documents := yaml.NewYAMLReader(bufio.NewReader(strings.NewReader(all)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		var kind metav1.TypeMeta
		if err = errors.Join(err, yaml.Unmarshal(document, &kind)); err != nil {
			return nil, "", fmt.Errorf("reading %s: %w", folder, err)
		}
		if kind.Kind != "DaemonSet" {
			rest.WriteString("---\n")
			rest.Write(document)
			continue
		}
		agents = &appsv1.DaemonSet{}
		if err := yaml.UnmarshalStrict(document, agents); err != nil {
			return nil, "", fmt.Errorf("reading the DaemonSet of %s: %w", folder, err)
		}
	}
	if agents == nil {
		return nil, "", fmt.Errorf("%s has no DaemonSet", folder)
	}
	return agents, rest.String(), nil
}

// applyBase applies everything but the DaemonSet.
func (w *world) applyBase(ctx context.Context) error {
	_, rest, err := w.render(ctx, manifests)
	if err != nil {
		return err
	}
	_, err = w.kubectl(ctx, strings.NewReader(rest), "apply", "-f", "-")
	return err
}

// deploy puts agents on nodes. They are as the manifests say but for the image, their name, where they run, and the
// further arguments.
func (w *world) deploy(ctx context.Context, folder, name string, nodes []string, args ...string) error {
	agents, _, err := w.render(ctx, filepath.Join(manifests, folder))
	if err != nil {
		return err
	}
	agents.Name = name
	agents.Spec.Selector.MatchLabels[sceneLabel] = name
	template := &agents.Spec.Template
	template.Labels[sceneLabel] = name
	container := &template.Spec.Containers[0]
	container.Image, container.ImagePullPolicy = w.image, corev1.PullNever
	container.Args = append(container.Args, args...)
	template.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
			NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{
				{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: nodes},
			}}},
		},
	}}
	_, err = w.client.AppsV1().DaemonSets(namespace).Create(ctx, agents, metav1.CreateOptions{})
	return err
}

// agentPod is the agent of a scene on a node. It is an error if there is none that runs and is ready.
func (w *world) agentPod(ctx context.Context, scene, node string) (*corev1.Pod, error) {
	pods, err := w.client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{
		LabelSelector: sceneLabel + "=" + scene, FieldSelector: "spec.nodeName=" + node,
	})
	if err != nil {
		return nil, err
	}
	states := []string{}
	for i := range pods.Items {
		p := &pods.Items[i]
		if p.DeletionTimestamp == nil && podReady(p) {
			return p, nil
		}
		states = append(states, podState(p))
	}
	return nil, fmt.Errorf("no agent is ready on %s: %v", node, states)
}

func podReady(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func podState(p *corev1.Pod) string {
	text := p.Name + " " + string(p.Status.Phase)
	if p.DeletionTimestamp != nil {
		text += ", deleting"
	}
	for _, c := range p.Status.ContainerStatuses {
		if c.State.Waiting != nil {
			text += ", " + c.State.Waiting.Reason + ": " + c.State.Waiting.Message
		}
	}
	return text
}
