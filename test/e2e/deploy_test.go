//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/rebootd/rebootd/test/chart/helm"
	"github.com/rebootd/rebootd/test/image/image"
)

// sceneLabel says which test's an agent is.
const sceneLabel = "rebootd.io/e2e"

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

// chart is where it is.
const chart = "../../charts/rebootd"

// values are the chart's for agents on these nodes.
func (w *world) values(scene string, nodes []string, args []string) map[string]any {
	repository, tag, _ := strings.Cut(w.image, ":")
	return map[string]any{
		"image":         map[string]any{"repository": repository, "tag": tag, "pullPolicy": corev1.PullNever},
		"configuration": map[string]any{"lockGroup": scene},
		"extraArgs":     args,
		"podLabels":     map[string]string{sceneLabel: scene},
		"affinity": map[string]any{"nodeAffinity": map[string]any{"requiredDuringSchedulingIgnoredDuringExecution": map[string]any{
			"nodeSelectorTerms": []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{
				{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: nodes},
			}}},
		}}},
		// Where its pod may be evicted by no other test.
		"cleanup": map[string]any{"nodeSelector": map[string]string{corev1.LabelHostname: nodes[0]}},
	}
}

// helm runs it for the release of a scene, which is in the namespace of its name.
func (s *scene) helm(ctx context.Context, command string, args ...string) (string, error) {
	return helm.Run(ctx, append([]string{command, s.name, "--namespace=" + s.name, "--kubeconfig=" + lab.Kubeconfig()}, args...)...)
}

// install puts agents on the scene's nodes, as the chart has them but for the values.
func (s *scene) install(ctx context.Context, values map[string]any) error {
	_, err := lab.client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.name}}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	file, err := s.valuesFile(values)
	if err != nil {
		return err
	}
	_, err = s.helm(ctx, "install", chart, "--values="+file)
	return err
}

func (s *scene) valuesFile(values map[string]any) (string, error) {
	text, err := yaml.Marshal(values)
	if err != nil {
		return "", err
	}
	file := filepath.Join(s.dir, "values.yaml")
	return file, os.WriteFile(file, text, 0o600)
}

// agentPod is the agent of a scene on a node. It is an error if there is none that runs and is ready.
func (w *world) agentPod(ctx context.Context, scene, node string) (*corev1.Pod, error) {
	pods, err := w.client.CoreV1().Pods(scene).List(ctx, metav1.ListOptions{
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
