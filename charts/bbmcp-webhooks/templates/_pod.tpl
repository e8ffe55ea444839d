{{- /* SPDX-License-Identifier: Apache-2.0 */ -}}

{{- /* The value of a flag as a program reads it. Numbers come as floats. */ -}}
{{- define "bbmcp.flag" -}}
{{- if kindIs "slice" . -}}
{{- join "," . -}}
{{- else if and (kindIs "float64" .) (ne (floor .) (float64 .)) -}}
{{- toString . -}}
{{- else if or (kindIs "float64" .) (kindIs "int64" .) (kindIs "int" .) -}}
{{- printf "%d" (int64 .) -}}
{{- else -}}
{{- toString . -}}
{{- end -}}
{{- end -}}

{{- /* Arguments of a container: those of the chart, flags, extraArgs. Takes own, values. */ -}}
{{- define "bbmcp.args" -}}
{{- $args := .own -}}
{{- range $name, $value := .values.flags -}}
{{- if not (kindIs "invalid" $value) -}}
{{- $args = append $args (printf "--%s=%s" $name (include "bbmcp.flag" $value)) -}}
{{- end -}}
{{- end -}}
{{- concat $args .values.extraArgs | toYaml -}}
{{- end -}}

{{- /* Whole seconds of a duration such as 1m30s. */ -}}
{{- define "bbmcp.seconds" -}}
{{- $duration := toString . -}}
{{- $seconds := 0 -}}
{{- range $unit, $factor := dict "h" 3600 "m" 60 "s" 1 "ms" 0.001 -}}
{{- with regexFind (printf "[0-9.]+%s([0-9]|$)" $unit) $duration -}}
{{- $seconds = add $seconds (mulf (regexFind "^[0-9.]+" .) $factor | ceil | int) -}}
{{- end -}}
{{- end -}}
{{- $seconds -}}
{{- end -}}

{{- /* How long a Pod may take to end. Takes role, values. */ -}}
{{- define "bbmcp.grace" -}}
{{- $flags := .values.flags -}}
{{- if .values.terminationGracePeriodSeconds -}}
{{- int64 .values.terminationGracePeriodSeconds -}}
{{- else if eq .role "manager" -}}
{{- add 20 (include "bbmcp.seconds" (index $flags "drain-grace" | default "40s")) -}}
{{- else -}}
{{- add 10 (include "bbmcp.seconds" (index $flags "drain-delay" | default "15s")) (include "bbmcp.seconds" (index $flags "drain-grace" | default "30s")) -}}
{{- end -}}
{{- end -}}

{{- define "bbmcp.confined" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- /* OTEL_* of manager and gateway; nothing without a collector. Takes root. */ -}}
{{- define "bbmcp.tracing" -}}
{{- with .root.Values.tracing -}}
{{- if .endpoint }}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: OTEL_RESOURCE_ATTRIBUTES
  value: service.instance.id=$(POD_NAME)
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ .endpoint | quote }}
- name: OTEL_EXPORTER_OTLP_PROTOCOL
  value: {{ .protocol }}
- name: OTEL_TRACES_SAMPLER
  value: {{ .sampler }}
{{- with .samplerArg }}
- name: OTEL_TRACES_SAMPLER_ARG
  value: {{ . | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- /* The port that spans go to. */ -}}
{{- define "bbmcp.tracing.port" -}}
{{- $scheme := ternary 443 80 (hasPrefix "https:" .endpoint) -}}
{{- regexFind ":[0-9]+(/|$)" .endpoint | trimPrefix ":" | trimSuffix "/" | default $scheme -}}
{{- end -}}

{{- /*
A native sidecar: it takes attempts before the main container starts, and ends
after it. It has no token: what talks to strangers has nothing to steal.
*/ -}}
{{- define "bbmcp.dispatcher" -}}
{{- $values := .Values.dispatcher -}}
{{- $bundle := or $values.caBundle.configMapName $values.caBundle.secretName -}}
{{- $own := list (printf "--metrics-address=:%d" (int64 $values.ports.sidecar)) -}}
{{- if $bundle -}}
{{- $own = append $own "--ca-bundle=/etc/bbmcp/ca/ca.crt" -}}
{{- end -}}
name: dispatcher
image: {{ include "bbmcp.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
command: [/dispatcher]
args:
  {{- include "bbmcp.args" (dict "own" $own "values" $values) | nindent 2 }}
restartPolicy: Always
{{- with $values.env }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
ports:
- name: sidecar
  containerPort: {{ int64 $values.ports.sidecar }}
startupProbe:
  httpGet:
    path: /readyz
    port: sidecar
  periodSeconds: 1
  failureThreshold: 60
livenessProbe:
  httpGet:
    path: /healthz
    port: sidecar
readinessProbe:
  httpGet:
    path: /readyz
    port: sidecar
resources:
  {{- toYaml $values.resources | nindent 2 }}
securityContext:
  {{- include "bbmcp.confined" . | nindent 2 }}
volumeMounts:
- name: socket
  mountPath: /run/bbmcp
{{- if $bundle }}
- name: ca
  mountPath: /etc/bbmcp/ca
  readOnly: true
{{- end }}
{{- end -}}

{{- /* What both containers and only one of them mounts. Takes root, role. */ -}}
{{- define "bbmcp.volumes" -}}
- name: socket
  emptyDir:
    sizeLimit: 1Mi
- name: token
  projected:
    defaultMode: 0440
    sources:
    - serviceAccountToken:
        path: token
        expirationSeconds: 3607
    - configMap:
        name: kube-root-ca.crt
        items:
        - key: ca.crt
          path: ca.crt
    - downwardAPI:
        items:
        - path: namespace
          fieldRef:
            fieldPath: metadata.namespace
{{- with .root.Values.dispatcher.caBundle }}
{{- if .configMapName }}
- name: ca
  configMap:
    name: {{ .configMapName | quote }}
    items:
    - key: {{ .key | quote }}
      path: ca.crt
{{- else if .secretName }}
- name: ca
  secret:
    secretName: {{ .secretName | quote }}
    defaultMode: 0440
    items:
    - key: {{ .key | quote }}
      path: ca.crt
{{- end }}
{{- end }}
{{- with .root.Values.monitoring.tls.secretName }}
- name: metrics-tls
  secret:
    secretName: {{ . | quote }}
    defaultMode: 0440
{{- end }}
{{- if and (eq .role "gateway") .root.Values.gateway.tls.secretName }}
- name: tls
  secret:
    secretName: {{ .root.Values.gateway.tls.secretName | quote }}
    defaultMode: 0440
{{- end }}
{{- end -}}

{{- /* Takes root, role, values. */ -}}
{{- define "bbmcp.spread" -}}
{{- range $key, $topology := dict "node" "kubernetes.io/hostname" "zone" "topology.kubernetes.io/zone" }}
{{- $unsatisfiable := index $.values.topologySpread $key }}
{{- if ne $unsatisfiable "Off" }}
- topologyKey: {{ $topology }}
  maxSkew: 1
  whenUnsatisfiable: {{ $unsatisfiable }}
  labelSelector:
    matchLabels:
      {{- include "bbmcp.selector" $ | nindent 6 }}
  matchLabelKeys: [pod-template-hash]
{{- end }}
{{- end }}
{{- end -}}
