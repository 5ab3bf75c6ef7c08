package mqtt

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// failures returns the texts of the messages of a batch that failed, by index.
func failures(t *testing.T, index *service.Indexer, err error) map[int]string {
	t.Helper()
	var failed *service.BatchError
	require.ErrorAs(t, err, &failed)
	all := map[int]string{}
	failed.WalkMessagesIndexedBy(index, func(i int, _ *service.Message, err error) bool {
		if err != nil {
			all[i] = err.Error()
		}
		return true
	})
	return all
}

func TestOutputMessagesThatTheBrokerRefusesFailAlone(t *testing.T) {
	for _, qos := range []string{"1", "2"} {
		b := newScripted(t)
		out, _ := outputTo(t, b.url(), "topic: a/b\nqos: "+qos)
		p := joins(t, b, out, false)
		batch := batchFrom("0", "1", "2", "3", "4")
		index := batch.Index()
		done := writes(out, batch)
		ids := p.sees(true, false, "0", "1", "2", "3", "4")
		kind := byte(typePuback)
		if qos == "2" {
			kind = typePubrec
		}
		p.write(refusal(kind, ids[0], 0x10), refusal(kind, ids[1], 0x87), refusal(kind, ids[2], 0x97),
			packet(kind<<4, u16(ids[3]), []byte{0x99, 10, 31}, text("no JSON")), acks(kind, ids[4]))
		if qos == "2" {
			require.Equal(t, ackOf(typePubrel, ids[0]), p.read().String())
			require.Equal(t, ackOf(typePubrel, ids[4]), p.read().String())
			p.write(acks(typePubcomp, ids[0], ids[4]))
		}
		require.Equal(t, map[int]string{
			1: `publishing message 2 of 5 to the topic "a/b": not authorized (0x87): check what the broker permits this user`,
			2: `publishing message 3 of 5 to the topic "a/b": quota exceeded (0x97)`,
			3: `publishing message 4 of 5 to the topic "a/b": payload format invalid (0x99), "no JSON"`,
		}, failures(t, index, wait(t, done)))
		leaves(t, out, p)
	}
}

func TestOutputMessagesThatTheBrokerWouldRefuseAreNotSent(t *testing.T) {
	b := newScripted(t)
	out, _ := outputTo(t, b.url(), `topic: ${! @topic.or("a") }
qos_interpolated: ${! @qos.or("1") }
retained_interpolated: ${! @retain.or("false") }`)
	// Maximum Packet Size 100, Maximum QoS 1, Retain Available 0.
	p := joins(t, b, out, false, 39, 0, 0, 0, 100, 36, 1, 37, 0)
	batch := batchFrom("ok", strings.Repeat("x", 100), "qos 2", "retained", "+", "", "nul", "utf8", "bad qos", "bad retain", "bad expiry", "bad reply", "long", "fine")
	for i, meta := range []map[string]any{
		2: {"qos": "2"}, 3: {"retain": "true"}, 4: {"topic": "a/+"}, 5: {"topic": ""}, 6: {"topic": "a\x00"}, 7: {"topic": "\xff"},
		8: {"qos": "3"}, 9: {"retain": "maybe"}, 10: {"mqtt_message_expiry_interval": "soon"}, 11: {"mqtt_response_topic": "a/#"},
		12: {"topic": strings.Repeat("t", 65536)},
	} {
		for key, value := range meta {
			batch[i].MetaSetMut(key, value)
		}
	}
	index := batch.Index()
	done := writes(out, batch)
	p.write(acks(typePuback, p.sees(true, false, "ok", "fine")...))
	got := failures(t, index, wait(t, done))
	for i, want := range map[int]string{
		1: "its packet of 108 bytes exceeds the broker's Maximum Packet Size, 100", 2: "QoS 2 exceeds the broker's Maximum QoS, 1; set qos: 1",
		3: "the broker retains no messages; set retained: false", 4: `the topic "a/+" has a wildcard`, 5: "the topic is empty",
		6: "has the character U+0000", 7: `the topic "\xff" is not UTF-8`, 8: `"3" is no QoS; must be 0, 1 or 2`, 9: `evaluating field retained_interpolated`,
		10: "reading metadata mqtt_message_expiry_interval", 11: `reading metadata mqtt_response_topic: the topic "a/#" has a wildcard`, 12: "is longer than the 65535 bytes",
	} {
		require.Contains(t, got[i], want)
		delete(got, i)
	}
	require.Empty(t, got)
	leaves(t, out, p)
}

func TestOutputKeepsTheBrokersWindow(t *testing.T) {
	b := newScripted(t)
	out, _ := outputTo(t, b.url(), "topic: a")
	p := joins(t, b, out, false, 33, 0, 2) // Receive Maximum 2
	batch := batchFrom("0", "1", "2", "3")
	index := batch.Index()
	done := writes(out, batch)
	ids := p.sees(true, false, "0", "1")
	p.silent(30e6)
	p.write(refusal(typePuback, ids[1], 0x87))
	ids = append(ids, p.sees(true, false, "2")...)
	p.silent(30e6)
	p.write(acks(typePuback, ids[0], ids[2]))
	p.write(acks(typePuback, p.sees(true, false, "3")...))
	require.Len(t, failures(t, index, wait(t, done)), 1)
	leaves(t, out, p)

	out, _ = outputTo(t, b.url(), "topic: a\nprotocol_version: 3.1.1\nmax_in_flight_publishes: 1\nqos: 2")
	p = joins(t, b, out, false)
	done = writes(out, batchFrom("0", "1"))
	for _, payload := range []string{"0", "1"} {
		id := p.sees(false, false, payload)
		p.silent(30e6)
		p.write(acks(typePubrec, id...))
		require.Equal(t, ackOf(typePubrel, id[0]), p.read().String())
		p.silent(30e6)
		p.write(acks(typePubcomp, id...))
	}
	require.NoError(t, wait(t, done))
	leaves(t, out, p)
}

func TestOutputBlockHoldsTheBatchAndPublishesTheOthersOnce(t *testing.T) {
	b := newScripted(t)
	out, log := outputTo(t, b.url(), "topic: a\nfailure_strategy: block")
	p := joins(t, b, out, false)
	batch := batchFrom("0", "1", "2")
	done := writes(out, batch)
	ids := p.sees(true, false, "0", "1", "2")
	p.write(acks(typePuback, ids[0]), refusal(typePuback, ids[1], 0x87), acks(typePuback, ids[2]))
	require.ErrorIs(t, wait(t, done), service.ErrNotConnected)
	require.ErrorContains(t, out.Connect(t.Context()), `publishing message 2 of 3 to the topic "a": not authorized (0x87)`, "it is not ready, and says why")
	for range 3 {
		require.NoError(t, out.Connect(t.Context()), "the same reason is not repeated")
		done = writes(out, batch.Copy())
		p.write(refusal(typePuback, p.sees(true, false, "1")[0], 0x87))
		require.ErrorIs(t, wait(t, done), service.ErrNotConnected)
	}
	require.NoError(t, out.Connect(t.Context()))
	done = writes(out, batch.Copy())
	p.write(acks(typePuback, p.sees(true, false, "1")...))
	require.NoError(t, wait(t, done), "the right was granted")
	require.Contains(t, log.String(), "The batch that was held is published")
	require.NoError(t, out.heldBy())
	leaves(t, out, p)
}

func TestOutputDiscardsWhatIsRefused(t *testing.T) {
	b := newScripted(t)
	out, log := outputTo(t, b.url(), "topic: '${! @topic.or(\"a\") }'\nfailure_strategy: { strategy: discard_after_retry, retry_total_times: 2, wait_time_ms: 1 }")
	p := joins(t, b, out, false)
	batch := batchFrom("0", "1", "2", "3")
	batch[2].MetaSetMut("topic", "#")
	batch[3].SetError(errors.New("no number"))
	done := writes(out, batch)
	ids := p.sees(true, false, "0", "1")
	p.write(acks(typePuback, ids[0]), refusal(typePuback, ids[1], 0x97))
	for range 2 {
		p.write(refusal(typePuback, p.sees(true, false, "1")[0], 0x97))
	}
	require.NoError(t, wait(t, done))
	require.Contains(t, log.String(), `Discarded a message: publishing message 2 of 4 to the topic \"a\": quota exceeded (0x97)`)
	require.NoError(t, out.Close(t.Context()))
	require.Contains(t, log.String(), "no number (2 messages since this was last logged)")
	leaves(t, out, p)
}

func TestOutputWritesDeadLetters(t *testing.T) {
	b := newScripted(t)
	out, _ := outputTo(t, b.url(), "topic: a\nqos: 0\nqos_interpolated: '${! @qos.or(1) }'\nfailure_strategy: { strategy: dead_message_queue, topic_name: dead/a, retry_total_times: 1, wait_time_ms: 0 }")
	p := joins(t, b, out, false)
	batch := batchFrom("0", "1", "2")
	batch[1].MetaSetMut("mqtt_content_type", "text/plain")
	batch[2].MetaSetMut("qos", "9")
	done := writes(out, batch)
	ids := p.sees(true, false, "0", "1")
	p.write(acks(typePuback, ids[0]), refusal(typePuback, ids[1], 0x90))
	p.write(refusal(typePuback, p.sees(true, false, "1")[0], 0x90))

	letter := p.publish(true)
	require.Equal(t, []any{"dead/a", "1", byte(1)}, []any{letter.topic, letter.payload, letter.qos})
	require.Equal(t, "text/plain", letter.properties.ContentType)
	about := map[string]string{}
	for _, u := range letter.properties.User {
		about[u.Key] = u.Value
	}
	require.Equal(t, map[string]string{
		"__connect.errors.topic": "a", "__connect.errors.partition": "-1", "__connect.errors.offset": "-1",
		"__connect.errors.connector.name": "mqtt", "__connect.errors.task.id": "0", "__connect.errors.stage": "TASK_PUT", "__connect.errors.class.name": "mqtt",
		"__connect.errors.exception.class.name": "org.apache.kafka.connect.errors.ConnectException",
		"__connect.errors.exception.message":    `publishing message 2 of 3 to the topic "a": topic name invalid (0x90)`,
		"__connect.errors.exception.stacktrace": `org.apache.kafka.connect.errors.ConnectException: publishing message 2 of 3 to the topic "a": topic name invalid (0x90)`,
	}, about)
	p.write(acks(typePuback, letter.id))
	letter = p.publish(true)
	require.Equal(t, "2", letter.payload)
	p.write(refusal(typePuback, letter.id, 0x87))
	require.ErrorIs(t, wait(t, done), service.ErrNotConnected, "a dead letter that is refused holds the batch")
	require.ErrorContains(t, out.Connect(t.Context()), `"9" is no QoS; must be 0, 1 or 2; writing it to the dead letter topic "dead/a": not authorized (0x87)`)
	done = writes(out, batch.Copy())
	letter = p.publish(true)
	require.Equal(t, "2", letter.payload, "the first letter is not written twice")
	p.write(acks(typePuback, letter.id))
	require.NoError(t, wait(t, done))
	leaves(t, out, p)
}
