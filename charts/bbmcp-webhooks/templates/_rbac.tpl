{{- /* SPDX-License-Identifier: Apache-2.0 */ -}}

{{- /*
The part of rules that a scope can hold, cluster or namespace. Takes rules, scope;
narrow: the namespaces, without which all belong to the cluster.
*/ -}}
{{- define "bbmcp.rbac.rules" -}}
{{- $outside := list "eventtypes" "eventtypes/status" "tokenreviews" "subjectaccessreviews" -}}
{{- $found := list -}}
{{- range .rules -}}
{{- if not $.narrow -}}
{{- if eq $.scope "cluster" -}}
{{- $found = append $found . -}}
{{- end -}}
{{- else if .nonResourceURLs -}}
{{- if eq $.scope "cluster" -}}
{{- $found = append $found . -}}
{{- end -}}
{{- else -}}
{{- $resources := list -}}
{{- range .resources -}}
{{- if eq (has . $outside) (eq $.scope "cluster") -}}
{{- $resources = append $resources . -}}
{{- end -}}
{{- end -}}
{{- if $resources -}}
{{- $found = append $found (merge (dict "resources" $resources) (omit . "resources")) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $found -}}
{{- end -}}

{{- /*
A role or a binding. Takes root, document, kind, name, namespace, rules; suffix: a
namespace may be the one that has a Role of the name already.
*/ -}}
{{- define "bbmcp.rbac.object" }}
---
apiVersion: {{ .document.apiVersion }}
kind: {{ .kind }}
metadata:
  name: {{ .name }}{{ .suffix | default "" }}
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  {{- include "bbmcp.metadata" (dict "root" .root) | nindent 2 }}
{{- if .document.roleRef }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ ternary "ClusterRole" "Role" (eq .kind "ClusterRoleBinding") }}
  name: {{ include "bbmcp.rename" (dict "root" .root "name" .document.roleRef.name) }}{{ .suffix | default "" }}
subjects:
{{- range .document.subjects }}
- kind: ServiceAccount
  name: {{ include "bbmcp.serviceAccountName" (dict "root" $.root "role" (trimPrefix "bbmcp-" .name)) }}
  namespace: {{ $.root.Release.Namespace }}
{{- end }}
{{- else }}
rules:
  {{- toYaml .rules | nindent 2 }}
{{- end }}
{{- end }}
