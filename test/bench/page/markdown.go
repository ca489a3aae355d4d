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
- In fleets the agents run in one process, each with connections of its own; what is said of one agent's memory and start is of a process of its own, built as the image has it.
- Ten seconds after its start, and once more a minute later, an agent gives back the heap and the pages of its program's file that it doesn't need any more; the idle agent's memory is looked at three minutes after its start. Nobody reads its metrics until then.
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
		built = append(built, name+" "+r.Versions[name])
	}
	fmt.Fprintf(&b, "Measured on %s on %s (%s). The parts were measured in one run or in several of that day, some side by side. The machine's load was %s "+
		"before the last part.\n\n", r.Taken, r.Machine, strings.Join(built, ", "), r.Load)
	for _, text := range r.missing() {
		b.WriteString(text + "\n\n")
	}
	b.WriteString("| what | target | measured | |\n|---|---|---|---|\n")
	for _, row := range r.Rows {
		note := row.Note
		if note != "" {
			note = "<br>" + note
		}
		fmt.Fprintf(&b, "| %s | %s | %s%s | %s |\n", row.What, row.Target, row.Measured, note, row.mark("**missed**"))
	}
	if len(r.Scales) > 1 {
		b.WriteString("\n## Cost against waiting nodes\n\n![requests](performance-requests.svg)\n\n![handover](performance-handover.svg)\n\n")
		r.kinds(&b)
	}
	if len(r.Settings) > 0 {
		b.WriteString("\n## Settings of the Go runtime\n\nAn agent with nothing to do, 20 s after its start; the first, 3 minutes after it. The image sets what the first row says; the others change that.\n\n" +
			"| environment | RSS, MiB | anonymous, MiB | processor time from its start, ms |\n|---|---|---|---|\n")
		for _, s := range r.Settings {
			fmt.Fprintf(&b, "| %s | %.1f | %.1f | %d |\n", s.Env, float64(s.RSS)/1024, float64(s.Anon)/1024, s.CPU)
		}
	}
	b.WriteString("\n" + how)
	return b.String()
}

// missing says what was not measured.
func (r *Results) missing() []string {
	var all []string
	const many = 5000
	if !slices.ContainsFunc(r.Scales, func(s Scale) bool { return s.Waiting >= many }) {
		all = append(all, "**Not measured yet:** a fleet of 5,000 waiting nodes (`BENCH=full make bench`).")
	}
	if !slices.ContainsFunc(r.Rows, func(o Row) bool { return strings.HasPrefix(o.ID, "roll-1000") }) {
		all = append(all, "**Not measured yet:** rolls of 1,000 nodes from the first to the last (`BENCH=full make bench`).")
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
