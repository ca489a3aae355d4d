{{/* The name that all objects begin with. */}}
{{- define "rebootd.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "rebootd.selectorLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "rebootd.labels" -}}
{{ include "rebootd.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- range $key, $value := .Values.commonLabels }}
{{ $key }}: {{ $value | quote }}
{{- end }}
{{- end -}}

{{- define "rebootd.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "rebootd.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* The namespace of Leases and ConfigMaps. */}}
{{- define "rebootd.namespace" -}}
{{- default .Release.Namespace (.Values.configuration | default dict).namespace -}}
{{- end -}}

{{/* kured's image in a values file for kured is not meant. Its tag isn't then either. */}}
{{- define "rebootd.isKuredsImage" -}}
{{- if has (.Values.image.repository | trimPrefix "docker.io/") (list "ghcr.io/kubereboot/kured" "kubereboot/kured" "weaveworks/kured") -}}true{{- end -}}
{{- end -}}

{{- define "rebootd.image" -}}
{{- $kured := include "rebootd.isKuredsImage" . -}}
{{- $repository := ternary "ghcr.io/rebootd/rebootd" .Values.image.repository (not (not $kured)) -}}
{{- if and .Values.image.digest (not $kured) -}}
{{- printf "%s@%s" $repository .Values.image.digest -}}
{{- else if and .Values.image.tag (not $kured) -}}
{{- printf "%s:%v" $repository .Values.image.tag -}}
{{- else -}}
{{- printf "%s:%s" $repository .Chart.AppVersion -}}
{{- end -}}
{{- end -}}

{{/* Environment variables as in a pod, as JSON: {"env": […]}. kured's files have numbers as values. */}}
{{- define "rebootd.env" -}}
{{- $env := list -}}
{{- range .env -}}
  {{- $one := deepCopy . -}}
  {{- if hasKey $one "value" -}}{{- $_ := set $one "value" (include "rebootd.text" $one.value) -}}{{- end -}}
  {{- $env = append $env $one -}}
{{- end -}}
{{- dict "env" $env | toJson -}}
{{- end -}}

{{/* A value as the text of a flag. YAML's numbers are floats here, which would print as 1e+06. */}}
{{- define "rebootd.text" -}}
{{- if and (kindIs "float64" .) (eq . (floor .)) -}}{{- int64 . -}}{{- else -}}{{- toString . -}}{{- end -}}
{{- end -}}

{{/* Whether a monitor that needs the Service is wanted: kured's name for it is metrics.create. */}}
{{- define "rebootd.serviceMonitor" -}}
{{- if or .Values.serviceMonitor.enabled (.Values.metrics | default dict).create -}}true{{- end -}}
{{- end -}}
