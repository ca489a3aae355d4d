{{/* What the values have under a name of kured's that is another one here, or that does nothing, as JSON: {"warnings": […]}. */}}
{{- define "rebootd.warnings" -}}
{{- $v := .Values -}}
{{- $known := include "rebootd.known" . | fromYaml -}}
{{- $all := list -}}
{{- if include "rebootd.isKuredsImage" . -}}
  {{- $all = append $all (printf "image.repository %s is kured's; this release runs %s. Remove image.repository and image.tag." $v.image.repository (include "rebootd.image" .)) -}}
{{- else if hasSuffix "/kured" $v.image.repository -}}
  {{- $all = append $all (printf "image.repository %s looks like kured's image, which doesn't know rebootd's options. Name your copy of rebootd's." $v.image.repository) -}}
{{- end -}}
{{- range $old, $new := dict "dsAnnotations" "daemonSetAnnotations" "extraEnvVars" "extraEnv" -}}
  {{- if get $v $old -}}{{- $all = append $all (printf "%s is kured's name; the new one is %s." $old $new) -}}{{- end -}}
{{- end -}}
{{- if $v.image.pullSecrets -}}{{- $all = append $all "image.pullSecrets is kured's name; the new one is imagePullSecrets." -}}{{- end -}}
{{- if $v.serviceAccount.extraAnnotations -}}{{- $all = append $all "serviceAccount.extraAnnotations is kured's name; the new one is serviceAccount.annotations." -}}{{- end -}}
{{- if ($v.metrics | default dict).create -}}{{- $all = append $all "metrics is kured's name; the new one is serviceMonitor, with enabled instead of create." -}}{{- end -}}
{{- if ($v.podSecurityPolicy | default dict).create -}}{{- $all = append $all "podSecurityPolicy does nothing: Kubernetes has none since 1.25. Remove it, and label the namespace." -}}{{- end -}}
{{- if eq (toString (($v.livenessProbe | default dict).httpGet | default dict).path) "/metrics" -}}
  {{- $all = append $all "livenessProbe asks for /metrics, as kured's does, which says nothing of the agent's health. Remove it for the default, /healthz." -}}
{{- end -}}
{{- $seen := dict -}}
{{- range $name, $one := merge (dict "" dict) ($v.pools | default dict) -}}
  {{- range $key, $value := ternary $v.configuration ($one | default dict).configuration (eq $name "") | default dict -}}
    {{- $on := and $value (ne (toString $value) "false") -}}
    {{- $option := get $known.options $key -}}
    {{- if and $on (not (hasKey $seen $key)) -}}
      {{- if hasKey $known.missing $key -}}
        {{- $_ := set $seen $key true -}}
        {{- $all = append $all (printf "configuration.%s does nothing: this version of rebootd has no such option." $key) -}}
      {{- else if and $option $option.instead -}}
        {{- $_ := set $seen $key true -}}
        {{- $all = append $all (printf "configuration.%s is kured's name; the new one is configuration.%s." $key $option.instead) -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- $config := $v.configuration | default dict -}}
{{- if and $config.useRebootSentinelHostPath $config.rebootSentinelCommand -}}
  {{- $all = append $all "configuration.rebootSentinelCommand is left out because configuration.useRebootSentinelHostPath is true, as in kured's chart. Remove useRebootSentinelHostPath to run the command." -}}
{{- end -}}
{{- if and (kindIs "string" $config.rebootSentinel) (hasPrefix "/sentinel/" (toString $config.rebootSentinel)) (ne (toString $config.useRebootSentinelHostPath) "false") -}}
  {{- $all = append $all (printf "configuration.rebootSentinel %s is a path in kured's container; taken for /var/run/%s on the host. Write that." $config.rebootSentinel (trimPrefix "/sentinel/" $config.rebootSentinel)) -}}
{{- end -}}
{{- $root := . -}}
{{- range $pool := (include "rebootd.pools" . | fromJson).pools -}}
  {{- if and (($pool.values.resources | default dict).limits | default dict).memory (eq (include "rebootd.privileges" (dict "root" $root "pool" $pool)) "command") (not (hasKey $seen "limit")) -}}
    {{- $_ := set $seen "limit" true -}}
    {{- $all = append $all "resources.limits.memory counts for commands in the host too, which run in the agent's cgroup: a package manager's check may need more, and is killed then, with the agent." -}}
  {{- end -}}
  {{- if and (has (toString $pool.config.metricsHost) (list "127.0.0.1" "::1" "localhost")) (not $v.hostNetwork) -}}
    {{- $all = append $all "configuration.metricsHost is an address that the kubelet can't reach, so the agents will be restarted for ever. Remove it, or set livenessProbe and readinessProbe to what works." -}}
  {{- end -}}
  {{- $web := or $pool.config.webConfigFile (hasKey ($v.configurationFromSecret | default dict) "webConfigFile") -}}
  {{- $https := eq (toString (($v.livenessProbe | default dict).httpGet | default dict).scheme) "HTTPS" -}}
  {{- if and $web $v.livenessProbe (not $https) (has (toString ($pool.config.healthPort | default 0)) (list "0" "")) (not (hasKey $seen "web")) -}}
    {{- $_ := set $seen "web" true -}}
    {{- $all = append $all "configuration.webConfigFile puts TLS or a login before the metrics' port, which the kubelet's probes ask without, so the agents would be restarted for ever. Set configuration.healthPort, such as 8081." -}}
  {{- end -}}
  {{- range $key, $_ := $pool.config -}}
    {{- if and (get $known.options $key).secret (not (hasKey $seen (printf "secret %s" $key))) (not (hasKey ($v.configurationFromSecret | default dict) $key)) -}}
      {{- $_ := set $seen (printf "secret %s" $key) true -}}
      {{- $all = append $all (printf "configuration.%s is secret and stands in the values. It went through a Secret; better make that yourself, and name it in configurationFromSecret.%s." $key $key) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- dict "warnings" $all | toJson -}}
{{- end -}}
