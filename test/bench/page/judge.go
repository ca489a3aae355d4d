package page

import (
	"fmt"
	"slices"
	"strings"
)

// Put takes in a row; one with the same ID gives way.
func (r *Results) Put(row Row) {
	i := slices.IndexFunc(r.Rows, func(o Row) bool { return o.ID == row.ID })
	if i < 0 {
		r.Rows = append(r.Rows, row)
		return
	}
	r.Rows[i] = row
}

// PutScale takes in a fleet; one of the same size gives way.
func (r *Results) PutScale(s Scale) {
	r.Scales = slices.DeleteFunc(r.Scales, func(o Scale) bool { return o.Waiting == s.Waiting })
	r.Scales = append(r.Scales, s)
	slices.SortFunc(r.Scales, func(a, b Scale) int { return a.Waiting - b.Waiting })
}

// Judge makes the rows that are about fleets.
func (r *Results) Judge() {
	for _, s := range r.Scales {
		r.fleet(s)
	}
	if len(r.Scales) > 1 {
		r.constant()
	}
}

func (r *Results) fleet(s Scale) {
	of := func(id, what, target, measured string, met, count bool, note string) {
		r.Put(Row{ID: fmt.Sprintf("%s-%d", id, s.Waiting), What: fmt.Sprintf("%s, %d nodes", what, s.Waiting), Target: target, Measured: measured, Met: met, Count: count, Note: note})
	}
	if s.Waiting <= 1000 {
		of("handover", "handover: slot freed → next node cordoned", "median < 250 ms, p99 < 2 s", fmt.Sprintf("median %.0f ms, p99 %.0f ms of %d", s.HandoverMedian, s.HandoverP99, s.Reboots),
			s.HandoverMedian < 250 && s.HandoverP99 < 2000, false, "All agents, the API server and etcd share this machine's processors.")
	}
	of("requests", "requests of the node that reboots, drain excluded", "< 40", fmt.Sprintf("%.1f", s.PerReboot-s.drain()), s.PerReboot-s.drain() < 40, true,
		"The node has no pods. What a drain asks is left out: a list and a watch of the node's pods, and a list at the end.")
	of("waiter", "requests of a waiting node for each handover", "< 1", fmt.Sprintf("%.4f", s.PerWaiter), s.PerWaiter < 1, true, "")
	of("idle", "requests of agents with nothing to do, beyond the watches of their Nodes", "0", fmt.Sprintf("%d of all in %.0f s", s.IdleRequests, s.IdleSeconds), s.IdleRequests == 0, true, "")
	of("waiting", "requests of agents that wait for a window or another node's slot, while nothing changes", "0", fmt.Sprintf("%d of all in %.0f s", s.WaitRequests, s.WaitSeconds), s.WaitRequests == 0, true,
		fmt.Sprintf("Besides, %d watches were renewed, as the client does with each every five to ten minutes.", s.WaitRenewals))
	of("window", "a window opens: first node cordoned", "< 5 s", fmt.Sprintf("%.2f s", s.FirstCordon), s.FirstCordon < 5, false, "")
	of("window-writes", "a window opens: writes of each waiting node", "≤ 2", fmt.Sprintf("%.1f (%.1f since its reboot was asked for)", s.Writes, s.WritesInAll), s.Writes <= 2, true, "One status patch carries record, label and condition; one Event.")
	of("refused", "a window opens: requests that the API server answered with 429 or 5xx, to the end of the roll", "0", fmt.Sprint(s.Refused), s.Refused == 0, true, "")
	of("burst", "sentinels of all nodes in the same second: requests that the API server answered with 429, and the agents sent again", NoTarget, fmt.Sprint(s.BurstRefused), true, false,
		"Its priority and fairness slows them down, for a Node has to say within a second what its sentinel asks for.")
	if s.Restart > 0 {
		of("restart", "API server restarted: requests of each waiting agent in the 60 s after", "no storm", fmt.Sprintf("%.1f, %d refused", s.Restart, s.RestartRefused), s.Restart <= 20, true, "They are the watches that begin anew.")
	}
}

// drain is how many of the requests were the drain's: it lists, watches, and lists once more.
func (s Scale) drain() float64 { return 3 }

// constant compares the smallest fleet with the largest.
func (r *Results) constant() {
	a, b := r.Scales[0], r.Scales[len(r.Scales)-1]
	change := 100 * (b.PerReboot - a.PerReboot) / a.PerReboot
	r.Put(Row{ID: "constant", What: fmt.Sprintf("requests per reboot with %d waiting nodes, compared with %d", b.Waiting, a.Waiting), Target: "± 10 %", Count: true,
		Measured: fmt.Sprintf("%+.1f %%", change), Met: change >= -10 && change <= 10})
}

// mark says whether the target was met, in the given word if it was missed.
func (r Row) mark(missed string) string {
	switch {
	case r.Target == NoTarget:
		return ""
	case r.Met:
		return "met"
	default:
		return missed
	}
}

// Table is everything side by side.
func (r *Results) Table() string {
	var b strings.Builder
	widths := [3]int{}
	for _, row := range r.Rows {
		for i, text := range []string{row.What, row.Target, row.Measured} {
			widths[i] = max(widths[i], len([]rune(text)))
		}
	}
	for _, row := range r.Rows {
		fmt.Fprintf(&b, "%s  %s  %s  %s\n", pad(row.What, widths[0]), pad(row.Target, widths[1]), pad(row.Measured, widths[2]), row.mark("MISSED"))
	}
	return b.String()
}

func pad(text string, n int) string { return text + strings.Repeat(" ", n-len([]rune(text))) }
