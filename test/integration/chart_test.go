package integration

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Whatever the chart renders, an API server takes: of unknown fields, wrong values and failing rules it would say so.
func TestAPIServerTakesTheChart(t *testing.T) {
	t.Parallel()
	f := shared(t)
	ns := f.namespace(t)
	paths, err := filepath.Glob("../chart/testdata/*/golden.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("%v, %v", paths, err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(filepath.Dir(path)), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			f.takes(t, ns, string(text))
		})
	}
	for _, folder := range []string{"base", "signal", "delete-pods", "kured-interlock", "policy", "cleanup", ""} {
		t.Run("manifests "+folder, func(t *testing.T) {
			t.Parallel()
			f.takes(t, ns, f.kubectl(t, "kustomize", filepath.Join("../../manifests", folder)))
		})
	}
}

// takes asks the API server about these objects, in this namespace, except those that it has no kind for.
func (f *fleet) takes(t *testing.T, namespace, text string) {
	t.Helper()
	var known []string
	for document := range strings.SplitSeq(strings.TrimPrefix(text, "---\n"), "\n---\n") {
		if strings.Contains(document, "monitoring.coreos.com") || strings.Contains(document, "kind: Notes") {
			continue
		}
		for _, other := range []string{"rebootd", "monitoring", "slots", "kured"} {
			document = strings.ReplaceAll(document+"\n", "\n  namespace: "+other+"\n", "\n  namespace: "+namespace+"\n")
		}
		// Other tests have objects of these names.
		known = append(known, regexp.MustCompile(`(?m)^  name: rebootd`).ReplaceAllString(document, "  name: "+namespace))
	}
	file := filepath.Join(t.TempDir(), "objects.yaml")
	if err := os.WriteFile(file, []byte(strings.Join(known, "---\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	out := f.kubectl(t, "apply", "--validate=strict", "--dry-run=server", "-f", file)
	// That the namespace was not made by kubectl, kubectl minds.
	warns := strings.Count(out, "Warning: ") - strings.Count(out, "last-applied-configuration annotation which")
	if got := strings.Count(out, "(server dry run)"); got != len(known) || warns > 0 {
		t.Errorf("%d of %d objects:\n%s", got, len(known), out)
	}
}
