package envelope

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

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
