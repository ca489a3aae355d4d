package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

const valuesMark, optionsMark = "<!-- values -->\n", "<!-- options -->\n"

// readmeFile puts the tables of values, made from the comments in values.yaml, and of options at their marks.
func readmeFile(text, values []byte, sections []section) ([]byte, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(values, &doc); err != nil {
		return nil, fmt.Errorf("reading values.yaml: %w", err)
	}
	var b strings.Builder
	b.WriteString("| Value | Default | Meaning |\n|---|---|---|\n")
	if err := rows(&b, "", doc.Content[0]); err != nil {
		return nil, err
	}
	var o strings.Builder
	for _, s := range sections {
		fmt.Fprintf(&o, "### %s\n\n| Value | Default | Meaning |\n|---|---|---|\n", s.title)
		for _, option := range s.options {
			fmt.Fprintf(&o, "| `configuration.%s` | %s | %s |\n", option.key, cell(option.Default), cell(option.Meaning))
		}
		o.WriteString("\n")
	}
	for mark, table := range map[string]string{valuesMark: b.String(), optionsMark: o.String()} {
		if !bytes.Contains(text, []byte(mark)) {
			return nil, fmt.Errorf("test/chart/readme.md has no %q", mark)
		}
		text = bytes.Replace(text, []byte(mark), []byte(table), 1)
	}
	return append([]byte("<!-- Made from the code by `make chart`. -->\n\n"), text...), nil
}

// rows are the keys of a map and what is below them, until there is a comment that says what it is for.
func rows(b *strings.Builder, prefix string, m *yaml.Node) error {
	for i := 0; i+1 < len(m.Content); i += 2 {
		key, value := m.Content[i], m.Content[i+1]
		name := prefix + key.Value
		comment := said(key.HeadComment)
		switch {
		case name == "configuration":
		case comment == "" && value.Kind == yaml.MappingNode && len(value.Content) > 0:
			if err := rows(b, name+".", value); err != nil {
				return err
			}
		case comment == "":
			return fmt.Errorf("values.yaml: %s has no comment", name)
		default:
			var v any
			if err := value.Decode(&v); err != nil {
				return err
			}
			def, err := json.Marshal(v)
			if err != nil {
				return err
			}
			if value.Kind == yaml.MappingNode && len(value.Content) > 0 && nested(value) {
				fmt.Fprintf(b, "| `%s` | | %s |\n", name, cell(comment))
				if err := rows(b, name+".", value); err != nil {
					return err
				}
				continue
			}
			fmt.Fprintf(b, "| `%s` | `%s` | %s |\n", name, cell(string(def)), cell(comment))
		}
	}
	return nil
}

// nested reports whether the keys of the map have comments of their own.
func nested(m *yaml.Node) bool {
	for i := 0; i < len(m.Content); i += 2 {
		if m.Content[i].HeadComment != "" {
			return true
		}
	}
	return false
}

// said is a comment as one line. Only the last block belongs to the key.
func said(comment string) string {
	blocks := strings.Split(comment, "\n\n")
	var words []string
	for line := range strings.Lines(blocks[len(blocks)-1]) {
		line = strings.TrimPrefix(strings.TrimSpace(line), "#")
		if strings.HasPrefix(line, "   ") { // an example
			continue
		}
		words = append(words, strings.TrimSpace(line))
	}
	return strings.Join(words, " ")
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
