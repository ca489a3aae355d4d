package page

import (
	"fmt"
	"testing"
)

func TestCommands(t *testing.T) {
	for text, want := range map[string]string{
		"kubectl get nodes   # all\n\nmake test":                              `[[kubectl get nodes] [make test]]`,
		"SOAK=8h make soak && kubectl get pods | grep 'a b'; true":            `[[make soak] [kubectl get pods] [grep a b] [true]]`,
		"kubectl logs -n x $(kubectl get pod -l a=b)\n":                       `[[kubectl get pod -l a=b] [kubectl logs -n x …]]`,
		"kubectl annotate node N a=\"b $(date) $HOME\"":                       `[[date] [kubectl annotate node N a=b … …]]`,
		"kubectl get nodes \\\n  -o wide":                                     `[[kubectl get nodes -o wide]]`,
		"--flag=a\n--other='b c'":                                             `[]`,
		"kubectl get ds -o jsonpath='{.a\\.b}{\"\\n\"}' # c":                  `[[kubectl get ds -o jsonpath={.a\.b}{"\n"}]]`,
		"kubectl get x -o 'a=#b' c#d":                                         `[[kubectl get x -o a=#b c#d]]`,
		"a -o b > c.yaml\nd >>e 2>&1 | f <g h":                                `[[a -o b] [d] [f h]]`,
		"sh -c '! needs-restarting -r'":                                       `[[sh -c ! needs-restarting -r]]`,
		"kubectl annotate node N rebootd.io/state-   # (or) it's \"not\nmake": `[[kubectl annotate node N rebootd.io/state-] [make]]`,
	} {
		var got [][]string
		for _, c := range Commands("f:3", text) {
			got = append(got, c.Words)
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%q: %v, not %s", text, got, want)
		}
	}
}

func TestSplit(t *testing.T) {
	text := "# T\n\n<!-- not run: needs Azure -->\n```sh\naz x\n```\n\n- a `make b`\n\n  ```yaml\n  a:\n    b: c\n  ```\n```\nx\n```\n"
	blocks, prose := Split("p.md", text)
	want := `[{p.md:4 sh az x
 needs Azure} {p.md:10 yaml a:
  b: c
 } {p.md:14  x
 }]`
	if got := fmt.Sprint(blocks); got != want {
		t.Errorf("got %s", got)
	}
	if got := fmt.Sprint(inline("p.md", prose)); got != "[{p.md:8 [make b]}]" {
		t.Errorf("got %s", got)
	}
}

func FuzzCommands(f *testing.F) {
	f.Add("a \"$(b 'c' \\\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, c := range Commands("f:1", text) {
			if len(c.Words) == 0 {
				t.Errorf("%q: a command without words", text)
			}
		}
	})
}
