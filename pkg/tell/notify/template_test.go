package notify

import (
	"context"
	"strings"
	"testing"
	"time"
)

func TestTemplates(t *testing.T) {
	n := example()
	n.Event, n.Message = Required, "Asked."
	for name, tt := range map[string]struct {
		texts []string
		n     Notice
		want  string
	}{
		"default":              {nil, n, "node (cluster): Asked."},
		"for all":              {[]string{"{{.Event}} {{.Phase}} {{.Reason}}"}, n, "required Settling Uncordoned"},
		"for another event":    {[]string{"back=x"}, n, "node (cluster): Asked."},
		"the last one counts":  {[]string{"required=x", "required=y={{.Node}}"}, n, "y=node"},
		"packages":             {[]string{`{{join .Packages ", "}} by {{join .AskedBy ", "}}: {{.Why}}`}, n, "a, b by file: A sentence."},
		"no packages":          {[]string{`x{{with .Packages}} for {{join . ", "}}{{end}}`}, Notice{}, "x"},
		"durations":            {[]string{"{{.Waited}} {{.OutFor}} {{.DrainedIn}} {{.BootedIn}}"}, n, "1h0m0s 1m0s 1s 1s"},
		"logfmt, written out":  {[]string{`{{""}}node={{.Node}}`}, n, "node=node"},
		"more than an event":   {[]string{"{{.Node}} x=y"}, n, "node x=y"},
		"nothing before a '='": {[]string{"=x"}, n, "=x"},
	} {
		templates, err := ParseTemplates(tt.texts)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, err := templates.text(tt.n); got != tt.want || err != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestTemplatesRefused(t *testing.T) {
	for text, want := range map[string]string{
		"{{.Nodes}}":                     "can't evaluate field Nodes",
		"{{.Node":                        "unclosed action",
		"back={{if}}":                    "missing value for if",
		"drained={{.Node}}":              `there is no event "drained"`,
		"not_back=x":                     `there is no event "not_back"`,
		"{{index .Packages 0}}":          "index out of range", // on most notices
		"{{join .Node \",\"}}":           "wrong type",
		"{{range 100000}}{{.}}, {{end}}": "more than 16384 bytes",
		`{{define "x"}}{{template "x"}}{{end}}{{template "x"}}`: "exceeded maximum template depth",
	} {
		if _, err := ParseTemplates([]string{text}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// A template that turns out not to work on a notice costs nobody the notice.
func TestFailingTemplate(t *testing.T) {
	n, counts, log := newNotifier(t)
	templates, err := ParseTemplates([]string{`{{if eq .Node "quiet"}} {{else if gt (len .Message) 20}}{{index .Packages 7}}{{else}}short{{end}}`})
	if err != nil {
		t.Fatal(err)
	}
	n.Templates = templates
	d := &desk{}
	n.add("d", d.take)
	n.Tell(Notice{Event: Loop, Node: "quiet", Message: "Nothing is sent."})
	n.Tell(Notice{Event: Loop, Node: "a", Message: "Short."})
	n.Tell(Notice{Event: Loop, Node: "a", Message: strings.Repeat("Long. ", 9)})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	n.Run(ctx)
	if got := d.received(); !strings.HasPrefix(got, "short|a: Long. Long.") || counts[Sent] != 2 {
		t.Errorf("%q, %v", got, counts)
	}
	if !strings.Contains(log.String(), "--notify-template") || !strings.Contains(log.String(), "event loop") {
		t.Errorf("%s", log)
	}
}

// Whatever a template is: it is refused, or it makes a text that isn't too long, or the default text stands in for it.
func FuzzTemplates(f *testing.F) {
	for _, text := range []string{
		DefaultTemplate, "back={{.Node}} is back after {{.OutFor}}.", `{{join .Packages ", "}}`, "{{range .AskedBy}}{{.}}{{else}}-{{end}}",
		`{{define "x"}}{{.Why}}{{end}}{{template "x" .}}`, "{{range 30}}{{printf \"%9d\" .}}{{end}}", "a=b", "{{.Time.Year}}", "{{with $x := .Phase}}{{$x}}{{end}}",
	} {
		f.Add(text, "m", int64(0))
	}
	f.Fuzz(func(t *testing.T, text, message string, waited int64) {
		if long(text) {
			t.Skip("a loop that takes long and says nothing is who wrote it's own fault")
		}
		templates, err := ParseTemplates([]string{text})
		if err != nil {
			return
		}
		for _, e := range Events() {
			got, _ := templates.text(Notice{Event: e, Node: "n", Message: message, Waited: time.Duration(waited)})
			if len(got) > textLimit {
				t.Errorf("%q makes a notice of %d bytes", text, len(got))
			}
			if len(message) < textLimit/2 && got == "" && !strings.Contains(text, "{{") && text != "" && text != string(e)+"=" {
				t.Errorf("%q makes nothing of %s", text, e)
			}
		}
	})
}

// long reports whether there is a number in it that a loop could go up to.
func long(text string) bool {
	digits := 0
	for _, r := range text {
		if r >= '0' && r <= '9' || r == '_' || r == 'e' || r == 'x' {
			digits++
		} else {
			digits = 0
		}
		if digits > 3 {
			return true
		}
	}
	return false
}
