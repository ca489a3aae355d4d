package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
)

// Named is an object of a namespace.
type Named struct{ Namespace, Name string }

// Cleanup is what `rebootd cleanup` was asked.
type Cleanup struct {
	// Kubeconfig and Namespace are as the agent's.
	Kubeconfig, Namespace string
	// DaemonSets are the agents' that are to go.
	DaemonSets []Named
	// NodeSelector is a label selector; "" is all nodes.
	NodeSelector string
	// Taints are the agents' --prefer-no-schedule-taint, and AnnotateNodes their --annotate-nodes.
	Taints        []string
	AnnotateNodes bool
	// KuredInterlock is the agents', and so is what says where kured's lock is.
	KuredInterlock      bool
	DSNamespace, DSName string
	LockAnnotation      string
	// AgentsTimeout is how long to wait for the agents' pods, Timeout how long all of it may take.
	AgentsTimeout, Timeout time.Duration
}

const cleanupHelp = "rebootd cleanup takes rebootd out of the cluster: it deletes agents' DaemonSets, waits until their pods are gone, uncordons what they had\n" +
	"cordoned, and removes their annotations, labels, taints and conditions from the Nodes, their slots and what they counted. Holds, requests that no\n" +
	"reboot has honoured, the pause and people's own cordons stay. It may be run again at any time.\n\n" +
	"Usage: rebootd cleanup [--daemonset=namespace/name]... [flags]"

func cleanupOptions(c *Cleanup) []group {
	return []group{
		{"What is to go", []option{
			{
				name: "daemonset", value: objects(&c.DaemonSets), defText: "none",
				meaning: "A DaemonSet of agents, which is deleted. Repeatable, or a list with commas. Nodes that other agents' DaemonSets would run on are left to them.",
			},
			{
				name: "node-selector", value: labelSelector(&c.NodeSelector), defText: "all nodes",
				meaning: "A label selector for the nodes to clean up.",
			},
			{
				name: "namespace", value: dnsLabel(&c.Namespace, 63),
				def: podNamespace(os.DirFS("/var/run/secrets/kubernetes.io/serviceaccount")), defText: "the pod's own, else rebootd",
				meaning: "The namespace of the Leases and ConfigMaps that the agents share, as they have it.",
			},
			{
				name: "prefer-no-schedule-taint", value: labelKeys(&c.Taints), defText: "none",
				meaning: "The key of the taint that the agents put on, as they have it; rebootd's own name for it goes in any case. Repeatable, or a list with commas.",
			},
			{
				name: "annotate-nodes", value: boolean(&c.AnnotateNodes), def: "false",
				meaning: "Whether the agents set kured's annotations on the Nodes: then that of a reboot in progress goes, too.",
			},
			{
				name: "kured-interlock", value: boolean(&c.KuredInterlock), def: "false",
				meaning: "Whether the agents took part in kured's lock: then the nodes are taken out of it.",
			},
			{name: "ds-namespace", value: dnsLabel(&c.DSNamespace, 63), def: "kube-system", meaning: "The namespace of kured's DaemonSet."},
			{name: "ds-name", value: dnsSubdomain(&c.DSName), def: "kured", meaning: "The name of kured's DaemonSet."},
			{
				name: "lock-annotation", value: labelKey(&c.LockAnnotation), def: kuredLock,
				meaning: "The annotation of kured's DaemonSet that is kured's lock.",
			},
		}},
		{"How", []option{
			{
				name: "agents-timeout", value: duration(&c.AgentsTimeout, 0), def: "90s",
				meaning: "How long to wait for agents' pods whose kubelets don't answer, a rebooting machine's for example. After 90 seconds they can't write any more.",
			},
			{name: "timeout", value: duration(&c.Timeout, time.Second), def: "4m", meaning: "How long all of it may take."},
			{
				name: "kubeconfig", value: readable(&c.Kubeconfig), defText: "the pod's service account",
				meaning: "The kubeconfig file to reach the API server with.",
			},
		}},
	}
}

// ParseCleanup reads the options of `rebootd cleanup`, as Parse does those of the agent.
func ParseCleanup(args, environ []string, out io.Writer) (Cleanup, error) {
	var c Cleanup
	p := newParser(cleanupOptions(&c))
	err := p.parse(args, environ, out, cleanupHelp, func() []rule {
		return []rule{{
			[]string{"agents-timeout", "timeout"}, c.AgentsTimeout >= c.Timeout,
			fmt.Sprintf("%v leaves nothing of --timeout, %v", c.AgentsTimeout, c.Timeout),
		}}
	})
	if err != nil {
		return Cleanup{}, err
	}
	return c, nil
}

// objects takes namespace/name, or several with commas.
func objects(to *[]Named) value {
	return value{placeholder: "namespace/name", list: true, set: func(s string) error {
		for one := range strings.SplitSeq(s, ",") {
			namespace, name, ok := strings.Cut(one, "/")
			if !ok || len(validation.IsDNS1123Label(namespace)) > 0 || len(validation.IsDNS1123Subdomain(name)) > 0 {
				return errors.New("namespace/name, such as rebootd/rebootd, or several with commas")
			}
			*to = append(*to, Named{namespace, name})
		}
		return nil
	}}
}

// labelKeys takes keys of labels or taints, one each time or several with commas.
func labelKeys(to *[]string) value {
	return value{placeholder: "key", list: true, set: func(s string) error {
		for one := range strings.SplitSeq(s, ",") {
			var key string
			if err := labelKey(&key).set(one); err != nil {
				return err
			}
			*to = append(*to, key)
		}
		return nil
	}}
}
