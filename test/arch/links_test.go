package arch

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Links between the pages, and into the code, lead somewhere, and files that are named exist.
func TestLinks(t *testing.T) {
	links := 0
	for _, page := range pages(t, "../..") {
		text := read(t, page)
		for _, target := range linksOf(text) {
			if regexp.MustCompile(`^(https?|mailto):`).MatchString(target) {
				continue
			}
			links++
			if why := dead(t, page, target); why != "" {
				t.Errorf("%s: link to %q: %s", strings.TrimPrefix(page, "../../"), target, why)
			}
		}
		for _, m := range regexp.MustCompile("\\[`(Test\\w+)`\\]\\(([^)]+)\\)").FindAllStringSubmatch(text, -1) {
			code, err := os.ReadFile(filepath.Join(filepath.Dir(page), m[2]))
			if err != nil || !strings.Contains(string(code), "\nfunc "+m[1]+"(t *testing.T)") {
				t.Errorf("%s: there is no test %s in %s", strings.TrimPrefix(page, "../../"), m[1], m[2])
			}
		}
		for _, m := range regexp.MustCompile("`((?:cmd|pkg|test|manifests|docs|charts)/[\\w./-]+)`").FindAllStringSubmatch(text, -1) {
			example := strings.Contains(text, "```go\n// "+m[1]+"\n")
			if _, err := os.Stat(filepath.Join("../..", m[1])); err != nil && !example {
				t.Errorf("%s: there is no %s", strings.TrimPrefix(page, "../../"), m[1])
			}
		}
	}
	if links < 100 {
		t.Errorf("only %d links were found", links)
	}
}

// pages are all pages of the repository.
func pages(t *testing.T, root string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || d.Name() == "testdata" || d.Name() == "dist"):
			return filepath.SkipDir
		case filepath.Ext(path) == ".md":
			found = append(found, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// dead says why a link leads nowhere; "" if it doesn't.
func dead(t *testing.T, page, target string) string {
	t.Helper()
	file, anchor, _ := strings.Cut(target, "#")
	path := page
	if file != "" {
		path = filepath.Join(filepath.Dir(page), file)
	}
	if outside := filepath.Join("..", "..", ".."); strings.HasPrefix(path, outside) || filepath.IsAbs(path) {
		return "it leaves the repository"
	}
	if _, err := os.Stat(path); err != nil {
		return err.Error()
	}
	if anchor != "" && !anchors(read(t, path))[anchor] {
		return fmt.Sprintf("%s has no such heading", filepath.Base(path))
	}
	return ""
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// prose is a page without its blocks of code.
func prose(page string) string {
	return regexp.MustCompile("(?ms)^ *```.*?^ *```$").ReplaceAllString(page, "")
}

// linksOf are the targets of a page's links. What is within backquotes is none.
func linksOf(page string) []string {
	text := regexp.MustCompile("`[^`\n]*`").ReplaceAllString(prose(page), "")
	var targets []string
	for _, m := range regexp.MustCompile(`\[[^\]]*\]\(([^)\s]*)\)`).FindAllStringSubmatch(text, -1) {
		targets = append(targets, m[1])
	}
	return targets
}

// anchors are the names by which GitHub lets a page's headings be linked to.
func anchors(page string) map[string]bool {
	found := map[string]bool{}
	links := regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
	for _, m := range regexp.MustCompile(`(?m)^#{1,6} +(.*?) *$`).FindAllStringSubmatch(prose(page), -1) {
		name := strings.ToLower(links.ReplaceAllString(m[1], "$1"))
		name = regexp.MustCompile(`[^\pL\pN _-]`).ReplaceAllString(name, "")
		name = strings.ReplaceAll(name, " ", "-")
		unique := name
		for i := 1; found[unique]; i++ {
			unique = fmt.Sprintf("%s-%d", name, i)
		}
		found[unique] = true
	}
	return found
}

func TestLinkReader(t *testing.T) {
	page := "# A `b` [c](d.md)'s, e_f\n## Same\n## Same\n```sh\n# none\n[x](y)\n```\nsee [one](x.md#y) `[two](z)` [`--f`](#--f),\n[3](a) [4](b)\n"
	if got := fmt.Sprint(linksOf(page)); got != "[d.md x.md#y #--f a b]" {
		t.Errorf("got links %s", got)
	}
	if got := fmt.Sprint(anchors(page)); got != "map[a-b-cs-e_f:true same:true same-1:true]" {
		t.Errorf("got anchors %s", got)
	}
}

// The pages that list the packages and the pages themselves have them all.
func TestListed(t *testing.T) {
	architecture, contents := read(t, "../../docs/architecture.md"), read(t, "../../docs/README.md")
	dirs, err := os.ReadDir("../../pkg")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dirs {
		if !strings.Contains(architecture, "\n| `pkg/"+d.Name()+"` | ") {
			t.Errorf("docs/architecture.md doesn't say what pkg/%s is", d.Name())
		}
	}
	for _, page := range pages(t, "../../docs") {
		if name := filepath.Base(page); name != "README.md" && !strings.Contains(contents, "("+name) {
			t.Errorf("docs/README.md has no link to docs/%s", name)
		}
	}
}
