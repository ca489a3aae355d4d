{{/* What the container may do on its machine: of `privileges`, with what the values add. */}}
{{- define "rebootd.securityContext" -}}
{{- $context := dict "runAsUser" 0 "readOnlyRootFilesystem" true -}}
{{- $said := .root.Values.containerSecurityContext | default dict -}}
{{- if or (eq (include "rebootd.privileges" .) "command") $said.privileged -}}
  {{- $_ := set $context "privileged" true -}}
{{- else -}}
  {{- $_ := set $context "allowPrivilegeEscalation" false -}}
  {{- $_ := set $context "capabilities" (dict "drop" (list "ALL") "add" (list "KILL")) -}}
  {{- $_ := set $context "seccompProfile" (dict "type" "RuntimeDefault") -}}
{{- end -}}
{{- range $key, $value := $said -}}{{- $_ := set $context $key $value -}}{{- end -}}
{{- toYaml $context -}}
{{- end -}}

{{- define "rebootd.volume" -}}
{{- if eq .path "/var/run" -}}run{{- else -}}{{- printf "sentinel-%d" (int .i) -}}{{- end -}}
{{- end -}}
