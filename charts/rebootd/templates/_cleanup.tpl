{{/*
"true" if there is to be a hook that cleans up. What `helm template` renders is applied by others, who may not know of hooks and run it at once;
there is no cluster to look into then.
*/}}
{{- define "rebootd.cleanup.enabled" -}}
{{- $said := toString .Values.cleanup.enabled -}}
{{- $works := and .Values.rbac.create (not (include "rebootd.onlyTries" .)) -}}
{{- if and (eq $said "true") (not .Values.rbac.create) -}}
{{- fail "cleanup.enabled: with rbac.create false nobody gives the hook its rights; leave it at auto, and clean up as docs/install.md says" -}}
{{- end -}}
{{- if and $works (or (eq $said "true") (and (eq $said "auto") (lookup "v1" "Namespace" "" "kube-system"))) -}}true{{- end -}}
{{- end -}}

{{/* Not the agents' labels: the Service and the NetworkPolicy are theirs. */}}
{{- define "rebootd.cleanup.labels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 55 | trimSuffix "-" }}-cleanup
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- range $key, $value := .Values.commonLabels }}
{{ $key }}: {{ $value | quote }}
{{- end }}
{{- end -}}

{{- define "rebootd.cleanup.hook" -}}
helm.sh/hook: pre-delete
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{- define "rebootd.cleanup.role" }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ .name }}
  namespace: {{ .namespace }}
  labels:
    {{- include "rebootd.cleanup.labels" .root | nindent 4 }}
  annotations:
    {{- include "rebootd.cleanup.hook" "-5" | nindent 4 }}
rules:
  {{- .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ .name }}
  namespace: {{ .namespace }}
  labels:
    {{- include "rebootd.cleanup.labels" .root | nindent 4 }}
  annotations:
    {{- include "rebootd.cleanup.hook" "-5" | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ .name }}
subjects:
  - kind: ServiceAccount
    name: {{ .account }}
    namespace: {{ .root.Release.Namespace }}
{{- end }}
{{- define "rebootd.cleanup.agents" -}}
# The agents: they are stopped first.
- apiGroups: [apps]
  resources: [daemonsets]
  resourceNames: {{ toJson . }}
  verbs: [delete]
# Whether they have ended.
- apiGroups: [""]
  resources: [pods]
  verbs: [list]
{{- end }}
{{- define "rebootd.cleanup.slots" -}}
# The slots.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [list, delete]
# The failures that were counted.
- apiGroups: [""]
  resources: [configmaps]
  resourceNames: [rebootd-circuit]
  verbs: [delete]
{{- end }}
{{- define "rebootd.cleanup.kured" -}}
# kured's lock, which the agents took part in.
- apiGroups: [apps]
  resources: [daemonsets]
  resourceNames: [{{ . }}]
  verbs: [get, patch]
{{- end }}
