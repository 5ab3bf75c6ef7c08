{{- define "robustmq-connect.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $full := printf "%s-%s" .Release.Name $name -}}
{{- if .Values.fullnameOverride -}}
{{- $full = .Values.fullnameOverride -}}
{{- else if contains $name .Release.Name -}}
{{- $full = .Release.Name -}}
{{- end -}}
{{- $full = $full | trunc 52 | trimAll "-" -}}
{{- if not (regexMatch "^[a-z][a-z0-9-]*$" $full) }}{{ fail (printf "fullnameOverride: a service cannot have the name %q, which the release's name makes: set one of letters, digits and hyphens that begins with a letter" $full) }}{{ end -}}
{{- $full -}}
{{- end -}}

{{- define "robustmq-connect.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "robustmq-connect.scheme" -}}
{{- ternary "HTTPS" "HTTP" (not (empty .Values.api.tlsSecret)) -}}
{{- end -}}

{{/* What the values ask for together has to be possible. It is said before anything changes. */}}
{{- define "robustmq-connect.check" -}}
{{- if and (gt (int .Values.workers) 1) (not .Values.store.kafka) }}{{ fail "workers: several share the connectors of a store in Kafka: set store.kafka" }}{{ end -}}
{{- range $name, $secret := dict "configSecret" .Values.store.configSecret.name "keySecret" .Values.store.keySecret.name -}}
{{- if and $secret (not $.Values.store.kafka) }}{{ fail (printf "store.%s: it is for a store in Kafka: set store.kafka, or remove it" $name) }}{{ end -}}
{{- end -}}
{{- if and .Values.mqtt.passwordSecret.name (not .Values.mqtt.username) }}{{ fail "mqtt.passwordSecret: a password needs a user: set mqtt.username" }}{{ end -}}
{{- if and .Values.mqtt.tlsSecret.clientCertificate (not .Values.mqtt.tlsSecret.name) }}{{ fail "mqtt.tlsSecret.clientCertificate: set mqtt.tlsSecret.name, which has it" }}{{ end -}}
{{- $own := list "store" "listen" "drain_timeout" "api_token_file" "api_tokens_file" "tls_cert_file" "tls_key_file" "secrets_dir"
  "mqtt_url" "mqtt_username" "mqtt_password" "mqtt_password_file" "mqtt_client_id_prefix" "mqtt_tls_ca_file" "mqtt_tls_cert_file" "mqtt_tls_key_file"
  "state_dir" "store_config" "store_key_file" "advertise" "cluster_token_file" "cluster_tls_ca_file" -}}
{{- range $name := keys .Values.config | sortAlpha -}}
{{- if has $name $own }}{{ fail (printf "config.%s: the chart decides that: set the value of its own, see values.yaml" $name) }}{{ end -}}
{{- end -}}
{{- range $value, $names := dict "podLabels" (default dict .Values.podLabels) "podAnnotations" (default dict .Values.podAnnotations) "serviceMonitor.labels" .Values.serviceMonitor.labels "prometheusRule.labels" .Values.prometheusRule.labels -}}
{{- range $name := list "app.kubernetes.io/name" "app.kubernetes.io/instance" "robustmq-connect/config" -}}
{{- if hasKey $names $name }}{{ fail (printf "%s: the chart decides what %s is: remove it" $value $name) }}{{ end -}}
{{- end -}}
{{- end -}}
{{/* Only a server knows what is installed: helm template without one finds nothing. */}}
{{- with lookup "apps/v1" "StatefulSet" .Release.Namespace (include "robustmq-connect.fullname" .) -}}
{{- $kafka := false -}}
{{- range (first .spec.template.spec.containers).env }}{{ if eq .name "ROBUSTMQ_CONNECT_ADVERTISE" }}{{ $kafka = true }}{{ end }}{{ end -}}
{{- if ne $kafka (not (empty $.Values.store.kafka)) -}}
{{- fail (printf "store.kafka: this release keeps its connectors in %s, and would go on without them: set it as it was, or install another release and copy them by store copy" (ternary "Kafka" "a directory" $kafka)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The file of --config. */}}
{{- define "robustmq-connect.config" -}}
{{- $file := dict
  "store" (default "/store/connectors" .Values.store.kafka)
  "listen" "0.0.0.0:58080"
  "api_token_file" "/etc/robustmq-connect/token/token"
  "drain_timeout" (printf "%vs" .Values.drainTimeoutSeconds)
  "mqtt_url" .Values.mqtt.url -}}
{{- with .Values.mqtt.username }}{{ $_ := set $file "mqtt_username" . }}{{ end -}}
{{- if .Values.mqtt.passwordSecret.name }}{{ $_ := set $file "mqtt_password_file" "/etc/robustmq-connect/mqtt-password/password" }}{{ end -}}
{{- if .Values.mqtt.tlsSecret.name }}
{{- $_ := set $file "mqtt_tls_ca_file" "/etc/robustmq-connect/mqtt-tls/ca.crt" -}}
{{- if .Values.mqtt.tlsSecret.clientCertificate }}
{{- $_ := set $file "mqtt_tls_cert_file" "/etc/robustmq-connect/mqtt-tls/tls.crt" -}}
{{- $_ := set $file "mqtt_tls_key_file" "/etc/robustmq-connect/mqtt-tls/tls.key" -}}
{{- end -}}
{{- end -}}
{{- if .Values.api.tlsSecret }}
{{- $_ := set $file "tls_cert_file" "/etc/robustmq-connect/api-tls/tls.crt" -}}
{{- $_ := set $file "tls_key_file" "/etc/robustmq-connect/api-tls/tls.key" -}}
{{- end -}}
{{- if .Values.api.tokensSecret.name }}{{ $_ := set $file "api_tokens_file" "/etc/robustmq-connect/tokens/tokens.yaml" }}{{ end -}}
{{- if .Values.connectorSecret }}{{ $_ := set $file "secrets_dir" "/etc/robustmq-connect/connectors" }}{{ end -}}
{{- if .Values.store.kafka }}
{{- $_ := set $file "state_dir" "/store/state" -}}
{{- $_ := set $file "cluster_token_file" "/etc/robustmq-connect/cluster-token/token" -}}
{{- if .Values.store.configSecret.name }}{{ $_ := set $file "store_config" "/etc/robustmq-connect/store-config/store.yaml" }}{{ end -}}
{{- if .Values.store.keySecret.name }}{{ $_ := set $file "store_key_file" "/etc/robustmq-connect/store-keys/keys" }}{{ end -}}
{{- if .Values.cluster.caSecret.name }}{{ $_ := set $file "cluster_tls_ca_file" "/etc/robustmq-connect/cluster-ca/ca.crt" }}{{ end -}}
{{- end -}}
{{- toYaml (merge $file .Values.config) -}}
{{- end -}}

{{/* Secrets that are mounted, by the folder below /etc/robustmq-connect. */}}
{{- define "robustmq-connect.secrets" -}}
token: { secretName: {{ .Values.api.tokenSecret.name | quote }}, defaultMode: 0440, items: [{ key: {{ .Values.api.tokenSecret.key | quote }}, path: token }] }
{{- with .Values.api.tokensSecret }}
{{- if .name }}
tokens: { secretName: {{ .name | quote }}, defaultMode: 0440, items: [{ key: {{ .key | quote }}, path: tokens.yaml }] }
{{- end }}
{{- end }}
{{- with .Values.mqtt.passwordSecret }}
{{- if .name }}
mqtt-password: { secretName: {{ .name | quote }}, defaultMode: 0440, items: [{ key: {{ .key | quote }}, path: password }] }
{{- end }}
{{- end }}
{{- with .Values.mqtt.tlsSecret.name }}
mqtt-tls: { secretName: {{ . | quote }}, defaultMode: 0440 }
{{- end }}
{{- with .Values.api.tlsSecret }}
api-tls: { secretName: {{ . | quote }}, defaultMode: 0440 }
{{- end }}
{{- if .Values.store.kafka }}
cluster-token: { secretName: {{ .Values.cluster.tokenSecret.name | quote }}, defaultMode: 0440, items: [{ key: {{ .Values.cluster.tokenSecret.key | quote }}, path: token }] }
{{- with .Values.store.configSecret }}
{{- if .name }}
store-config: { secretName: {{ .name | quote }}, defaultMode: 0440, items: [{ key: {{ .key | quote }}, path: store.yaml }] }
{{- end }}
{{- end }}
{{- with .Values.store.keySecret }}
{{- if .name }}
store-keys: { secretName: {{ .name | quote }}, defaultMode: 0440, items: [{ key: {{ .key | quote }}, path: keys }] }
{{- end }}
{{- end }}
{{- with .Values.cluster.caSecret }}
{{- if .name }}
cluster-ca: { secretName: {{ .name | quote }}, defaultMode: 0440, items: [{ key: {{ .key | quote }}, path: ca.crt }] }
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.connectorSecret }}
connectors: { secretName: {{ . | quote }}, defaultMode: 0440 }
{{- end }}
{{- end -}}
