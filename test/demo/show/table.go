package show

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
)

// Table sums up what happened to each of these nodes.
func (o *Observer) Table(nodes []string) string {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 3, ' ', 0)
	line := func(cells ...string) { _, _ = fmt.Fprintln(table, strings.Join(cells, "\t")) } // a Builder never fails
	line("NODE", "BOOT ID BEFORE", "BOOT ID NOW", "OUT OF SERVICE", "PODS MOVED")
	for _, name := range nodes {
		before, now, out := "?", "?", "?"
		if h, ok := o.nodes[name]; ok {
			out = seconds(h.outUntil(o.lastLook))
			if len(h.boots) > 0 {
				before, now = Short(h.boots[0]), Short(h.boots[len(h.boots)-1])
			}
		}
		line(name, before, now, out, fmt.Sprint(o.movedFrom(name)))
	}
	_ = table.Flush() // as above
	return text.String()
}

func (h *history) outUntil(now time.Duration) time.Duration {
	if h.now.Out() && now > h.since {
		return h.out + now - h.since
	}
	return h.out
}

func (o *Observer) movedFrom(node string) int {
	n := 0
	for _, from := range o.moved {
		if from == node {
			n++
		}
	}
	return n
}

// Verdict is the last line: what was shown, or everything that went wrong.
func Verdict(nodes int, problems []string, logs string) string {
	if len(problems) == 0 {
		return fmt.Sprintf("OK: %d nodes rebooted, one at a time", nodes)
	}
	verdict := "FAILED: " + strings.Join(strings.Fields(strings.Join(problems, "; ")), " ") // it must stay one line
	if logs != "" {
		verdict += "; logs are in " + logs
	}
	return verdict
}
