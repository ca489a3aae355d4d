// Package show writes views as text: tables that fit the terminal, colours only where they are wanted.
package show

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Style is what the output can do.
type Style struct {
	// Width is the terminal's in columns; 0: no terminal, so nothing is cut.
	Width int
	// Height is the terminal's in lines; 0: no limit.
	Height int
	// Color is whether colours are wanted.
	Color bool
	// Wide adds columns.
	Wide bool
	// NoHeaders leaves out the line with the names of the columns.
	NoHeaders bool
}

// color is an ANSI colour; 0: none.
type color int

const (
	red    color = 31
	green  color = 32
	yellow color = 33
	dim    color = 2
	bold   color = 1
)

func (s Style) paint(c color, text string) string {
	if !s.Color || c == 0 || text == "" {
		return text
	}
	return fmt.Sprintf("\x1b[%dm%s\x1b[0m", c, text)
}

type cell struct {
	text  string
	color color
}

func plain(text string) cell { return cell{text: text} }

type table struct {
	headers []string
	rows    [][]cell
}

func (t *table) add(cells ...cell) {
	for i := range cells {
		cells[i].text = OneLine(cells[i].text)
	}
	t.rows = append(t.rows, cells)
}

const (
	gap = 3
	// least is what a column that is cut keeps of its text.
	least = 8
	// kept is how many columns stay as long as the widest of them can be cut to keptLeast: names alone say nothing.
	kept, keptLeast = 4, 16
)

// write writes the table. In a terminal that is too narrow the last column is cut, then left out, then the one before; the first few stay
// if it is enough to cut the widest of them.
func (t *table) write(w io.Writer, s Style) error {
	widths := make([]int, len(t.headers))
	rows := t.rows
	if !s.NoHeaders {
		header := make([]cell, len(t.headers))
		for i, h := range t.headers {
			header[i] = cell{h, bold}
		}
		rows = append([][]cell{header}, rows...)
	}
	for _, row := range rows {
		for i, c := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(c.text))
		}
	}
	widths = fit(widths, s.Width)
	var b strings.Builder
	for _, row := range rows {
		b.WriteString(line(row, widths, s))
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// fit cuts the widths so that a line fits the terminal.
func fit(widths []int, terminal int) []int {
	for terminal > 0 && len(widths) > 0 {
		used := gap * (len(widths) - 1)
		for _, w := range widths[:len(widths)-1] {
			used += w
		}
		last := len(widths) - 1
		left := terminal - used
		switch {
		case left >= widths[last]:
			return widths
		case len(widths) == kept && narrow(widths, terminal):
			return widths
		case left >= least || last == 0:
			widths[last] = max(left, 1)
			return widths
		}
		widths = widths[:last]
	}
	return widths
}

// narrow cuts the widest column so that a line fits the terminal; false: that would leave too little of it.
func narrow(widths []int, terminal int) bool {
	used, widest := gap*(len(widths)-1), 0
	for i, w := range widths {
		used += w
		if w > widths[widest] {
			widest = i
		}
	}
	left := widths[widest] - (used - terminal)
	if left < keptLeast {
		return false
	}
	widths[widest] = left
	return true
}

func line(row []cell, widths []int, s Style) string {
	var b strings.Builder
	pending := 0
	for i, width := range widths {
		text := clip(row[i].text, width)
		if text != "" {
			b.WriteString(strings.Repeat(" ", pending))
			pending = 0
			b.WriteString(s.paint(row[i].color, text))
		}
		pending += width - utf8.RuneCountInString(text) + gap
	}
	return b.String()
}

func clip(text string, width int) string {
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	return string([]rune(text)[:max(width-1, 0)]) + "…"
}

// OneLine keeps what others wrote, an agent whose token was stolen among them, from breaking the table, or playing with the terminal.
func OneLine(text string) string {
	return clean(text, "")
}

// Lines does so with what may have several lines.
func Lines(text string) string { return clean(text, "\n") }

func clean(text, keep string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(keep, r) {
			return r
		}
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, text)
}
