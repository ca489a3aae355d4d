package takeover

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// difference is one row of "What differs" in docs/migrating-from-kured.md.
type difference struct {
	id, kured, rebootd string
	// flags are those that it is about; none: it is about every kured.
	flags []string
}

// differences are all rows, word by word.
func differences() []difference {
	return []difference{
		{"K1", "concurrency from 2 back to 1: no reboot ever again", "any change converges; the interlock clears what such a kured left in its lock", []string{"concurrency"}},
		{"K2", "the manual lock `{\"nodeID\":\"manual\"}` is overwritten when concurrency is above 1", "it holds, with the interlock; else a pause is the [ConfigMap `rebootd-control`](operations.md#hold-reboots-back)", []string{"concurrency"}},
		{"K3", "lock TTL over before the node is back: it stays cordoned", "the uncordon doesn't depend on the lock; `--lock-ttl` is at least 1m, and the slots of nodes that are up are renewed", []string{"lock-ttl"}},
		{"K4", "a failed drain uncordons what a person had cordoned", "a person's cordon stays", []string{"drain-timeout"}},
		{"K5", "after a failed drain the node stays cordoned for `--lock-release-delay`", "uncordoned at once", []string{"lock-release-delay"}},
		{"K6", "a node that can't be drained takes the lock again at once", "it backs off (`--back-off`), and the next one goes", []string{"drain-timeout"}},
		{"K7", "a restarted pod counts as a reboot", "a reboot is another boot ID", nil},
		{"K8", "one node may hold two locks", "one node, one slot", []string{"concurrency"}},
		{"K9", "`fri 22:00-04:00` is closed early on Saturday and open early on Friday", "a window belongs to the day on which it starts", []string{"reboot-days", "start-time", "end-time"}},
		{"K10", "a window at 02:00 is a minute long when clocks go forward", "[as stated](windows.md)", []string{"start-time", "end-time"}},
		{"K11", "an empty `--reboot-days` means never", "refused at start", []string{"reboot-days"}},
		{"K12", "`KURED_BLOCKING_POD_SELECTOR` doesn't work, and nothing blocks", "works, one selector on each line; an empty selector, which would match every pod, is refused", []string{"blocking-pod-selector"}},
		{"K13", "windows, alerts and pods are looked at once, before the lock", "again under the lock, after each delay, and right before the reboot command", []string{"prometheus-url", "blocking-pod-selector", "start-time", "end-time"}},
		{"K14", "an unreadable lock strands the node", "tried again for ever, and said on the Node", nil},
		{"K15", "a label flag without `=` crashes after the uncordon", "refused at start; so are labels of `rebootd.io/`", []string{"pre-reboot-node-labels", "post-reboot-node-labels"}},
		{"K16", "the holder's Node is deleted: no reboot ever again", "its slot is freed", nil},
		{"K17", "nothing looks whether the node works after the reboot", "Ready, steady and its DaemonSets' pods ready, before the uncordon", nil},
		{"K18", `a missing sentinel command is a "no", or a "yes"`, "unknown: no reboot, and it says so", []string{"reboot-sentinel-command"}},
		{"K19", "the environment beats flags", "a flag beats `REBOOTD_…`, and that `KURED_…`; lists work in all of them", nil},
		{"K20", "one pod may change any Node and delete any pod", "no right to delete pods; it evicts", nil},
		{"K21", `a sentinel path that isn't there is a "no" for ever`, "unknown, and it says so; the path is the host's", []string{"reboot-sentinel"}},
		{"K22", "a chronic alert blocks for ever, in the log only", "condition, Event, metric, notice; `--alert-filter-regexp=\"\"` ignores no alert, with kured it ignores all", []string{"prometheus-url", "alert-filter-regexp"}},
		{"K23", "a node that waits looks every `--period`", "it is named, and goes within a second", []string{"period"}},
		{"K24", "notices block the loop", "sent beside it, again if they fail; `--message-template-…` is kured's, [`--notify-template`](notifications.md) knows more", []string{"notify-url", "slack-hook-url", "message-template-drain", "message-template-reboot", "message-template-uncordon"}},
	}
}

// more is what the same page says of single flags, below the table, as a pattern of the list's items.
func more() map[string]string {
	return map[string]string{
		"force-reboot": "It is --on-drain-timeout=reboot: it reboots when the drain took too long. A drain here doesn't fail otherwise; with --drain-timeout=0 the flag " +
			"changes nothing.",
		"annotate-nodes": "weave.works/kured-reboot-in-progress goes whenever no reboot is wanted any more; kured leaves it when that came about otherwise than by its " +
			"own reboot.",
		"pre-reboot-node-labels": "They come in one write with the cordon, --post-reboot-node-labels with the uncordon; so they do for a reboot that is given up, and for " +
			"a node that a person had cordoned (whose cordon stays).",
		"lock-annotation": "It is about kured's lock alone; rebootd's own are Leases.",
	}
}

// Differs are the sentences on what rebootd will do otherwise than this kured, first those about the flags that it is given.
func (v *Values) Differs() []string {
	var own, all []string
	for _, d := range differences() {
		text := fmt.Sprintf("kured: %s. rebootd: %s.", said(d.kured), said(d.rebootd))
		used := slices.DeleteFunc(slices.Clone(d.flags), func(f string) bool { return !slices.Contains(v.Used, f) })
		switch {
		case len(used) > 0:
			own = append(own, fmt.Sprintf("--%s (%s): %s", strings.Join(used, ", --"), d.id, text))
		case len(d.flags) == 0:
			all = append(all, d.id+": "+text)
		}
	}
	for _, flag := range sorted(more()) {
		if slices.Contains(v.Used, flag) {
			own = append(own, "--"+flag+": "+more()[flag])
		}
	}
	if !slices.Contains(v.Used, "drain-timeout") {
		own = append(own, "--drain-timeout isn't set: a drain may take 30m here, and with kured for ever; configuration.drainTimeout: 0 is the same.")
	}
	if !slices.Contains(v.Used, "period") {
		own = append(own, "--period isn't set: rebootd looks every minute, kured every hour.")
	}
	return append(own, all...)
}

// said is the text without Markdown.
func said(text string) string {
	text = regexp.MustCompile(`\[([^]]*)\]\(([^)#]*)[^)]*\)`).ReplaceAllString(text, "$1 (docs/$2)")
	return strings.TrimSuffix(strings.ReplaceAll(text, "`", ""), ".")
}
