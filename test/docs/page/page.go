// Package page reads the documentation: its blocks, and the commands in them.
package page

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Block is a fenced block of a page.
type Block struct {
	// Where is the file, as a path from the repository's root, and the line.
	Where string
	// Language is the word after the fence; "" if there is none.
	Language string
	Text     string
	// NotRun is why nobody can run it on a plain machine, as a comment above it says; "" if none does.
	NotRun string
}

// Command is one program with its arguments, as a page tells the reader to run it.
type Command struct {
	Where string
	// Words are the program and its arguments, without quotes. A word that a shell would make of something else is "…".
	Words []string
}

// Files are all pages, as paths below root.
func Files(root string) ([]string, error) {
	var all []string
	for _, pattern := range []string{"*.md", "docs/*.md", "charts/rebootd/README.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// Read reads all pages: their blocks, and their commands, also those in the middle of a sentence.
func Read(root string) ([]Block, []Command, error) {
	files, err := Files(root)
	if err != nil {
		return nil, nil, err
	}
	var blocks []Block
	var commands []Command
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, nil, err
		}
		name := strings.TrimPrefix(strings.TrimPrefix(file, root), "/")
		found, prose := Split(name, string(text))
		blocks = append(blocks, found...)
		for _, b := range found {
			if b.NotRun == "" && (b.Language == "sh" || b.Language == "" && !strings.ContainsAny(b.Text, "─│▼")) {
				commands = append(commands, Commands(b.Where, b.Text)...)
			}
		}
		commands = append(commands, inline(name, prose)...)
	}
	return blocks, commands, nil
}

// Split takes a page apart: its blocks, and the lines without them.
func Split(name, text string) (blocks []Block, prose []string) {
	fence := regexp.MustCompile("^( *)```(.*)$")
	notRun := regexp.MustCompile(`<!-- not run: (.*?) -->`)
	var open *Block
	indent, above := "", ""
	for i, line := range strings.Split(text, "\n") {
		m := fence.FindStringSubmatch(line)
		switch {
		case open != nil && m != nil && m[2] == "":
			blocks, open = append(blocks, *open), nil
			prose = append(prose, "")
		case open != nil:
			open.Text += strings.TrimPrefix(line, indent) + "\n"
			prose = append(prose, "")
		case m != nil:
			indent = m[1]
			open = &Block{Where: fmt.Sprintf("%s:%d", name, i+1), Language: m[2]}
			if why := notRun.FindStringSubmatch(above); why != nil {
				open.NotRun = why[1]
			}
			prose = append(prose, "")
		default:
			prose = append(prose, line)
		}
		if strings.TrimSpace(line) != "" {
			above = line
		}
	}
	return blocks, prose
}

// inline are the commands in backquotes in the prose.
func inline(name string, prose []string) []Command {
	programs := []string{"kubectl", "helm", "make", "rebootd", "go"}
	var all []Command
	for i, line := range prose {
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(line, -1) {
			program, rest, _ := strings.Cut(m[1], " ")
			if rest != "" && slices.Contains(programs, program) {
				all = append(all, Commands(fmt.Sprintf("%s:%d", name, i+1), m[1])...)
			}
		}
	}
	return all
}
