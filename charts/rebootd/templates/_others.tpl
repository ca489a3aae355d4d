{{/*
The agents in this cluster whose Leases are in another namespace than this release's, as JSON: {"others": [{"set": …, "namespace": …}]}. Those that only try don't count.
*/}}
{{- define "rebootd.others" -}}
{{- $here := include "rebootd.namespace" . -}}
{{- $all := list -}}
{{- range (lookup "apps/v1" "DaemonSet" "" "").items -}}
  {{- if eq (toString (get (.metadata.labels | default dict) "rebootd.io/agents")) "true" -}}
    {{- $there := .metadata.namespace -}}
    {{- $tries := false -}}
    {{- range (first .spec.template.spec.containers).args -}}
      {{- if hasPrefix "--namespace=" . -}}{{- $there = trimPrefix "--namespace=" . -}}{{- end -}}
      {{- if has . (list "--dry-run" "--dry-run=true") -}}{{- $tries = true -}}{{- end -}}
    {{- end -}}
    {{- if and (ne $there $here) (not $tries) -}}
      {{- $all = append $all (dict "set" (printf "%s/%s" .metadata.namespace .metadata.name) "namespace" $there) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- dict "others" $all | toJson -}}
{{- end -}}
