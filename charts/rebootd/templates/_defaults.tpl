{{/*
Fills in what the values lack: `helm upgrade --reuse-values` takes those of an older chart, which know nothing of what came later, and a
section may be null. Every file that reads values begins with it, for the order of files is Helm's.
*/}}
{{- define "rebootd.fill" -}}
{{- range $section, $defaults := include "rebootd.defaults" . | fromYaml -}}
  {{- if kindIs "invalid" (index $.Values $section) -}}{{- $_ := set $.Values $section dict -}}{{- end -}}
  {{- $there := index $.Values $section -}}
  {{- range $key, $value := $defaults -}}
    {{- if kindIs "invalid" (index $there $key) -}}{{- $_ := set $there $key $value -}}{{- end -}}
  {{- end -}}
{{- end -}}
{{- end -}}

{{/* As in values.yaml, which templates can't read. */}}
{{- define "rebootd.defaults" -}}
image: {repository: ghcr.io/rebootd/rebootd}
rbac: {create: true}
serviceAccount: {create: true}
admissionPolicy: {enabled: auto}
cleanup:
  enabled: auto
  nodeSelector: {kubernetes.io/os: linux}
  tolerations:
    - {key: node.kubernetes.io/unschedulable, operator: Exists, effect: NoSchedule}
    - {key: node-role.kubernetes.io/control-plane, operator: Exists}
service: {create: false, type: ClusterIP, port: 8080}
serviceMonitor: {enabled: false}
podMonitor: {enabled: false}
prometheusRule: {enabled: false}
dashboards: {enabled: false, labels: {grafana_dashboard: "1"}}
networkPolicy: {enabled: false}
{{- end -}}
