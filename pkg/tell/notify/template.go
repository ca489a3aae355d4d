package notify

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/rebootd/rebootd/pkg/plan"
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
		event, rest, err := split(text)
		if err != nil {
			return t, err
		}
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

// split cuts off the event's name, if there is one. What looks like one and is none is an error: with a typing error in it, the text of
// one event would be that of all.
func split(text string) (Event, string, error) {
	name, rest, ok := strings.Cut(text, "=")
	if !ok || name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_") != "" {
		return "", text, nil
	}
	if e := Event(name); slices.Contains(Events(), e) {
		return e, rest, nil
	}
	return "", "", fmt.Errorf("a template, or event=template: there is no event %q. A template that begins like this one can be written with {{\"\"}} before it", name)
}

// FromKured is a template that says what one of kured's does: the first %s is the node's name. What is written as a template
// already stays as it is.
func FromKured(e Event, text string) string {
	return string(e) + "=" + strings.ReplaceAll(text, "%s", "{{.Node}}")
}

// parse reads a template and tries it on two notices: on one of which all is known, and on one of which hardly anything is.
func parse(text string) (*template.Template, error) {
	t, err := template.New("").Option("missingkey=error").Funcs(template.FuncMap{"join": strings.Join}).Parse(text)
	for _, n := range []Notice{example(), {Node: "node"}} {
		if err == nil {
			_, err = execute(t, n)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("a Go template of a notice: %s", strings.TrimPrefix(err.Error(), "template: :"))
	}
	return t, nil
}

func example() Notice {
	return Notice{
		Event: Back, Node: "node", Cluster: "cluster", Phase: plan.Settle, Reason: plan.Uncordoned, Message: "A sentence.",
		AskedBy: []string{"file"}, Why: "A sentence.", Packages: []string{"a", "b"}, Time: time.Unix(0, 0),
		Waited: time.Hour, OutFor: time.Minute, DrainedIn: time.Second, BootedIn: time.Second,
	}
}

// text is what a notice reads like. One that the chosen template can't carry out reads as by default, and the error says why:
// people are to be told all the same.
func (t Templates) text(n Notice) (string, error) {
	chosen := t.all
	if own := t.event[n.Event]; own != nil {
		chosen = own
	}
	text, err := execute(chosen, n)
	if err == nil {
		return text, nil
	}
	err = fmt.Errorf("the template of event %s: %w", n.Event, err)
	standard, parseErr := parse(DefaultTemplate)
	if parseErr != nil {
		return "", errors.Join(err, parseErr)
	}
	text, fails := execute(standard, n)
	if fails != nil {
		return "", errors.Join(err, fails)
	}
	return text, err
}

// textLimit bounds the bytes of a notice: a template may have a loop in it.
const textLimit = 16 << 10

func execute(t *template.Template, n Notice) (string, error) {
	var b bounded
	if err := t.Execute(&b, n); err != nil {
		return "", err
	}
	return b.String(), nil
}

// bounded takes no more than textLimit.
type bounded struct{ strings.Builder }

// Write implements io.Writer.
func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > textLimit {
		return 0, fmt.Errorf("a notice of more than %d bytes", textLimit)
	}
	return b.Builder.Write(p)
}
