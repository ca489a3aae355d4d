package show

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/rebootd/rebootd/cmd/kubectl-reboot/internal/view"
	"github.com/rebootd/rebootd/pkg/plan"
)

// Explain writes everything about one node.
func Explain(w io.Writer, e *view.Explanation, s Style) error {
	p := printer{w: w, style: s}
	n := e.Node
	p.field("Node", n.Name+traits(n))
	p.painted("State", n.State+ago(e), stateColor(n))
	p.painted("Reason", dash(n.Reason), reasonColor(n.Reason))
	p.field("Message", dash(n.Message))
	p.field("Asked by", strings.Join(n.AskedBy, "; "))
	for _, q := range n.Requests {
		p.field("Request", request(q))
	}
	if n.Hold != nil {
		p.field("Hold", fmt.Sprintf("%q", *n.Hold))
	}
	p.field("Cordon", cordon(n))
	p.field("Slot", slot(e))
	p.field("Turn", turn(e))
	if b := n.BackOff; b != nil {
		p.field("Back-off", fmt.Sprintf("%s in a row given up, until %s; the last: %s: %s", view.Count(b.Failures, "attempt"), view.Stamp(b.Until), b.Reason, b.Cause))
	}
	p.field("Agent", theAgent(e))
	if e.Pause != nil {
		p.field("Pause", e.Pause.String())
	}
	if e.Circuit != nil {
		p.field("Circuit", e.Circuit.String())
	}
	if e.Kured != nil {
		p.field("kured", strings.TrimSpace(e.Kured.String()+" "+kuredSays(n.Kured)))
	}
	p.reboots(e)
	p.advice(e.Advice)
	if len(e.Notes) > 0 {
		p.write("\n")
	}
	for _, note := range e.Notes {
		p.line(red, note)
	}
	return p.err
}

const labelWidth = 11

func (p *printer) field(label, text string) { p.painted(label, text, 0) }

// painted writes a label and its text, broken to the terminal's width; no text: nothing.
func (p *printer) painted(label, text string, c color) {
	if text == "" {
		return
	}
	width := p.style.Width
	if width > 0 {
		width = max(width-labelWidth, 20)
	}
	for i, part := range wrap(OneLine(text), width) {
		head := label + ":"
		if i > 0 {
			head = ""
		}
		p.printf("%-*s%s\n", labelWidth, head, p.style.paint(c, part))
	}
}

func traits(n view.Node) string {
	var all []string
	if n.ControlPlane {
		all = append(all, "control plane")
	}
	if n.Zone != "" {
		all = append(all, "zone "+n.Zone)
	}
	if n.Priority != 0 {
		all = append(all, fmt.Sprintf("priority %d", n.Priority))
	}
	if !n.Ready {
		all = append(all, "not Ready")
	}
	if len(all) == 0 {
		return ""
	}
	return " (" + strings.Join(all, ", ") + ")"
}

func ago(e *view.Explanation) string {
	if e.Node.Since.IsZero() {
		return ""
	}
	return fmt.Sprintf(" for %s (since %s)", since(e.Node.Since, e.At), view.Stamp(e.Node.Since))
}

func request(q view.Request) string {
	kind := "request"
	if q.Now {
		kind = "request-now"
	}
	state := "not honoured yet"
	if q.Honoured {
		state = "honoured"
	}
	return fmt.Sprintf("%s %q, %s", kind, q.Text, state)
}

func cordon(n view.Node) string {
	switch {
	case !n.Unschedulable:
		return "none"
	case n.State == view.Unreadable || n.State == view.NoRecord:
		return "cordoned; by whom can't be known without its record"
	case n.Cordon == string(plan.CordonOurs):
		return "rebootd's; it is taken off when the node is back"
	case n.Cordon == string(plan.CordonAdmin):
		return "an administrator's; it stays after the reboot"
	}
	return "not rebootd's; it stays"
}

func slot(e *view.Explanation) string {
	var held []string
	for _, s := range e.Slots {
		text := fmt.Sprintf("%s held by %s", s.Name, s.Holder)
		if s.Holder == e.Node.Name {
			text = s.Name + " held by this node since " + view.Stamp(s.Since)
		} else if s.State != "" {
			text += fmt.Sprintf(" (%s)", strings.TrimSuffix(s.State+", "+s.Reason, ", "))
		}
		if s.Trouble != "" {
			text += ", but " + s.Trouble
		}
		held = append(held, text)
	}
	return fmt.Sprintf("lock group %s has %s; %s", e.Node.Group, view.Count(e.GroupSlots, "slot"), cmp.Or(strings.Join(held, "; "), "none is held"))
}

func turn(e *view.Explanation) string {
	n := e.Node
	switch {
	case n.Turn > 0 && n.Starts.After(e.At):
		return fmt.Sprintf("%d of %d, in about %s", n.Turn, e.Waiting, view.Age(n.Starts.Sub(e.At)))
	case n.Turn > 0:
		return fmt.Sprintf("%d of %d", n.Turn, e.Waiting)
	case n.HeldBack():
		return "none while it is held back"
	}
	return ""
}

func theAgent(e *view.Explanation) string {
	n := e.Node
	wrote := ""
	if !n.LastWrote.IsZero() {
		wrote = "; last wrote " + view.Age(max(e.At.Sub(n.LastWrote), 0)) + " ago"
	}
	switch {
	case n.Trouble != "":
		return n.Trouble
	case n.AgentReady:
		return "pod " + n.Agent + ", ready" + wrote
	case n.Agent != "":
		return "pod " + n.Agent + ", not ready" + wrote
	}
	return "not known" + wrote
}

func kuredSays(k *view.KuredNode) string {
	if k == nil {
		return ""
	}
	return "On this node: " + kured(k) + "."
}

func (p *printer) reboots(e *view.Explanation) {
	if len(e.Node.Reboots) == 0 {
		p.field("Reboots", "none known")
		return
	}
	p.write("\n")
	t := &table{headers: []string{"REBOOTED", "TOOK", "BY"}}
	for _, b := range slices.Backward(e.Node.Reboots) {
		t.add(plain(view.Stamp(b.In)), plain(view.Age(b.In.Sub(b.Out))), plain(pastBy(view.Past{Ours: b.Ours, Cleared: b.Cleared, By: b.By})))
	}
	p.table(t)
}

// pastBy is who asked for a reboot that has been, and what was odd about it.
func pastBy(b view.Past) string {
	text := dash(strings.Join(b.By, "; "))
	if !b.Ours {
		text += " (not by rebootd's command)"
	}
	if !b.Cleared {
		text += " (was still wanted afterwards)"
	}
	return text
}

func (p *printer) advice(all []view.Advice) {
	if len(all) == 0 {
		return
	}
	p.write("\n")
	p.write(p.style.paint(bold, "What helps:") + "\n")
	for _, a := range all {
		for _, part := range wrap(OneLine(a.Text), max(p.style.Width-2, 0)) {
			p.write("  " + part + "\n")
		}
		if a.Command != "" {
			p.write("      " + OneLine(a.Command) + "\n")
		}
	}
}
