package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/rebootd/rebootd/pkg/config"
)

// What is refused, and what a reader is told.
func TestRefused(t *testing.T) {
	t.Parallel()
	for values, want := range map[string]string{
		"configuration: {perod: 5m}":                                   "at '/configuration': additional properties 'perod' not allowed",
		"imagge: {}":                                                   "additional properties 'imagge' not allowed",
		"pools: {a: {nodeselector: {}}}":                               "at '/pools/a': additional properties 'nodeselector' not allowed",
		"pools: {a: {configuration: {perod: 5m}}}":                     "at '/pools/a/configuration': additional properties 'perod' not allowed",
		"pools: {a_b: {}}":                                             "'a_b' does not match pattern",
		"configuration: {period: 5 minutes}":                           "at '/configuration/period': '5 minutes' does not match pattern",
		"configuration: {period: 300}":                                 "at '/configuration/period': value must be one of 0, 'a duration with its unit, such as 90s or 5m'",
		"configuration: {rebootMethod: nicely}":                        "at '/configuration/rebootMethod': value must be one of <nil>, '', 'command', 'signal'",
		"configuration: {dryRun: perhaps}":                             "at '/configuration/dryRun': value must be one of",
		"configuration: {concurrency: 0}":                              "at '/configuration/concurrency': minimum: got 0, want 1",
		"configuration: {metricsPort: 65536}":                          "at '/configuration/metricsPort': maximum",
		"configuration: {hostRoot: /x}":                                "additional properties 'hostRoot' not allowed",
		"configuration: {period: [1m]}":                                "at '/configuration/period': got array, want null or integer or string",
		"configurationFromSecret: {rebootMethod: {name: web, key: k}}": "configurationFromSecret.rebootMethod: on this option depends what the chart renders",
		"{fullnameOverride: " + strings.Repeat("f", 50) + ", pools: {" + strings.Repeat("p", 20) + "-a: {}, " + strings.Repeat("p", 20) + "-b: {}}}": "pools: pppppppppppppppppppp-a and pppppppppppppppppppp-b would have DaemonSets of the same name",
		"privileges: some":                                                                      "at '/privileges': value must be one of 'auto', 'command', 'signal'",
		"privileges: signal":                                                                    "privileges: signal doesn't suffice, for configuration.rebootMethod is command",
		"extraArgs: {no-such-flag: 1}":                                                          "extraArgs: rebootd has no flag --no-such-flag",
		`extraArgs: ["--no-such-flag=1"]`:                                                       "extraArgs: rebootd has no flag --no-such-flag",
		`extraArgs: ["--node-name=n"]`:                                                          "extraArgs: rebootd has no flag --node-name, or the chart sets it itself",
		`extraArgs: ["period"]`:                                                                 `extraArgs: "period" is no flag such as`,
		"configurationFromSecret: {perod: {}}":                                                  "additional properties 'perod' not allowed",
		"configurationFromSecret: {period: {name: n}}":                                          "missing property 'key'",
		"{admissionPolicy: {enabled: true}, serviceAccount: {create: false}}":                   "admissionPolicy.enabled: the agents have the namespace's default service account",
		"{cleanup: {enabled: perhaps}}":                                                         "at '/cleanup/enabled': value must be one of 'auto', true, false",
		"{cleanup: {enabled: true}, rbac: {create: false}}":                                     "cleanup.enabled: with rbac.create false nobody gives the hook its rights",
		"{cleanup: {tolerations: Exists}}":                                                      "at '/cleanup/tolerations': got string",
		"{podMonitor: {enabled: true}, configuration: {metricsPort: 0}}":                        "service, serviceMonitor and podMonitor need metrics",
		"pools: {a: {configuration: {namespace: other}}}":                                       "pools.a.configuration.namespace: the pools of a release share one namespace",
		"pools: {a: {rest: true}, b: {}}":                                                       "pools.a.rest: pool b must have a nodeSelector of exactly one label",
		"pools: {a: {rest: true, nodeSelector: {x: y}}}":                                        "pools.a: rest and nodeSelector don't go together",
		"pools: {a: {privileges: signal}}":                                                      "privileges: signal doesn't suffice",
		"{privileges: signal, configuration: {rebootMethod: signal, rebootSentinelCommand: x}}": "configuration.rebootSentinelCommand is a command",
		"{privileges: signal, configuration: {rebootMethod: signal, sentinelPreset: rhel}}":     "configuration.sentinelPreset rhel runs a command",
		"{image: {digest: abc}}":                                                                "at '/image/digest': 'abc' does not match pattern",
		"{updateStrategy: Sometimes}":                                                           "at '/updateStrategy': 'Sometimes' does not match pattern",
		"{configuration: {rebootSignal: 65}}":                                                   "at '/configuration/rebootSignal': maximum: got 65, want 64",
		"{configuration: {rebootSentinel: {}}}":                                                 "at '/configuration/rebootSentinel': got object, want null or integer or string or array",
		"{configuration: {bootIdFile: some/where}}":                                             "at '/configuration/bootIdFile': 'some/where' does not match pattern '^(/.*)?$'",
		"{configuration: {rebootMethod: signal, commandNamespace: own}, privileges: signal, podLabels: {a: {b: c}}}":     "at '/podLabels/a': got object",
		"{configuration: {rebootMethod: signal}, extraArgs: {reboot-sentinel-command: x}, privileges: signal, rbac: {}}": "configuration.rebootSentinelCommand is a command",
	} {
		t.Run(values, func(t *testing.T) {
			t.Parallel()
			out, err := template(t.Context(), filepath.Join(root, chartDir), write(t, values))
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q\n%s", err, want, out)
			}
		})
	}
}

// What may be given a machine without being privileged.
func TestPrivileges(t *testing.T) {
	t.Parallel()
	for values, privileged := range map[string]bool{
		"{}":                                    true,
		"configuration: {rebootMethod: signal}": false,
		"extraArgs: {reboot-method: signal}":    false,
		"extraArgs: [--reboot-method=signal]":   false,
		"{privileges: command, configuration: {rebootMethod: signal}}":                                                        true,
		"configuration: {rebootMethod: signal, rebootSentinelCommand: x}":                                                     true,
		"configuration: {rebootMethod: signal, rebootSentinelCommand: x, useRebootSentinelHostPath: true}":                    false,
		"configuration: {rebootMethod: signal, rebootSentinelCommand: x, commandNamespace: own}":                              false,
		"configuration: {rebootMethod: signal, sentinelPreset: suse}":                                                         true,
		"configuration: {rebootMethod: signal, sentinelPreset: debian}":                                                       false,
		"configuration: {rebootMethod: signal, sentinelPreset: auto, rebootSentinel: /a/b}":                                   false,
		"{containerSecurityContext: {privileged: true, readOnlyRootFilesystem: true}, configuration: {rebootMethod: signal}}": true,
	} {
		t.Run(values, func(t *testing.T) {
			t.Parallel()
			for _, ds := range agents(t, values) {
				spec := ds.Spec.Template.Spec
				c := spec.Containers[0].SecurityContext
				if got := c.Privileged != nil && *c.Privileged; got != privileged {
					t.Errorf("privileged: %v, want %v", got, privileged)
				}
				if !spec.HostPID || *c.RunAsUser != 0 || !*c.ReadOnlyRootFilesystem {
					t.Errorf("hostPID %v, %+v", spec.HostPID, c)
				}
				if privileged {
					continue
				}
				kill := slices.Equal(c.Capabilities.Add, []corev1.Capability{"KILL"}) && slices.Equal(c.Capabilities.Drop, []corev1.Capability{"ALL"})
				if !kill || *c.AllowPrivilegeEscalation || c.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
					t.Errorf("%+v", c)
				}
			}
		})
	}
}

// As soon as the option table has a flag of kured's, or any other, the chart has it; until then it says what becomes of the value.
func TestNewOptions(t *testing.T) {
	t.Parallel()
	const values = `
configuration:
  prometheusUrl: http://prometheus
  blockingPodSelector: [a=b, c=d]
  notifyUrl: slack://token
  slackUsername: "{{ .Release.Name }}-bot"
  messageTemplateDrain: "%s {{ .Node }}"
`
	more := []config.Option{
		{Name: "prometheus-url", Variable: "REBOOTD_PROMETHEUS_URL", Placeholder: "url", TakesEmpty: true, Meaning: "Some."},
		{Name: "blocking-pod-selector", Placeholder: "selector", List: true, Meaning: "Some."},
		{Name: "notify-url", Variable: "REBOOTD_NOTIFY_URL", Placeholder: "url", List: true, Secret: true, Meaning: "Some."},
		{Name: "slack-username", Variable: "REBOOTD_SLACK_USERNAME", Placeholder: "name!", Meaning: "Some."},
		{Name: "message-template-drain", Placeholder: "text", Meaning: "Some."},
		{Name: "hook-before-drain", Placeholder: "[warn:]command|URL", List: true, Meaning: "Some."},
	}
	table := without(config.Describe(), more)
	_, err := template(t.Context(), withOptions(t, table), write(t, values))
	if want := "configuration.blockingPodSelector: this version of rebootd has no such option, and a reboot would depend on it"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("without the options: %v", err)
	}
	table = append(table, config.Section{Title: "New", Options: more})
	chart := withOptions(t, table)
	out, err := template(t.Context(), chart, write(t, values))
	if err != nil {
		t.Fatal(err)
	}
	container := daemonSets(t, out)[0].Spec.Template.Spec.Containers[0]
	for _, want := range []string{
		"--prometheus-url=http://prometheus", "--blocking-pod-selector=a=b", "--blocking-pod-selector=c=d", "--slack-username=rebootd-bot",
		"--message-template-drain=%s {{ .Node }}",
	} {
		if !slices.Contains(container.Args, want) {
			t.Errorf("no %s in %q", want, container.Args)
		}
	}
	if strings.Contains(strings.Join(container.Args, " "), "slack://") {
		t.Error("a secret is an argument")
	}
	if !strings.Contains(out, "stringData:\n  REBOOTD_NOTIFY_URL: slack://token\n") || !strings.Contains(out, "checksum/secrets: ") {
		t.Errorf("no Secret:\n%s", out)
	}
	from := container.Env[len(container.Env)-1]
	if from.Name != "REBOOTD_NOTIFY_URL" || from.ValueFrom.SecretKeyRef.Name != "rebootd" || from.ValueFrom.SecretKeyRef.Key != "REBOOTD_NOTIFY_URL" {
		t.Errorf("%+v", from)
	}
	if want := "configuration.notifyUrl is secret and stands in the values"; !strings.Contains(out, want) {
		t.Errorf("the notes don't say %q", want)
	}

	out, err = template(t.Context(), chart, write(t, "configurationFromSecret: {notifyUrl: {name: mine, key: url}, prometheusUrl: {name: mine, key: prom}}\n"+
		"configuration: {prometheusUrl: x, notifyUrl: z}"))
	if err != nil {
		t.Fatal(err)
	}
	container = daemonSets(t, out)[0].Spec.Template.Spec.Containers[0]
	if from := container.Env[1]; from.Name != "REBOOTD_NOTIFY_URL" || from.ValueFrom.SecretKeyRef.Name != "mine" || from.ValueFrom.SecretKeyRef.Key != "url" {
		t.Errorf("%+v", from)
	}
	if strings.Contains(out, "stringData") || len(container.Args) != 1 {
		t.Errorf("what is in a Secret is elsewhere too: %q", container.Args)
	}

	for hook, privileged := range map[string]bool{"'https://example.com/a b'": false, "'warn:https://example.com'": false, "backup": true, "'warn: backup'": true} {
		out, err := template(t.Context(), chart, write(t, "configuration: {rebootMethod: signal, hookBeforeDrain: ["+hook+"]}"))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(out, "privileged: true") != privileged {
			t.Errorf("hook %s: privileged is not %v", hook, privileged)
		}
	}
}

// without is a table without the options of these names.
func without(table []config.Section, options []config.Option) []config.Section {
	for i := range table {
		table[i].Options = slices.DeleteFunc(table[i].Options, func(o config.Option) bool {
			return slices.ContainsFunc(options, func(other config.Option) bool { return other.Name == o.Name })
		})
	}
	return table
}

// Without metrics there is no port, and nothing for the kubelet to ask.
func TestNoMetrics(t *testing.T) {
	t.Parallel()
	c := agents(t, "configuration: {metricsPort: 0}")[0].Spec.Template.Spec.Containers[0]
	if len(c.Ports) > 0 || c.LivenessProbe != nil || c.ReadinessProbe != nil || !slices.Contains(c.Args, "--metrics-port=0") {
		t.Errorf("%+v", c)
	}
	out, err := template(t.Context(), withNotes(t, nil), write(t, "configuration: {metricsHost: 127.0.0.1}"))
	if err != nil || !strings.Contains(out, "WARNING: configuration.metricsHost is an address that the kubelet can't reach") {
		t.Errorf("%v, and no warning in\n%s", err, out)
	}
}

// The policy is there where the API server knows such policies, and never for a service account that others have too.
func TestPolicyIsAuto(t *testing.T) {
	t.Parallel()
	const known = "--api-versions=admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy"
	for _, tt := range []struct {
		values string
		args   []string
		want   bool
	}{
		{"{}", nil, false},
		{"{}", []string{known}, true},
		{"admissionPolicy: {enabled: false}", []string{known}, false},
		{"admissionPolicy: {enabled: true}", nil, true},
		{"serviceAccount: {create: false}", []string{known}, false},
		{"serviceAccount: {create: false, name: mine}", []string{known}, true},
	} {
		out, err := template(t.Context(), filepath.Join(root, chartDir), write(t, tt.values), tt.args...)
		if err != nil || strings.Contains(out, "kind: ValidatingAdmissionPolicyBinding") != tt.want {
			t.Errorf("%s %v: %v, want the policy: %v", tt.values, tt.args, err, tt.want)
		}
	}
}

// withOptions is a copy of the chart with notes, made for another option table.
func withOptions(t *testing.T, table []config.Section) string {
	t.Helper()
	files, err := chart(root, table)
	if err != nil {
		t.Fatal(err)
	}
	change := map[string]string{}
	for path, text := range files {
		name, err := filepath.Rel(filepath.Join(root, chartDir), path)
		if err != nil {
			t.Fatal(err)
		}
		change[name] = string(text)
	}
	return withNotes(t, change)
}

// Files that other parts of the repository bring become objects.
func TestFiles(t *testing.T) {
	t.Parallel()
	dir := withNotes(t, map[string]string{
		"files/alerts.yaml":    "groups:\n  - name: a\n    rules:\n      - {alert: A, expr: up, annotations: {text: \"{{ $labels.node }}\"}}\n",
		"files/dashboard.json": `{"a": "{{b}}"}`,
	})
	out, err := template(t.Context(), dir, write(t, "{prometheusRule: {enabled: true, labels: {a: b}}, dashboards: {enabled: true}}"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"kind: PrometheusRule", "{{ $labels.node }}", `{"a": "{{b}}"}`, `grafana_dashboard: "1"`} {
		if !strings.Contains(out, want) {
			t.Errorf("no %s in\n%s", want, out)
		}
	}
	for document := range strings.SplitSeq(out, "\n---\n") {
		var object map[string]any
		if err := yaml.Unmarshal([]byte(document), &object); err != nil {
			t.Errorf("%v in\n%s", err, document)
		}
	}
}

// RBAC: what only tries may write nothing.
func TestDryRunMayWriteNothing(t *testing.T) {
	t.Parallel()
	out, err := template(t.Context(), filepath.Join(root, chartDir), write(t, "pools: {a: {configuration: {dryRun: true}}, b: {configuration: {dryRun: true, onDrainTimeout: delete}}}"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out, "patch") || strings.Contains(out, "create]") || strings.Contains(out, "delete]") {
		t.Errorf("it may write:\n%s", out)
	}
	out, err = template(t.Context(), filepath.Join(root, chartDir), write(t, "pools: {a: {configuration: {dryRun: true}}, b: {}}"))
	if err != nil || !strings.Contains(out, "verbs: [get, list, watch, patch]") {
		t.Errorf("one pool works, and may write nothing: %v\n%s", err, out)
	}
}

// The documented form of a table is what the agent says too: a broken generator doesn't go unseen.
func TestSettle(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "folder", "file")
	made := map[string][]byte{path: []byte("text")}
	if err := settle(made, true); err == nil || !strings.Contains(err.Error(), "run make chart") {
		t.Errorf("a missing file: %v", err)
	}
	if err := settle(made, false); err != nil {
		t.Fatal(err)
	}
	if err := settle(made, true); err != nil {
		t.Errorf("what was just written: %v", err)
	}
	if text, err := os.ReadFile(path); err != nil || !bytes.Equal(text, made[path]) {
		t.Errorf("%q, %v", text, err)
	}
}

// What is applied by who may not know of hooks must have none: it would be run at once. Nor may what only tries.
func TestCleanupOnlyWhereItIsUnderstood(t *testing.T) {
	t.Parallel()
	for values, want := range map[string]bool{
		"{}":                         false,
		"{cleanup: {enabled: auto}}": false,
		"{cleanup: {enabled: true}}": true,
		"{cleanup: {enabled: true}, configuration: {dryRun: true}}": false,
	} {
		out, err := template(t.Context(), filepath.Join(root, chartDir), write(t, values))
		if err != nil || strings.Contains(out, "kind: Job") != want {
			t.Errorf("%s: %v, want a job: %t\n%s", values, err, want, out)
		}
		for document := range strings.SplitSeq(out, "\n---\n") {
			if strings.Contains(document, "-cleanup") && !strings.Contains(document, "    helm.sh/hook: pre-delete\n") {
				t.Errorf("this would stay:\n%s", document)
			}
		}
	}
}

// The command understands what the job gives it.
func TestCleanupTakesItsArguments(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/cleanup/golden.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, document, _ := strings.Cut(string(text), "\napiVersion: batch/v1\n")
	document, _, _ = strings.Cut(document, "\n---\n")
	var job batchv1.Job
	if err := yaml.UnmarshalStrict([]byte("apiVersion: batch/v1\n"+document), &job); err != nil {
		t.Fatal(err)
	}
	args := job.Spec.Template.Spec.Containers[0].Args
	c, err := config.ParseCleanup(args[1:], nil, io.Discard)
	want := config.Cleanup{
		Namespace: "slots", DaemonSets: []config.Named{{Namespace: "rebootd", Name: "rebootd-agents-a"}, {Namespace: "rebootd", Name: "rebootd-agents-b"}},
		Taints: []string{"example.com/softer", "example.com/soft"}, AnnotateNodes: true,
		KuredInterlock: true, DSNamespace: "kured", DSName: "kured-linux", LockAnnotation: "example.com/lock",
		AgentsTimeout: 90 * time.Second, Timeout: 4 * time.Minute,
	}
	if args[0] != "cleanup" || err != nil || !reflect.DeepEqual(c, want) {
		t.Errorf("%v, %v\ngot  %+v\nwant %+v", args, err, c, want)
	}
}

// Every option that takes a path is said to take one in the pod or one of the host.
func TestFilesAreKnown(t *testing.T) {
	t.Parallel()
	hosts := []string{"reboot-sentinel", "boot-id-file", "host-root"}
	found := 0
	for _, s := range config.Describe() {
		for _, o := range s.Options {
			inPod := slices.Contains(files(), o.Name)
			if o.Placeholder == "path" && inPod == slices.Contains(hosts, o.Name) {
				t.Errorf("--%s: is it a file in the pod?", o.Name)
			}
			if inPod {
				found++
			}
		}
	}
	if found != len(files()) {
		t.Errorf("%d of the options %v exist", found, files())
	}
}
