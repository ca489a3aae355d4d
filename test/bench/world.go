package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/rebootd/rebootd/test/cluster/lab"
)

const namespace = "rebootd"

// world is a control plane with simulated nodes, and what it notes of the requests.
type world struct {
	*lab.Cluster
	client kubernetes.Interface
	dir    string
	log    io.Writer
	audit  *auditLog
	seen   *observer
	cancel context.CancelFunc
	marks  *marks
}

// newWorld starts a control plane with the agents' rights as manifests/base gives them.
func newWorld(ctx context.Context, log io.Writer, nodeGrace time.Duration) (*world, error) {
	dir, err := os.MkdirTemp("", "rebootd-bench-")
	if err != nil {
		return nil, err
	}
	policy, audit := filepath.Join(dir, "policy.yaml"), filepath.Join(dir, "audit.log")
	if err := os.WriteFile(policy, []byte(auditPolicy), 0o600); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &world{dir: dir, log: log, audit: &auditLog{path: audit}, cancel: cancel}
	w.Cluster, err = lab.Start(ctx, lab.Options{
		Tier: 2, Dir: filepath.Join(dir, "cluster"), NodeGrace: nodeGrace,
		APIServerFlags: []string{"--audit-policy-file=" + policy, "--audit-log-path=" + audit, "--audit-log-mode=batch", "--audit-log-batch-buffer-size=1000000", "--audit-log-maxsize=100000"},
	})
	if err == nil {
		err = w.prepare(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, w.stop())
	}
	return w, nil
}

func (w *world) prepare(ctx context.Context) error {
	rc := w.Config()
	rc.ContentType = "application/vnd.kubernetes.protobuf"
	var err error
	if w.client, err = kubernetes.NewForConfig(rc); err != nil {
		return err
	}
	for _, file := range []string{"namespace.yaml", "rbac.yaml"} {
		if _, err := w.kubectl(ctx, "apply", "-f", filepath.Join("manifests", "base", file)); err != nil {
			return err
		}
	}
	if w.marks, err = newMarks(ctx, filepath.Join(w.dir, "marks")); err != nil {
		return err
	}
	w.seen = newObserver()
	return w.seen.start(ctx, w.client)
}

func (w *world) stop() error {
	w.cancel()
	var err error
	if w.Cluster != nil {
		err = w.Stop()
	}
	return errors.Join(err, os.RemoveAll(w.dir))
}

func (w *world) kubectl(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(w.Bin(), "kubectl"), append([]string{"--kubeconfig=" + w.Kubeconfig()}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("kubectl %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

func (w *world) say(format string, args ...any) {
	_, _ = fmt.Fprintf(w.log, "%s  "+format+"\n", append([]any{time.Now().Format("15:04:05")}, args...)...)
}

// kubeconfig is for the agent of a node: it has the token that a kubelet would give it, the agents' one service account's, bound to the
// Node. server, if not empty, is another way to the API server.
func (w *world) kubeconfig(ctx context.Context, dir, node, server string) (string, error) {
	n, err := w.client.CoreV1().Nodes().Get(ctx, node, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	day := int64(24 * 60 * 60)
	token, err := w.client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, "rebootd", &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{
			ExpirationSeconds: &day,
			BoundObjectRef:    &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Node", Name: node, UID: n.UID},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("a token for the agent of %s: %w", node, err)
	}
	c := w.Config()
	// client-go shares connections between clients with the same certificates; agents on different machines don't.
	ca := append([]byte{}, c.CAData...)
	ca = append(ca, "\n# "+node+"\n"...)
	return writeKubeconfig(filepath.Join(dir, "kubeconfig"), c, ca, server, &clientcmdapi.AuthInfo{Token: token.Status.Token})
}

// kubectlConfig is for kubectl, by a name that the audit log tells from others'.
func (w *world) kubectlConfig(dir string) (string, error) {
	c, err := w.ClientCert(kubectlUser, "system:masters")
	if err != nil {
		return "", err
	}
	return writeKubeconfig(filepath.Join(dir, "kubectl.kubeconfig"), c, c.CAData, "",
		&clientcmdapi.AuthInfo{ClientCertificateData: c.CertData, ClientKeyData: c.KeyData})
}

func writeKubeconfig(file string, c *rest.Config, ca []byte, server string, who *clientcmdapi.AuthInfo) (string, error) {
	if server == "" {
		server = c.Host
	}
	k := clientcmdapi.NewConfig()
	k.Clusters["c"] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: ca}
	k.AuthInfos["u"] = who
	k.Contexts["c"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u"}
	k.CurrentContext = "c"
	return file, clientcmd.WriteToFile(*k, file)
}

// until waits for something, but no longer than d.
func until(ctx context.Context, d time.Duration, what string, ok func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	for {
		if done, err := ok(); done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not within %s: %s", d, what)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
