package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"text/template"

	"sigs.k8s.io/yaml"
)

// The template gives a manifest that krew can read, for the platforms that a release is built for.
func TestKrewManifest(t *testing.T) {
	text, err := os.ReadFile("../../.krew.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var uris []string
	// As krew-release-bot does it: the URI is a template of its own, and comes back with its checksum.
	add := func(uri, tag string) string {
		uris = append(uris, strings.ReplaceAll(uri, "{{ .TagName }}", tag))
		return fmt.Sprintf("uri: %s\n      sha256: %s", uris[len(uris)-1], strings.Repeat("ab", 32))
	}
	page, err := template.New("krew").Funcs(template.FuncMap{"addURIAndSha": add}).Parse(string(text))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := page.Execute(&b, map[string]string{"TagName": "v1.2.3"}); err != nil {
		t.Fatal(err)
	}
	var m struct {
		APIVersion, Kind string
		Metadata         struct{ Name string }
		Spec             struct {
			Version, Homepage, ShortDescription, Description, Caveats string
			Platforms                                                 []struct {
				URI, SHA256, Bin string
				Selector         struct{ MatchLabels struct{ OS, Arch string } }
			}
		}
	}
	if err := yaml.UnmarshalStrict([]byte(b.String()), &m); err != nil {
		t.Fatalf("%v\n%s", err, b.String())
	}
	if m.Metadata.Name != "reboot" || m.Spec.Version != "v1.2.3" || len(m.Spec.ShortDescription) > 50 || strings.HasSuffix(m.Spec.ShortDescription, ".") {
		t.Errorf("%+v", m)
	}
	release, err := os.ReadFile("../../.goreleaser.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var r struct{ Builds []struct{ Targets []string } }
	if err := yaml.Unmarshal(release, &r); err != nil {
		t.Fatal(err)
	}
	want := r.Builds[0].Targets
	var got []string
	for _, p := range m.Spec.Platforms {
		name := p.Selector.MatchLabels.OS + "_" + p.Selector.MatchLabels.Arch
		got = append(got, name)
		exe := map[bool]string{true: ".exe"}[p.Selector.MatchLabels.OS == "windows"]
		if !strings.HasSuffix(p.URI, "/v1.2.3/kubectl-reboot_"+name+".tar.gz") || p.Bin != "kubectl-reboot"+exe || len(p.SHA256) != 64 {
			t.Errorf("%s: %+v", name, p)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the manifest has %v, the release %v", got, want)
	}
}
