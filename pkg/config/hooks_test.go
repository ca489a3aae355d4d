package config

import (
	"io"
	"strings"
	"testing"
)

// What an option's value is shown as has no secrets: neither in the list of effective values nor in an error.
func TestHooksAreMasked(t *testing.T) {
	for given, want := range map[string]string{
		"https://user:secret@example.com/secret?a=secret": "https://example.com/***",
		"warn:https://example.com?secret":                 "warn:https://example.com/***",
		"https://example.com#secret@x":                    "https://example.com/***",
		"curl -H secret https://secret@example.com":       "curl ***",
		"true":                   "true",
		"curl\tsecret":           "curl ***",
		"warn:curl\t'secret'":    "warn:curl ***",
		"true\nhttps://h/secret": "true\nhttps://h/***",
	} {
		c, err := Parse(withBaseline("--hook-before-drain="+given), nil, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		for _, kv := range c.Effective() {
			if kv.Name == "hook-before-drain" && kv.Value != want {
				t.Errorf("%q is shown as %q", given, kv.Value)
			}
		}
	}
}

func FuzzMaskHook(f *testing.F) {
	f.Add("https://user:SECRET@example.com/SECRET")
	f.Add("warn:https://h?SECRET")
	f.Add("sh -c SECRET")
	f.Add("sh\t-c\tSECRET")
	f.Add("https://a/b@SECRET")
	f.Fuzz(func(t *testing.T, s string) {
		if h, err := parseHook(s); err == nil && h.URL != "" {
			user, _, _ := strings.Cut(strings.SplitN(h.URL, "://", 2)[1], "/")
			if i := strings.LastIndex(user, "@"); i > 4 && !strings.ContainsAny(user, "?#") && strings.Contains(maskHook(s), user[:i+1]) {
				t.Errorf("%q shows its user: %q", s, maskHook(s))
			}
		}
		if h, err := parseHook(s); err == nil && len(h.Argv) > 1 && strings.Contains(s, "SECRET") && h.Argv[0] != s &&
			!strings.Contains(strings.Fields(s)[0], "SECRET") && strings.Contains(maskHook(s), "SECRET") && !strings.Contains(s, "://") {
			t.Errorf("%q is shown as %q", s, maskHook(s))
		}
	})
}
