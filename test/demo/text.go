package main

import (
	"bufio"
	"io"
	"strings"
)

func newLines(from io.Reader) *bufio.Scanner {
	const longest = 1 << 20
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, longest)
	return lines
}

// withoutStamp takes "[ 12.3s] " from the beginning of a line.
func withoutStamp(line string) string {
	if _, rest, found := strings.Cut(line, "s] "); found && line[0] == '[' {
		return rest
	}
	return line
}

// complaints is what a program's output says of errors; its last line if it doesn't call anything one.
func complaints(output string) string {
	var found []string
	last := ""
	for line := range strings.Lines(output) {
		last = withoutStamp(strings.TrimSpace(line))
		if what, is := strings.CutPrefix(last, "error: "); is {
			found = append(found, what)
		}
	}
	if len(found) == 0 {
		return last
	}
	return strings.Join(found, "; ")
}

func indent(text string) string {
	var indented strings.Builder
	for line := range strings.Lines(text) {
		indented.WriteString("    " + line)
	}
	return indented.String()
}
