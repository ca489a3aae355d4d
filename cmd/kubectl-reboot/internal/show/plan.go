package show

import (
	"io"

	"github.com/rebootd/rebootd/cmd/kubectl-reboot/internal/view"
)

// Plan writes who goes when, group by group.
func Plan(w io.Writer, v *view.Plan, s Style) error {
	p := printer{w: w, style: s}
	p.banner(v.Pause, v.Circuit)
	for _, g := range v.Groups {
		p.line(bold, g.Line())
		t := &table{headers: []string{"TURN", "NODE", "STATE", "WHEN", "REASON", "MESSAGE"}}
		for _, step := range g.Steps {
			t.add(plain(number(step.Turn)), plain(step.Node), plain(step.State), plain(step.When),
				cell{step.Reason, reasonColor(step.Reason)}, plain(step.Message))
		}
		p.table(t)
		p.write("\n")
	}
	for _, n := range v.Notes {
		p.line(red, n)
	}
	if len(v.Notes) > 0 {
		p.write("\n")
	}
	if v.Kured != nil {
		p.line(dim, v.Kured.String())
	}
	p.line(bold, v.Summary.Text)
	return p.err
}

// History writes what happened, the newest first.
func History(w io.Writer, v *view.History, s Style) error {
	p := printer{w: w, style: s}
	t := &table{headers: []string{"WHEN", "NODE", "WHAT", "TOOK", "BY"}}
	for _, b := range v.Items {
		what, took, by := b.What, "-", b.Message
		if b.What == view.Rebooted {
			took, by = view.Age(b.Took.Duration), pastBy(b)
		}
		t.add(plain(view.Stamp(b.At)), plain(b.Node), cell{what, reasonColor(what)}, plain(took), plain(dash(by)))
	}
	if len(t.rows) == 0 {
		p.line(0, "No reboots and no warnings are known.")
	}
	p.table(t)
	for _, n := range v.Notes {
		p.line(red, n)
	}
	return p.err
}
