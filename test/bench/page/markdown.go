package page

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

const intro = `# Performance

What rebootd costs and how fast it is, as ` + "`make bench`" + ` has measured it: the real agents against a real API server and etcd, with nodes simulated by kwok, on
one machine that all of them share. Nothing here is estimated; what misses its target says so. What is said of kured was measured earlier, on a machine of this
kind, and not in this run: kured's image can't be run in this test bed. kubectl drain was measured in the same run, on the same cluster.

`

const how = `## How it is measured

- Requests are counted by the API server's own audit log. Each agent has a token of the agents' one service account, bound to its Node, as a kubelet gives it; so the API server's
  priority and fairness sees what it sees in a cluster, and the log says which agent a request is from. Rights are those of ` + "`manifests/base`" + `.
- Times between what happens to Nodes and Leases are an observer's that watches them, independently of the agents. It is a process on the same machine.
- In fleets the agents run in one process, each with connections of its own, whose garbage is collected less often than the image has it (GOGC=400); what is said of one agent's memory and start is of a process of its own, built as the image has it.
- Ten seconds after its start, and once more a minute later, an agent gives back the heap and the pages of its program's file that it doesn't need any more; the idle agent's memory is looked at three minutes after its start. Until then it is asked as often whether it is ready and lives as a kubelet asks, and nobody reads its metrics.
- etcd runs without fsync, so a write takes as long as the processors need for it; on a disk it takes some milliseconds more, several times in a handover.
- A quiet time begins when nothing but watches has been sent for ten seconds. In a large fleet it is short; ` + "`BENCH=full make bench`" + ` looks at a small one for an hour.
- An observer watches all Nodes and slots while they roll: more nodes out than may be, a node that goes down without a cordon or without a slot, one that is back in service in the boot of before or without being Ready, and a reboot command that runs twice each fail the benchmark.
- A handover is counted from the deletion of a slot's Lease to the next cordon, whether or not somebody was named; the first reboot of a fleet lasts until all nodes have told that the window is open, for only those are named.
- A reboot is simulated: the command leaves a file, the agent ends, the Node falls silent and comes back with another boot ID after the time that is named. Its pods start 0.4 s later.
- The options are the defaults, but ` + "`--steady-time=0`" + ` and what a row names. The Node has no pods in fleets.
- Requests per reboot are counted from the moment that the slot is freed which the node takes, to two seconds after it has freed it, and are the mean of all reboots but the first.
- Times depend on the machine. What counts is compared with its target, and ` + "`make bench`" + ` fails if it misses it; a test in CI counts the same for a small fleet (` + "`test/integration/cost_test.go`" + `).

To measure it: ` + "`make bench`" + `, or ` + "`BENCH=full make bench`" + ` with 5,000 nodes and rolls of 1,000, which takes hours.
`

// Markdown is the page.
func (r *Results) Markdown() string {
	var b strings.Builder
	b.WriteString(intro)
	var built []string
	for _, name := range slices.Sorted(maps.Keys(r.Versions)) {
		if name == "rebootd" {
			continue // each row has its own
		}
		built = append(built, name+" "+r.Versions[name])
	}
	fmt.Fprintf(&b, "Measured on %s (%s). The last column says when, and with which commit.\n\n", r.Machine, strings.Join(built, ", "))
	for _, text := range r.missing() {
		b.WriteString(text + "\n\n")
	}
	b.WriteString("| what | target | measured | | when |\n|---|---|---|---|---|\n")
	for _, row := range r.Rows {
		note := row.Note
		if note != "" {
			note = "<br>" + note
		}
		fmt.Fprintf(&b, "| %s | %s | %s%s | %s | %s, %s |\n", row.What, row.Target, row.Measured, note, row.mark("**missed**"), row.Taken, row.Commit)
	}
	if len(r.Scales) > 1 {
		b.WriteString("\n## Cost against waiting nodes\n\n![requests](performance-requests.svg)\n\n![handover](performance-handover.svg)\n\n")
		r.kinds(&b)
	}
	if len(r.Settings) > 0 {
		b.WriteString("\n## Settings of the Go runtime\n\nAgents with nothing to do, side by side, three minutes after their start; and again when their metrics were read four times in two more " +
			"minutes. The image sets what the first row says; the others change that.\n\n" +
			"| environment | RSS, MiB | anonymous, MiB | RSS after scrapes | anonymous after scrapes | processor time in five minutes, ms |\n|---|---|---|---|---|---|\n")
		for _, s := range r.Settings {
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %d |\n", s.Env, mib(s.RSS), mib(s.Anon), mib(s.ScrapedRSS), mib(s.ScrapedAnon), s.CPU)
		}
	}
	b.WriteString("\n" + how)
	return b.String()
}

func mib(kib int) string { return fmt.Sprintf("%.1f", float64(kib)/1024) }

// missing says what was not measured.
func (r *Results) missing() []string {
	var all []string
	for _, part := range []struct{ id, what string }{
		{"rss", "one idle agent"}, {"drain-250", "drains"}, {"take-bytes", "what a take reads"}, {"roll-10", "a roll of 10 nodes"},
		{"window-10", "a fleet of 10 waiting nodes"}, {"window-100", "a fleet of 100 waiting nodes"}, {"window-1000", "a fleet of 1,000 waiting nodes"},
		{"window-5000", "a fleet of 5,000 waiting nodes"}, {"restart-5000", "the API server's start again with 5,000 waiting nodes, for which a process has to be allowed to open 30,000 files"}, {"hour", "ten agents with nothing to do, for an hour"}, {"roll-1000", "a roll of 1,000 nodes, one at a time"}, {"roll-1000-5%", "a roll of 1,000 nodes, 5 % at a time"},
	} {
		if !slices.ContainsFunc(r.Rows, func(row Row) bool { return row.ID == part.id }) {
			all = append(all, "**Not measured yet:** "+part.what+" (`BENCH=full make bench`).")
		}
	}
	return all
}

// kinds lists what a reboot's requests are.
func (r *Results) kinds(b *strings.Builder) {
	seen := map[string]bool{}
	b.WriteString("Requests of the node that reboots, by kind:\n\n| |")
	for _, s := range r.Scales {
		fmt.Fprintf(b, " %d nodes |", s.Waiting)
		for k := range s.Kinds {
			seen[k] = true
		}
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(r.Scales)) + "\n")
	for _, k := range slices.Sorted(maps.Keys(seen)) {
		fmt.Fprintf(b, "| %s |", k)
		for _, s := range r.Scales {
			fmt.Fprintf(b, " %.1f |", s.Kinds[k])
		}
		b.WriteString("\n")
	}
}
