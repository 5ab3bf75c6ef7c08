package supervisor

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// The preview says what arrives in Kafka: here it is compared with it.
func TestAPreviewIsWhatTheConnectorWrites(t *testing.T) {
	const partitions = 3
	r := newRig(t)
	admin, err := kgo.NewClient(kgo.SeedBrokers(r.kafka.Addr()))
	require.NoError(t, err)
	defer admin.Close()
	_, err = kadm.NewClient(admin).CreateTopics(t.Context(), partitions, 1, nil, "out_envelope", "out_raw", "out_no_key", "out_7")
	require.NoError(t, err)
	for name, test := range map[string]struct {
		config string
		topic  string
	}{
		"envelope": {`,"key":"k-${! json(\"id\") }"`, "out_envelope"},
		"raw":      {`,"format":"raw"`, "out_raw"},
		"no key":   {`,"key":""`, "out_no_key"},
		"topics":   {`,"key":"${! @mqtt_topic.split(\"/\").index(1) }"`, "out_${! json(\"id\") }"},
	} {
		c := r.conn(strings.ReplaceAll(name, " ", "_"), "in/"+name+"/#", test.topic, test.config)
		sample := connector.SampleMessage{Topic: "in/" + name + "/x", Payload: []byte(`{"id":7}`), QoS: 2, Partitions: partitions}
		p, notes, err := r.Preview(t.Context(), c, sample)
		require.NoError(t, err, name)
		assert.Empty(t, notes, name)
		require.Nil(t, p.Refused, name)
		assert.Nil(t, r.find(c.Name), "it creates nothing")

		r.create(c)
		r.ready(c.Name)
		r.publish(sample.Topic, string(sample.Payload))
		got := r.records(p.Topic, 1)[0]
		assert.Equal(t, got.Topic, p.Topic, name)
		if got.Key == nil {
			assert.Nil(t, p.Partition, "%s: the client chooses one", name)
		} else {
			require.NotNil(t, p.Partition, name)
			assert.Equal(t, got.Partition, *p.Partition, name)
		}
		assert.Equal(t, string(got.Key), string(p.Key), name)
		assert.Equal(t, got.Key == nil, p.Key == nil, name)
		assert.Equal(t, timeless(t, got.Value), timeless(t, p.Value), name)
		assert.Equal(t, headersOf(got.Headers), previewed(p.Headers), name)
	}
}

// timeless is a value without what depends on the time and on the broker.
func timeless(t *testing.T, value []byte) any {
	var fields map[string]any
	require.NoError(t, json.Unmarshal(value, &fields), string(value))
	assert.NotEmpty(t, fields)
	delete(fields, "timestamp")
	delete(fields, "message_id")
	delete(fields, "header") // the broker of the tests adds an expiry
	return fields
}

func headersOf(all []kgo.RecordHeader) map[string]string {
	headers := map[string]string{}
	for _, h := range all {
		if !slices.Contains([]string{"mqtt_timestamp_ms", "mqtt_message_id", "mqtt_message_expiry_interval"}, h.Key) {
			headers[h.Key] = string(h.Value)
		}
	}
	return headers
}

func previewed(all []connector.Header) map[string]string {
	var records []kgo.RecordHeader
	for _, h := range all {
		records = append(records, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	return headersOf(records)
}

func TestAPreviewReachesNoServerAndForeseesThePartition(t *testing.T) {
	r := newRig(t)
	r.broker.Close()
	r.kafka.Close()
	c := r.conn("c", "a/#", "t", `,"key":"${! @mqtt_topic }"`)
	sample := connector.SampleMessage{Topic: "a/b", Payload: []byte{0xff}, Retain: true, User: [][2]string{{"client_id", "sensor-1"}, {"username", "ada"}, {"site", "x"}}}
	p, _, err := r.Preview(t.Context(), c, sample)
	require.NoError(t, err)
	assert.Nil(t, p.Partition, "how many there are is not known")
	var value map[string]any
	require.NoError(t, json.Unmarshal(p.Value, &value))
	assert.Equal(t, "sensor-1", value["client_id"])
	assert.Equal(t, "ada", value["username"])
	assert.Equal(t, "/w==", value["payload"])
	assert.Equal(t, true, value["retain"])
	assert.EqualValues(t, 0, value["qos"])
	assert.EqualValues(t, 0, value["message_id"], "QoS 0 has none")
	assert.Equal(t, map[string]any{"key": "site", "value": "x"}, value["header"].([]any)[2])

	sample.Partitions = 12
	p, _, err = r.Preview(t.Context(), c, sample)
	require.NoError(t, err)
	require.NotNil(t, p.Partition)
	want := kgo.StickyKeyPartitioner(nil).ForTopic("").Partition(&kgo.Record{Key: []byte("a/b")}, 12)
	assert.EqualValues(t, want, *p.Partition)

	p, _, err = r.Preview(t.Context(), r.conn("c", "a/#", "t", `,"key":""`), sample)
	require.NoError(t, err)
	assert.Nil(t, p.Partition, "without a key any may be taken")
}

func TestAPreviewSaysWhichFieldIsAtFaultForAMessage(t *testing.T) {
	r := newRig(t)
	for config, want := range map[string]connector.InvalidError{
		`"topic":"t","key":"${! json(\"id\").number() }"`: {Field: "config.key", Why: "evaluating field key: "},
		`"topic":"${! json(\"id\") }"`:                    {Field: "config.topic", Why: "evaluating field topic: "},
		`"topic":"${! @mqtt_topic }"`:                     {Field: "config.topic", Why: `the topic "a/b" has a character that Kafka does not allow`},
	} {
		c := r.parse("c", "a/#", `{"bootstrap_servers":"127.0.0.1:1",`+config+`}`, `{"strategy":"block"}`)
		p, _, err := r.Preview(t.Context(), c, connector.SampleMessage{Topic: "a/b", Payload: []byte("no JSON")})
		require.NoError(t, err, config)
		require.NotNil(t, p.Refused, config)
		assert.Equal(t, want.Field, p.Refused.Field, config)
		assert.Contains(t, p.Refused.Why, want.Why, config)
		assert.Empty(t, p.Value)
	}
}

func TestAPreviewIsRefusedAsCreateIs(t *testing.T) {
	r := newRig(t, func(o *Options) { o.MQTT = append(o.MQTT, setting("max_payload_bytes", "1KiB")) })
	good := r.conn("c", "a/+/c", "t", `,"password":"hush-1","username":"ada"`)
	r.create(good)
	for name, test := range map[string]struct {
		c     connector.Connector
		m     connector.SampleMessage
		field string
		why   string
	}{
		"an unsafe expression":  {r.conn("d", "a/#", "t", `,"key":"${! env(\"HOME\") }"`), connector.SampleMessage{Topic: "a/b"}, "config.key", "env"},
		"a secret of nobody":    {r.conn("d", "a/#", "t", `,"password":"***"`), connector.SampleMessage{Topic: "a/b"}, "config.password", "none is stored"},
		"a secret to elsewhere": {r.conn("c", "a/#", "t", `,"username":"ada","password":"***","urls":["tcp://elsewhere:1883"]`), connector.SampleMessage{Topic: "a/b"}, "config.password", "config.urls changes that"},
		"another topic":         {good, connector.SampleMessage{Topic: "a/b/d"}, "message.topic", `"a/b/d" does not match the topic filter "a/+/c": the connector does not get this message`},
		"a wildcard":            {good, connector.SampleMessage{Topic: "a/+/c"}, "message.topic", "which has a wildcard"},
		"no topic":              {r.conn("d", "#", "t", ""), connector.SampleMessage{}, "message.topic", "the topic is empty"},
	} {
		_, _, err := r.Preview(t.Context(), test.c, test.m)
		var invalid *connector.InvalidError
		require.ErrorAs(t, err, &invalid, name)
		assert.Equal(t, test.field, invalid.Field, name)
		assert.Contains(t, invalid.Why, test.why, name)
	}

	p, _, err := r.Preview(t.Context(), r.conn("c", "a/#", "t", `,"username":"ada","password":"***"`), connector.SampleMessage{Topic: "a/b", Payload: make([]byte, 2000)})
	require.NoError(t, err, "the stored secret goes where it went before")
	require.NotNil(t, p.Refused)
	assert.Equal(t, "message", p.Refused.Field)
	assert.Contains(t, p.Refused.Why, "has a payload of 2000 bytes, which was not kept: raise max_payload_bytes, which is 1024")
}

func TestPreviewsAreBounded(t *testing.T) {
	r := newRig(t)
	c := r.conn("c", "a/#", "t", "")
	for range maxPreviews {
		r.previewing <- struct{}{}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, _, err := r.Preview(ctx, c, connector.SampleMessage{Topic: "a/b"})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, `previewing "c": others are made and take too long: try again`)
	<-r.previewing
	_, _, err = r.Preview(t.Context(), c, connector.SampleMessage{Topic: "a/b"})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return len(r.previewing) == maxPreviews-1 }, patience, time.Millisecond, "it gives its place back")
}
