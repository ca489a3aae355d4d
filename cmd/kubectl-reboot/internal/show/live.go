package show

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/rebootd/rebootd/cmd/kubectl-reboot/internal/view"
)

const (
	hideCursor = "\x1b[?25l"
	showCursor = "\x1b[?25h"
	home       = "\x1b[H"
	clearLine  = "\x1b[K"
	clearBelow = "\x1b[J"
	clearAll   = "\x1b[2J"
)

// Live shows a status again and again. On a terminal it stays in one place, with a bar and cut to the terminal's height;
// elsewhere it writes a line for each node that changed.
type Live struct {
	W     io.Writer
	begun bool
	last  map[string]string
	text  string
}

// Show shows a new status.
func (l *Live) Show(v *view.Status, s Style) error {
	if s.Width == 0 {
		return l.changes(v, s)
	}
	var b bytes.Buffer
	if err := Status(&b, v, s); err != nil {
		return err
	}
	lines := strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
	end := len(lines) - len(wrap(OneLine(v.Summary.Text), s.Width)) // the summary is never left out
	lines, tail := lines[:end], lines[end:]
	if bar := Bar(v.Summary, s); bar != "" {
		tail = append([]string{bar}, tail...)
	}
	if room := max(s.Height-2, 1); s.Height > 0 && len(tail) > room {
		tail = tail[:room:room]
	}
	if room := s.Height - len(tail) - 2; s.Height > 0 && len(lines) > room {
		room = max(room, 0)
		lines = append(lines[:room:room], s.paint(dim, fmt.Sprintf("… %d more lines", len(lines)-room)))
	}
	var out strings.Builder
	if !l.begun {
		out.WriteString(hideCursor + clearAll)
		l.begun = true
	}
	out.WriteString(home)
	for _, line := range append(lines, tail...) {
		out.WriteString(line + clearLine + "\n")
	}
	out.WriteString(clearBelow)
	_, err := io.WriteString(l.W, out.String())
	return err
}

// End gives the terminal back as it was.
func (l *Live) End() {
	if l.begun {
		_, _ = io.WriteString(l.W, showCursor)
	}
}

// changes writes what is new.
func (l *Live) changes(v *view.Status, s Style) error {
	next := map[string]string{}
	var changed []view.Node
	for _, n := range v.Nodes {
		next[n.Name] = strings.Join([]string{n.State, n.Reason, n.Slot, n.Trouble}, "|")
		if l.last[n.Name] != next[n.Name] {
			changed = append(changed, n)
		}
	}
	p := printer{w: l.W, style: s}
	for name := range l.last {
		if _, there := next[name]; !there {
			p.line(0, "Node "+name+" is gone.")
		}
	}
	part := *v
	part.Nodes = changed
	s.NoHeaders = s.NoHeaders || l.last != nil
	p.style = s
	p.table(statusTable(&part, s))
	banner := ""
	if v.Pause != nil {
		banner = v.Pause.String() + " "
	}
	if v.Circuit != nil {
		banner += v.Circuit.String() + " "
	}
	counts := banner + fmt.Sprint(v.Summary.Done, v.Summary.Out, v.Summary.Settling, v.Summary.Waiting, v.Summary.HeldBack)
	if counts != l.text || len(changed) > 0 {
		p.line(0, banner+v.Summary.Text)
	}
	l.last, l.text = next, counts
	return p.err
}

// Bar is how far the roll is; empty when there is none.
func Bar(c view.Summary, s Style) string {
	if c.Wanting == 0 || s.Width < 20 {
		return ""
	}
	width := min(s.Width-7, 60)
	part := func(n int) int { return width * n / c.Wanting }
	done, under := part(c.Done), part(c.Done+c.Out+c.Settling)-part(c.Done)
	if c.Out+c.Settling > 0 && under == 0 && done < width {
		under = 1
	}
	return "[" + s.paint(green, strings.Repeat("#", done)) + s.paint(yellow, strings.Repeat(">", under)) +
		strings.Repeat(".", width-done-under) + fmt.Sprintf("]%4d%%", 100*c.Done/c.Wanting)
}
