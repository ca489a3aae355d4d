{{/*
Refuses to go on beside a kured that the agents wouldn't look for: both would reboot nodes, and neither would wait for the other. Who says
where kured is, is believed. A kured of this very release is about to be replaced.
*/}}
{{- define "rebootd.kured.elsewhere" -}}
{{- $said := true -}}
{{- range (include "rebootd.pools" . | fromJson).pools -}}
  {{- if not (or (hasKey .config "dsName") (hasKey .config "dsNamespace")) -}}{{- $said = false -}}{{- end -}}
{{- end -}}
{{- if not $said -}}
  {{- range (lookup "apps/v1" "DaemonSet" "" "").items -}}
    {{- $meta := .metadata -}}
    {{- $of := $meta.annotations | default dict -}}
    {{- $replaced := and (eq (get $of "meta.helm.sh/release-name") $.Release.Name) (eq (get $of "meta.helm.sh/release-namespace") $.Release.Namespace) -}}
    {{- if not (or $replaced (and (eq $meta.namespace "kube-system") (eq $meta.name "kured"))) -}}
      {{- range .spec.template.spec.containers -}}
        {{- if or (regexMatch "(^|/)kured([:@].*)?$" .image) (regexMatch "(^|/)kured$" (first (.command | default (list "")))) -}}
          {{- fail (printf "kured is installed as DaemonSet %s/%s, where rebootd doesn't look for it, so both would reboot nodes at once: set configuration.dsNamespace to %s and configuration.dsName to %s. If there are several kureds, remove all but one before" $meta.namespace $meta.name $meta.namespace $meta.name) -}}
        {{- end -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- end -}}
