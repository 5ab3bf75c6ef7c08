package envelope

import (
	"bytes"
	"encoding/json"
	"hash/crc32"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// recorded are records that RobustMQ's connector has written to Kafka, as kcat has
// printed them.
func recorded(t testing.TB) (payloads []string) {
	data, err := os.ReadFile("testdata/robustmq_records.jsonl")
	require.NoError(t, err)
	for line := range bytes.Lines(data) {
		var record struct{ Payload string }
		require.NoError(t, json.Unmarshal(line, &record))
		payloads = append(payloads, record.Payload)
	}
	require.Len(t, payloads, 3)
	return payloads
}

// ofABroker are the values that only a broker knows.
var ofABroker = regexp.MustCompile(`"offset":\d+,"shard":"[^"]*","segment":\d+`)

func withoutBroker(record string) string {
	return ofABroker.ReplaceAllString(record, `"offset":0,"shard":"","segment":0`)
}

// What each of the recorded messages was when it was published.
var published = []struct {
	payload string
	meta    map[string]any
}{
	{"plain0", map[string]any{MetaRetained: false, MetaClientID: "pubplain", MetaTimestampMS: int64(1795483961000)}},
	{"props0", map[string]any{
		MetaRetained: false, MetaClientID: "pubprops", MetaTimestampMS: int64(1795483961000), MetaContentType: "application/json",
		MetaResponseTopic: "resp/t", MetaCorrelationData: "\x01\xff", MetaPayloadFormatIndicator: 1, MetaMessageExpiryInterval: 600,
		MetaUserProperties: []any{map[string]any{"key": "k1", "value": "v1"}, map[string]any{"key": "k2", "value": "v ü"}},
	}},
	{"q2-0", map[string]any{MetaRetained: true, MetaClientID: "pubq2", MetaTimestampMS: int64(1795483961000)}},
}

func TestRecordsOfRobustMQAreEncodedByteForByte(t *testing.T) {
	p := newProcessor(t, "{operator: encode, format: robustmq_record}")
	for i, record := range recorded(t) {
		meta := map[string]any{MetaTopic: "a/b", MetaQoS: 2, MetaMessageID: 7, MetaUsername: "u", MetaKafkaKey: "sensor_key"}
		for key, value := range published[i].meta {
			meta[key] = value
		}
		msg := message(published[i].payload, meta)
		process(t, p, msg)
		require.NoError(t, msg.GetError())
		assert.Equal(t, withoutBroker(record), content(t, msg))
	}
}

func TestRecordTakesTheFieldsOfTheProcessor(t *testing.T) {
	p := newProcessor(t, `
operator: encode
format: robustmq_record
client_id: c
retain: "true"
timestamp: "5"
payload: "\x00\x0a\x64\xff" # the text U+00FF
header: '[{"key":"content-type","value":"t"},{"key":"message-expiry-interval","value":"7"},{"key":"content-type","value":"second"}]'
`)
	msg := message("", nil)
	process(t, p, msg)
	require.NoError(t, msg.GetError())
	assert.Equal(t, `{"metadata":{"offset":0,"shard":"","segment":0,"header":null,"key":null,"tags":null,"create_t":5,"expire_at":12,"crc_num":1565023765},`+
		`"protocol_data":{"mqtt":{"client_id":"c","retain":true,"format_indicator":null,"response_topic":null,"correlation_data":null,"content_type":"t",`+
		`"user_properties":[["content-type","second"]]},"nats":null,"mq9":null,"amqp":null},"data":[0,10,100,195,191]}`, content(t, msg))
}

func TestRecordHasTheClientIDOfAUserProperty(t *testing.T) {
	msg := message("", map[string]any{MetaUserProperties: []any{map[string]any{"key": "client_id", "value": "told"}}, MetaTimestampMS: int64(1000)})
	process(t, newProcessor(t, "{operator: encode, format: robustmq_record}"), msg)
	require.NoError(t, msg.GetError())
	assert.Equal(t, `{"metadata":{"offset":0,"shard":"","segment":0,"header":null,"key":null,"tags":null,"create_t":1,"expire_at":3601,"crc_num":0},`+
		`"protocol_data":{"mqtt":{"client_id":"told","retain":false,"format_indicator":null,"response_topic":null,"correlation_data":null,"content_type":null,`+
		`"user_properties":[["client_id","told"]]},"nats":null,"mq9":null,"amqp":null},"data":[]}`, content(t, msg))
}

func TestRecordRefusesATimeBefore1970(t *testing.T) {
	msg := message("x", nil)
	process(t, newProcessor(t, "{operator: encode, format: robustmq_record, timestamp: '${! -1 }'}"), msg)
	require.EqualError(t, msg.GetError(), `evaluating field timestamp: want an integer from 0 to 9223372032559808512, got "-1"`)
	assert.Equal(t, "x", content(t, msg))
}

func TestRawIsThePayload(t *testing.T) {
	meta := map[string]any{MetaTopic: "a", MetaKafkaKey: "k"}
	msg := message("{}", meta)
	process(t, newProcessor(t, "{operator: encode, format: raw, payload: '${! @mqtt_topic }', key: new}"), msg)
	require.NoError(t, msg.GetError())
	assert.Equal(t, "a", content(t, msg))
	assert.Equal(t, map[string]any{MetaTopic: "a", MetaKafkaKey: "new"}, metaOf(t, msg))

	for _, payload := range []string{"", "\x00\xff", recorded(t)[0], fullRecord} {
		msg := message(payload, map[string]any{metaKafkaTopic: "factory", MetaTopic: "of/a/header", MetaQoS: "1"})
		process(t, newProcessor(t, "{operator: decode, format: raw}"), msg)
		require.NoError(t, msg.GetError())
		assert.Equal(t, payload, content(t, msg))
		assert.Equal(t, map[string]any{metaKafkaTopic: "factory", MetaTopic: "of/a/header", MetaQoS: "1"}, metaOf(t, msg))
	}
}

func FuzzRecordRoundTrip(f *testing.F) {
	f.Add("c", true, []byte("p"), int64(1), uint8(31), "t", "r", "d", int64(1), int64(60), "k", "v", 2)
	f.Add("", false, []byte{}, int64(0), uint8(0), "", "", "", int64(0), int64(0), "", "", 0)
	f.Fuzz(func(t *testing.T, clientID string, retain bool, payload []byte, createTime int64, has uint8, contentType, responseTopic, correlation string, indicator, expiry int64, key, value string, users int) {
		valid := func(s string) string { return strings.ToValidUTF8(s, "\ufffd") }
		r := Record{ClientID: valid(clientID), Retain: retain, Payload: payload, CreateTime: createTime & (1<<62 - 1)}
		p := &r.properties
		p.has = int(has) & (hasExpiry<<1 - 1)
		if p.has&hasContentType != 0 {
			p.contentType = valid(contentType)
		}
		if p.has&hasResponseTopic != 0 {
			p.responseTopic = valid(responseTopic)
		}
		if p.has&hasCorrelationData != 0 {
			p.correlationData = correlation
		}
		if p.has&hasFormatIndicator != 0 {
			p.formatIndicator = indicator & 1
		}
		if p.has&hasExpiry != 0 {
			// An hour is RobustMQ's default, and 0 is none.
			if p.expiry = expiry & (1<<32 - 1); p.expiry == defaultExpiry || p.expiry == 0 {
				p.has, p.expiry = p.has&^hasExpiry, 0
			}
		}
		p.user = []Header{}
		for range users & 3 {
			p.user = append(p.user, Header{valid(key), valid(value)})
		}

		encoded := AppendEncodeRecord(nil, &r)
		require.True(t, json.Valid(encoded), "%s", encoded)
		require.True(t, utf8.Valid(encoded))
		d, err := DecodeFormat(encoded, "", true)
		require.NoError(t, err, "%s", encoded)
		if len(payload) == 0 {
			r.Payload = []byte{}
		}
		require.Equal(t, &r, d.Record)

		// The standard library reads the same.
		var std struct {
			Metadata struct {
				CreateT  uint64 `json:"create_t"`
				ExpireAt uint64 `json:"expire_at"`
				CRC      uint32 `json:"crc_num"`
			} `json:"metadata"`
			ProtocolData struct {
				MQTT struct {
					ClientID       string      `json:"client_id"`
					UserProperties [][2]string `json:"user_properties"`
				} `json:"mqtt"`
			} `json:"protocol_data"`
			Data []int `json:"data"`
		}
		require.NoError(t, json.Unmarshal(encoded, &std))
		require.EqualValues(t, r.CreateTime, std.Metadata.CreateT)
		require.Equal(t, crc32.ChecksumIEEE(payload), std.Metadata.CRC)
		require.Equal(t, r.ClientID, std.ProtocolData.MQTT.ClientID)
		require.Len(t, std.ProtocolData.MQTT.UserProperties, len(p.user))
		require.Len(t, std.Data, len(payload))
		for i, c := range payload {
			require.EqualValues(t, c, std.Data[i])
		}
	})
}

// Room of a batch is as RecordSize says: more would move what was written before.
func TestRecordSizeIsEnough(t *testing.T) {
	for _, payload := range [][]byte{nil, {0}, {255}, bytes.Repeat([]byte{255}, 1000), bytes.Repeat([]byte{0}, 1000)} {
		r := Record{ClientID: "c", Payload: payload, CreateTime: maxCreateTime, properties: properties{
			has: hasExpiry<<1 - 1, contentType: "t", responseTopic: "r", correlationData: "\xff\xff\xff", formatIndicator: 1, expiry: 1<<32 - 1,
			user: []Header{{"a", "b"}, {"c", "d"}},
		}}
		buf := make([]byte, 0, RecordSize(&r))
		out := AppendEncodeRecord(buf, &r)
		require.Equal(t, &out[:1][0], &buf[:1][0], "written where it was asked to be")
	}
}

func benchRecord(size int) (Record, Envelope) {
	payload := make([]byte, size)
	for i := range payload {
		payload[i] = byte(i*7 + i>>3)
	}
	e := benchEnvelope()
	e.Payload = payload
	return Record{ClientID: e.ClientID, Payload: payload, CreateTime: e.Timestamp}, e
}

func BenchmarkFormats(b *testing.B) {
	for _, size := range []int{64, 16 << 10} {
		r, e := benchRecord(size)
		var buf []byte
		name := map[int]string{64: "64B", 16 << 10: "16KB"}[size]
		b.Run("encode/"+FormatJSON+"/"+name, func(b *testing.B) {
			for b.Loop() {
				buf = AppendEncode(buf[:0], &e, false)
			}
		})
		b.Run("encode/"+FormatRecord+"/"+name, func(b *testing.B) {
			for b.Loop() {
				buf = AppendEncodeRecord(buf[:0], &r)
			}
		})
		for _, encoded := range [][]byte{AppendEncode(nil, &e, false), AppendEncodeRecord(nil, &r)} {
			format := FormatJSON
			if bytes.HasPrefix(encoded, []byte(recordHead)) {
				format = FormatRecord
			}
			b.Run("decode/"+format+"/"+name, func(b *testing.B) {
				for b.Loop() {
					if _, err := DecodeFormat(encoded, "", true); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func TestEncodingOfABatchSharesNoRecord(t *testing.T) {
	p := newProcessor(t, "{operator: encode, format: robustmq_record}")
	var batch service.MessageBatch
	for i := range 50 {
		batch = append(batch, message(strings.Repeat(string(rune('a'+i%26)), i), map[string]any{
			MetaUserProperties: []any{map[string]any{"key": "n", "value": strings.Repeat("v", i)}},
		}))
	}
	process(t, p, batch...)
	for i, msg := range batch {
		require.NoError(t, msg.GetError())
		d, err := DecodeFormat([]byte(content(t, msg)), FormatRecord, true)
		require.NoError(t, err)
		require.Equal(t, slices.Repeat([]byte{byte('a' + i%26)}, i), append([]byte{}, d.Record.Payload...)[:i])
		require.Equal(t, []Header{{"n", strings.Repeat("v", i)}}, d.Record.properties.user)
	}
}
