package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// The site has every page in its menu, once, and no other.
func TestNav(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "mkdocs.yml"))
	if err != nil {
		t.Fatal(err)
	}
	// The only words that are no plain YAML: functions of Python.
	plain := regexp.MustCompile(`!!python/\S+`).ReplaceAllString(string(text), "")
	var site struct {
		DocsDir string   `json:"docs_dir"`
		Hooks   []string `json:"hooks"`
		Nav     []any    `json:"nav"`
	}
	if err := yaml.Unmarshal([]byte(plain), &site); err != nil {
		t.Fatal(err)
	}
	for _, hook := range site.Hooks {
		if _, err := os.Stat(filepath.Join(root, hook)); err != nil {
			t.Error(err)
		}
	}
	listed := leaves(site.Nav)
	pages, err := filepath.Glob(filepath.Join(root, site.DocsDir, "*.md"))
	if err != nil || len(pages) < 10 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	for _, p := range pages {
		name := filepath.Base(p)
		i := slices.Index(listed, name)
		if i < 0 {
			t.Errorf("mkdocs.yml doesn't have docs/%s, or has it more than once", name)
			continue
		}
		listed = slices.Delete(listed, i, i+1)
	}
	if len(listed) > 0 {
		t.Errorf("mkdocs.yml has %s, which aren't there, or are in it twice", strings.Join(listed, ", "))
	}
}

func leaves(v any) []string {
	var all []string
	switch v := v.(type) {
	case string:
		all = append(all, v)
	case []any:
		for _, one := range v {
			all = append(all, leaves(one)...)
		}
	case map[string]any:
		for _, one := range v {
			all = append(all, leaves(one)...)
		}
	}
	return all
}

// What people are asked in an issue can be read, and the answers that are needed are required.
func TestIssueTemplates(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, ".github/ISSUE_TEMPLATE/*.yml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d templates, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var form struct {
			Name, Description string
			Body              []struct {
				Type, ID   string
				Attributes struct{ Label, Value string }
			}
		}
		if err := yaml.Unmarshal(text, &form); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		if filepath.Base(file) == "config.yml" {
			continue
		}
		if form.Name == "" || form.Description == "" || len(form.Body) == 0 {
			t.Errorf("%s: %+v", file, form)
		}
		for _, b := range form.Body {
			if b.Type != "markdown" && (b.ID == "" || b.Attributes.Label == "") {
				t.Errorf("%s: %+v", file, b)
			}
		}
	}
}
