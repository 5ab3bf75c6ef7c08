//go:build integration

package integration

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
)

// The session of a connector, on a broker that others wrote: what waits while it
// is paused is kept over a change of the filter, the old filter is unsubscribed,
// and with the connector its session goes.
func TestServiceLooksAfterTheSession(t *testing.T) {
	topic := fmt.Sprintf("service_session_%d", time.Now().UnixNano())
	shared.createTopic(t, topic, 1)
	service := startService(t, filepath.Join(t.TempDir(), "store"))
	name := admin.Name{Tenant: "default", ConnectorName: "service-session"}
	call := func(path string, body any) {
		t.Helper()
		answer, err := service.call("POST", path, body)
		require.NoError(t, err)
		require.Equal(t, admin.CodeOK, answer.Code, "%v", answer.Error)
		require.Empty(t, answer.Notes)
	}
	isReady := func() {
		t.Helper()
		require.Eventually(t, service.ConnectorsReady, 30*time.Second, 10*time.Millisecond)
	}
	publisher := mqttClient(t, mqttURL, "service-session-publisher")
	publish := func(topic string, payloads ...string) {
		t.Helper()
		for _, p := range payloads {
			token := publisher.Publish(topic, 1, false, p)
			require.True(t, token.WaitTimeout(10*time.Second))
			require.NoError(t, token.Error())
		}
	}

	call(admin.PathCreate, definition(name.ConnectorName, "session/old/#", topic))
	isReady()
	call(admin.PathPause, name)
	publish("session/old/a", "1", "2", "3")
	call(admin.PathUpdate, definition(name.ConnectorName, "session/new/#", topic))
	call(admin.PathResume, name)
	isReady()
	publish("session/old/a", "not subscribed any more")
	publish("session/new/a", "4")

	client, err := kgo.NewClient(kgo.SeedBrokers(brokers), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	require.NoError(t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var payloads []string
	for len(payloads) < 4 {
		fetches := client.PollFetches(ctx)
		require.NoError(t, ctx.Err(), "%v", payloads)
		fetches.EachRecord(func(record *kgo.Record) { payloads = append(payloads, payloadOf(t, record)) })
	}
	assert.Equal(t, []string{"1", "2", "3", "4"}, payloads)

	call(admin.PathDelete, name)
	again := paho.NewClient(publisherOptions(mqttURL, "robustmq_connect_default_service-session").SetCleanSession(false))
	token := again.Connect()
	require.True(t, token.WaitTimeout(10*time.Second))
	require.NoError(t, token.Error())
	assert.False(t, token.(*paho.ConnectToken).SessionPresent(), "the broker has kept the session")
	again.Disconnect(100)
}
