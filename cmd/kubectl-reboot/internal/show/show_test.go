package show

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rebootd/rebootd/cmd/kubectl-reboot/internal/view"
)

func TestFit(t *testing.T) {
	for _, tt := range []struct {
		widths   []int
		terminal int
		want     []int
	}{
		{[]int{5, 5}, 0, []int{5, 5}},
		{[]int{5, 5}, 13, []int{5, 5}},
		{[]int{5, 50}, 30, []int{5, 22}},
		{[]int{5, 50}, 16, []int{5, 8}},
		{[]int{5, 50}, 15, []int{5}},
		{[]int{5, 50, 50}, 20, []int{5, 12}},
		{[]int{50}, 20, []int{20}},
		{[]int{50, 9}, 3, []int{3}},
		{[]int{60, 9, 5, 14, 4, 30}, 80, []int{43, 9, 5, 14}},
		{[]int{60, 9, 5, 14, 4, 30}, 94, []int{57, 9, 5, 14}},
		{[]int{60, 9, 5, 14, 4, 30}, 53, []int{16, 9, 5, 14}},
		{[]int{60, 9, 5, 14, 4, 30}, 52, []int{52}},
		{[]int{4, 60, 9, 20, 14}, 60, []int{4, 18, 9, 20}},
	} {
		if got := fit(slices.Clone(tt.widths), tt.terminal); !slices.Equal(got, tt.want) {
			t.Errorf("%v in %d: %v, want %v", tt.widths, tt.terminal, got, tt.want)
		}
	}
}

func TestTable(t *testing.T) {
	table := table{headers: []string{"A", "B"}}
	table.add(cell{"ä", red}, plain("the end"))
	table.add(plain("long"), plain(""))
	for _, tt := range []struct {
		style Style
		want  string
	}{
		{Style{}, "A      B\nä      the end\nlong\n"},
		{Style{NoHeaders: true}, "ä      the end\nlong\n"},
		{Style{Color: true, NoHeaders: true}, "\x1b[31mä\x1b[0m      the end\nlong\n"},
		{Style{Width: 6}, "A\nä\nlong\n"},
	} {
		var b bytes.Buffer
		if err := table.write(&b, tt.style); err != nil || b.String() != tt.want {
			t.Errorf("%+v: %q, %v", tt.style, b.String(), err)
		}
	}
}

// What others wrote on a Node can't play with the terminal.
func TestNoEscapes(t *testing.T) {
	why := "\x1b[2Jgone\nnext\u009b31m"
	s := &view.Status{At: time.Unix(0, 0), Nodes: []view.Node{{Name: "n", State: why, Reason: why, Group: why, Slot: why, Message: why, AskedBy: []string{why}}},
		Pause: &view.Pause{Reason: why}, Notes: []string{why}, Kured: &view.Kured{DaemonSet: why}}
	e := &view.Explanation{Node: view.Node{Name: "n", State: why, Group: why, Agent: why, Message: why, Hold: &why, AskedBy: []string{why}, Requests: []view.Request{{Text: why}}},
		Advice: []view.Advice{{Text: why, Command: why}}, Notes: []string{why}}
	p := &view.Plan{Groups: []view.Group{{Name: "g", Steps: []view.Step{{Node: "n", State: why, When: why, Message: why, Reason: why}}}}, Notes: []string{why}}
	h := &view.History{Items: []view.Past{{Node: "n", What: why, Message: why}}}
	var b bytes.Buffer
	for _, err := range []error{Status(&b, s, Style{Wide: true}), Explain(&b, e, Style{}), Plan(&b, p, Style{}), History(&b, h, Style{})} {
		if err != nil {
			t.Error(err)
		}
	}
	if strings.ContainsAny(b.String(), "\x1b\u009b") || strings.Contains(b.String(), "\nnext") {
		t.Errorf("%q", b.String())
	}
}

func aStatus(states ...string) *view.Status {
	s := &view.Status{At: time.Unix(0, 0), Summary: view.Summary{Wanting: 4, Done: 1, Out: 1, Waiting: 2, Text: "1 of 4 done."}}
	for i, state := range states {
		s.Nodes = append(s.Nodes, view.Node{Name: "node-" + string(rune('a'+i)), State: state})
	}
	return s
}

func TestLiveInATerminal(t *testing.T) {
	var b bytes.Buffer
	l := Live{W: &b}
	style := Style{Width: 80, Height: 8, Color: true}
	for range 2 {
		b.Reset()
		if err := l.Show(aStatus("Idle", "Idle", "Idle", "Idle", "Idle", "Idle"), style); err != nil {
			t.Fatal(err)
		}
		text := b.String()
		if n := strings.Count(text, "\n"); n >= style.Height {
			t.Errorf("%d lines in a terminal of %d:\n%s", n, style.Height, text)
		}
		if !strings.Contains(text, home) || !strings.Contains(text, "more lines") || !strings.Contains(text, "]  25%") || !strings.Contains(text, "1 of 4 done.") {
			t.Errorf("%q", text)
		}
	}
	if strings.Contains(b.String(), hideCursor) {
		t.Error("the cursor is hidden twice")
	}
	l.End()
	if !strings.HasSuffix(b.String(), showCursor) {
		t.Error("the cursor stays hidden")
	}
}

// A terminal that is too narrow for the summary shows all of it all the same.
func TestLiveKeepsTheSummary(t *testing.T) {
	v := aStatus("Idle", "Idle", "Idle")
	v.Summary.Text = "3 of 40 done, 1 out, 36 waiting; about 3h left."
	for _, tt := range []struct {
		width, height int
		want          string
	}{
		{25, 24, "node-c Idle\n\n[####>>>>>.........]  25%\n3 of 40 done, 1 out, 36\nwaiting; about 3h left."},
		{25, 7, "NODE STATE\nnode-a Idle\n… 3 more lines\n[####>>>>>.........]  25%\n3 of 40 done, 1 out, 36\nwaiting; about 3h left."},
		{25, 4, "… 5 more lines\n[####>>>>>.........]  25%\n3 of 40 done, 1 out, 36"},
	} {
		var b bytes.Buffer
		l := Live{W: &b}
		if err := l.Show(v, Style{Width: tt.width, Height: tt.height}); err != nil {
			t.Fatal(err)
		}
		_, shown, _ := strings.Cut(strings.ReplaceAll(b.String(), clearLine, ""), home)
		shown = regexp.MustCompile(` {2,}(\S+) .*`).ReplaceAllString(strings.TrimSuffix(shown, "\n"+clearBelow), " $1")
		if !strings.HasSuffix(shown, tt.want) || strings.Count(shown, "\n") >= tt.height {
			t.Errorf("%d by %d:\n%s", tt.width, tt.height, shown)
		}
	}
}

func TestLiveElsewhere(t *testing.T) {
	var b bytes.Buffer
	l := Live{W: &b}
	for _, step := range []struct {
		states []string
		want   string
	}{
		{[]string{"Idle", "Required"}, "NODE     STATE      SINCE   REASON   TURN   ASKED BY\nnode-a   Idle       -                -      -\nnode-b   Required   -                -      -\n1 of 4 done.\n"},
		{[]string{"Idle", "Required"}, ""},
		{[]string{"Idle", "Draining"}, "node-b   Draining   -      -   -\n1 of 4 done.\n"},
		{[]string{"Idle"}, "Node node-b is gone.\n"},
	} {
		b.Reset()
		if err := l.Show(aStatus(step.states...), Style{}); err != nil {
			t.Fatal(err)
		}
		if b.String() != step.want {
			t.Errorf("%v: %q, want %q", step.states, b.String(), step.want)
		}
	}
	l.End()
	if strings.Contains(b.String(), "\x1b") {
		t.Error("escapes where there is no terminal")
	}
}

func TestBar(t *testing.T) {
	for _, tt := range []struct {
		c     view.Summary
		width int
		want  string
	}{
		{view.Summary{}, 27, ""},
		{view.Summary{Wanting: 4}, 19, ""},
		{view.Summary{Wanting: 4, Done: 1, Out: 1, Waiting: 2}, 27, "[#####>>>>>..........]  25%"},
		{view.Summary{Wanting: 400, Done: 1, Out: 1, Waiting: 398}, 27, "[>...................]   0%"},
		{view.Summary{Wanting: 3, Done: 3}, 27, "[####################] 100%"},
		{view.Summary{Wanting: 1000, Done: 999, Out: 1}, 27, "[###################>]  99%"},
	} {
		if got := Bar(tt.c, Style{Width: tt.width}); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.c, got, tt.want)
		}
	}
}

func TestWrap(t *testing.T) {
	for _, tt := range []struct {
		text  string
		width int
		want  []string
	}{
		{"a b", 0, []string{"a b"}},
		{"one two three", 7, []string{"one two", "three"}},
		{"unbreakable", 3, []string{"unbreakable"}},
	} {
		if got := wrap(tt.text, tt.width); !slices.Equal(got, tt.want) {
			t.Errorf("%q in %d: %q", tt.text, tt.width, got)
		}
	}
}
