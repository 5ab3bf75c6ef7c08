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

func TestRecordsOfRobustMQAreDecoded(t *testing.T) {
	for _, options := range []string{"operator: decode", "{operator: decode, format: robustmq_record}"} {
		for i, record := range recorded(t) {
			// What the Kafka headers of another format have left does not stay.
			msg := message(record, map[string]any{
				metaKafkaTopic: "factory", MetaQoS: 2, MetaMessageID: 9, MetaUsername: "other", MetaTopic: "other", MetaContentType: "other", MetaKafkaKey: "k",
			})
			process(t, newProcessor(t, options), msg)
			require.NoError(t, msg.GetError())
			assert.Equal(t, published[i].payload, content(t, msg))
			want := map[string]any{metaKafkaTopic: "factory", MetaTopic: "factory", MetaKafkaKey: "k"}
			for key, value := range published[i].meta {
				want[key] = value
			}
			assert.Equal(t, want, metaOf(t, msg))
		}
	}
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

func TestDecodeFindsATopicOrFails(t *testing.T) {
	noTopic := recorded(t)[0]
	for _, test := range []struct {
		options, record string
		meta            map[string]any
		want            string // "" for the error
	}{
		{"operator: decode", noTopic, map[string]any{metaKafkaTopic: "factory"}, "factory"},
		{"{operator: decode, topic: 'in/${! @kafka_key }'}", noTopic, map[string]any{metaKafkaTopic: "factory", MetaKafkaKey: "7"}, "in/7"},
		{"{operator: decode, topic: t}", fullRecord, map[string]any{metaKafkaTopic: "factory"}, "a/b"},
		{"operator: decode", noTopic, map[string]any{MetaTopic: "of/another"}, ""},
		{"operator: decode", noTopic, nil, ""},
		{"operator: decode", `{"payload":"YQ==","qos":0}`, nil, ""},
		{"operator: decode", `{"payload":"YQ==","qos":0}`, map[string]any{metaKafkaTopic: "factory"}, "factory"},
		{"{operator: decode, format: raw}", "x", map[string]any{metaKafkaTopic: "factory"}, "factory"},
		{"{operator: decode, format: raw}", "x", nil, ""},
	} {
		msg := message(test.record, test.meta)
		process(t, newProcessor(t, test.options), msg)
		if test.want == "" {
			require.EqualError(t, msg.GetError(), errNoTopic.Error(), test.options)
			require.Equal(t, test.record, content(t, msg))
			continue
		}
		require.NoError(t, msg.GetError())
		topic, _ := msg.MetaGet(MetaTopic)
		assert.Equal(t, test.want, topic, test.options)
	}
}

func TestDecodeRefusesWhatIsNeitherFormat(t *testing.T) {
	record := recorded(t)[1]
	for _, test := range []struct{ format, record, want string }{
		{"", `{"temperature":20}`, "decoding record at byte 0: has neither the names of RobustMQ's envelope"},
		{"", `{"data":"YQ=="}`, "decoding record at byte 0: has neither the names"},
		{"", `{"payload":"YQ=="}`, "decoding record at byte 0: has neither the names"},
		{"", `{"metadata":{},"data":[1]}`, "decoding record at byte 0: has neither the names"},
		{"", "\x08\x00\x12", `decoding record at byte 0: want a JSON object, got '\b'; the binary storage forms of RobustMQ (bincode, rkyv, protobuf) are not decoded`},
		{"", "", "decoding record at byte 0: want a JSON object, got the end of the record"},
		{FormatRecord, fullRecord, "decoding metadata at byte"},
		{FormatRecord, `{"metadata":{},"data":[]}`, "decoding protocol_data at byte 25: is not in the record"},
		{FormatRecord, `{"metadata":{},"protocol_data":{"mqtt":{}}}`, "decoding data at byte 43: is not in the record"},
		{FormatJSON, record, "decoding topic"},
		{"", strings.Replace(record, `"crc_num":747473489`, `"crc_num":1`, 1), "decoding metadata.crc_num at byte 161: the record has 1 but the payload has 747473489"},
		{"", strings.Replace(record, `[112,`, `[113,`, 1), "decoding metadata.crc_num at byte 161: the record has 747473489"},
		{"", strings.Replace(record, `[112,`, `[256,`, 1), "decoding data[0] at byte 434: want an integer from 0 to 255, got 256"},
		{"", strings.Replace(record, `[112,`, `[-1,`, 1), "decoding data[0]"},
		{"", strings.Replace(record, `[112,`, `[01,`, 1), "decoding data"},
		{"", strings.Replace(record, `[1,255]`, `[1,"x"]`, 1), "decoding protocol_data.mqtt.correlation_data[1]"},
		{"", strings.Replace(record, `["k1","v1"]`, `["k1"]`, 1), "decoding protocol_data.mqtt.user_properties[0] at byte 362: want an array of two strings, a name and a value, got 1"},
		{"", strings.Replace(record, `["k2","v ü"]`, `["k2","v","w"]`, 1), "decoding protocol_data.mqtt.user_properties[1]"},
		{"", strings.Replace(record, `"retain":false`, `"retain":0`, 1), "decoding protocol_data.mqtt.retain"},
		{"", strings.Replace(record, `"format_indicator":1`, `"format_indicator":2`, 1), "decoding protocol_data.mqtt.format_indicator"},
		{"", strings.Replace(record, `"client_id":`, `"retain":true,"client_id":`, 1), "decoding protocol_data.mqtt.retain at byte 234: comes a second time"},
		{"", strings.Replace(record, `"segment":0`, `"crc_num":0`, 1), "decoding metadata.crc_num"},
		{"", strings.Replace(record, `"create_t":1795483961`, `"create_t":-1`, 1), "decoding metadata.create_t"},
		{"", strings.Replace(record, `"create_t":1795483961`, `"create_t":9223372036854775807`, 1), "decoding metadata.create_t"},
		{"", strings.Replace(record, `"mqtt":{`, `"mqtt":null,"other":{`, 1), "decoding protocol_data at byte 188: has no mqtt"},
		{"", `{"metadata":{},"protocol_data":null,"data":[]}`, "decoding protocol_data at byte 31: has no mqtt"},
		{"", `{"metadata":{},"protocol_data":{"mqtt":null,"nats":{"reply_to":null}},"data":[]}`, "decoding protocol_data at byte 31: the message came by nats; want one that came by mqtt"},
		{"", `{"metadata":[],"protocol_data":{"mqtt":{}},"data":[]}`, "decoding metadata at byte 12: want a JSON object"},
		{"", `{"metadata":{},"metadata":{},"protocol_data":{"mqtt":{}},"data":[]}`, "decoding metadata at byte 15: comes a second time"},
	} {
		p := newProcessor(t, "{operator: decode, topic: t}")
		p.format = test.format
		msg := message(test.record, nil)
		process(t, p, msg)
		if test.format == FormatJSON {
			// The envelope's reader takes data alone, and there is no crc_num.
			require.NoError(t, msg.GetError())
			continue
		}
		require.ErrorContains(t, msg.GetError(), test.want, "%.80s", test.record)
		require.Equal(t, test.record, content(t, msg))
	}
}

func TestDecodeTakesTheChecksumAsItIs(t *testing.T) {
	msg := message(strings.Replace(recorded(t)[0], `"crc_num":4279836770`, `"crc_num":1`, 1), nil)
	process(t, newProcessor(t, "{operator: decode, topic: t, verify_crc: false}"), msg)
	require.NoError(t, msg.GetError())
	require.Equal(t, "plain0", content(t, msg))
}

// An envelope may have names that the storage record has too.
func TestEnvelopeWithNamesOfARecordIsAnEnvelope(t *testing.T) {
	d, err := DecodeFormat([]byte(`{"metadata":1,"protocol_data":[],"topic":"a","data":[1,2]}`), "", true)
	require.NoError(t, err)
	require.Nil(t, d.Record)
	require.Equal(t, Envelope{Topic: "a", Payload: []byte{1, 2}, Tags: []string{"a"}}, d.Envelope)
	require.True(t, d.HasTopic)
}

func TestRecordOfAnotherWriterIsDecoded(t *testing.T) {
	d, err := DecodeFormat([]byte(` { "data" : [ 1 , 255 ] , "more" : {} , "protocol_data" : { "amqp" : null , "mqtt" : { "user_properties" : [ [ "k" , "v" ] ] , "later" : [1] } } , `+
		`"metadata" : { "key" : [107] , "tags" : [ "x" ] , "header" : [ { "name" : "n" , "value" : "v" } ] , "expire_at" : 7 , "create_t" : 7 } } `), "", true)
	require.NoError(t, err)
	require.Equal(t, &Record{
		Payload: []byte{1, 255}, CreateTime: 7, Key: "k", Tags: []string{"x"}, properties: properties{user: []Header{{"k", "v"}}},
	}, d.Record)
	require.False(t, d.HasTopic)
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

// Whatever a record holds, reading it ends without a panic, and what was read of a
// storage record is read of what it encodes to again.
func FuzzDecodeFormat(f *testing.F) {
	for _, record := range recorded(f) {
		f.Add([]byte(record))
	}
	for _, record := range []string{
		fullRecord, "", "{", `{"metadata":{},"protocol_data":{"mqtt":{}},"data":[]}`, `{"data":[1,2,3],"metadata":`, "\x00\x01",
		`{"metadata":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `,"protocol_data":{"mqtt":{}},"data":[]}`,
		`{"metadata":{"create_t":9223372032559808512,"expire_at":0},"protocol_data":{"mqtt":{"user_properties":[["",""]]}},"data":"aGk="}`,
	} {
		f.Add([]byte(record))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, format := range []string{"", FormatJSON, FormatRecord} {
			d, err := DecodeFormat(data, format, false)
			if err != nil {
				require.ErrorAs(t, err, new(*DecodeError))
				require.Equal(t, Decoded{}, d)
				continue
			}
			if d.Record == nil {
				continue
			}
			again, err := DecodeFormat(AppendEncodeRecord(nil, d.Record), FormatRecord, true)
			require.NoError(t, err)
			want := *d.Record
			want.Key, want.Tags = "", nil // which are not written
			if len(want.properties.user) == 0 {
				want.properties.user = []Header{}
			}
			require.Equal(t, &want, again.Record)
		}
	})
}
