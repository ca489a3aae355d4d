package lab

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

const (
	adminUser  = "admin"
	adminGroup = "system:masters"
)

// Config is a cluster administrator's, without a rate limit. Each call returns a new copy.
func (c *Cluster) Config() *rest.Config {
	config := c.config(c.admin)
	config.QPS = -1
	return config
}

// ClientCert returns the configuration of a client that authenticates as user, member of groups,
// with a certificate made for it.
func (c *Cluster) ClientCert(user string, groups ...string) (*rest.Config, error) {
	id, err := c.ca.issue(user, groups, nil)
	if err != nil {
		return nil, err
	}
	return c.config(id), nil
}

// KubeletFiles returns what a kubelet needs to be the node of this name: a kubeconfig with
// everything in it, the authority that signs the API server's certificates (serving and client),
// and a certificate with its key that is good for serving too.
func (c *Cluster) KubeletFiles(node string) (kubeconfig, ca, cert, key []byte, err error) {
	id, err := c.ca.issue("system:node:"+node, []string{"system:nodes"}, []string{node})
	if err != nil {
		return nil, nil, nil, nil, err
	}
	url := "https://" + net.JoinHostPort(c.opts.AdvertiseAddress, strconv.Itoa(c.opts.ListenPort))
	kubeconfig, err = c.kubeconfig(url, "system:node:"+node, id)
	return kubeconfig, c.ca.pem, id.cert, id.key, err
}

func (c *Cluster) config(id pair) *rest.Config {
	return &rest.Config{
		Host:            c.url,
		TLSClientConfig: rest.TLSClientConfig{CAData: c.ca.pem, CertData: id.cert, KeyData: id.key},
	}
}

func (c *Cluster) kubeconfig(url, user string, id pair) ([]byte, error) {
	const name = "rebootd-lab"
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{Server: url, CertificateAuthorityData: c.ca.pem}
	config.AuthInfos[user] = &clientcmdapi.AuthInfo{ClientCertificateData: id.cert, ClientKeyData: id.key}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: user}
	config.CurrentContext = name
	content, err := clientcmd.Write(*config)
	if err != nil {
		return nil, fmt.Errorf("encoding the kubeconfig of %s: %w", user, err)
	}
	return content, nil
}

// writePKI creates the authority and the files the programs are started with.
func (c *Cluster) writePKI() error {
	var err error
	if c.ca, err = newAuthority(); err != nil {
		return err
	}
	if c.admin, err = c.ca.issue(adminUser, []string{adminGroup}, nil); err != nil {
		return err
	}
	caPair, err := c.ca.pair()
	if err != nil {
		return err
	}
	pairs := map[string]pair{"ca": caPair}
	for _, want := range []struct {
		file, user    string
		groups, names []string
	}{
		{file: "apiserver", user: "kube-apiserver", names: []string{
			"127.0.0.1", kubernetesIP, c.opts.AdvertiseAddress, "localhost",
			"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
		}},
		{file: "kubelet-client", user: "kube-apiserver-kubelet-client", groups: []string{adminGroup}},
		{file: "sa", user: "service-accounts"}, // only its key is used
	} {
		if pairs[want.file], err = c.ca.issue(want.user, want.groups, want.names); err != nil {
			return err
		}
	}
	dir := filepath.Join(c.dir, "pki")
	for name, p := range pairs {
		if err := p.write(dir, name); err != nil {
			return err
		}
	}
	return c.writeKubeconfigs(dir)
}

func (c *Cluster) writeKubeconfigs(dir string) error {
	for path, want := range map[string]struct {
		url, user string
		groups    []string
	}{
		c.Kubeconfig():                                      {c.url, adminUser, []string{adminGroup}},
		filepath.Join(dir, "admin.kubeconfig"):              {c.inside, adminUser, []string{adminGroup}},
		filepath.Join(dir, "controller-manager.kubeconfig"): {c.inside, "system:kube-controller-manager", nil},
		filepath.Join(dir, "scheduler.kubeconfig"):          {c.inside, "system:kube-scheduler", nil},
	} {
		id, err := c.ca.issue(want.user, want.groups, nil)
		if err != nil {
			return err
		}
		content, err := c.kubeconfig(want.url, want.user, id)
		if err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return fmt.Errorf("writing the kubeconfig of %s: %w", want.user, err)
		}
	}
	return nil
}
