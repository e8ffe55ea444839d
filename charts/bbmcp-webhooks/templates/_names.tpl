{{- /* SPDX-License-Identifier: Apache-2.0 */ -}}

{{- /* What the names of all objects begin with; the longest, -gateway-signing-namespaced, fits behind it. */ -}}
{{- define "bbmcp.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 28 | trimSuffix "-" -}}
{{- else if contains "bbmcp" .Release.Name -}}
{{- .Release.Name | trunc 28 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-bbmcp" (.Release.Name | trunc 22 | trimSuffix "-") -}}
{{- end -}}
{{- end -}}

{{- /* bbmcp-x of config/ as this release names it. Takes root, name. */ -}}
{{- define "bbmcp.rename" -}}
{{- printf "%s%s" (include "bbmcp.fullname" .root) (trimPrefix "bbmcp" .name) -}}
{{- end -}}

{{- /* Takes root, role. */ -}}
{{- define "bbmcp.serviceAccountName" -}}
{{- $account := (index .root.Values .role).serviceAccount -}}
{{- $account.name | default (printf "%s-%s" (include "bbmcp.fullname" .root) .role) -}}
{{- end -}}

{{- define "bbmcp.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{- printf "%s@%s" .repository .digest -}}
{{- else -}}
{{- printf "%s:%s" .repository (.tag | default $.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* What Pods are chosen by; never changes within a release. Takes root, role. */ -}}
{{- define "bbmcp.selector" -}}
app.kubernetes.io/name: bbmcp-webhooks
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .role }}
{{- end -}}

{{- /* Labels and annotations of an object. Takes root; labels, annotations: its own. */ -}}
{{- define "bbmcp.metadata" -}}
{{- $own := dict "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version) "app.kubernetes.io/version" .root.Chart.AppVersion "app.kubernetes.io/managed-by" .root.Release.Service -}}
labels:
  {{- mergeOverwrite (deepCopy .root.Values.commonLabels) $own (.labels | default dict) | toYaml | nindent 2 }}
{{- with mergeOverwrite (deepCopy .root.Values.commonAnnotations) (.annotations | default dict) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
