{{- /* SPDX-License-Identifier: Apache-2.0 */ -}}

{{- /*
A Deployment of the manager or the gateway, with its dispatcher. Takes root,
role, values; container: what differs in the main container.
*/ -}}
{{- define "bbmcp.deployment" -}}
{{- $root := .root -}}
{{- $values := .values -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "bbmcp.fullname" $root }}-{{ .role }}
  namespace: {{ $root.Release.Namespace }}
  {{- include "bbmcp.metadata" (dict "root" $root "labels" (include "bbmcp.selector" . | fromYaml)) | nindent 2 }}
spec:
  {{- if not .autoscaled }}
  replicas: {{ int64 $values.replicas }}
  {{- end }}
  selector:
    matchLabels:
      {{- include "bbmcp.selector" . | nindent 6 }}
  strategy:
    rollingUpdate: # a new replica is ready before an old one is told to end
      maxSurge: 1
      maxUnavailable: 0
  template:
    metadata:
      labels:
        {{- mergeOverwrite (deepCopy $values.podLabels) (include "bbmcp.selector" . | fromYaml) | toYaml | nindent 8 }}
      annotations:
        {{- mergeOverwrite (dict "kubectl.kubernetes.io/default-container" .role "cluster-autoscaler.kubernetes.io/safe-to-evict" "true") $values.podAnnotations | toYaml | nindent 8 }}
    spec:
      serviceAccountName: {{ include "bbmcp.serviceAccountName" . }}
      # The token is mounted by hand, into the one container that needs it.
      automountServiceAccountToken: false
      enableServiceLinks: false
      terminationGracePeriodSeconds: {{ include "bbmcp.grace" . }}
      {{- with $root.Values.image.pullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.priorityClassName }}
      priorityClassName: {{ . | quote }}
      {{- end }}
      nodeSelector:
        {{- mergeOverwrite (dict "kubernetes.io/os" "linux") $values.nodeSelector | toYaml | nindent 8 }}
      {{- with $values.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.affinity }}
      affinity:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      securityContext:
        runAsNonRoot: true
        {{- if ne (include "bbmcp.assignsIDs" $root) "true" }}
        # One user for both containers: the socket is open to its owner alone.
        runAsUser: 65532
        runAsGroup: 65532
        fsGroup: 65532 # lets that user read the token
        {{- end }}
        seccompProfile:
          type: RuntimeDefault
      {{- with include "bbmcp.spread" . }}
      topologySpreadConstraints:
        {{- . | nindent 6 }}
      {{- end }}
      initContainers:
      - {{ include "bbmcp.dispatcher" $root | nindent 8 | trim }}
      containers:
      - name: {{ .role }}
        image: {{ include "bbmcp.image" $root | quote }}
        imagePullPolicy: {{ $root.Values.image.pullPolicy }}
        command: [/bbmcp-webhooks]
        args:
          {{- include "bbmcp.args" (dict "own" .own "values" $values) | nindent 10 }}
        {{- with concat (include "bbmcp.tracing" . | fromYamlArray) $values.env }}
        env:
          {{- toYaml . | nindent 10 }}
        {{- end }}
        {{- .container | nindent 8 }}
        resources:
          {{- toYaml $values.resources | nindent 10 }}
        securityContext:
          {{- include "bbmcp.confined" . | nindent 10 }}
        volumeMounts:
        - name: socket
          mountPath: /run/bbmcp
        - name: token
          mountPath: /var/run/secrets/kubernetes.io/serviceaccount
          readOnly: true
        {{- if $root.Values.monitoring.tls.secretName }}
        - name: metrics-tls
          mountPath: /etc/bbmcp/metrics-tls
          readOnly: true
        {{- end }}
        {{- if and (eq .role "gateway") $values.tls.secretName }}
        - name: tls
          mountPath: /etc/bbmcp/tls
          readOnly: true
        {{- end }}
      volumes:
        {{- include "bbmcp.volumes" . | nindent 8 }}
{{- end -}}

{{- /* Says true where the cluster gives each Pod its user and groups, and refuses others, as OpenShift does. */ -}}
{{- define "bbmcp.assignsIDs" -}}
{{- $adapt := .Values.compatibility.openshift.adaptSecurityContext -}}
{{- or (eq $adapt "force") (and (eq $adapt "auto") (.Capabilities.APIVersions.Has "security.openshift.io/v1")) -}}
{{- end -}}
