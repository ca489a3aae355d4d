package config

import (
	"math"
	"time"
)

func drainOptions(c *Config) group {
	return group{"Drain", append([]option{
		{
			name: "drain-delay", value: duration(&c.DrainDelay, 0), def: "0",
			meaning: "How long to wait between taking the slot and the drain.",
			example: "30s",
		},
		{
			name: "exclude-from-load-balancers", value: boolean(&c.ExcludeFromLoadBalancers), def: "false",
			meaning: "Mark the node from the cordon to the uncordon with the label node.kubernetes.io/exclude-from-external-load-balancers, " +
				"so that load balancers outside the cluster send it nothing.",
			example: "true", beside: "load-balancer-delay=30s",
		},
		{
			name: "load-balancer-delay", value: duration(&c.LoadBalancerDelay, 0), def: "0",
			meaning: "How long to wait between the cordon and the first eviction, so that load balancers have taken note; it doesn't " +
				"count against --drain-timeout.",
			example: "30s",
		},
		{
			name: "drain-timeout", value: duration(&c.DrainTimeout, 0), def: "30m",
			meaning: "How long a drain may take; 0 means no limit. --on-drain-timeout says what follows.",
			example: "1h",
		},
		{
			name: "pdb-preflight", value: choice(&c.PDBPreflight, "explain", "hold", "off"), def: "explain",
			meaning: "Before the cordon, ask the API server whether PodDisruptionBudgets would refuse the evictions, and explain why; or " +
				"hold the node back, uncordoned, while they would.",
			example: "hold",
		},
		{
			name: "on-drain-timeout", value: choice(&c.OnDrainTimeout, "abort", "delete", "reboot"), defText: "abort",
			meaning: "What follows a drain that took too long: go back into service and back off; or delete the pods " +
				"that could not be evicted, past their disruption budgets, and give up if that takes as long again; " +
				"or reboot under the pods that are left.",
			example: "delete",
		},
		{
			name: "drain-grace-period", value: number(&c.DrainGracePeriod, "seconds", math.MinInt32), def: "-1",
			meaning: "How many seconds a pod gets to end; a negative number means as many as the pod says itself.",
			example: "60",
		},
		{
			name: "drain-pod-selector", value: labelSelector(&c.DrainPodSelector), defText: "all pods",
			meaning: "Drain only pods whose labels match this selector.",
			example: "app!=cache",
		},
		{
			name: "drain-last-selector", value: labelSelector(&c.DrainLastSelector), defText: "none",
			meaning: "Leave pods whose labels match this selector alone until all others are gone: storage daemons, or volume plugins that " +
				"are no DaemonSet.",
			example: "role=storage",
		},
		{
			name: "skip-wait-for-delete-timeout", def: "0",
			value: number(&c.SkipWaitForDeleteTimeout, "seconds", 0),
			meaning: "Don't wait for pods that have been deleting for longer than this many seconds; " +
				"0 means wait for all.",
			example: "60",
		},
	}, drainEndOptions(c)...)}
}

// drainEndOptions are about what comes when the drain has ended, well or not.
func drainEndOptions(c *Config) []option {
	return []option{
		{
			name: "volume-detach-timeout", value: duration(&c.VolumeDetachTimeout, 0), def: "2m",
			meaning: "How long a drained node waits until its volumes are detached, before it is rebooted all the same; 0 means it doesn't wait.",
			example: "5m",
		},
		{
			name: "back-off", value: duration(&c.BackOff, time.Second), def: "5m",
			meaning: "How long a node waits for its next try after one that was given up, such as a drain that took too long; it doubles each time.",
			example: "10m",
		},
		{
			name: "back-off-max", value: duration(&c.BackOffMax, time.Second), def: "2h",
			meaning: "The longest that the wait of --back-off grows to.",
			example: "6h",
		},
	}
}
