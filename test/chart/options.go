package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/rebootd/rebootd/pkg/config"
)

const made = "# Made from the code by `make chart`.\n"

// notCharted are the flags that the chart sets itself: the pod's node, and where it mounts the host's folders.
func notCharted() []string { return []string{"node-name", "host-root"} }

// files are the flags that take a file in the pod which a Secret may hold. Other paths are the host's, or the kernel's.
func files() []string {
	return []string{"kubeconfig", "prometheus-http-config", "alertmanager-http-config", "hook-http-config", "web-config-file", "notify-url-file"}
}

// charted is the table without them, each option with its key in the values.
func charted(table []config.Section) []section {
	var all []section
	for _, s := range table {
		c := section{title: s.Title}
		for _, o := range s.Options {
			if !slices.Contains(notCharted(), o.Name) {
				c.options = append(c.options, option{Option: o, key: camel(o.Name)})
			}
		}
		if len(c.options) > 0 {
			all = append(all, c)
		}
	}
	return all
}

type section struct {
	title   string
	options []option
}

type option struct {
	config.Option
	key string
}

// comment is what the values file and the README say of it.
func (o option) comment() string { return fmt.Sprintf("%s (default %s)", o.Meaning, o.Default) }

// camel turns a flag's name into a key as kured's chart has them.
func camel(flag string) string {
	words := strings.Split(flag, "-")
	for i, w := range words[1:] {
		words[i+1] = strings.ToUpper(w[:1]) + w[1:]
	}
	return strings.Join(words, "")
}

// entry is what the templates know of an option.
type entry struct {
	Flag     string `json:"flag"`
	Variable string `json:"variable"`
	Alias    string `json:"alias,omitempty"`
	List     bool   `json:"list,omitempty"`
	// Empty: "" is rendered. Of kured's keys it never is: there it has always meant "not set".
	Empty bool `json:"empty,omitempty"`
	// File: the value is a file in the pod; from a Secret it is mounted.
	File bool `json:"file,omitempty"`
	// Secret: the value goes through a Secret.
	Secret bool `json:"secret,omitempty"`
	// Command: it may be a command, which needs the host's namespaces.
	Command bool `json:"command,omitempty"`
	// Template: kured's chart evaluates it as a template.
	Template bool `json:"template,omitempty"`
	// Instead says what to use in its place.
	Instead string `json:"instead,omitempty"`
}

// optionsFile is the list of flags that the templates work from. A key of kured's whose flag is not in the table is in it too, with
// what becomes of it.
func optionsFile(sections []section) ([]byte, error) {
	options, missing := map[string]entry{}, map[string]kuredKey{}
	for _, s := range sections {
		for _, o := range s.options {
			options[o.key] = entry{
				Flag: o.Name, Variable: o.Variable, Alias: o.Alias, List: o.List, Empty: o.TakesEmpty, Secret: o.Secret,
				File:    slices.Contains(files(), o.Name),
				Command: strings.Contains(o.Placeholder, "command") && !isChoice(o),
			}
		}
	}
	for _, k := range kuredKeys() {
		e, ok := options[k.key]
		if !ok {
			missing[k.key] = k
			continue
		}
		e.Empty, e.Template, e.Instead = false, k.Template, k.Instead
		options[k.key] = e
	}
	text, err := yaml.Marshal(map[string]any{"options": options, "missing": missing})
	return append([]byte(made), text...), err
}

const begin, end = "  # BEGIN options", "  # END options"

// valuesFile puts the options between their marks.
func valuesFile(old []byte, sections []section) ([]byte, error) {
	head, rest, ok := bytes.Cut(old, []byte(begin))
	_, tail, ok2 := bytes.Cut(rest, []byte(end))
	if !ok || !ok2 {
		return nil, fmt.Errorf("values.yaml has no %q and %q", begin, end)
	}
	var b bytes.Buffer
	b.Write(head)
	b.WriteString(begin + " (made from the code by `make chart`; null is the default)\n")
	for _, s := range sections {
		fmt.Fprintf(&b, "\n  # --- %s\n", s.title)
		for _, o := range s.options {
			b.WriteString("\n")
			for _, line := range wrap(o.comment(), 116) {
				b.WriteString("  # " + line + "\n")
			}
			fmt.Fprintf(&b, "  %s: null\n", o.key)
		}
	}
	b.WriteString("\n" + end)
	b.Write(tail)
	return b.Bytes(), nil
}

// wrap breaks text into lines of at most width columns.
func wrap(text string, width int) []string {
	var lines []string
	for word := range strings.FieldsSeq(text) {
		if last := len(lines) - 1; last >= 0 && len(lines[last])+1+len(word) <= width {
			lines[last] += " " + word
		} else {
			lines = append(lines, word)
		}
	}
	return lines
}
