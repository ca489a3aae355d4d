package silence

import (
	"strings"
	"testing"

	"github.com/prometheus/alertmanager/matcher/parse"
	"github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/common/model"
)

func matchers(t testing.TB, text string) labels.Matchers {
	t.Helper()
	list, err := parse.Matchers(text)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestExpand(t *testing.T) {
	worker := Node{Name: "worker-1.b", IPs: []string{"10.0.0.1", "fd00::1"}}
	for _, tt := range []struct {
		text string
		node Node
		want string
	}{
		{`node="{{.Node}}"`, worker, `{node="worker-1.b"}`},
		{`node!="{{ .Node }}x"`, worker, `{node!="worker-1.bx"}`},
		{`node=~"{{.Node}}|a"`, worker, `{node=~"worker-1\\.b|a"}`},
		{`ip="{{.IP}}"`, worker, `{ip="10.0.0.1"}`},
		{`ip=~"{{.IP}}:.*"`, worker, `{ip=~"(?:10\\.0\\.0\\.1|\\[?fd00::1\\]?):.*"}`},
		{`ip="{{.IP}}",a=~"{{.IP}}"`, Node{Name: "a.b"}, `{a=~"a\\.b",ip="a.b"}`},
		{`job="a",alertname="b"`, worker, `{alertname="b",job="a"}`},
	} {
		if got, err := expand(matchers(t, tt.text), tt.node); err != nil || got.String() != tt.want {
			t.Errorf("%s: %s, %v, want %s", tt.text, got, err, tt.want)
		}
	}
}

// The default silences a node's own alerts, and no other node's.
func TestDefault(t *testing.T) {
	nodes := []Node{{Name: "worker-1", IPs: []string{"10.0.0.1", "fd00::1"}}, {Name: "worker-11", IPs: []string{"10.0.0.11"}}, {Name: "worker-2"}}
	alerts := map[string]model.LabelSet{
		"worker-1": {"node": "worker-1"}, "worker-1, its port": {"instance": "worker-1:9100"}, "worker-1, its address": {"instance": "10.0.0.1:9100"},
		"worker-1, its other address": {"instance": "[fd00::1]:9100"}, "worker-11": {"instance": "10.0.0.11:9100"}, "worker-2": {"instance": "worker-2"},
		"nobody": {"alertname": "a"}, "nobody too": {"instance": ":9100"}, "nor here": {"node": "worker"}, "x": {"instance": "10x0.0.1"},
	}
	for _, n := range nodes {
		for who, alert := range alerts {
			silent := false
			for _, template := range Default() {
				if err := Check(template); err != nil {
					t.Error(err)
				}
				list, err := expand(template, n)
				if err != nil {
					t.Fatal(err)
				}
				silent = silent || list.Matches(alert)
			}
			if owner, _, _ := strings.Cut(who, ","); silent != (owner == n.Name) {
				t.Errorf("silence of %s: %v is silent: %v", n.Name, alert, silent)
			}
		}
	}
}

func TestCheck(t *testing.T) {
	for text, want := range map[string]string{
		`node="{{.Node}}"`:    "",
		`alertname=~"A|B"`:    "",
		`a=~".*{{.IP}}{2}"`:   "",
		`a=~".*"`:             "at least one matcher that doesn't match an absent label",
		`node=""`:             "at least one matcher",
		`node!="{{.Node}}"`:   "at least one matcher",
		`node="{{.Name}}"`:    `placeholders are {{.Node}} and {{.IP}}, which "{{.Name}}" is not`,
		`node="{{.Node"`:      "placeholders are",
		`node="{{if .Node}}"`: "placeholders are",
		`node="{{.Node}}}}"`:  "placeholders are",
		`instance=~"{{.Node}}(:[0-9]+)?",job="a"`: "",
	} {
		list, err := parse.Matchers(text)
		if err != nil {
			continue
		}
		switch err := Check(list); {
		case want == "" && err != nil, want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: error %v, want %q", text, err, want)
		}
	}
}

// What Check lets through can be expanded for any node, silences some alert less than all, and is known again.
func FuzzExpand(f *testing.F) {
	for _, s := range []string{`node="{{.Node}}"`, `a=~"({{.Node}}|{{.IP}})(:[0-9]+)?"`, `a!~"[{{.IP}}]"`, `a="b",c!="{{ .IP }}"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		list, err := parse.Matchers(text)
		if err != nil || Check(list) != nil {
			return
		}
		for _, n := range []Node{{Name: "a"}, {Name: "ip-10-0-0-1.x", IPs: []string{"10.0.0.1", "fd00::1"}}} {
			all, err := expand(list, n)
			if err != nil {
				if strings.Contains(err.Error(), "regular expression") {
					continue // a pattern around the name that suits one name and not another
				}
				t.Fatalf("%q for %v: %v", text, n, err)
			}
			if len(all) != len(list) || !same(all, all) {
				t.Errorf("%q: %s", text, all)
			}
		}
	})
}
