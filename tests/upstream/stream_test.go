//go:build integration

// Package upstream runs upstream's tests of streams on the input and the output mqtt. It
// is a package of its own because these tests use the global environment, where the two
// take the place of upstream's.
package upstream

import (
	"context"
	"os"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/stretchr/testify/require"

	_ "github.com/redpanda-data/benthos/v4/public/components/pure"
	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/redpanda-data/benthos/v4/public/service/integration"

	"github.com/robustmq/robustmq-connect/plugins/mqtt"
)

const template = `
output:
  mqtt:
    urls: [ $VAR1 ]
    qos: 1
    topic: topic-$ID
    client_id: client-output-$ID
    max_in_flight: $MAX_IN_FLIGHT

input:
  mqtt:
    urls: [ $VAR1 ]
    topics: [ topic-$ID ]
    client_id: client-input-$ID
    clean_session: false
    max_batch_messages: 1 # the tests count batches
`

func TestMQTTPassesUpstreamsTestsOfStreams(t *testing.T) {
	url := os.Getenv("MQTT_URL")
	require.NotEmpty(t, url, "MQTT_URL is not set; run make integration, which starts the servers")
	require.NoError(t, mqtt.Register(service.GlobalEnvironment()))
	require.NoError(t, mqtt.RegisterOutput(service.GlobalEnvironment()))
	suite := integration.StreamTests(
		integration.StreamTestOpenClose(),
		integration.StreamTestSendBatch(10),
		integration.StreamTestSendBatches(20, 100, 1),
		integration.StreamTestStreamSequential(1000),
		integration.StreamTestStreamParallel(1000),
		integration.StreamTestStreamParallelLossy(1000),
	)
	options := []integration.StreamTestOptFunc{
		integration.StreamTestOptVarSet("VAR1", url),
		// The session exists before the input: the output may be the first to connect.
		integration.StreamTestOptPreTest(func(t testing.TB, _ context.Context, vars *integration.StreamTestConfigVars) {
			subscribe(t, url, "client-input-"+vars.ID, "topic-"+vars.ID)
		}),
		integration.StreamTestOptTimeout(2 * time.Minute),
	}
	suite.Run(t, template, options...)
	t.Run("with max in flight", func(t *testing.T) {
		suite.Run(t, template, append(options, integration.StreamTestOptMaxInFlight(10))...)
	})
}

func subscribe(t testing.TB, url, clientID, topic string) {
	t.Helper()
	client := paho.NewClient(paho.NewClientOptions().AddBroker(url).SetClientID(clientID).SetCleanSession(false).SetAutoReconnect(false))
	defer client.Disconnect(100)
	for _, ask := range []func() paho.Token{client.Connect, func() paho.Token { return client.Subscribe(topic, 1, nil) }} {
		token := ask()
		require.True(t, token.WaitTimeout(time.Minute))
		require.NoError(t, token.Error())
	}
}
