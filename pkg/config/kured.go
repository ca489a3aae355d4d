package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// Label is a label of the Node.
type Label struct{ Key, Value string }

// ownPrefix is of the labels that mean something to rebootd.
const ownPrefix = "rebootd.io/"

// kuredSentinels is where kured's chart mounts the directory of the host's sentinel file.
const kuredSentinels = "/sentinel"

// kuredLock is kured's lock, where nobody named it otherwise.
const kuredLock = "weave.works/kured-node-lock"

func kuredOptions(c *Config) group {
	return group{"From kured", []option{
		{
			name: "force-reboot", value: boolean(&c.ForceReboot), def: "false",
			meaning: "The same as --on-drain-timeout=reboot.",
			example: "true",
		},
		{
			name: "annotate-nodes", value: boolean(&c.AnnotateNodes), def: "false",
			meaning: "Set kured's annotations on the Node when it waits for a reboot in an open window: weave.works/kured-reboot-in-progress, which goes when " +
				"none is wanted any more, and weave.works/kured-most-recent-reboot-needed, which stays. Both hold the time.",
			example: "true",
		},
		{
			name: "pre-reboot-node-labels", value: nodeLabels(&c.PreRebootNodeLabels), defText: "none",
			meaning: "Labels that the Node gets with the cordon, such as example.com/state=rebooting. Repeatable, or a list with commas.",
			example: "example.com/state=rebooting", beside: "post-reboot-node-labels=example.com/state=ready",
		},
		{
			name: "post-reboot-node-labels", value: nodeLabels(&c.PostRebootNodeLabels), defText: "none",
			meaning: "Labels that the Node gets with the uncordon, after a reboot that was given up too. Repeatable, or a list with commas.",
			example: "example.com/state=ready", beside: "pre-reboot-node-labels=example.com/state=rebooting",
		},
		{
			name: "ds-namespace", value: emptyIsUnset(dnsLabel(&c.DSNamespace, 63)), def: "kube-system",
			meaning: "The namespace of kured's DaemonSet.",
			example: "kured",
		},
		{
			name: "ds-name", value: orEmpty(&c.DSName, dnsSubdomain(&c.DSName)), def: "kured",
			meaning: "The name of kured's DaemonSet: while it exists nothing is rebooted, but for --kured-interlock. An empty name means that there is none.",
			example: "kured-linux",
		},
		{
			name: "lock-annotation", value: emptyIsUnset(labelKey(&c.LockAnnotation)), def: kuredLock,
			meaning: "The annotation of kured's DaemonSet that is kured's lock. Without --kured-interlock it changes nothing: rebootd's own lock are Leases.",
			example: "example.com/kured-node-lock", beside: "kured-interlock=true",
		},
		{
			name: "kured-interlock", value: boolean(&c.KuredInterlock), def: "false",
			meaning: "Work beside a kured that is still installed: hold kured's lock, too, while this node is out of service.",
			example: "true",
		},
	}}
}

func kuredRules(c *Config) []rule {
	return []rule{
		{
			[]string{"force-reboot", "on-drain-timeout"}, c.ForceReboot && c.OnDrainTimeout != "" && c.OnDrainTimeout != "reboot",
			fmt.Sprintf("means --on-drain-timeout=reboot, but that says %s", c.OnDrainTimeout),
		},
		{
			[]string{"kured-interlock", "ds-name"}, c.KuredInterlock && c.DSName == "",
			"needs --ds-name, which says where kured's lock is",
		},
	}
}

// joinKured sets what follows from kured's options, and warns of what somebody who comes from kured may not expect.
func joinKured(c *Config) {
	if c.OnDrainTimeout == "" {
		c.OnDrainTimeout = "abort"
	}
	if c.ForceReboot {
		c.OnDrainTimeout = "reboot"
	}
	if c.ForceReboot && c.DrainTimeout == 0 {
		c.Warnings = append(c.Warnings, "--force-reboot changes nothing with --drain-timeout=0: no drain ever takes too long.")
	}
	if before, after := keys(c.PreRebootNodeLabels), keys(c.PostRebootNodeLabels); !slices.Equal(before, after) && len(before) > 0 {
		c.Warnings = append(c.Warnings, fmt.Sprintf("--pre-reboot-node-labels sets %s and --post-reboot-node-labels %s: what only the former sets stays on the Node.",
			listed(before), listed(after)))
	}
	for _, path := range c.RebootSentinels {
		name, kureds := strings.CutPrefix(path, kuredSentinels+"/")
		if _, err := os.Stat(filepath.Join(c.HostRoot, kuredSentinels)); kureds && err != nil && c.SentinelCommand == "" {
			c.Warnings = append(c.Warnings, fmt.Sprintf("--reboot-sentinel=%s is the path within a pod of kured's chart. Here it is the host's, such as /var/run/%s; "+
				"as it is, no reboot can be asked for.", path, name))
		}
	}
}

func keys(labels []Label) []string {
	set := map[string]bool{}
	for _, l := range labels {
		set[l.Key] = true
	}
	return slices.Sorted(maps.Keys(set))
}

func listed(words []string) string { return cmp.Or(strings.Join(words, ", "), "nothing") }

// nodeLabels takes labels, one each time or several with commas between them; "" is none, as with kured. The last of a key counts.
func nodeLabels(to *[]Label) value {
	const what = "key=value, such as example.com/state=rebooting, or several with commas"
	return value{placeholder: "key=value", list: true, set: func(s string) error {
		for one := range strings.SplitSeq(s, ",") {
			if s == "" {
				break
			}
			key, val, ok := strings.Cut(strings.TrimSpace(one), "=")
			switch {
			case !ok, len(validation.IsQualifiedName(key)) > 0, len(validation.IsValidLabelValue(val)) > 0:
				return errors.New(what)
			case strings.HasPrefix(key, ownPrefix):
				return fmt.Errorf("a key that doesn't begin with %s, for those are rebootd's own", ownPrefix)
			}
			*to = append(slices.DeleteFunc(*to, func(l Label) bool { return l.Key == key }), Label{key, val})
		}
		return nil
	}}
}

// emptyIsUnset takes an empty value for none: charts and kustomizations write it.
func emptyIsUnset(v value) value {
	v.emptyIsUnset = true
	return v
}

// orEmpty takes an empty text, too.
func orEmpty(to *string, v value) value {
	set := v.set
	v.set = func(s string) error {
		if s == "" {
			*to = ""
			return nil
		}
		return set(s)
	}
	return v
}
