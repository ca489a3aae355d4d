package takeover

import (
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/rebootd/rebootd/pkg/config"
	"github.com/rebootd/rebootd/test/chart/helm"
)

// readKured is one of the DaemonSets that people have.
func readKured(t *testing.T, name string) *appsv1.DaemonSet {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	d := &appsv1.DaemonSet{}
	if err := yaml.UnmarshalStrict(text, d); err != nil {
		t.Fatal(err)
	}
	return d
}

// rendered is rebootd's DaemonSet and its Secret with the values of a kured.
func rendered(t *testing.T, d *appsv1.DaemonSet) (*appsv1.DaemonSet, corev1.Secret) {
	t.Helper()
	f := Facts{Kureds: []appsv1.DaemonSet{*d}, Meant: []appsv1.DaemonSet{*d}}
	text, err := NewReport(f, "").File()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "values") // t.TempDir may have a comma, where helm splits
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "values.yaml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := helm.Run(t.Context(), "template", "rebootd", "../../../../charts/rebootd", "--namespace=rebootd", helm.KubeVersion, "--values="+path)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	var set appsv1.DaemonSet
	var secret corev1.Secret
	for document := range strings.SplitSeq(out, "\n---\n") {
		switch {
		case strings.Contains(document, "\nkind: DaemonSet\n"):
			err = yaml.UnmarshalStrict([]byte(document), &set)
		case strings.Contains(document, "\nkind: Secret\n"):
			err = yaml.UnmarshalStrict([]byte(document), &secret)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if set.Name != "rebootd" {
		t.Fatalf("%s", out)
	}
	return &set, secret
}

// given are a container's options as rebootd reads them, with what Secrets and ConfigMaps say.
func given(t *testing.T, c corev1.Container, secret corev1.Secret) config.Config {
	t.Helper()
	elsewhere := map[string]string{
		"TOKEN": "hook:AAAAAAAAA-BBBBBBBBB-123456789123456789123456", "PERIOD": "7m", "NOTIFY_URL": "generic://example.com",
		"REBOOTD_PERIOD": "7m", "REBOOTD_NOTIFY_URL": "generic://example.com",
	}
	known := map[string]string{}
	var environ []string
	expand := func(text string) string {
		for name, value := range known {
			text = strings.ReplaceAll(text, "$("+name+")", value)
		}
		return text
	}
	for _, e := range c.Env {
		value := expand(e.Value)
		switch {
		case e.ValueFrom == nil:
		case e.ValueFrom.FieldRef != nil:
			value = "node"
		case e.ValueFrom.SecretKeyRef != nil && e.ValueFrom.SecretKeyRef.Name == secret.Name && secret.Name != "":
			value = secret.StringData[e.ValueFrom.SecretKeyRef.Key]
		default:
			value = elsewhere[strings.TrimPrefix(e.Name, "KURED_")]
		}
		known[e.Name] = value
		environ = append(environ, e.Name+"="+value)
	}
	args := slices.Concat(c.Command, c.Args)
	if len(args) > 0 && !strings.HasPrefix(args[0], "--") {
		args = args[1:]
	}
	for i, a := range args {
		args[i] = strings.TrimSuffix(expand(a), `""`) // what a person who uncomments a line doesn't see
		if flag, value, _ := strings.Cut(args[i], "="); flag == "--slack-hook-url" || flag == "--slack-username" {
			args[i] = flag + "=" + strings.Trim(value, `"`)
		}
	}
	got, err := config.Parse(args, environ, io.Discard)
	if err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	return got
}

// The values of each kured are taken by the chart's schema, and make rebootd's options what rebootd would read from kured's own.
func TestValuesMeanTheSame(t *testing.T) {
	if testing.Short() {
		t.Skip("runs helm")
	}
	for name, sentinel := range map[string]string{
		"chart-6": "/var/run/reboot-required", "chart-5-strings": "/var/lib/updates/reboot.flag", "manifest": "/var/run/reboot-required",
		"environment": "", "signal": "/run/reboot-required",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := readKured(t, name)
			set, secret := rendered(t, d)
			want, got := given(t, d.Spec.Template.Spec.Containers[0], corev1.Secret{}), given(t, set.Spec.Template.Spec.Containers[0], secret)
			if seen := append(got.RebootSentinels, defaultSentinel)[0]; sentinel != "" && seen != sentinel {
				t.Errorf("sentinels %q, want %s", got.RebootSentinels, sentinel)
			}
			if got.DSNamespace != d.Namespace || got.DSName != d.Name {
				t.Errorf("kured is sought as %s/%s", got.DSNamespace, got.DSName)
			}
			want.DSNamespace, want.DSName, want.RebootSentinels, want.HostRoot = got.DSNamespace, got.DSName, got.RebootSentinels, got.HostRoot
			want.Warnings, got.Warnings = nil, nil
			w, g := reflect.ValueOf(want), reflect.ValueOf(got)
			for i := range w.NumField() {
				if f := w.Type().Field(i); f.IsExported() && !reflect.DeepEqual(w.Field(i).Interface(), g.Field(i).Interface()) {
					t.Errorf("%s: kured has %v, the values %v", f.Name, w.Field(i), g.Field(i))
				}
			}
			pod, kureds := set.Spec.Template.Spec, d.Spec.Template.Spec
			if len(kureds.Tolerations) > 0 && !reflect.DeepEqual(pod.Tolerations, kureds.Tolerations) || len(kureds.Tolerations) == 0 && len(pod.Tolerations) != 1 ||
				!reflect.DeepEqual(pod.Affinity, kureds.Affinity) || pod.HostNetwork != kureds.HostNetwork {
				t.Errorf("it runs on other nodes: %+v", pod)
			}
			for key, value := range kureds.NodeSelector {
				if pod.NodeSelector[key] != value {
					t.Errorf("node selector %v", pod.NodeSelector)
				}
			}
		})
	}
}
