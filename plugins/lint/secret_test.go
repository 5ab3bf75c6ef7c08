package lint_test

import (
	"strings"
	"testing"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/robustmq/robustmq-connect/plugins/lint"
)

// The service and echo hide the same secrets: both decide by the path of the field.
func TestEchoHidesSecretsOfEveryType(t *testing.T) {
	echo, err := lint.StandIns(service.GlobalEnvironment())
	require.NoError(t, err)
	sasl := `sasl:
      - { mechanism: PLAIN, username: bob, password: 11111111 }
      - mechanism: OAUTHBEARER
        token: 22222222
        extensions: { logicalCluster: lkc-33333333, n: 44444444 }
      - mechanism: AWS_MSK_IAM
        aws: { credentials: { id: public, secret: 55555555, token: s-66666666 } }
    tls: { enabled: true, client_certs: [ { cert: public, key: k-77777777, password: 88888888 } ] }`
	shown := 0
	for _, pipeline := range []string{
		"input:\n  mqtt:\n    urls: [ \"tcp://h:1\" ]\n    topics: [ a ]\n    user: ada\n    password: 12121212\noutput:\n  kafka_franz:\n    seed_brokers: [ h:1 ]\n    topic: t\n    " + sasl,
		"input:\n  robustmq_kafka:\n    topic_id: a\n    username: ada\n    password: 12121212\noutput:\n  robustmq_kafka:\n    bootstrap_servers: h:1\n    topic: t\n    " + sasl,
		"input:\n  kafka_franz:\n    seed_brokers: [ h:1 ]\n    topics: [ t ]\n    " + sasl,
	} {
		var value any
		require.NoError(t, yaml.Unmarshal([]byte(pipeline), &value))
		text, err := echo.FullConfigSchema("", "").NewStreamConfigMarshaller().SetScrubSecrets(true).AnyToYAML(value)
		require.NoError(t, err)
		for _, hidden := range []string{"11111111", "22222222", "33333333", "44444444", "55555555", "66666666", "77777777", "88888888", "12121212"} {
			assert.NotContains(t, text, hidden)
		}
		assert.Contains(t, text, "bob")
		shown += strings.Count(text, "!!!SECRET_SCRUBBED!!!")
	}
	assert.Equal(t, 8+1+8+1+8, shown)
}
