package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/rebootd/rebootd/pkg/cleanup"
	"github.com/rebootd/rebootd/pkg/config"
	"github.com/rebootd/rebootd/pkg/kube"
	"github.com/rebootd/rebootd/pkg/plan"
)

// clean is `rebootd cleanup`: it takes rebootd out of the cluster.
func clean(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	c, err := config.ParseCleanup(args, environ, stdout)
	if err != nil {
		return unparsed("rebootd cleanup", err, stdout, stderr)
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	cleaner, err := cleanerOf(c, stdout)
	if err == nil {
		err = cleaner.Run(ctx)
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "rebootd cleanup: not all is cleaned up; put right what is wrong, and run it again: %v\n", err)
		return 1
	}
	_, _ = fmt.Fprintln(stdout, "All is cleaned up.")
	return 0
}

func cleanerOf(c config.Cleanup, out io.Writer) (*cleanup.Cleaner, error) {
	rc, err := rest.InClusterConfig()
	if c.Kubeconfig != "" {
		rc, err = clientcmd.BuildConfigFromFlags("", c.Kubeconfig)
	}
	if err != nil {
		return nil, fmt.Errorf("--kubeconfig must say how to reach the API server, unless this is a pod with a service account: %w", err)
	}
	rc.QPS = -1
	rc.UserAgent = "rebootd-cleanup/" + version
	rc.WarningHandler = rest.NoWarnings{}
	client, err := kube.New(rc)
	if err != nil {
		return nil, fmt.Errorf("making a client for the API server: %w", err)
	}
	o := cleanup.Options{Namespace: c.Namespace, Taints: c.Taints, AgentsTimeout: c.AgentsTimeout}
	if c.NodeSelector != "" {
		if o.Selector, err = labels.Parse(c.NodeSelector); err != nil {
			return nil, fmt.Errorf("--node-selector: %w", err)
		}
	}
	for _, d := range c.DaemonSets {
		o.DaemonSets = append(o.DaemonSets, types.NamespacedName(d))
	}
	if c.AnnotateNodes {
		o.Annotations = []string{plan.KuredInProgress}
	}
	if c.KuredInterlock {
		o.Kured, o.KuredLock = types.NamespacedName{Namespace: c.DSNamespace, Name: c.DSName}, c.LockAnnotation
	}
	return &cleanup.Cleaner{
		Options: o, Nodes: client.Nodes(), Leases: client.Leases(c.Namespace), ConfigMaps: client.ConfigMaps(c.Namespace),
		DaemonSets: func(namespace string) cleanup.DaemonSets { return client.DaemonSets(namespace) },
		Pods:       func(namespace string) cleanup.Pods { return client.Pods(namespace) },
		Out:        out, Now: time.Now,
	}, nil
}
