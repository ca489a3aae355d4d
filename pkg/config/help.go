package config

import (
	"fmt"
	"strings"
)

// environmentRule is how a flag's environment variable is named, for help and reference alike.
const environmentRule = "Every flag --some-flag can also be set by the environment variable REBOOTD_SOME_FLAG " +
	"or, as with kured, KURED_SOME_FLAG. The flag wins over REBOOTD_..., and that over KURED_..."

const agentHelp = "rebootd reboots the node that it runs on, safely, when the operating system asks for it.\n\n" +
	"Usage: rebootd --node-name=name [flags]\n" +
	"       rebootd windows [flags]    says when a reboot may be: see rebootd windows --help\n" +
	"       rebootd cleanup [flags]    takes rebootd out of the cluster: see rebootd cleanup --help"

// help is what --help prints, at most 100 columns wide.
func help(intro string, groups []group) string {
	const width, indent = 100, 34
	var b strings.Builder
	b.WriteString(intro + "\n\n" + strings.Join(wrap(environmentRule, width), "\n") + "\n")
	entry := func(flag, text string) {
		left := "  " + flag
		for _, line := range wrap(text, width-indent) {
			if len(left) > indent-2 {
				b.WriteString(left + "\n")
				left = ""
			}
			fmt.Fprintf(&b, "%-*s%s\n", indent, left, line)
			left = ""
		}
	}
	for _, g := range groups {
		b.WriteString("\n" + g.title + ":\n")
		for _, o := range g.options {
			entry(o.synopsis(), fmt.Sprintf("%s (%s)", o.meaning, o.hint()))
		}
	}
	b.WriteString("\nOther:\n")
	entry("-h, --help", "Print this help and exit.")
	entry("--version", "Print the version and exit.")
	return b.String()
}

// synopsis is the flag with what it takes.
func (o option) synopsis() string {
	if o.isBool() {
		return "--" + o.name
	}
	return "--" + o.name + "=" + o.value.placeholder
}

// hint is what the help adds to the meaning.
func (o option) hint() string {
	hint := "default " + o.defaultText()
	if o.required {
		hint = "required"
	}
	if o.alias != "" {
		hint += "; also --" + o.alias
	}
	return hint
}

// wrap breaks text into lines of at most width columns.
func wrap(text string, width int) []string {
	var lines []string
	for word := range strings.FieldsSeq(text) {
		last := len(lines) - 1
		if last >= 0 && len(lines[last])+1+len(word) <= width {
			lines[last] += " " + word
		} else {
			lines = append(lines, word)
		}
	}
	return lines
}
