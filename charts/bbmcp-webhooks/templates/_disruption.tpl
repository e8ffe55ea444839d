{{- /* SPDX-License-Identifier: Apache-2.0 */ -}}

{{- /* Takes root, role, values. */ -}}
{{- define "bbmcp.disruption" -}}
{{- if .values.podDisruptionBudget.enabled -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "bbmcp.fullname" .root }}-{{ .role }}
  namespace: {{ .root.Release.Namespace }}
  {{- include "bbmcp.metadata" (dict "root" .root) | nindent 2 }}
spec:
  maxUnavailable: {{ with .values.podDisruptionBudget.maxUnavailable }}{{ if kindIs "string" . }}{{ quote . }}{{ else }}{{ int64 . }}{{ end }}{{ else }}0{{ end }}
  unhealthyPodEvictionPolicy: AlwaysAllow # a replica that is not ready never holds up a drain
  selector:
    matchLabels:
      {{- include "bbmcp.selector" . | nindent 6 }}
{{- end -}}
{{- end -}}
