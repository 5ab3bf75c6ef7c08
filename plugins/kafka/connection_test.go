package kafka

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestClientOptionsReadHowToConnect(t *testing.T) {
	for _, text := range []string{"", "null", "# nothing\n", "tls: {enabled: true}\nsasl: [{mechanism: SCRAM-SHA-512, username: u, password: p}]\nmax_kafka_version: \"3.8\"\n", "sasl: [{mechanism: PLAIN, username: u, password: 'a${B}c'}]"} {
		opts, err := ClientOptions([]string{"h:1"}, text)
		require.NoError(t, err, text)
		assert.NotEmpty(t, opts)
	}
	for text, want := range map[string]string{
		"[a]":                       "it must be a YAML mapping of fields",
		"text":                      "it must be a YAML mapping of fields",
		"a: [":                      "it must be a YAML mapping of fields",
		"topic: t\ntls: {}":         "field topic is unknown: the fields are client_id, conn_idle_timeout,",
		"sasl: [{mechanism: CRAM}]": "field sasl: value CRAM is not a valid option",
		"max_kafka_version: \"77\"": "field max_kafka_version",
		"tls: {enabled: true, root_cas_file: /nowhere}": "field tls",
		"conn_idle_timeout: soon":                       "conn_idle_timeout",
		// Each of these would otherwise be a connection without TLS.
		"tls: true":            "field tls: expected object value, got !!bool",
		"tls: [enabled]":       "field tls: expected object value",
		"tls: {enabeld: true}": "field tls: field enabeld not recognised",
		"sasl: [{mechanism: PLAIN, user: u, password: p}]": "field sasl: field user not recognised",
	} {
		_, err := ClientOptions([]string{"h:1"}, text)
		require.ErrorContains(t, err, want, text)
	}
}
