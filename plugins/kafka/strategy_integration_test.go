//go:build integration

package kafka

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// proofSize returns 100,000 messages with SOAK=1 in the environment.
func proofSize() int {
	if os.Getenv("SOAK") == "1" {
		return 100_000
	}
	return 10_000
}

// realAdmin returns an admin client of the Kafka of KAFKA_BROKERS.
func realAdmin(t *testing.T, brokers []string) *kadm.Client {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return kadm.NewClient(client)
}

func deadOptions(strategy, dead string) string {
	if strategy != StrategyDeadMessageQueue {
		return fmt.Sprintf("failure_strategy: { strategy: %s, retry_total_times: 2, wait_time_ms: 1 }", strategy)
	}
	return fmt.Sprintf("failure_strategy: { strategy: %s, topic_name: %s, retry_total_times: 1, wait_time_ms: 1 }", strategy, dead)
}

// Apache Kafka refuses 1 message in 1,000 as too large, on three partitions.
func TestRealKafkaStrategies(t *testing.T) {
	for _, strategy := range []string{discard, deadOptions(StrategyDiscardAfterRetry, ""), "dead", "failure_strategy: block"} {
		t.Run(strategy, func(t *testing.T) {
			brokers, dead, _ := realTopic(t, "100000")
			admin := realAdmin(t, brokers)
			topic, limit := dead+"-main", "20000"
			_, err := admin.CreateTopic(t.Context(), 3, 1, map[string]*string{"max.message.bytes": &limit}, topic)
			require.NoError(t, err)
			lines := strategy
			if strategy == "dead" {
				lines = deadOptions(StrategyDeadMessageQueue, dead)
			}
			o := started(t, brokers, "topic: "+topic, "compression: none", "key: ${! @key }", lines)
			o.silence = 20 * time.Second
			p := newProof(proofSize(), 1000)
			if strategy == "failure_strategy: block" {
				requireBlocked(t, o, p, brokers, topic)
				return
			}
			require.Zero(t, p.run(t, o), "nothing is held")
			requireExactly(t, brokers, topic, p.small)
			deadLettered := []string{}
			if strategy == "dead" {
				deadLettered = p.large
				for _, records := range consumedFrom(t, brokers, dead) {
					for _, r := range records {
						headers := connectHeaders(r)
						require.Equal(t, topic, headers["topic"])
						require.Equal(t, "org.apache.kafka.common.errors.RecordTooLargeException", headers["exception.class.name"])
					}
				}
			}
			requireExactly(t, brokers, dead, deadLettered)
		})
	}
}

// requireBlocked requires the output to stop at the first large message, and to write
// everything in order once the topic allows it.
func requireBlocked(t *testing.T, o *output, p *proof, brokers []string, topic string) {
	t.Helper()
	require.ErrorIs(t, o.WriteBatch(t.Context(), p.batches[0]), service.ErrNotConnected)
	require.Contains(t, reason(t, o), "MESSAGE_TOO_LARGE")
	limit := "100000"
	_, err := realAdmin(t, brokers).AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &limit}}, topic)
	require.NoError(t, err)
	p.run(t, o)
	requireExactly(t, brokers, topic, append(p.small, p.large...))
}

// A missing permission holds the batch: no strategy may discard its records.
func TestRealKafkaPermissionTakenAwayDropsNothing(t *testing.T) {
	for _, strategy := range []string{StrategyDiscardAfterRetry, StrategyDeadMessageQueue, StrategyDiscard} {
		t.Run(strategy, func(t *testing.T) {
			brokers, dead, _ := realTopic(t, "100000")
			admin := realAdmin(t, brokers)
			topic := dead + "-main"
			_, err := admin.CreateTopic(t.Context(), 1, 1, nil, topic)
			require.NoError(t, err)
			lines := discard
			if strategy != StrategyDiscard {
				lines = deadOptions(strategy, dead)
			}
			o := started(t, brokers, "topic: "+topic, lines)
			o.silence = 20 * time.Second
			require.NoError(t, o.WriteBatch(t.Context(), messages(0, 100)))
			forbidden := kadm.NewACLs().Topics(topic).ResourcePatternType(kadm.ACLPatternLiteral).
				Operations(kadm.OpWrite).Deny("User:ANONYMOUS").DenyHosts("*")
			created, err := admin.CreateACLs(t.Context(), forbidden)
			require.NoError(t, err)
			require.Len(t, created, 1)
			require.NoError(t, created[0].Err)
			// The broker learns of it a little later: messages that are written until
			// then are in Kafka.
			n, held := 100, service.MessageBatch(nil)
			require.Eventually(t, func() bool {
				batch := messages(n, 100)
				n += 100
				if o.WriteBatch(t.Context(), batch) != nil {
					held = batch
				}
				return held != nil
			}, patience, time.Millisecond)
			require.Contains(t, reason(t, o), "TOPIC_AUTHORIZATION_FAILED")
			_, err = admin.DeleteACLs(t.Context(), forbidden)
			require.NoError(t, err)
			rewrite(t, o, held)
			require.NoError(t, o.WriteBatch(t.Context(), messages(n, 100)))
			require.Equal(t, numbers(0, n+100), realValues(t, brokers, topic, n+100))
			requireExactly(t, brokers, dead, nil)
		})
	}
}

// The topic is deleted and created again while messages arrive: all that were not
// acknowledged before are in the new one.
func TestRealKafkaTopicDeletedDropsNothing(t *testing.T) {
	brokers, topic, _ := realTopic(t, "100000")
	admin := realAdmin(t, brokers)
	o := started(t, brokers, "topic: "+topic, "allow_auto_topic_creation: false", discard)
	o.silence = 20 * time.Second
	require.NoError(t, o.WriteBatch(t.Context(), messages(0, 100)))
	_, err := admin.DeleteTopic(t.Context(), topic)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		topics, err := admin.ListTopics(t.Context(), topic)
		return err == nil && topics[topic].Err != nil
	}, patience, 10*time.Millisecond)
	batch := messages(100, 1000)
	require.ErrorIs(t, o.WriteBatch(t.Context(), batch), service.ErrNotConnected)
	require.Contains(t, reason(t, o), "UNKNOWN_TOPIC_OR_PARTITION")
	_, err = admin.CreateTopic(t.Context(), 1, 1, nil, topic)
	require.NoError(t, err)
	rewrite(t, o, batch)
	require.NoError(t, o.WriteBatch(t.Context(), messages(1100, 100)))
	require.Equal(t, numbers(100, 1200), realValues(t, brokers, topic, 1100))
}
