package kafka

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/envelope"
)

// made returns the records of a batch.
func made(c *config, batch service.MessageBatch) ([]kgo.Record, []error) {
	in := new(buffers)
	errs := c.records.build(batch, in)
	return in.records, errs
}

// A batch that needed larger buffers than the next leaves nothing in the records of the
// next.
func TestReusedBuffersAreClean(t *testing.T) {
	c := parsed(t, []string{"localhost:1"}, `key: ${! content() }`, `metadata: { include_prefixes: [ "m" ] }`, `envelope: { enabled: true }`)
	batch := messages(0, 3)
	for _, msg := range batch {
		msg.MetaSetMut("m", "header")
	}
	in := new(buffers)
	require.Nil(t, c.records.build(batch, in))
	first := string(in.records[0].Value)
	in.empty()
	require.Nil(t, c.records.build(messages(0, 1), in))
	require.Len(t, in.records, 1)
	require.Empty(t, in.records[0].Headers)
	require.Equal(t, first, string(in.records[0].Value))
}

func TestRecordsFromMessages(t *testing.T) {
	c := cluster(t, 3)
	o := started(t, c.ListenAddrs(), block(
		`key: ${! @kafka_key }`, `timestamp_ms: ${! @mqtt_timestamp_ms }`,
		`metadata: { include_prefixes: [ "mqtt_" ] }`, `partitioner: manual`, `partition: ${! @part }`)...)
	payload := []byte("payload")
	msg := service.NewMessage(payload)
	msg.MetaSetMut("kafka_key", "a key")
	msg.MetaSetMut("mqtt_timestamp_ms", int64(1700000000123))
	msg.MetaSetMut("mqtt_topic", "a/b")
	msg.MetaSetMut("part", 2)
	require.NoError(t, o.WriteBatch(t.Context(), service.MessageBatch{msg}))

	records := consumed(t, c, "t")[2]
	require.Len(t, records, 1)
	require.Equal(t, "payload", string(records[0].Value))
	require.Equal(t, "a key", string(records[0].Key))
	require.Equal(t, int64(1700000000123), records[0].Timestamp.UnixMilli())
	require.ElementsMatch(t, []kgo.RecordHeader{
		{Key: "mqtt_topic", Value: []byte("a/b")}, {Key: "mqtt_timestamp_ms", Value: []byte("1700000000123")},
	}, records[0].Headers)

	built, errs := made(o.conf, service.MessageBatch{msg})
	require.Nil(t, errs)
	require.Same(t, &payload[0], &built[0].Value[0], "the payload is not copied")
}

// The envelope is that of the processor, with the key of the record; topic and key are
// evaluated on the message and not on the envelope.
func TestEnvelopesOfMessages(t *testing.T) {
	c := parsed(t, []string{"localhost:1"}, `key: ${! json("device") }`, `envelope: { enabled: true, client_id: '${! json("device") }', repeat_timestamp: true }`)
	batch := service.MessageBatch{
		service.NewMessage([]byte(`{"device":"d-1"}`)), service.NewMessage([]byte(`{"device":"d-2"}`)), service.NewMessage([]byte(`no JSON`)),
	}
	for i, msg := range batch {
		msg.MetaSetMut("mqtt_topic", "a/"+strconv.Itoa(i))
		msg.MetaSetMut("mqtt_timestamp_ms", int64(1700000000123))
	}
	records, errs := made(c, batch)
	require.ErrorContains(t, errs[2], "evaluating field key")
	for i, id := range []string{"d-1", "d-2"} {
		require.NoError(t, errs[i])
		require.Equal(t, id, string(records[i].Key))
		topic := "a/" + strconv.Itoa(i)
		want := envelope.AppendEncode(nil, &envelope.Envelope{
			Topic: topic, Payload: []byte(`{"device":"` + id + `"}`), ClientID: id, Timestamp: 1700000000, Key: id,
		}, true)
		require.Equal(t, string(want), string(records[i].Value))
	}
}

func TestEnvelopeOfAFailedMessageIsRefused(t *testing.T) {
	c := parsed(t, []string{"localhost:1"}, `envelope: { enabled: true }`)
	failed, odd := service.NewMessage([]byte("a")), service.NewMessage([]byte("b"))
	failed.SetError(errors.New("no such device"))
	odd.MetaSetMut("mqtt_qos", "high")
	_, errs := made(c, service.MessageBatch{failed, odd})
	require.EqualError(t, errs[0], "a processor failed on the message: no such device")
	require.ErrorContains(t, errs[1], "encoding the envelope: reading metadata mqtt_qos")
	require.Equal(t, classRecord, classify(errs[1]))
}

func TestEnvelopeRefusesInvalidConstants(t *testing.T) {
	_, err := tryParse([]string{"localhost:1"}, `envelope: { enabled: true, qos: 7 }`)
	require.EqualError(t, err, `field envelope: qos: want 0, 1 or 2, got "7"`)
}

func TestTimestampInSeconds(t *testing.T) {
	c := parsed(t, []string{"localhost:1"}, `timestamp: ${! 1700000000 }`)
	records, errs := made(c, messages(0, 1))
	require.Nil(t, errs)
	require.Equal(t, time.Unix(1700000000, 0), records[0].Timestamp)
}

// The shortcut for plain look-ups returns what the engine returns.
func TestPlainLookupsMatchTheEngine(t *testing.T) {
	plain := []string{
		`${! @name }`, `${!@name}`, `${! meta("name") }`, `${! metadata("name") }`,
		`${! @name.or("") }`, `${! meta("name").or("") }`, `${! metadata("name").or("") }`,
	}
	other := []string{`constant`, ``, `x${! @name }`, `${! @name }${! @name }`, `${! @name.or("x") }`, `${! @name.uppercase() }`, `${! content() }`}
	values := []any{nil, "", "text", 7, int64(8), 1.5, true, []any{"a"}, map[string]any{"a": 1}, []byte("bytes")}
	for i, text := range append(plain, other...) {
		engine, err := service.NewInterpolatedString(text)
		require.NoError(t, err)
		e := newExpression(text, engine)
		require.Equal(t, i < len(plain), e.meta == "name", text)
		for _, value := range append(values, "missing") {
			msg := service.NewMessage([]byte("content"))
			if value != "missing" {
				msg.MetaSetMut("name", value)
			}
			want, wantErr := engine.TryString(msg)
			got, gotErr := e.text(msg)
			require.Equal(t, want, got, "%s of %v", text, value)
			require.Equal(t, wantErr, gotErr, "%s of %v", text, value)
		}
	}
}

func TestKeyMatchesTheEngine(t *testing.T) {
	for _, text := range []string{`k`, ``, `${! @name }`, `${! @name.or("") }`, `a${! @name.or("") }`} {
		c := parsed(t, []string{"localhost:1"}, "key: '"+text+"'")
		engine, err := service.NewInterpolatedString(text)
		require.NoError(t, err)
		batch := messages(0, 50)
		for i := range batch[:40] {
			batch[i].MetaSetMut("name", strings.Repeat("k", i))
		}
		records, errs := made(c, batch)
		require.Nil(t, errs)
		for i, msg := range batch {
			want, err := engine.TryBytes(msg)
			require.NoError(t, err)
			require.Equal(t, want, records[i].Key, text)
		}
	}
	records, _ := made(parsed(t, []string{"localhost:1"}), messages(0, 1))
	require.Nil(t, records[0].Key, "no key without the field")
}

func TestMessagesThatCannotBecomeRecordsFail(t *testing.T) {
	for line, want := range map[string]string{
		`topic: ${! @name.or("") }`:                          "the topic is empty",
		`topic: ${! "." }`:                                   "Kafka reserves",
		`topic: ${! "a b" }`:                                 "has a character that Kafka does not allow",
		`topic: ${! "a".repeat(250) }`:                       "Kafka allows at most 249",
		`topic: ${! throw("no") }`:                           "evaluating field topic",
		`key: ${! throw("no") }`:                             "evaluating field key",
		`timestamp_ms: ${! @name }`:                          "evaluating the timestamp",
		"{partitioner: manual, partition: ${! @name }}":      "evaluating field partition",
		"{partitioner: manual, partition: ${! 3000000000 }}": "evaluating field partition",
	} {
		if strings.Contains(line, "repeat") {
			line = `topic: ${! content().string().repeat(50) }`
		}
		_, errs := made(parsed(t, []string{"localhost:1"}, unbraced(line)...), messages(0, 2))
		require.Len(t, errs, 2, line)
		require.ErrorContains(t, errs[1], want, line)
		require.Equal(t, classRecord, classify(errs[1]))
	}
}

func TestSizeIsNeverTooSmall(t *testing.T) {
	c := cluster(t, 1)
	o := started(t, c.ListenAddrs(), "compression: none", `metadata: { include_patterns: [ ".*" ] }`, "key: some key")
	for _, n := range []int{0, 1, 100, 5000} {
		msg := service.NewMessage([]byte(strings.Repeat("x", n)))
		msg.MetaSetMut("a", strings.Repeat("y", n))
		records, _ := made(o.conf, service.MessageBatch{msg})
		require.NotEmpty(t, records[0].Headers)
		size := recordSize(&records[0]) + batchOverhead
		require.GreaterOrEqual(t, size, wireSize(&records[0]))
		require.Less(t, size, wireSize(&records[0])+60)
	}
}

// wireSize returns the exact size of a record batch with the one record.
func wireSize(r *kgo.Record) int {
	varint := func(v int) int {
		n := 1
		for u := uint64(v) << 1; u >= 0x80; u >>= 7 {
			n++
		}
		return n
	}
	size := 1 + 1 + 1 + varint(len(r.Key)) + len(r.Key) + varint(len(r.Value)) + len(r.Value) + varint(len(r.Headers))
	for _, h := range r.Headers {
		size += varint(len(h.Key)) + len(h.Key) + varint(len(h.Value)) + len(h.Value)
	}
	return batchOverhead + varint(size) + size
}

func TestFormatsOfTheEnvelope(t *testing.T) {
	message := func() service.MessageBatch {
		msg := service.NewMessage([]byte("hi"))
		msg.MetaSetMut("mqtt_topic", "a/b")
		msg.MetaSetMut("mqtt_client_id", "c")
		msg.MetaSetMut("mqtt_timestamp_ms", int64(1000))
		return service.MessageBatch{msg}
	}
	for format, want := range map[string]string{
		"":              `{"topic":"a/b","qos":0,"retain":false,"payload":"aGk=","client_id":"c","username":"","timestamp":1,"message_id":0,"header":[],"key":"","data":"aGk=","tags":["a","b"],"crc_num":3633523372}`,
		"robustmq_json": `{"topic":"a/b","qos":0,"retain":false,"payload":"aGk=","client_id":"c","username":"","timestamp":1,"message_id":0,"header":[],"key":"","data":"aGk=","tags":["a","b"],"crc_num":3633523372}`,
		"robustmq_record": `{"metadata":{"offset":0,"shard":"","segment":0,"header":null,"key":null,"tags":null,"create_t":1,"expire_at":3601,"crc_num":3633523372},` +
			`"protocol_data":{"mqtt":{"client_id":"c","retain":false,"format_indicator":null,"response_topic":null,"correlation_data":null,"content_type":null,"user_properties":[]},"nats":null,"mq9":null,"amqp":null},"data":[104,105]}`,
		"raw": "hi",
	} {
		lines := []string{`key: ""`, `envelope: { enabled: true }`}
		if format != "" {
			lines[1] = `envelope: { enabled: true, format: ` + format + ` }`
		}
		c := parsed(t, []string{"localhost:1"}, lines...)
		b := new(buffers)
		require.Nil(t, c.records.build(message(), b))
		require.Len(t, b.records, 1)
		require.Equal(t, want, string(b.records[0].Value), format)
		require.Equal(t, []byte{}, b.records[0].Key, "an empty key, and not none")
		require.Empty(t, b.records[0].Headers)
	}
	_, err := tryParse([]string{"localhost:1"}, `envelope: { enabled: true, format: protobuf }`)
	require.EqualError(t, err, `field envelope: format: want robustmq_json, robustmq_record or raw, got "protobuf"`)
	_, err = tryParse([]string{"localhost:1"}, `envelope: { enabled: true, format: raw, tags: '[]' }`)
	require.ErrorContains(t, err, "envelope.tags: is ignored: the format raw is the payload alone")
}
