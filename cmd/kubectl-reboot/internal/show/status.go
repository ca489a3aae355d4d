package show

import (
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/rebootd/rebootd/cmd/kubectl-reboot/internal/view"
	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/pkg/tell"
)

// Status writes one line per node, what stops the cluster, and the summary.
func Status(w io.Writer, v *view.Status, s Style) error {
	p := printer{w: w, style: s}
	p.banner(v.Pause, v.Circuit)
	p.table(statusTable(v, s))
	p.notes(v.Notes)
	if v.Kured != nil {
		p.line(dim, v.Kured.String())
	}
	p.line(bold, v.Summary.Text)
	return p.err
}

func statusTable(v *view.Status, s Style) *table {
	t := &table{headers: []string{"NODE", "STATE", "SINCE", "REASON", "TURN", "ASKED BY"}}
	several := !s.Wide && groups(v) // else turns look alike
	if several {
		t.headers = append(t.headers, "GROUP")
	}
	if s.Wide {
		t.headers = append(t.headers, "GROUP", "SLOT", "AGENT")
		if v.Kured != nil {
			t.headers = append(t.headers, "KURED")
		}
		t.headers = append(t.headers, "MESSAGE")
	}
	for _, n := range v.Nodes {
		row := []cell{
			plain(n.Name), {n.State, stateColor(n)}, plain(since(n.Since, v.At)), {n.Reason, reasonColor(n.Reason)},
			plain(number(n.Turn)), plain(asked(n)),
		}
		if several {
			row = append(row, plain(n.Group))
		}
		if s.Wide {
			row = append(row, plain(n.Group), plain(dash(n.Slot)), cell{agent(n), troubleColor(n)})
			if v.Kured != nil {
				row = append(row, plain(kured(n.Kured)))
			}
			row = append(row, plain(cmp.Or(n.Message, n.Trouble)))
		}
		t.add(row...)
	}
	return t
}

// groups reports whether nodes of several lock groups wait for their turns.
func groups(v *view.Status) bool {
	first := ""
	for _, n := range v.Nodes {
		if n.Turn > 0 && first != "" && n.Group != first {
			return true
		}
		if n.Turn > 0 {
			first = n.Group
		}
	}
	return false
}

// asked is what asks for the reboot: the packages where they are known.
func asked(n view.Node) string {
	if !n.Waiting() && !n.UnderWay() {
		return "-"
	}
	if len(n.Packages) > 0 {
		return strings.Join(n.Packages, ", ")
	}
	return dash(strings.Join(n.AskedBy, "; "))
}

func agent(n view.Node) string {
	switch {
	case n.Trouble != "":
		return "trouble"
	case n.AgentReady:
		return "ready"
	case n.Agent != "":
		return "not ready"
	}
	return "?"
}

func kured(k *view.KuredNode) string {
	switch {
	case k == nil:
		return "-"
	case k.InProgress != "":
		return "rebooting since " + k.InProgress
	}
	return "needed at " + k.Needed
}

func stateColor(n view.Node) color {
	switch {
	case n.State == view.NoAgent || n.State == view.Unreadable || n.State == view.NoRecord:
		return red
	case n.UnderWay():
		return yellow
	case n.State == string(plan.Idle):
		return green
	}
	return 0
}

// reasonColor is red for what somebody should look at.
func reasonColor(reason string) color {
	if tell.Warns(plan.Reason(reason)) {
		return red
	}
	return 0
}

func troubleColor(n view.Node) color {
	if n.Trouble != "" {
		return red
	}
	return 0
}

func since(t, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return view.Age(max(now.Sub(t), 0))
}

func number(n int) string {
	if n == 0 {
		return "-"
	}
	return strconv.Itoa(n)
}

func dash(s string) string { return cmp.Or(s, "-") }

// printer keeps the first error, so that what is written reads as a list.
type printer struct {
	w     io.Writer
	style Style
	err   error
}

func (p *printer) write(text string) {
	if p.err == nil {
		_, p.err = io.WriteString(p.w, text)
	}
}

func (p *printer) line(c color, text string) {
	for _, part := range wrap(OneLine(text), p.style.Width) {
		p.write(p.style.paint(c, part) + "\n")
	}
}

func (p *printer) table(t *table) {
	if p.err == nil && len(t.rows) > 0 {
		p.err = t.write(p.w, p.style)
	}
}

func (p *printer) banner(pause *view.Pause, circuit *view.Breaker) {
	if pause != nil {
		p.line(yellow, pause.String())
	}
	if circuit != nil {
		p.line(red, circuit.String())
	}
	if pause != nil || circuit != nil {
		p.write("\n")
	}
}

func (p *printer) notes(notes []string) {
	if len(notes) > 0 {
		p.write("\n")
	}
	for _, n := range notes {
		p.line(red, n)
	}
	p.write("\n")
}

func (p *printer) printf(format string, args ...any) { p.write(fmt.Sprintf(format, args...)) }

// wrap breaks a text at its blanks; 0: it is one line.
func wrap(text string, width int) []string {
	if width <= 0 || len(text) <= width {
		return []string{text}
	}
	var lines []string
	current := ""
	for word := range strings.FieldsSeq(text) {
		if current != "" && len(current)+1+len(word) > width {
			lines = append(lines, current)
			current = ""
		}
		if current != "" {
			current += " "
		}
		current += word
	}
	return append(lines, current)
}
