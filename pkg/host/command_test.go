package host

import (
	"slices"
	"strings"
	"testing"
)

func TestParseCommand(t *testing.T) {
	for s, want := range map[string][]string{
		"/bin/systemctl reboot":             {"/bin/systemctl", "reboot"},
		"  a\t b\n":                         {"a", "b"},
		`sh -c "! needs-restarting -r"`:     {"sh", "-c", "! needs-restarting -r"},
		`sh -c 'a "b" \c $d'`:               {"sh", "-c", `a "b" \c $d`},
		`a "b\"c\\d\$e\f"`:                  {"a", `b"c\d$e\f`},
		`a\ b c\'d`:                         {"a b", "c'd"},
		`a'b'"c"d ''`:                       {"abcd", ""},
		"echo $HOME `id` $(id) * ~ ? {a,b}": {"echo", "$HOME", "`id`", "$(id)", "*", "~", "?", "{a,b}"},
		"a | b > c && d ; e & # f":          {"a", "|", "b", ">", "c", "&&", "d", ";", "e", "&", "#", "f"},
		"a\\\nb":                            {"ab"},
		"ä 'ö ü'":                           {"ä", "ö ü"},
	} {
		got, err := ParseCommand(s)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v; want %q", s, got, err, want)
		}
	}
}

func TestParseCommandErrors(t *testing.T) {
	for s, want := range map[string]string{
		"":       "empty",
		" \t\n ": "empty",
		"'' a":   "name is empty",
		"a 'b":   "single quote",
		`a "b`:   "double quote",
		`a "b\`:  "double quote",
		`a "b\"`: "double quote",
		`a b\`:   "backslash",
	} {
		got, err := ParseCommand(s)
		if err == nil || got != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %q, %v; want an error with %q", s, got, err, want)
		}
	}
}

func FuzzParseCommand(f *testing.F) {
	for _, s := range []string{"", "a b", `sh -c "! x"`, `a 'b`, "a\\\nb", "\x00'\xff\"\\", "~ # $x", "a\x00 \x00'\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if argv, err := ParseCommand(s); err == nil {
			roundTrip(t, argv)
		}
		if argv := strings.Split(s, "\x00"); argv[0] != "" {
			roundTrip(t, argv)
		}
	})
}

func roundTrip(t *testing.T, argv []string) {
	t.Helper()
	again, err := ParseCommand(Quote(argv))
	if err != nil || !slices.Equal(again, argv) {
		t.Errorf("%q is quoted as %q, which is %q, %v", argv, Quote(argv), again, err)
	}
}
