{{/*
The pools, as JSON: {"pools": [{"name", "fullname", "labels", "config", "values", "rest"}, …]}. Without .Values.pools it is one, without
a name. config is the options by their key, values is the rest.
*/}}
{{- define "rebootd.pools" -}}
{{- $root := . -}}
{{- $pools := list -}}
{{- $names := dict -}}
{{- range $key, $_ := $root.Values.configurationFromSecret -}}
  {{- if has $key (include "rebootd.steering" $root | fromJsonArray) -}}
    {{- fail (printf "configurationFromSecret.%s: on this option depends what the chart renders, and it can't look into a Secret; set configuration.%s" $key $key) -}}
  {{- end -}}
{{- end -}}
{{- $given := .Values.pools | default (dict "" dict) -}}
{{- range $name := keys $given | sortAlpha -}}
  {{- $pool := get $given $name | default dict -}}
  {{- $values := dict -}}
  {{- range $key := list "nodeSelector" "affinity" "tolerations" "resources" "podLabels" "podAnnotations" "priorityClassName" "updateStrategy" "maxUnavailable" "extraArgs" "extraEnv" "privileges" -}}
    {{- $value := index $root.Values $key -}}
    {{- if and (hasKey $pool $key) (has $key (list "nodeSelector" "podLabels" "podAnnotations")) -}}
      {{- $joined := deepCopy ($value | default dict) -}}
      {{- range $k, $v := get $pool $key -}}{{- $_ := set $joined $k $v -}}{{- end -}}
      {{- $value = $joined -}}
    {{- else if hasKey $pool $key -}}
      {{- $value = get $pool $key -}}
    {{- end -}}
    {{- $_ := set $values $key $value -}}
  {{- end -}}
  {{- $config := deepCopy ($root.Values.configuration | default dict) -}}
  {{- range $k, $v := $pool.configuration | default dict -}}{{- $_ := set $config $k $v -}}{{- end -}}
  {{- if and (hasKey ($pool.configuration | default dict) "namespace") -}}
    {{- fail (printf "pools.%s.configuration.namespace: the pools of a release share one namespace; set configuration.namespace" $name) -}}
  {{- end -}}
  {{- $rest := list -}}
  {{- if $pool.rest -}}
    {{- if $pool.nodeSelector -}}
      {{- fail (printf "pools.%s: rest and nodeSelector don't go together" $name) -}}
    {{- end -}}
    {{- range $other := keys $given | sortAlpha -}}
      {{- if ne $other $name -}}
        {{- $selector := (get $given $other | default dict).nodeSelector | default dict -}}
        {{- if or (ne (len $selector) 1) (get $given $other | default dict).affinity -}}
          {{- fail (printf "pools.%s.rest: pool %s must have a nodeSelector of exactly one label, and no affinity; else write an affinity for %s" $name $other $name) -}}
        {{- end -}}
        {{- range $k, $v := $selector -}}{{- $rest = append $rest (dict "key" $k "operator" "NotIn" "values" (list (toString $v))) -}}{{- end -}}
      {{- end -}}
    {{- end -}}
    {{- if $values.affinity -}}
      {{- fail (printf "pools.%s: rest and affinity don't go together" $name) -}}
    {{- end -}}
    {{- if $rest -}}
    {{- $terms := dict "nodeSelectorTerms" (list (dict "matchExpressions" $rest)) -}}
    {{- $_ := set $values "affinity" (dict "nodeAffinity" (dict "requiredDuringSchedulingIgnoredDuringExecution" $terms)) -}}
    {{- end -}}
  {{- end -}}
  {{- $full := include "rebootd.fullname" $root -}}
  {{- if $name -}}{{- $full = printf "%s-%s" $full $name | trunc 63 | trimSuffix "-" -}}{{- end -}}
  {{- if hasKey $names $full -}}
    {{- fail (printf "pools: %s and %s would have DaemonSets of the same name, %s, which is as long as names may be; shorten the pools' names, or set fullnameOverride" (get $names $full) $name $full) -}}
  {{- end -}}
  {{- $_ := set $names $full $name -}}
  {{- $resolved := include "rebootd.config" (dict "root" $root "config" $config "extraArgs" $values.extraArgs "pool" $name) | fromJson -}}
  {{- $pools = append $pools (dict "name" $name "fullname" $full "config" $resolved "values" $values) -}}
{{- end -}}
{{- dict "pools" $pools | toJson -}}
{{- end -}}

{{/* The options on which roles, mounts, privileges, probes, the policy or the clean-up depend. */}}
{{- define "rebootd.steering" -}}
{{- list "annotateNodes" "commandNamespace" "dryRun" "dsName" "dsNamespace" "excludeFromLoadBalancers" "healthPort" "kuredInterlock" "lockAnnotation"
  "lockTtl" "metricsHost" "metricsPort" "namespace" "onDrainTimeout" "postRebootNodeLabels" "preRebootNodeLabels" "preferNoScheduleTaint"
  "rebootMethod" "rebootSentinel" "sentinelPreset" | toJson -}}
{{- end -}}

{{/*
The options of a pool by key, as JSON: what is not set is left out; extraArgs are options, too; what this version has no flag
for is refused, or passed over.
*/}}
{{- define "rebootd.config" -}}
{{- $root := .root -}}
{{- $known := include "rebootd.known" $root | fromYaml -}}
{{- $where := ternary (printf "pools.%s.configuration" .pool) "configuration" (ne .pool "") -}}
{{- $all := deepCopy .config -}}
{{- $further := list -}}
{{- if kindIs "map" .extraArgs -}}
  {{- range $flag, $value := .extraArgs -}}
    {{- $value = ternary true $value (or (kindIs "invalid" $value) (eq (toString $value) "")) -}}
    {{- $further = append $further (dict "flag" $flag "value" $value) -}}
  {{- end -}}
{{- else -}}
  {{- range .extraArgs -}}
    {{- if regexMatch "^--[a-z-]+(=|$)" . -}}
      {{- $parts := splitn "=" 2 (trimPrefix "--" .) -}}
      {{- $further = append $further (dict "flag" $parts._0 "value" (ternary $parts._1 true (contains "=" .))) -}}
    {{- else -}}
      {{- fail (printf "extraArgs: %q is no flag such as --some-flag=value" .) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- range $further -}}
  {{- $key := include "rebootd.camel" .flag -}}
  {{- if and (hasKey $known.options $key) (get $known.options $key).list (get $all $key) -}}
    {{- $old := get $all $key -}}
    {{- $_ := set $all $key (append (ternary $old (list $old) (kindIs "slice" $old)) .value) -}}
  {{- else if or (hasKey $known.options $key) (hasKey $known.missing $key) -}}
    {{- $_ := set $all $key .value -}}
  {{- else if not (has .flag (list "ds-name" "ds-namespace")) -}}
    {{- fail (printf "extraArgs: rebootd has no flag --%s, or the chart sets it itself" .flag) -}}
  {{- end -}}
{{- end -}}
{{- $set := dict -}}
{{- range $key, $value := $all -}}
  {{- if not (kindIs "invalid" $value) -}}
    {{- $option := index $known.options $key -}}
    {{- if $option -}}
      {{- if and (kindIs "string" $value) $option.template -}}{{- $value = tpl $value $root -}}{{- end -}}
      {{- if and (kindIs "slice" $value) (not $option.list) -}}
        {{- fail (printf "%s.%s: takes one value, not a list" $where $key) -}}
      {{- end -}}
      {{- if or (not (kindIs "string" $value)) (ne $value "") $option.empty -}}
        {{- $_ := set $set $key $value -}}
      {{- end -}}
    {{- else if hasKey $known.missing $key -}}
      {{- $off := or (not $value) (eq (toString $value) "false") -}}
      {{- if and (not $off) (get $known.missing $key).refuse -}}
        {{- fail (printf "%s.%s: this version of rebootd has no such option, and a reboot would depend on it; remove it, or install a version that has it" $where $key) -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- if and $all.useRebootSentinelHostPath (hasKey $set "rebootSentinelCommand") -}}
  {{- $_ := unset $set "rebootSentinelCommand" -}}
{{- end -}}
{{- /* kured's chart mounts /var/run there, so its users name the file by that path. */ -}}
{{- if and (kindIs "string" $set.rebootSentinel) (ne (toString $all.useRebootSentinelHostPath) "false") -}}
  {{- if hasPrefix "/sentinel/" $set.rebootSentinel -}}
    {{- $_ := set $set "rebootSentinel" (printf "/var/run/%s" (trimPrefix "/sentinel/" $set.rebootSentinel)) -}}
  {{- end -}}
{{- end -}}
{{- $set | toJson -}}
{{- end -}}

{{/* The flags of this version. */}}
{{- define "rebootd.known" -}}
{{- .Files.Get "files/options.yaml" -}}
{{- end -}}

{{/* some-flag as someFlag. */}}
{{- define "rebootd.camel" -}}
{{- range $i, $word := splitList "-" . -}}{{- if $i -}}{{- title $word -}}{{- else -}}{{- $word -}}{{- end -}}{{- end -}}
{{- end -}}

{{/*
The agent's arguments, as JSON: {"args": […]}. Every option that is set is one, and each value of a list; secrets are not.
*/}}
{{- define "rebootd.args" -}}
{{- $pool := .pool -}}
{{- $root := .root -}}
{{- $known := include "rebootd.known" $root | fromYaml -}}
{{- $args := list "--host-root=/host" -}}
{{- range $key := keys $pool.config | sortAlpha -}}
  {{- $option := get $known.options $key -}}
  {{- $value := get $pool.config $key -}}
  {{- if not (or $option.secret (hasKey ($root.Values.configurationFromSecret | default dict) $key)) -}}
    {{- range $one := ternary $value (list $value) (kindIs "slice" $value) -}}
      {{- $args = append $args (printf "--%s=%s" $option.flag (include "rebootd.text" $one)) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- range $file := (include "rebootd.files" $root | fromJson).files -}}
  {{- $args = append $args (printf "--%s=%s/%s" $file.flag $file.folder $file.from.key) -}}
{{- end -}}
{{- dict "args" $args | toJson -}}
{{- end -}}

{{/* The options whose value is a file that comes from a Secret, as JSON: {"files": [{"flag", "volume", "folder", "from"}, …]}. */}}
{{- define "rebootd.files" -}}
{{- $known := include "rebootd.known" . | fromYaml -}}
{{- $files := list -}}
{{- range $key, $from := .Values.configurationFromSecret -}}
  {{- $option := get $known.options $key -}}
  {{- if $option.file -}}
    {{- $files = append $files (dict "flag" $option.flag "volume" (printf "secret-%s" $option.flag) "folder" (printf "/etc/rebootd/%s" $option.flag) "from" $from) -}}
  {{- end -}}
{{- end -}}
{{- dict "files" $files | toJson -}}
{{- end -}}

{{/* The secret options of a pool that stand in the values, as JSON: variable to value. */}}
{{- define "rebootd.secrets" -}}
{{- $root := .root -}}
{{- $known := include "rebootd.known" $root | fromYaml -}}
{{- $secrets := dict -}}
{{- range $key, $value := .pool.config -}}
  {{- $option := get $known.options $key -}}
  {{- if and $option.secret (not (hasKey ($root.Values.configurationFromSecret | default dict) $key)) -}}
    {{- $texts := list -}}
    {{- range $one := ternary $value (list $value) (kindIs "slice" $value) -}}{{- $texts = append $texts (include "rebootd.text" $one) -}}{{- end -}}
    {{- $_ := set $secrets $option.variable (join "\n" $texts) -}}
  {{- end -}}
{{- end -}}
{{- $secrets | toJson -}}
{{- end -}}

{{/* "command" if a command runs in the host, or privileges says so; else "signal". */}}
{{- define "rebootd.privileges" -}}
{{- $config := .pool.config -}}
{{- $known := include "rebootd.known" .root | fromYaml -}}
{{- $needs := "" -}}
{{- if ne (toString (default "command" $config.rebootMethod)) "signal" -}}
  {{- $needs = "configuration.rebootMethod is command" -}}
{{- end -}}
{{- if ne (toString (default "host" $config.commandNamespace)) "own" -}}
  {{- if and (has $config.sentinelPreset (list "auto" "rhel" "suse" "amazon-linux")) (not $config.rebootSentinel) -}}
    {{- $needs = printf "configuration.sentinelPreset %s runs a command" $config.sentinelPreset -}}
  {{- end -}}
  {{- range $key, $value := $config -}}
    {{- if and (get $known.options $key).command (ne $key "rebootCommand") -}}
      {{- range $one := ternary $value (list $value) (kindIs "slice" $value) -}}
        {{- if and $one (not (regexMatch "^((hold|warn):)?\\s*https?://" (toString $one))) -}}
          {{- $needs = printf "configuration.%s is a command" $key -}}
        {{- end -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- $said := .pool.values.privileges -}}
{{- if and (eq $said "signal") $needs -}}
  {{- fail (printf "privileges: signal doesn't suffice, for %s, in the host; set privileges to auto or command" $needs) -}}
{{- end -}}
{{- if or (eq $said "command") (and (ne $said "signal") $needs) -}}command{{- else -}}signal{{- end -}}
{{- end -}}

{{/* The host's folders that the agent looks into, as JSON: {"folders": […], "files": […]}. */}}
{{- define "rebootd.hostPaths" -}}
{{- $config := .pool.config -}}
{{- $folders := list -}}
{{- $files := list -}}
{{- if not $config.rebootSentinelCommand -}}
  {{- $paths := $config.rebootSentinel | default (list "/var/run/reboot-required") -}}
  {{- range $one := ternary $paths (list $paths) (kindIs "slice" $paths) -}}
    {{- range $path := splitList "," $one -}}
      {{- $folders = append $folders (dir $path) -}}
    {{- end -}}
  {{- end -}}
  {{- if and (eq (toString $config.sentinelPreset) "auto") (not $config.rebootSentinel) -}}
    {{- $files = list "/etc/os-release" -}}
  {{- end -}}
{{- end -}}
{{- dict "folders" ($folders | uniq | sortAlpha) "files" $files | toJson -}}
{{- end -}}

{{/* "true" if what .is says holds for one of the pools' options: {"root", "key", "is"}. */}}
{{- define "rebootd.any" -}}
{{- $any := "" -}}
{{- $key := .key -}}
{{- $is := .is -}}
{{- range $pool := (include "rebootd.pools" .root | fromJson).pools -}}
  {{- if eq (toString (get $pool.config $key)) $is -}}{{- $any = "true" -}}{{- end -}}
{{- end -}}
{{- $any -}}
{{- end -}}

{{/* "true" if every pool only tries: then nothing is ever written. */}}
{{- define "rebootd.onlyTries" -}}
{{- $all := "true" -}}
{{- range $pool := (include "rebootd.pools" . | fromJson).pools -}}
  {{- if ne (toString $pool.config.dryRun) "true" -}}{{- $all = "" -}}{{- end -}}
{{- end -}}
{{- $all -}}
{{- end -}}
