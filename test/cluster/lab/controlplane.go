package lab

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

const (
	serviceRange = "10.0.0.0/24"
	// kubernetesIP is the ClusterIP of the API server: the first of serviceRange.
	kubernetesIP = "10.0.0.1"
	// Sockets are named relative to the working directory, so the path may be of any length.
	etcdURL     = "unix://etcd.sock"
	etcdPeerURL = "unix://peer.sock"
)

func (c *Cluster) startEtcd(context.Context) error {
	etcd, err := c.run("etcd",
		"--data-dir=etcd", "--unsafe-no-fsync", "--log-level=warn",
		"--listen-client-urls="+etcdURL, "--advertise-client-urls="+etcdURL,
		"--listen-peer-urls="+etcdPeerURL, "--initial-advertise-peer-urls="+etcdPeerURL,
		"--initial-cluster=default="+etcdPeerURL,
		"--quota-backend-bytes=4294967296")
	if err != nil {
		return err
	}
	c.procs = append(c.procs, etcd)
	return nil
}

// StartAPIServer starts the API server, unless it runs, and returns when it is ready.
func (c *Cluster) StartAPIServer(ctx context.Context) error {
	if c.api != nil {
		return nil
	}
	api, err := c.run("kube-apiserver", c.apiServerArgs()...)
	if err != nil {
		return err
	}
	c.api = api
	client, err := c.client()
	if err != nil {
		return err
	}
	err = waitFor(ctx, "the API server", api, func(ctx context.Context) bool {
		_, err := client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		return err == nil
	})
	if err != nil {
		c.StopAPIServer()
		return err
	}
	c.logf("kube-apiserver: ready at %s", c.url)
	return nil
}

// StopAPIServer kills the API server; everything else keeps running, and the data is kept.
func (c *Cluster) StopAPIServer() {
	if c.api != nil {
		c.api.Kill()
		c.api = nil
	}
}

func (c *Cluster) apiServerArgs() []string {
	args := []string{
		"--etcd-servers=" + etcdURL,
		"--secure-port=" + strconv.Itoa(c.opts.ListenPort),
		"--tls-cert-file=pki/apiserver.crt", "--tls-private-key-file=pki/apiserver.key",
		"--advertise-address=" + c.opts.AdvertiseAddress,
		"--client-ca-file=pki/ca.crt",
		"--kubelet-client-certificate=pki/kubelet-client.crt", "--kubelet-client-key=pki/kubelet-client.key",
		"--kubelet-preferred-address-types=InternalIP",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=pki/sa.key", "--service-account-signing-key-file=pki/sa.key",
		"--service-cluster-ip-range=" + serviceRange,
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=" + strings.Join(append([]string{"NodeRestriction"}, c.opts.AdmissionPlugins...), ","),
		"--allow-privileged=true",
	}
	if c.opts.NetNS == "" {
		args = append(args, "--bind-address=127.0.0.1", "--endpoint-reconciler-type=none")
	} else {
		args = append(args, "--bind-address=0.0.0.0")
	}
	if c.opts.Tier < 2 {
		// No controller creates the service accounts it asks for.
		args = append(args, "--disable-admission-plugins=ServiceAccount")
	}
	return append(args, c.opts.APIServerFlags...)
}

func (c *Cluster) waitNamespaces(ctx context.Context) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	return waitFor(ctx, "the namespaces", c.api, func(ctx context.Context) bool {
		for _, name := range []string{metav1.NamespaceDefault, metav1.NamespaceSystem} {
			if _, err := client.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{}); err != nil {
				return false
			}
		}
		return true
	})
}

func (c *Cluster) startControllers(context.Context) error {
	common := []string{"--leader-elect=false", "--kube-api-qps=1000", "--kube-api-burst=2000", "--secure-port=0"}
	for name, args := range map[string][]string{
		"kube-controller-manager": {
			"--kubeconfig=pki/controller-manager.kubeconfig", "--use-service-account-credentials=true",
			"--service-account-private-key-file=pki/sa.key", "--root-ca-file=pki/ca.crt",
			"--cluster-signing-cert-file=pki/ca.crt", "--cluster-signing-key-file=pki/ca.key",
			"--node-monitor-grace-period=" + c.nodeGrace().String(), "--node-monitor-period=2s",
		},
		"kube-scheduler": {"--kubeconfig=pki/scheduler.kubeconfig"},
	} {
		p, err := c.run(name, append(common, args...)...)
		if err != nil {
			return err
		}
		c.procs = append(c.procs, p)
	}
	return nil
}

// startKwok starts the simulation of nodes labelled type=kwok.
func (c *Cluster) startKwok(ctx context.Context) error {
	config, err := c.kwokConfig(ctx)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(c.dir, "kwok.yaml"), config, 0o600); err != nil {
		return fmt.Errorf("writing kwok's configuration: %w", err)
	}
	p, err := c.run("kwok",
		"--kubeconfig=pki/admin.kubeconfig", "--config=kwok.yaml", "--manage-nodes-with-label-selector="+kwokLabel+"="+kwokValue,
		// Renewed at a quarter of it, that is twice in the grace period for NotReady.
		"--node-lease-duration-seconds="+strconv.Itoa(int(2*c.nodeGrace().Seconds())), "--v=WARN")
	if err != nil {
		return err
	}
	c.procs = append(c.procs, p)
	return nil
}

// waitControllers waits for the controller manager's first work: pods can be created after it.
func (c *Cluster) waitControllers(ctx context.Context) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	for _, p := range c.procs[1:] {
		if err := waitFor(ctx, "the controllers", p, func(ctx context.Context) bool { return hasAccount(ctx, client) }); err != nil {
			return err
		}
	}
	c.logf("kube-controller-manager, kube-scheduler: ready")
	return nil
}

func hasAccount(ctx context.Context, client kubernetes.Interface) bool {
	_, err := client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
	return err == nil
}

func (c *Cluster) nodeGrace() time.Duration {
	switch {
	case c.opts.NodeGrace != 0:
		return c.opts.NodeGrace
	case c.opts.Tier == 3:
		return 20 * time.Second
	default:
		return 40 * time.Second
	}
}

// freePort picks a port of the loopback address outside the range the kernel gives to clients, so
// that it is still free when a stopped API server comes back.
func freePort(ctx context.Context) (int, error) {
	var failed error
	for range 100 {
		port := 20000 + rand.IntN(12000) //nolint:gosec // needn't be hard to guess
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, listener.Close()
		}
		failed = err
	}
	return 0, fmt.Errorf("finding a free port: %w", failed)
}
