package page

import (
	"fmt"
	"maps"
	"math"
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

// mostAfterRestart is how many requests an agent may send in the minute after the API server has come back.
const mostAfterRestart = 20

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
		r.Put(Row{ID: fmt.Sprintf("%s-%d", id, s.Waiting), What: fmt.Sprintf("%s, %d nodes", what, s.Waiting), Target: target, Measured: measured, Met: met, Count: count, Note: note, Made: s.Made})
	}
	target, met := "median < 250 ms, p99 < 2 s", s.HandoverMedian < 250 && s.HandoverP99 < 2000
	if s.Waiting > 1000 {
		target, met = NoTarget, true
	}
	of("handover", "handover: slot freed → next node cordoned", target, fmt.Sprintf("median %.0f ms, p99 %.0f ms of %d", s.HandoverMedian, s.HandoverP99, s.Handovers), met, false,
		fmt.Sprintf("All agents, the API server and etcd share this machine's processors. %d of these slots were left to nobody by name.", s.Unnamed))
	of("requests", "requests of the node that reboots, drain excluded", "< 40", fmt.Sprintf("%.1f", s.PerReboot-s.drain()), s.PerReboot-s.drain() < 40, true,
		"The node has no pods. What a drain asks is left out: a list and a watch of the node's pods, and a list at the end."+s.whole())
	of("waiter", "requests of a waiting node for each handover", "< 1", fmt.Sprintf("%.4f", s.PerWaiter), s.PerWaiter < 1, true, "")
	of("idle", "requests of agents with nothing to do, beyond the watches of their Nodes", "0", fmt.Sprintf("%d of all in %.0f s", s.IdleRequests, s.IdleSeconds), s.IdleRequests == 0, true, "")
	of("waiting", "requests of agents that wait for a window or another node's slot, while nothing changes", "0", fmt.Sprintf("%d of all in %.0f s", s.WaitRequests, s.WaitSeconds), s.WaitRequests == 0, true,
		fmt.Sprintf("Besides, %d watches were renewed, %.3f per agent and minute.", s.WaitRenewals, float64(s.WaitRenewals)/float64(s.Waiting)/s.WaitSeconds*60))
	of("window", "a window opens: first node cordoned", "< 5 s", fmt.Sprintf("%.2f s", s.FirstCordon), s.FirstCordon < 5, false, "")
	of("window-writes", "a window opens: writes of each waiting node", "≤ 2", fmt.Sprintf("%.1f (%.1f since its reboot was asked for)", s.Writes, s.WritesInAll), s.Writes <= 2, true, "One status patch carries record, label and condition; one Event.")
	of("refused", "a window opens: requests that the API server answered with 429 or 5xx, to the end of the roll", "0", fmt.Sprint(s.Refused), s.Refused == 0, true, "")
	of("burst", "sentinels of all nodes in the same second: requests that the API server answered with 429, and the agents sent again", NoTarget, fmt.Sprint(s.BurstRefused), true, false,
		"Its priority and fairness slows them down, for a Node has to say within a second what its sentinel asks for.")
	if s.Restart > 0 {
		of("restart", "API server restarted: requests of each waiting agent in the 60 s after", fmt.Sprintf("≤ %d", mostAfterRestart), fmt.Sprintf("%.1f", s.Restart), s.Restart <= mostAfterRestart, true,
			fmt.Sprintf("%.1f of them were refused for now by the API server's priority and fairness, and sent again.%s", float64(s.RestartRefused)/float64(s.Waiting), s.restart()))
	}
}

// whole tells of the reboot with all that came before it.
func (s Scale) whole() string {
	if s.Whole == 0 {
		return ""
	}
	return fmt.Sprintf(" From the sentinel on, with what the node sent while it waited for window and slot, and what was refused then, it is %.1f.", s.Whole-s.drain())
}

// restart tells what agents send when the API server is back.
func (s Scale) restart() string {
	var kinds []string
	for _, k := range slices.Sorted(maps.Keys(s.RestartKinds)) {
		if n := s.RestartKinds[k]; n >= 0.1 {
			kinds = append(kinds, fmt.Sprintf("%s %.1f", k, n))
		}
	}
	if len(kinds) == 0 {
		return ""
	}
	return fmt.Sprintf(" In the busiest second %d came from all agents together. Of each: %s.", s.RestartPeak, strings.Join(kinds, ", "))
}

// drain is how many of the requests were the drain's: it lists, watches, and lists once more.
func (s Scale) drain() float64 { return 3 }

// constant compares each fleet with the smallest, and tells of the one that differs most.
func (r *Results) constant() {
	small, worst, change := r.Scales[0], r.Scales[0], 0.0
	for _, s := range r.Scales[1:] {
		if c := 100 * (s.PerReboot - small.PerReboot) / small.PerReboot; math.Abs(c) >= math.Abs(change) {
			worst, change = s, c
		}
	}
	r.Put(Row{ID: "constant", What: fmt.Sprintf("requests per reboot with %d to %d nodes, compared with %d", r.Scales[1].Waiting, r.Scales[len(r.Scales)-1].Waiting, small.Waiting), Target: "± 10 %", Count: true,
		Measured: fmt.Sprintf("%+.1f %% with %d", change, worst.Waiting), Met: math.Abs(change) <= 10, Made: worst.Made})
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
