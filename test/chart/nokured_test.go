package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// Where there is no kured its namespace may be gone too: a Role in it can't be made.
func TestNoKured(t *testing.T) {
	t.Parallel()
	for values, want := range map[string]string{
		`configuration: {dsName: "", dsNamespace: kured}`: "",
		`configuration: {dsNamespace: kured}`:             "kured: [kured]",
		`{}`:                                              "kube-system: [kured]",
		`pools: {a: {configuration: {dsName: ""}}, b: {}}`:                               "kube-system: [kured]",
		`pools: {a: {configuration: {dsName: other}}, b: {configuration: {dsName: ""}}}`: "kube-system: [other]",
	} {
		out, err := template(t.Context(), filepath.Join(root, chartDir), write(t, values), "--show-only=templates/rbac.yaml")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for document := range strings.SplitSeq(out, "\n---\n") {
			var role struct {
				Kind     string
				Metadata struct{ Name, Namespace string }
				Rules    []struct{ ResourceNames []string }
			}
			if err := yaml.Unmarshal([]byte(document), &role); err != nil {
				t.Fatal(err)
			}
			if role.Kind == "Role" && role.Metadata.Name == "rebootd-kured" {
				got = append(got, fmt.Sprintf("%s: %v", role.Metadata.Namespace, role.Rules[0].ResourceNames))
			}
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("%s: %q", values, got)
		}
	}
}
