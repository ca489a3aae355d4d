package config

import (
	"strings"
	"testing"
)

// What other programs are told of the options is what the help says.
func TestDescribe(t *testing.T) {
	c := Config{}
	described := Describe()
	found := map[string]Option{}
	for i, g := range options(&c) {
		if described[i].Title != g.title || len(described[i].Options) != len(g.options) {
			t.Fatalf("%s: %+v", g.title, described[i])
		}
		for _, o := range described[i].Options {
			found[o.Name] = o
			if !strings.Contains(Markdown(), "- Environment: `"+o.Variable+"`\n") || o.Meaning == "" {
				t.Errorf("%+v is not as in the reference", o)
			}
		}
	}
	for name, want := range map[string]Option{
		"order-by-label": {TakesEmpty: true, Placeholder: "key", Default: "topology.kubernetes.io/zone"},
		"window":         {List: true, Placeholder: "window", Default: "always"},
		"period":         {Placeholder: "duration", Default: "1m"},
		"dry-run":        {Default: "false"},
		"node-name":      {Alias: "node-id", Required: true, Placeholder: "name", Default: "required"},
	} {
		got := found[name]
		want.Name, want.Variable, want.Meaning = name, got.Variable, got.Meaning
		if got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}
