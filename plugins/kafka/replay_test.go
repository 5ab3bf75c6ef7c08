package kafka

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// written are the records of a topic that were committed, in the order of each partition.
func written(t testing.TB, brokers []string, topic string) (records []*kgo.Record) {
	t.Helper()
	c := parsed(t, brokers)
	client, err := c.client()
	require.NoError(t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	bounds, _, found, err := c.bounds(ctx, client, topic)
	require.NoError(t, err)
	require.True(t, found)
	require.NoError(t, c.scan(ctx, topic, bounds, true, func(r *kgo.Record) bool {
		records = append(records, r)
		return true
	}))
	return records
}

func writtenValues(t testing.TB, brokers []string, topic string) (values []string) {
	t.Helper()
	for _, r := range written(t, brokers, topic) {
		values = append(values, string(r.Value))
	}
	return values
}

func ids(partition int32, offsets ...int64) (all []LetterID) {
	for _, o := range offsets {
		all = append(all, LetterID{partition, o})
	}
	return all
}

func TestAReplayedRecordIsWhatTheLetterWasWithAHeaderThatSaysSo(t *testing.T) {
	c := withDead(t, 1)
	writeLetters(t, c.ListenAddrs(), "b", 0, 1)
	writeLetters(t, c.ListenAddrs(), "a", 7, 1)
	began := time.Now()
	result, err := lettersOf(t, c.ListenAddrs(), "a").Replay(t.Context(), Replay{})
	require.NoError(t, err)
	assert.Equal(t, Replayed{TopicName: "dead", Replayed: 1}, result)
	records := written(t, c.ListenAddrs(), "t")
	require.Len(t, records, 1)
	r := records[0]
	assert.Equal(t, "000007", string(r.Value))
	assert.Equal(t, "key 2", string(r.Key))
	assert.Equal(t, int64(1700000007000), r.Timestamp.UnixMilli())
	require.Len(t, r.Headers, 3)
	assert.Equal(t, kgo.RecordHeader{Key: "colour", Value: []byte("red")}, r.Headers[0])
	assert.Equal(t, kgo.RecordHeader{Key: "bytes", Value: []byte{0xff}}, r.Headers[1])
	assert.Equal(t, ReplayedHeader, r.Headers[2].Key)
	page, err := lettersOf(t, c.ListenAddrs(), "a").List(t.Context(), LetterQuery{})
	require.NoError(t, err)
	require.Len(t, page.Letters, 1, "it stays in the topic")
	assert.WithinRange(t, page.Letters[0].Replayed, began.Add(-time.Second), time.Now())
	assert.JSONEq(t, fmt.Sprintf(`{"topic":"dead","partition":0,"offset":1,"time":%q}`, headerTime(t, r)), string(r.Headers[2].Value))
}

func headerTime(t *testing.T, r *kgo.Record) string {
	t.Helper()
	_, after, found := strings.Cut(string(r.Headers[len(r.Headers)-1].Value), `"time":"`)
	require.True(t, found)
	text, _, _ := strings.Cut(after, `"`)
	_, err := time.Parse(time.RFC3339Nano, text)
	require.NoError(t, err)
	return text
}

func TestLettersAreReplayedInOrderAndOnceHoweverOftenTheyAreAskedFor(t *testing.T) {
	c := withDead(t, 3)
	writeLetters(t, c.ListenAddrs(), "a", 0, 250)
	writeLetters(t, c.ListenAddrs(), "b", 1000, 5)
	for i, want := range []Replayed{{TopicName: "dead", Replayed: 250}, {TopicName: "dead", Already: 250}} {
		result, err := lettersOf(t, c.ListenAddrs(), "a").Replay(t.Context(), Replay{})
		require.NoError(t, err)
		assert.Equal(t, want, result, i)
	}
	byKey := map[string][]string{}
	for _, r := range written(t, c.ListenAddrs(), "t") {
		byKey[string(r.Key)] = append(byKey[string(r.Key)], string(r.Value))
	}
	require.Len(t, byKey, 5)
	for _, values := range byKey {
		assert.Len(t, values, 50)
		assert.IsIncreasing(t, values)
	}
	// The other connector has its own memory.
	result, err := lettersOf(t, c.ListenAddrs(), "b").Replay(t.Context(), Replay{})
	require.NoError(t, err)
	assert.Equal(t, 5, result.Replayed)
}

func TestChosenLettersAreReplayedAndTheOthersAreNamed(t *testing.T) {
	c := withDead(t, 1)
	writeLetters(t, c.ListenAddrs(), "a", 0, 300)
	writeLetters(t, c.ListenAddrs(), "b", 300, 1)
	l := lettersOf(t, c.ListenAddrs(), "a")
	chosen := append(ids(0, 250, 3, 1, 3, 300, 301), ids(9, 0)...)
	result, err := l.Replay(t.Context(), Replay{Chosen: chosen})
	require.NoError(t, err)
	assert.Equal(t, Replayed{TopicName: "dead", Replayed: 3, RefusedCount: 3, Refused: []RefusedLetter{
		{LetterID{0, 300}, "it is a letter of another connector"},
		{LetterID{0, 301}, "it is not in the topic, or not any more"},
		{LetterID{9, 0}, "it is not in the topic, or not any more"},
	}}, result)
	assert.Equal(t, []string{"000001", "000003", "000250"}, writtenValues(t, c.ListenAddrs(), "t"))

	result, err = l.Replay(t.Context(), Replay{Chosen: ids(0, 2, 3)})
	require.NoError(t, err)
	assert.Equal(t, Replayed{TopicName: "dead", Replayed: 1, Already: 1}, result)
	result, err = l.Replay(t.Context(), Replay{Chosen: []LetterID{}})
	require.NoError(t, err)
	assert.Equal(t, Replayed{TopicName: "dead"}, result, "none is not all")
	result, err = l.Replay(t.Context(), Replay{})
	require.NoError(t, err)
	assert.Equal(t, Replayed{TopicName: "dead", Replayed: 296, Already: 4}, result)
}

func TestALetterThatKafkaRefusesAgainIsNamedAndTheOthersAreReplayed(t *testing.T) {
	c := withDead(t, 1)
	setLimit(t, c, "t", "2000")
	createTopic(t, c, "other")
	writeLetters(t, c.ListenAddrs(), "a", 0, 10, func(r *kgo.Record) {
		switch string(r.Value) {
		case "000003":
			r.Value = []byte(strings.Repeat("x", 5000))
		case "000005":
			r.Topic = "gone"
		case "000006":
			r.Topic = "other"
		case "000007":
			r.Topic = "no/topic"
		}
	})
	l := lettersOf(t, c.ListenAddrs(), "a", "compression: none")
	result, err := l.Replay(t.Context(), Replay{})
	require.NoError(t, err)
	assert.Equal(t, 7, result.Replayed)
	assert.Equal(t, 3, result.RefusedCount)
	reasons := map[int64]string{}
	for _, r := range result.Refused {
		reasons[r.Offset] = r.Reason
	}
	assert.Contains(t, reasons[3], `writing it to topic "t": MESSAGE_TOO_LARGE`)
	assert.Contains(t, reasons[3], "raise max.message.bytes of the topic")
	assert.Contains(t, reasons[5], `writing it to topic "gone": UNKNOWN_TOPIC_OR_PARTITION`)
	assert.Contains(t, reasons[5], ": create the topic")
	assert.Contains(t, reasons[7], `the topic "no/topic" has a character that Kafka does not`)
	assert.Equal(t, []string{"000000", "000001", "000002", "000004", "000008", "000009"}, writtenValues(t, c.ListenAddrs(), "t"))
	assert.Equal(t, []string{"000006"}, writtenValues(t, c.ListenAddrs(), "other"))

	setLimit(t, c, "t", "20000")
	createTopic(t, c, "gone")
	result, err = l.Replay(t.Context(), Replay{})
	require.NoError(t, err)
	assert.Equal(t, 2, result.Replayed)
	assert.Equal(t, 7, result.Already)
	assert.Equal(t, 1, result.RefusedCount)
	assert.Len(t, written(t, c.ListenAddrs(), "t"), 7)
}

// What a message was that could not become a record is not what the topic has.
func TestALetterThatNeverWasARecordIsNotReplayed(t *testing.T) {
	c := withDead(t, 1)
	o := started(t, c.ListenAddrs(), deadLetter, `topic: "no topic ${! @mqtt_qos }"`, "envelope: { enabled: true }")
	batch := messages(0, 2)
	batch[1].MetaSetMut("mqtt_topic", "a/b")
	require.NoError(t, o.WriteBatch(t.Context(), batch))
	assert.Equal(t, []string{"000000", "000001"}, writtenValues(t, c.ListenAddrs(), "dead"), "the payloads, and not envelopes")
	result, err := lettersOf(t, c.ListenAddrs(), "kafka_franz").Replay(t.Context(), Replay{})
	require.NoError(t, err)
	require.Len(t, result.Refused, 2)
	assert.Equal(t, "it never became a record (VALUE_CONVERTER): correct the cause and publish its MQTT message again", result.Refused[0].Reason)
	assert.Equal(t, `it never became a record (VALUE_CONVERTER): correct the cause and publish its value to the MQTT topic "a/b" again`, result.Refused[1].Reason)
}

func TestATopicThatWasMadeAnewHasOtherLetters(t *testing.T) {
	c := withDead(t, 1)
	writeLetters(t, c.ListenAddrs(), "a", 0, 2)
	l := lettersOf(t, c.ListenAddrs(), "a")
	_, err := l.Replay(t.Context(), Replay{})
	require.NoError(t, err)
	client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...))
	require.NoError(t, err)
	defer client.Close()
	_, err = kadm.NewClient(client).DeleteTopics(t.Context(), "dead")
	require.NoError(t, err)
	result, err := l.Replay(t.Context(), Replay{})
	require.EqualError(t, err, `the dead letter topic "dead" does not exist: it has had no letter yet`)
	assert.Zero(t, result.Replayed)
	createTopic(t, c, "dead")
	writeLetters(t, c.ListenAddrs(), "a", 5, 2)
	result, err = l.Replay(t.Context(), Replay{})
	require.NoError(t, err)
	assert.Equal(t, 2, result.Replayed)
	assert.Equal(t, []string{"000000", "000001", "000005", "000006"}, writtenValues(t, c.ListenAddrs(), "t"))
}

func TestWhatTheTopicHasNoMoreIsForgotten(t *testing.T) {
	c := withDead(t, 1)
	writeLetters(t, c.ListenAddrs(), "a", 0, 10)
	l := lettersOf(t, c.ListenAddrs(), "a")
	_, err := l.Replay(t.Context(), Replay{})
	require.NoError(t, err)
	client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...))
	require.NoError(t, err)
	defer client.Close()
	admin := kadm.NewClient(client)
	offsets := kadm.Offsets{}
	offsets.AddOffset("dead", 0, 7, -1)
	_, err = admin.DeleteRecords(t.Context(), offsets)
	require.NoError(t, err)
	result, err := l.Replay(t.Context(), Replay{Chosen: ids(0, 2, 8)})
	require.NoError(t, err)
	assert.Equal(t, 1, result.Already)
	assert.Equal(t, "it is not in the topic, or not any more", result.Refused[0].Reason)
	details, err := admin.ListTopics(t.Context(), "dead")
	require.NoError(t, err)
	m := l.newMemory("dead", details["dead"].ID)
	require.NoError(t, m.read(t.Context(), l.conf, client))
	assert.Len(t, m.replayed, 3)
	assert.Contains(t, m.replayed, LetterID{0, 7})
}

func TestLettersOfAnotherKafkaAreReplayedIntoTheConnectorsOwn(t *testing.T) {
	own, dead := cluster(t, 1), withDead(t, 1)
	writeLetters(t, dead.ListenAddrs(), "a", 0, 3)
	l := lettersOf(t, own.ListenAddrs(), "a")
	l.conf.strategy.BootstrapServers = dead.ListenAddrs()
	for _, want := range []Replayed{{TopicName: "dead", Replayed: 3}, {TopicName: "dead", Already: 3}} {
		result, err := l.Replay(t.Context(), Replay{})
		require.NoError(t, err)
		assert.Equal(t, want, result)
	}
	assert.Equal(t, numbers(0, 3), writtenValues(t, own.ListenAddrs(), "t"))
	page, err := l.List(t.Context(), LetterQuery{})
	require.NoError(t, err)
	require.Len(t, page.Letters, 3)
	assert.False(t, page.Letters[0].Replayed.IsZero())
	own.Close()
	page, err = l.List(t.Context(), LetterQuery{})
	require.NoError(t, err)
	require.Len(t, page.Letters, 3)
	assert.Contains(t, page.Note, "it is not known which of them were replayed: reaching Kafka at ")
}

func TestAMemoryThatWouldForgetIsRefused(t *testing.T) {
	c := withDead(t, 1)
	writeLetters(t, c.ListenAddrs(), "a", 0, 1)
	createTopic(t, c, "dead_replayed")
	setConfig(t, c, "dead_replayed", "cleanup.policy", "delete")
	l := lettersOf(t, c.ListenAddrs(), "a")
	_, err := l.Replay(t.Context(), Replay{})
	require.EqualError(t, err, `the topic "dead_replayed" remembers what was replayed, and its cleanup.policy is delete: set it to compact, or letters would be replayed twice`)
	setConfig(t, c, "dead_replayed", "cleanup.policy", "compact")
	_, err = l.Replay(t.Context(), Replay{})
	require.NoError(t, err)
}

func TestWhatKafkaDoesNotAllowIsNamed(t *testing.T) {
	refusing := func(t *testing.T, key kmsg.Key, answer func(kmsg.Request) kmsg.Response) error {
		c := withDead(t, 1)
		writeLetters(t, c.ListenAddrs(), "a", 0, 1)
		c.ControlKey(int16(key), func(r kmsg.Request) (kmsg.Response, error, bool) {
			c.KeepControl()
			return answer(r), nil, true
		})
		_, err := lettersOf(t, c.ListenAddrs(), "a").Replay(t.Context(), Replay{})
		require.ErrorAs(t, err, new(*LetterError))
		return err
	}
	err := refusing(t, kmsg.InitProducerID, func(r kmsg.Request) kmsg.Response {
		answer := r.ResponseKind().(*kmsg.InitProducerIDResponse)
		answer.ErrorCode = kerr.TransactionalIDAuthorizationFailed.Code
		return answer
	})
	require.ErrorContains(t, err, `: give the user WRITE and DESCRIBE on the transactional id "robustmq_connect_replay.dead.a"`)
	err = refusing(t, kmsg.CreateTopics, func(r kmsg.Request) kmsg.Response {
		answer := r.ResponseKind().(*kmsg.CreateTopicsResponse)
		topic := kmsg.NewCreateTopicsResponseTopic()
		topic.Topic, topic.ErrorCode = "dead_replayed", kerr.TopicAuthorizationFailed.Code
		answer.Topics = append(answer.Topics, topic)
		return answer
	})
	require.ErrorContains(t, err, `creating the topic "dead_replayed", which remembers what was replayed: TOPIC_AUTHORIZATION_FAILED`)
	require.ErrorContains(t, err, "give the user CREATE on it, or create it with cleanup.policy=compact")

	old := withDead(t, 1, kfake.MaxVersions(kversion.V0_10_2()))
	l := lettersOf(t, old.ListenAddrs(), "a")
	_, err = l.Replay(t.Context(), Replay{})
	require.ErrorContains(t, err, "beginning to replay: this Kafka has no transactions")
}
