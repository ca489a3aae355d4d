package notify

import (
	"fmt"
	"strings"
	"text/template"
	"time"
)

// DefaultTemplate is what people read if nothing else was said.
const DefaultTemplate = `{{.Node}}{{with .Cluster}} ({{.}}){{end}}: {{.Message}}`

// Templates are the texts of the events.
type Templates struct {
	all   *template.Template
	event map[Event]*template.Template
}

// ParseTemplates reads "event=template" for one event, or "template" for all the others. It returns an error for one that
// can't be carried out.
func ParseTemplates(texts []string) (Templates, error) {
	t := Templates{event: map[Event]*template.Template{}}
	var err error
	if t.all, err = parse(DefaultTemplate); err != nil {
		return t, err
	}
	for _, text := range texts {
		event, rest := split(text)
		parsed, err := parse(rest)
		switch {
		case err != nil:
			return t, err
		case event == "":
			t.all = parsed
		default:
			t.event[event] = parsed
		}
	}
	return t, nil
}

// split cuts off the event's name, if there is one.
func split(text string) (Event, string) {
	name, rest, ok := strings.Cut(text, "=")
	if ok {
		for _, e := range Events() {
			if string(e) == name {
				return e, rest
			}
		}
	}
	return "", text
}

// FromKured is a template that says what one of kured's does: the first %s is the node's name. What is written as a template
// already stays as it is.
func FromKured(e Event, text string) string {
	return string(e) + "=" + strings.ReplaceAll(text, "%s", "{{.Node}}")
}

func parse(text string) (*template.Template, error) {
	t, err := template.New("").Option("missingkey=error").Parse(text)
	if err == nil {
		err = t.Execute(&strings.Builder{}, Notice{Node: "node", AskedBy: []string{"file"}, Time: time.Unix(0, 0)})
	}
	if err != nil {
		return nil, fmt.Errorf("a Go template of a notice: %s", strings.TrimPrefix(err.Error(), "template: :"))
	}
	return t, nil
}

// text is what a notice reads like.
func (t Templates) text(n Notice) (string, error) {
	chosen := t.all
	if own := t.event[n.Event]; own != nil {
		chosen = own
	}
	var b strings.Builder
	if err := chosen.Execute(&b, n); err != nil {
		return "", fmt.Errorf("the template of event %s: %w", n.Event, err)
	}
	return b.String(), nil
}
