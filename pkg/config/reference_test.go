package config

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/kballard/go-shellquote"
)

// The examples of the reference work as they stand there, and do something.
func TestExamples(t *testing.T) {
	for _, o := range newParser(options(&Config{})).options {
		t.Run(o.name, func(t *testing.T) {
			if o.example == "" {
				t.Fatal("there is no example")
			}
			if o.example == o.defaultText() {
				t.Errorf("the example %q is the default", o.example)
			}
			args, err := shellquote.Split(o.exampleFlags())
			if err != nil {
				t.Fatalf("%s: %v", o.exampleFlags(), err)
			}
			without := args[strings.Count(o.example, "\n")+1:]
			with, err := parsed(t, args)
			if err != nil {
				t.Fatalf("%q: %v", args, err)
			}
			others, err := parsed(t, without)
			if err != nil { // what is beside it is for it alone
				if others, err = parsed(t, nil); err != nil {
					t.Fatal(err)
				}
			}
			if reflect.DeepEqual(with, others) {
				t.Errorf("%q changes nothing", args)
			}
		})
	}
}

// parsed is what the options give, with the files that they name in a directory of the test. Where an option comes from, which
// would tell an example from the default even if it said the same, is left out.
func parsed(t *testing.T, args []string) (Config, error) {
	t.Helper()
	files := map[string]string{
		"/etc/rebootd/kubeconfig":             "apiVersion: v1\nkind: Config\n",
		"/etc/rebootd/prometheus/http.yaml":   "follow_redirects: true\n",
		"/etc/rebootd/alertmanager/http.yaml": "follow_redirects: true\n",
		"/etc/rebootd/hooks/http.yaml":        "follow_redirects: true\n",
		"/etc/rebootd/notify/urls":            "generic://a\n",
		"/etc/rebootd/web.yaml":               "http_server_config:\n  http2: false\n",
	}
	dir := t.TempDir()
	for i, arg := range args {
		name, val, _ := strings.Cut(arg, "=")
		if content, ok := files[val]; ok {
			file := filepath.Join(dir, fmt.Sprint(i))
			if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			args[i] = name + "=" + file
		}
	}
	for _, base := range []string{"--namespace=ns", "--node-name=n1"} {
		name, _, _ := strings.Cut(base, "=")
		if !slices.ContainsFunc(args, func(arg string) bool { return strings.HasPrefix(arg, name+"=") }) {
			args = append(slices.Clip(args), base)
		}
	}
	c, err := Parse(args, nil, io.Discard)
	c.effective = nil
	return c, err
}

// The reference has all of every option, under a heading of its own.
func TestReference(t *testing.T) {
	reference := Markdown()
	groups := options(&Config{})
	for _, g := range groups {
		text := introductions()[g.title]
		if !strings.HasSuffix(text, ".") || !strings.Contains(reference, "\n## "+g.title+"\n\n"+text+"\n\n### ") {
			t.Errorf("the group %q isn't introduced", g.title)
		}
		for _, o := range g.options {
			_, after, _ := strings.Cut(reference, "\n### --"+o.name+"\n\n")
			entry, _, _ := strings.Cut(after, "\n#")
			for _, part := range []string{
				link(o.meaning, o.name) + "\n", "- Flag: `" + o.synopsis() + "`", "\n- Default: ", "\n- Environment: `" + variable("REBOOTD_", o.name) + "`\n",
				"\n```sh\n--" + o.name, o.alias, o.defaultText(),
			} {
				if !strings.Contains(entry, part) {
					t.Errorf("--%s: there is no %q in %s", o.name, part, entry)
				}
			}
		}
	}
	if got, want := len(introductions()), len(groups); got != want {
		t.Errorf("%d introductions to %d groups", got, want)
	}
}

func TestQuote(t *testing.T) {
	for _, val := range []string{"a", "", "a b", "it's", `"$x"`, "app!=x", "day 1", "^(a|b)$", "a=b,c/d:e@f%+1", "*", "~/x"} {
		got, err := shellquote.Split("--x=" + quote(val))
		if err != nil || len(got) != 1 || got[0] != "--x="+val {
			t.Errorf("%q: got %q, %v from %s", val, got, err, quote(val))
		}
	}
}
