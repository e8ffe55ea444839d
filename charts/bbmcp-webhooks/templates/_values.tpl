{{- /* SPDX-License-Identifier: Apache-2.0 */ -}}

{{- /*
Gives values their defaults that are missing. Helm does so itself but with
--reuse-values, which takes those of the release before for all there is: what is
new since then would be off. Every template that reads values begins with this.
*/ -}}
{{- define "bbmcp.values" -}}
{{- include "bbmcp.values.fill" (dict "into" .Values "from" (.Files.Get "files/values.yaml" | fromYaml)) -}}
{{- end -}}

{{- /*
Takes into and from. A list with entries, or a resource, that is missing where its
neighbours are there was taken away by null, unless it is newer than they.
*/ -}}
{{- define "bbmcp.values.fill" -}}
{{- range $key, $value := .from -}}
{{- if hasKey $.into $key -}}
{{- if and (kindIs "map" $value) (kindIs "map" (index $.into $key)) (ne $key "resources") -}}
{{- include "bbmcp.values.fill" (dict "into" (index $.into $key) "from" $value) -}}
{{- end -}}
{{- else if or (not (kindIs "slice" $value)) (empty $value) (has $key (list "dnsPorts" "apiServerPorts")) -}}
{{- $_ := set $.into $key $value -}}
{{- end -}}
{{- end -}}
{{- end -}}
