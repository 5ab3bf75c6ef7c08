package kafka

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestClientOptionsReadHowToConnect(t *testing.T) {
	for _, text := range []string{"", "null", "# nothing\n", "tls: {enabled: true}\nsasl: [{mechanism: SCRAM-SHA-512, username: u, password: p}]\nmax_kafka_version: \"3.8\"\n"} {
		opts, err := ClientOptions([]string{"h:1"}, text)
		require.NoError(t, err, text)
		assert.NotEmpty(t, opts)
	}
	for text, want := range map[string]string{
		"[a]":                       "it must be a YAML mapping of fields",
		"text":                      "it must be a YAML mapping of fields",
		"a: [":                      "it must be a YAML mapping of fields",
		"topic: t\ntls: {}":         "field topic is unknown: the fields are client_id, conn_idle_timeout,",
		"sasl: [{mechanism: CRAM}]": `value "CRAM" is unknown`,
		"max_kafka_version: \"77\"": "field max_kafka_version",
		"tls: {enabled: true, root_cas_file: /nowhere}": "field tls",
		"conn_idle_timeout: soon":                       "conn_idle_timeout",
	} {
		_, err := ClientOptions([]string{"h:1"}, text)
		require.ErrorContains(t, err, want, text)
	}
}
