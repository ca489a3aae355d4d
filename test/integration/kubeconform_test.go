package integration

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/yannh/kubeconform/pkg/validator"
	apischema "k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

// operator has the definitions of the kinds that only clusters with the Prometheus operator know.
const operator = "github.com/prometheus-operator/prometheus-operator@v0.85.0"

// schema is a JSON schema.
type schema = map[string]any

// Everything that the chart renders conforms to the schemas of Kubernetes and of the Prometheus operator, unknown fields included.
func TestKubeconform(t *testing.T) {
	t.Parallel()
	f := shared(t)
	texts := f.rendered(t)
	dir := t.TempDir()
	f.schemas(t, dir, texts)
	operatorSchemas(t, dir)
	v, err := validator.New([]string{dir + "/{{ .Group }}_{{ .ResourceAPIVersion }}_{{ .ResourceKind }}.json"}, validator.Opts{Strict: true})
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]bool{}
	for name, text := range texts {
		conforms(t, v, name, text, kinds)
	}
	for _, kind := range []string{"DaemonSet", "Job", "ValidatingAdmissionPolicy", "ServiceMonitor", "PodMonitor", "PrometheusRule", "NetworkPolicy"} {
		if !kinds[kind] {
			t.Errorf("no %s was looked at", kind)
		}
	}
	for what, wrong := range map[string]string{
		"an unknown field": "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: x, title: y}\n",
		"a wrong type":     "apiVersion: monitoring.coreos.com/v1\nkind: PodMonitor\nmetadata: {name: x}\nspec: {podMetricsEndpoints: [{interval: 5}], selector: {}}\n",
	} {
		if got := v.Validate(what, io.NopCloser(strings.NewReader(wrong))); len(got) != 1 || got[0].Status != validator.Invalid {
			t.Errorf("%s: %+v", what, got)
		}
	}
}

// rendered is all that the chart's tests render, and manifests/.
func (f *fleet) rendered(t *testing.T) map[string][]byte {
	t.Helper()
	texts := map[string][]byte{}
	paths, err := filepath.Glob("../chart/testdata/*/golden.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("%v, %v", paths, err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		texts[filepath.Base(filepath.Dir(path))] = text
	}
	for _, folder := range []string{"base", "signal", "delete-pods", "kured-interlock", "policy", "cleanup"} {
		texts["manifests/"+folder] = []byte(f.kubectl(t, "kustomize", filepath.Join("../../manifests", folder)))
	}
	return texts
}

// conforms asks about all documents of a text but the notes, and notes their kinds.
func conforms(t *testing.T, v validator.Validator, name string, text []byte, kinds map[string]bool) {
	t.Helper()
	for document := range bytes.SplitSeq(text, []byte("\n---\n")) {
		if bytes.Contains(document, []byte("kind: Notes")) {
			continue
		}
		for _, r := range v.Validate(name, io.NopCloser(bytes.NewReader(document))) {
			if sig, err := r.Resource.Signature(); err == nil && r.Status == validator.Valid {
				kinds[sig.Kind] = true
			}
			if r.Status != validator.Valid && r.Status != validator.Empty {
				t.Errorf("%s: %v\n%s", name, r.Err, document)
			}
		}
	}
}

// schemas writes those of the API server's own kinds that these texts have.
func (f *fleet) schemas(t *testing.T, dir string, texts map[string][]byte) {
	t.Helper()
	raw, err := f.client.Discovery().RESTClient().Get().AbsPath("/openapi/v2").Do(t.Context()).Raw()
	if err != nil {
		t.Fatal(err)
	}
	var api struct{ Definitions map[string]schema }
	if err := json.Unmarshal(raw, &api); err != nil {
		t.Fatal(err)
	}
	for name, definition := range api.Definitions {
		if strings.HasSuffix(name, ".api.resource.Quantity") {
			api.Definitions[name] = schema{"type": []string{"string", "number"}}
			continue
		}
		strict(definition)
	}
	all := bytes.Join(slices.Collect(maps.Values(texts)), []byte("\n"))
	for name, definition := range api.Definitions {
		of, _ := json.Marshal(definition["x-kubernetes-group-version-kind"])
		var kinds []apischema.GroupVersionKind
		if json.Unmarshal(of, &kinds) != nil || len(kinds) != 1 || !bytes.Contains(all, []byte("kind: "+kinds[0].Kind+"\n")) {
			continue // each file has all definitions: few files will do
		}
		writeSchema(t, dir, kinds[0], schema{"$ref": "#/definitions/" + name, "definitions": api.Definitions})
	}
}

// operatorSchemas writes those of the Prometheus operator's kinds.
func operatorSchemas(t *testing.T, dir string) {
	t.Helper()
	download := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", operator)
	download.Dir = dir // away from this module
	out, err := download.Output()
	var module struct{ Dir string }
	if err != nil || json.Unmarshal(out, &module) != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, kind := range []string{"servicemonitors", "podmonitors", "prometheusrules"} {
		text, err := os.ReadFile(filepath.Join(module.Dir, "example/prometheus-operator-crd/monitoring.coreos.com_"+kind+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		var crd struct {
			Spec struct {
				Group    string
				Names    struct{ Kind string }
				Versions []struct {
					Name   string
					Schema struct {
						OpenAPIV3Schema schema `json:"openAPIV3Schema"`
					}
				}
			}
		}
		if err := yaml.Unmarshal(text, &crd); err != nil {
			t.Fatal(err)
		}
		for _, v := range crd.Spec.Versions {
			s := v.Schema.OpenAPIV3Schema
			strict(s)
			if p, ok := s["properties"].(schema); ok {
				p["metadata"] = schema{"type": "object"}
			}
			writeSchema(t, dir, apischema.GroupVersionKind{Group: crd.Spec.Group, Version: v.Name, Kind: crd.Spec.Names.Kind}, s)
		}
	}
}

func writeSchema(t *testing.T, dir string, k apischema.GroupVersionKind, s schema) {
	t.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	file := fmt.Sprintf("%s_%s_%s.json", cmp.Or(k.Group, k.Version), k.Version, strings.ToLower(k.Kind))
	if err := os.WriteFile(filepath.Join(dir, file), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// strict refuses fields that a schema doesn't name, and takes numbers where Kubernetes does.
func strict(s schema) {
	if _, named := s["properties"]; named && s["additionalProperties"] == nil && s["x-kubernetes-preserve-unknown-fields"] != true {
		s["additionalProperties"] = false
	}
	if s["format"] == "int-or-string" || s["x-kubernetes-int-or-string"] == true {
		s["type"] = []string{"string", "integer"}
		delete(s, "format")
	}
	for key, inner := range s {
		switch inner := inner.(type) {
		case schema:
			if key == "properties" {
				for _, p := range inner {
					if p, ok := p.(schema); ok {
						strict(p)
					}
				}
				continue
			}
			strict(inner)
		case []any: // all of, any of: about the same object, whose fields are named outside
		}
	}
}
