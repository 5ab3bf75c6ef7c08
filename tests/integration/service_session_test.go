//go:build integration

package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
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
// and the session is removed with the connector.
func TestServiceLooksAfterTheSession(t *testing.T) {
	topic := fmt.Sprintf("service_session_%d", time.Now().UnixNano())
	shared.createTopic(t, topic, 1)
	service := startService(t, filepath.Join(t.TempDir(), "store"))
	name := admin.Name{Tenant: "default", ConnectorName: "service-session"}
	call := func(path string, body any, notes ...string) {
		t.Helper()
		answer, err := service.call("POST", path, body)
		require.NoError(t, err)
		require.Equal(t, admin.CodeOK, answer.Code, "%v", answer.Error)
		require.Equal(t, notes, answer.Notes)
	}
	isReady := func() {
		t.Helper()
		require.Eventually(t, service.ConnectorsReady, time.Minute, 10*time.Millisecond)
	}
	publisher := mqttClient(t, mqttURL, "service-session-publisher")
	publish := func(topic string, payloads ...string) {
		t.Helper()
		for _, p := range payloads {
			token := publisher.Publish(topic, 1, false, p)
			require.True(t, token.WaitTimeout(time.Minute))
			require.NoError(t, token.Error())
		}
	}

	call(admin.PathCreate, definition(name.ConnectorName, "session/old/#", topic))
	isReady()
	call(admin.PathPause, name)
	publish("session/old/a", "1", "2", "3")
	_, port, _ := strings.Cut(strings.TrimPrefix(mqttURL, "tcp://"), ":")
	call(admin.PathUpdate, definition(name.ConnectorName, "session/new/#", topic),
		`the filter of the session "robustmq_connect_default_service-session" at localhost:`+port+
			` changes: when the connector is resumed, the messages that wait in it are delivered before the update takes effect; update with discard_waiting to discard them`)
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
	require.True(t, token.WaitTimeout(time.Minute))
	require.NoError(t, token.Error())
	assert.False(t, token.(*paho.ConnectToken).SessionPresent(), "the broker has kept the session")
	again.Disconnect(100)
}

// An update gives a connector another client id, and spells its broker otherwise, while
// messages wait and arrive: each message is in Kafka, in order.
func TestServiceHandsASessionOver(t *testing.T) {
	topic := fmt.Sprintf("service_handover_%d", time.Now().UnixNano())
	shared.createTopic(t, topic, 1)
	service := startService(t, filepath.Join(t.TempDir(), "store"))
	name := admin.Name{Tenant: "default", ConnectorName: "service-handover"}
	call := func(path string, body any) []string {
		t.Helper()
		answer, err := service.call("POST", path, body)
		require.NoError(t, err)
		require.Equal(t, admin.CodeOK, answer.Code, "%v", answer.Error)
		return answer.Notes
	}
	changed := func(more string) admin.Definition {
		d := definition(name.ConnectorName, "handover/#", topic)
		config, _ := json.Marshal(fmt.Sprintf(`{"bootstrap_servers":%q,"topic":%q,"key":"k"%s}`, brokers, topic, more)) // a string
		d.Config = config
		return d
	}
	publisher := mqttClient(t, mqttURL, "service-handover-publisher")
	published := 0
	publish := func(n int) {
		t.Helper()
		for range n {
			token := publisher.Publish("handover/a", 1, false, strconv.Itoa(published))
			require.True(t, token.WaitTimeout(time.Minute))
			require.NoError(t, token.Error())
			published++
		}
	}

	require.Empty(t, call(admin.PathCreate, changed("")))
	require.Eventually(t, service.ConnectorsReady, time.Minute, 10*time.Millisecond)
	require.Empty(t, call(admin.PathPause, name))
	publish(500)
	local := strings.NewReplacer("tcp://", "mqtt://", "127.0.0.1", "localhost").Replace(mqttURL)
	require.NotEqual(t, mqttURL, local)
	require.Empty(t, call(admin.PathUpdate, changed(fmt.Sprintf(`,"urls":[%q,"tcp://127.0.0.1:1"]`, local))), "it is the same session")
	notes := call(admin.PathUpdate, changed(fmt.Sprintf(`,"client_id":"handed-over","urls":[%q]`, local)))
	require.Len(t, notes, 1)
	require.Contains(t, notes[0], "is given up: when the connector is resumed, the messages that wait in it are delivered before the update takes effect")
	require.Empty(t, call(admin.PathResume, name))
	require.Eventually(t, func() bool {
		publish(1)
		return service.ConnectorsReady()
	}, 60*time.Second, 50*time.Millisecond)
	publish(100)

	client, err := kgo.NewClient(kgo.SeedBrokers(brokers), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	require.NoError(t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	next, again := 0, 0
	for next < published {
		fetches := client.PollFetches(ctx)
		require.NoError(t, ctx.Err(), "message %d of %d is lost", next, published)
		fetches.EachRecord(func(record *kgo.Record) {
			n, err := strconv.Atoi(payloadOf(t, record))
			require.NoError(t, err)
			require.LessOrEqual(t, n, next, "message %d is lost or overtaken", next)
			if n == next {
				next++
			} else {
				again++
			}
		})
	}
	t.Logf("%d messages, %d of them twice", published, again)
	require.Empty(t, call(admin.PathDelete, name))
	for _, id := range []string{"robustmq_connect_default_service-handover", "handed-over"} {
		c := paho.NewClient(publisherOptions(mqttURL, id).SetCleanSession(false))
		token := c.Connect()
		require.True(t, token.WaitTimeout(time.Minute))
		require.NoError(t, token.Error())
		assert.False(t, token.(*paho.ConnectToken).SessionPresent(), "the broker has kept %s", id)
		c.Disconnect(100)
	}
}
