{{- define "robustmq-connect.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "robustmq-connect.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "robustmq-connect.scheme" -}}
{{- ternary "HTTPS" "HTTP" (not (empty .Values.api.tlsSecret)) -}}
{{- end -}}

{{/* The file of --config. */}}
{{- define "robustmq-connect.config" -}}
{{- if and (gt (int .Values.workers) 1) (not .Values.store.kafka) }}{{ fail "workers: several share the connectors of a store in Kafka: set store.kafka" }}{{ end -}}
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
{{- range $name := keys $file | sortAlpha }}
{{- if hasKey $.Values.config $name }}{{ fail (printf "config.%s: the chart decides that: set the value of its own, see values.yaml" $name) }}{{ end -}}
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
