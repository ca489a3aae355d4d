package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rebootd/rebootd/pkg/plan"
)

// gateFacts are what the code says of a gate.
type gateFacts struct {
	reasons             []string
	everyone, skippable bool
	waiting             bool // every node that waits asks it
}

// The table in docs/gates.md has all gates, and says of each what the code does.
func TestGatesPage(t *testing.T) {
	rows := tableOf(read(t, "../../docs/gates.md"))
	gates := gatesInCode(t)
	if len(gates) < 15 {
		t.Errorf("only %d gates were found", len(gates))
	}
	gates["sentinel"] = gateFacts{reasons: []string{"SentinelUnknown"}, waiting: true} // it stands for a wish that isn't known
	for name, g := range gates {
		row, ok := rows[name]
		if !ok {
			t.Errorf("the gate %q isn't in the table", name)
			continue
		}
		for _, r := range g.reasons {
			if r != string(plan.GateError) && !strings.Contains(row[1], "`"+r+"`") {
				t.Errorf("%s: its reasons lack %s", name, r)
			}
		}
		asked := "the holder of a slot"
		switch {
		case g.waiting:
			asked = "every node that waits"
		case strings.HasPrefix(name, "healthy"):
			asked = "the node that is back"
		}
		if row[3] != asked {
			t.Errorf("%s: asked for %q, not for %q", name, row[3], asked)
		}
		if strings.Contains(row[4], "every node") != g.everyone {
			t.Errorf("%s: holds %q, but that it holds everyone is %v", name, row[4], g.everyone)
		}
		if (row[5] == "yes") != g.skippable {
			t.Errorf("%s: that request-now goes past it is %q, but %v", name, row[5], g.skippable)
		}
	}
	for name := range rows {
		if _, ok := gates[name]; !ok {
			t.Errorf("there is no gate %q", name)
		}
	}
}

// tableOf is the table of gates: the cells by the gate's name.
func tableOf(page string) map[string][]string {
	rows := map[string][]string{}
	_, section, _ := strings.Cut(page, "\n## All gates\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for line := range strings.Lines(section) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		if len(cells) != 7 || !strings.HasPrefix(cells[0], " `") {
			continue
		}
		name := strings.TrimSuffix(strings.Trim(cells[0], " `"), " NAME")
		rows[name] = cells
	}
	return rows
}

// gatesInCode looks for the functions that make a verdict with a gate's name.
func gatesInCode(t *testing.T) map[string]gateFacts {
	t.Helper()
	reasons := map[string]bool{}
	for _, r := range plan.Reasons() {
		reasons[string(r)] = true
	}
	var functions []*ast.FuncDecl
	var cheap []string // types that the function gates makes: every node that waits asks them
	for _, file := range slices.Concat(glob(t, "../../pkg/gate/*.go"), glob(t, "../../pkg/agent/*.go")) {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && !strings.HasSuffix(file, "_test.go") {
				functions = append(functions, fn)
				if fn.Name.Name == "gates" {
					cheap = words(fn)
				}
			}
		}
	}
	found := map[string]gateFacts{}
	for _, fn := range functions {
		name := gateName(fn)
		if name == "" {
			continue
		}
		said := words(fn)
		g := gateFacts{everyone: slices.Contains(said, "Everyone"), skippable: slices.Contains(said, "Skippable")}
		g.waiting = fn.Name.Name == "Judge" || strings.HasPrefix(fn.Name.Name, "watch") || slices.Contains(cheap, receiver(fn))
		for _, w := range said {
			if r, ok := strings.CutPrefix(w, "plan."); ok && reasons[r] {
				g.reasons = append(g.reasons, r)
			}
		}
		found[name] = g
	}
	return found
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %v", pattern, err)
	}
	return files
}

// gateName is the text that a function puts into a verdict as the gate's name, "" if it does no such thing.
func gateName(fn *ast.FuncDecl) string {
	name := ""
	ast.Inspect(fn, func(n ast.Node) bool {
		kv, ok := n.(*ast.KeyValueExpr)
		if !ok {
			return true
		}
		if key, ok := kv.Key.(*ast.Ident); !ok || key.Name != "Gate" {
			return true
		}
		value := kv.Value
		if sum, ok := value.(*ast.BinaryExpr); ok {
			value = sum.X
		}
		if text, ok := value.(*ast.BasicLit); ok {
			if s, err := strconv.Unquote(text.Value); err == nil {
				name = strings.TrimSpace(s)
			}
		}
		return true
	})
	return name
}

// words are all names in a function, also as x.y where they belong to something.
func words(fn *ast.FuncDecl) []string {
	var all []string
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Ident:
			all = append(all, n.Name)
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok {
				all = append(all, x.Name+"."+n.Sel.Name)
			}
		}
		return true
	})
	return all
}

func receiver(fn *ast.FuncDecl) string {
	if fn.Recv == nil {
		return ""
	}
	if i, ok := fn.Recv.List[0].Type.(*ast.Ident); ok {
		return i.Name
	}
	return ""
}
