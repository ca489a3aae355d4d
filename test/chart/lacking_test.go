package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// Values of an older chart, which `helm upgrade --reuse-values` takes, lack what came later: it is as if nobody had said anything.
func TestValuesMayLack(t *testing.T) {
	t.Parallel()
	chart := withNotes(t, nil)
	want, err := template(t.Context(), chart, write(t, "{}"))
	if err != nil {
		t.Fatal(err)
	}
	for _, values := range []string{
		"image: null", "configuration: null", "configurationFromSecret: null", "privileges: null", "pools: null", "extraArgs: null", "extraEnv: null",
		"commonLabels: null", "podLabels: null", "tolerations: null", "updateStrategy: null", "maxUnavailable: null", "revisionHistoryLimit: null",
		"terminationGracePeriodSeconds: null", "hostNetwork: null", "rbac: null", "serviceAccount: null", "admissionPolicy: null", "cleanup: null",
		"cleanup: {enabled: null}", "service: null", "serviceMonitor: null", "podMonitor: null", "prometheusRule: null", "dashboards: null",
		"networkPolicy: null",
	} {
		t.Run(values, func(t *testing.T) {
			t.Parallel()
			if got, err := template(t.Context(), chart, write(t, values)); err != nil || got != want {
				t.Errorf("it is another rendering: %v", err)
			}
		})
	}
	with := "{cleanup: {enabled: true}, serviceMonitor: {enabled: true}, podMonitor: {enabled: true}, prometheusRule: {enabled: true}, dashboards: {enabled: true}}"
	all, err := template(t.Context(), chart, write(t, with))
	if err != nil {
		t.Fatal(err)
	}
	without := strings.Replace(with, "cleanup: {enabled: true}", "cleanup: {enabled: true, nodeSelector: null, tolerations: null}", 1)
	without = strings.Replace(without, "{cleanup", "{service: null, cleanup", 1)
	without = strings.Replace(without, "dashboards: {enabled: true}", "dashboards: {enabled: true, labels: null}", 1)
	if got, err := template(t.Context(), chart, write(t, without)); err != nil || got != all {
		t.Errorf("with all that can be asked for, it is another rendering: %v", err)
	}
}

// The notes warn of what would have the kubelet restart the agents for ever: probes that the port's TLS or login keeps out.
func TestProbesBehindALogin(t *testing.T) {
	t.Parallel()
	chart := withNotes(t, nil)
	for values, warns := range map[string]bool{
		"configuration: {webConfigFile: /etc/web.yaml}":                                                      true,
		"configurationFromSecret: {webConfigFile: {name: web, key: k}}":                                      true,
		"{configurationFromSecret: {webConfigFile: {name: web, key: k}}, configuration: {healthPort: 0}}":    true,
		"{configurationFromSecret: {webConfigFile: {name: web, key: k}}, configuration: {healthPort: 8081}}": false,
		"{configuration: {webConfigFile: /etc/web.yaml}, livenessProbe: {httpGet: {scheme: HTTPS}}}":         false,
		"{configuration: {webConfigFile: /etc/web.yaml}, livenessProbe: null}":                               false,
		"{}": false,
	} {
		out, err := template(t.Context(), chart, write(t, values))
		if err != nil || strings.Contains(out, "WARNING: configuration.webConfigFile puts TLS") != warns {
			t.Errorf("%s: %v\n%s", values, err, out[max(strings.LastIndex(out, "# Source"), 0):])
		}
	}
}

// The policy lets an agent change the label only where it does, though kured's users write their booleans as text.
func TestPolicyOfWhatIsOff(t *testing.T) {
	t.Parallel()
	for said, may := range map[string]bool{`"false"`: false, "false": false, `"true"`: true, "true": true} {
		out, err := template(t.Context(), filepath.Join(root, chartDir),
			write(t, "{admissionPolicy: {enabled: true}, configuration: {excludeFromLoadBalancers: "+said+"}}"))
		if err != nil || strings.Contains(out, `"node.kubernetes.io/exclude-from-external-load-balancers"`) != may {
			t.Errorf("%s: %v", said, err)
		}
	}
}
