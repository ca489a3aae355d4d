package page

import (
	"fmt"
	"strconv"
	"strings"
)

// Unknown stands for a word, or a part of one, that only a shell could know.
const Unknown = "…"

// Commands are the commands in lines of shell: those of pipes, lists and substitutions, too. Lines that are flags of an agent are left
// out.
func Commands(where, text string) []Command {
	s := shell{text: []rune(strings.ReplaceAll(text, "\\\n", " "))}
	s.list("")
	first := 0
	if file, line, ok := strings.Cut(where, ":"); ok {
		where = file
		first, _ = strconv.Atoi(line) // a place to look at; 0 is as good
	}
	var all []Command
	for _, words := range s.commands {
		for len(words) > 0 && assignment(words[0]) {
			words = words[1:]
		}
		if len(words) > 0 && !strings.HasPrefix(words[0], "--") {
			all = append(all, Command{Where: fmt.Sprintf("%s:%d", where, first), Words: words})
		}
	}
	return all
}

func assignment(word string) bool {
	name, _, ok := strings.Cut(word, "=")
	return ok && name != "" && strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") == ""
}

// shell reads the little that pages have of the shell's language.
type shell struct {
	text     []rune
	at       int
	commands [][]string
}

func (s *shell) next() (rune, bool) {
	if s.at >= len(s.text) {
		return 0, false
	}
	s.at++
	return s.text[s.at-1], true
}

func (s *shell) peek(text string) bool {
	return strings.HasPrefix(string(s.text[s.at:min(len(s.text), s.at+len(text))]), text)
}

// list reads commands until the end, which is a ")" for a substitution.
func (s *shell) list(end string) {
	var words []string
	var word strings.Builder
	begun, file := false, false // whether a word has begun, and whether the next one names where output goes
	endWord := func() {
		if begun && !file {
			words = append(words, word.String())
		}
		file = file && !begun
		word.Reset()
		begun = false
	}
	endCommand := func() {
		endWord()
		if len(words) > 0 {
			s.commands = append(s.commands, words)
		}
		words = nil
	}
	defer endCommand()
	for {
		if end != "" && s.peek(end) {
			s.at++
			return
		}
		r, ok := s.next()
		switch {
		case !ok:
			return
		case r == ' ' || r == '\t':
			endWord()
		case r == '\n' || r == ';' || r == '|' || r == '&':
			endCommand()
		case r == '#' && !begun:
			for r, ok = s.next(); ok && r != '\n'; r, ok = s.next() {
				continue
			}
			endCommand()
		case r == '>' || r == '<':
			if strings.Trim(word.String(), "0123456789") == "" {
				word.Reset() // 2>file
				begun = false
			}
			endWord()
			for s.peek(">") || s.peek("&") {
				s.at++
			}
			file = true
		case r == '\'':
			begun = true
			for r, ok = s.next(); ok && r != '\''; r, ok = s.next() {
				word.WriteRune(r)
			}
		case r == '"':
			begun = true
			s.quoted(&word)
		case r == '\\':
			begun = true
			if r, ok = s.next(); ok {
				word.WriteRune(r)
			}
		case r == '$':
			begun = true
			s.expansion(&word)
		default:
			begun = true
			word.WriteRune(r)
		}
	}
}

// quoted reads what is between double quotes.
func (s *shell) quoted(word *strings.Builder) {
	for {
		r, ok := s.next()
		switch {
		case !ok || r == '"':
			return
		case r == '\\':
			if r, ok = s.next(); ok {
				word.WriteRune(r)
			}
		case r == '$':
			s.expansion(word)
		default:
			word.WriteRune(r)
		}
	}
}

// expansion reads a substitution or a variable's name.
func (s *shell) expansion(word *strings.Builder) {
	word.WriteString(Unknown)
	if s.peek("(") {
		s.at++
		s.list(")")
		return
	}
	for s.at < len(s.text) && (s.text[s.at] == '_' || s.text[s.at] >= 'A' && s.text[s.at] <= 'Z') {
		s.at++
	}
}
