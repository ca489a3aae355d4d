// Command transcript makes of all that `make demo` prints, which it reads, what the README shows of it: the way of one node, and the end.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"
)

// width is how long a line may be.
const width = 132

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	var lines []string
	for s := bufio.NewScanner(in); s.Scan(); {
		lines = append(lines, s.Text())
	}
	shown, err := excerpt(lines)
	if err != nil {
		return err
	}
	for _, line := range shown {
		if _, err := fmt.Fprintln(out, line); err != nil {
			return err
		}
	}
	return nil
}

// excerpt is what is shown of a demo that went well.
func excerpt(lines []string) ([]string, error) {
	shown := []string{"$ make demo", "…"}
	node, story := "", false
	end := -1
	for i, line := range lines {
		w := strings.Fields(line)
		switch {
		case strings.HasPrefix(strings.TrimSpace(line), "TIME "):
			story = true
			shown = append(shown, cut(line))
		case strings.HasPrefix(line, "NODE "):
			story, end = false, i
		case !story || len(w) < 5 || w[1] != "s":
		case w[2] == "asking":
			shown = append(shown, cut(line))
		case node == "" && w[3] == "OUT,":
			node = w[2]
			fallthrough
		case node != "" && w[2] == node:
			shown = append(shown, cut(line))
			if w[3] == "in" && w[4] == "Idle" {
				story = false
			}
		}
	}
	if end < 0 || node == "" || !strings.HasPrefix(lines[len(lines)-1], "OK: ") {
		return nil, fmt.Errorf("this is no demo that went well")
	}
	shown = append(shown, "…")
	for _, line := range lines[end:] {
		if w := strings.Fields(line); len(w) > 2 && w[1] == "s" {
			continue // what is put away at the end
		}
		shown = append(shown, cut(line))
	}
	return shown, nil
}

// cut shortens a line.
func cut(line string) string {
	if utf8.RuneCountInString(line) <= width {
		return strings.TrimRight(line, " ")
	}
	return strings.TrimRight(string([]rune(line)[:width-1]), " ") + "…"
}
