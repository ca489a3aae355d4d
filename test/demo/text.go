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

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return withoutStamp(lines[len(lines)-1])
}

func indent(text string) string {
	var indented strings.Builder
	for line := range strings.Lines(text) {
		indented.WriteString("    " + line)
	}
	return indented.String()
}
