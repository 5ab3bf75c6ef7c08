package envelope

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	_ "github.com/redpanda-data/benthos/v4/public/components/pure"
	"github.com/redpanda-data/benthos/v4/public/service"
)

func newProcessor(t testing.TB, yaml string) *processor {
	t.Helper()
	conf, err := Spec().ParseYAML(yaml, nil)
	require.NoError(t, err)
	c, err := parseConfig(conf)
	require.NoError(t, err)
	return &processor{config: c, now: func() time.Time { return time.Unix(1700000000, 999) }}
}

func process(t testing.TB, p *processor, msgs ...*service.Message) {
	t.Helper()
	out, err := p.ProcessBatch(t.Context(), msgs)
	require.NoError(t, err)
	require.Len(t, out, 1)
	require.Len(t, out[0], len(msgs))
}

func message(content string, meta map[string]any) *service.Message {
	msg := service.NewMessage([]byte(content))
	for k, v := range meta {
		msg.MetaSetMut(k, v)
	}
	return msg
}

func content(t testing.TB, msg *service.Message) string {
	t.Helper()
	b, err := msg.AsBytes()
	require.NoError(t, err)
	return string(b)
}

func metaOf(t testing.TB, msg *service.Message) map[string]any {
	t.Helper()
	all := map[string]any{}
	require.NoError(t, msg.MetaWalkMut(func(k string, v any) error { all[k] = v; return nil }))
	return all
}

func fullMeta() map[string]any {
	return map[string]any{
		MetaTopic: "a/b", MetaQoS: 2, MetaRetained: true, MetaMessageID: 65535, MetaTimestampMS: int64(1640995200999),
		MetaKafkaKey: "k", MetaContentType: "text/plain", MetaResponseTopic: "r", MetaCorrelationData: "\x00\xff",
		MetaPayloadFormatIndicator: 1, MetaMessageExpiryInterval: 4294967295,
		MetaUserProperties: []any{
			map[string]any{"key": "username", "value": "u"},
			map[string]any{"key": "client_id", "value": "c"},
			map[string]any{"key": "content-type", "value": "mine"},
		},
	}
}

const fullRecord = `{"topic":"a/b","qos":2,"retain":true,"payload":"YWJj","client_id":"c","username":"u","timestamp":1640995200,` +
	`"message_id":65535,"header":[{"key":"content-type","value":"text/plain"},{"key":"response-topic","value":"r"},` +
	`{"key":"correlation-data","value":"AP8="},{"key":"payload-format-indicator","value":"1"},` +
	`{"key":"message-expiry-interval","value":"4294967295"},{"key":"username","value":"u"},{"key":"client_id","value":"c"},` +
	`{"key":"content-type","value":"mine"}],"key":"k","data":"YWJj","tags":["a","b"],"crc_num":891568578}`

func TestEncodeReadsDefaultsFromMetadata(t *testing.T) {
	asText := map[string]any{}
	for k, v := range fullMeta() {
		asText[k] = fmt.Sprint(v)
	}
	list, err := json.Marshal(fullMeta()[MetaUserProperties])
	require.NoError(t, err)
	asText[MetaUserProperties] = string(list)
	odd := fullMeta()
	odd[MetaQoS], odd[MetaMessageID], odd[MetaRetained], odd[MetaTimestampMS] = uint8(2), uint16(65535), 1, json.Number("1640995200999")
	odd[MetaMessageExpiryInterval], odd[MetaPayloadFormatIndicator], odd[MetaKafkaKey] = uint32(4294967295), true, []byte("k")
	for name, meta := range map[string]map[string]any{"as the input sets them": fullMeta(), "as text": asText, "other types": odd} {
		t.Run(name, func(t *testing.T) {
			msg := message("abc", meta)
			process(t, newProcessor(t, "operator: encode"), msg)
			require.NoError(t, msg.GetError())
			assert.Equal(t, fullRecord, content(t, msg))
			assert.Equal(t, meta, metaOf(t, msg), "metadata stays")
		})
	}
	t.Run("immutable", func(t *testing.T) {
		msg := service.NewMessage([]byte("abc"))
		for k, v := range fullMeta() {
			msg.MetaSetImmut(k, service.ImmutableAny{V: v})
		}
		process(t, newProcessor(t, "operator: encode"), msg)
		assert.Equal(t, fullRecord, content(t, msg))
	})
}

func TestEncodeWithoutMetadata(t *testing.T) {
	msg := message("", map[string]any{MetaQoS: nil, MetaTopic: nil, MetaMessageID: ""})
	process(t, newProcessor(t, "operator: encode\nrepeat_timestamp: true"), msg)
	require.NoError(t, msg.GetError())
	assert.Equal(t, `{"topic":"","qos":0,"retain":false,"payload":"","client_id":"","username":"","timestamp":1700000000,"message_id":0,"header":[],`+
		`"key":"","data":"","tags":[],"timestamp":1700000000,"crc_num":0}`, content(t, msg))
}

func TestEncodeEvaluatesFields(t *testing.T) {
	p := newProcessor(t, `
operator: encode
topic: ${! json("t") }
qos: 1
retain: true
payload: ${! json("p").from(0) }
client_id: ""
username: ${! @mqtt_topic.split("/").index(1) }
timestamp: ${! json("ts") }
message_id: ${! batch_index() }
header: ${! [{"key":"a","value":"b"}] }
key: x-${! @mqtt_topic }
tags: '["one", "two"]'
`)
	a := message(`{"t":"t/1","p":"first","ts":-5}`, fullMeta())
	b := message(`{"t":"t/2","p":"second","ts":6}`, fullMeta())
	process(t, p, a, b)
	require.NoError(t, a.GetError())
	require.NoError(t, b.GetError())
	e, err := Decode([]byte(content(t, b)), true)
	require.NoError(t, err)
	assert.Equal(t, Envelope{
		Topic: "t/2", QoS: 1, Retain: true, Payload: []byte("first"), Username: "b", Timestamp: 6, MessageID: 1,
		Header: []Header{{"a", "b"}}, Key: "x-a/b", Tags: []string{"one", "two"},
	}, e)
}

func TestEncodeErrorNamesFieldAndValue(t *testing.T) {
	for _, test := range []struct {
		yaml string
		meta map[string]any
		want string
	}{
		{"qos: ${! @q }", map[string]any{"q": 3}, `evaluating field qos: want 0, 1 or 2, got "3"`},
		{"qos: ${! @q }", nil, `evaluating field qos: want 0, 1 or 2, got "null"`},
		{"retain: ${! @v }", map[string]any{"v": "maybe"}, `evaluating field retain: want true or false, got "maybe"`},
		{"timestamp: ${! @v }", map[string]any{"v": "1.5"}, `evaluating field timestamp: want an integer of 64 bits, got "1.5"`},
		{"message_id: ${! @v }", map[string]any{"v": "-1"}, `evaluating field message_id: want an integer from 0 to 65535, got "-1"`},
		{"header: ${! @v }", map[string]any{"v": "{}"}, `evaluating field header: want a JSON array of objects with the strings "key" and "value", got "{}": decoding header at byte 0: want an array, got an object`},
		{"tags: ${! @v }", map[string]any{"v": "[1]"}, `evaluating field tags: want a JSON array of strings, got "[1]": decoding tags[0] at byte 1: want a string, got a number`},
		{"tags: ${! @v }", map[string]any{"v": "[] x"}, "unexpected 'x' after the end"},
		{"header: ${! @v }", map[string]any{"v": "[] x"}, "unexpected 'x' after the end"},
		{`key: ${! json("a") }`, nil, "evaluating field key: "},
		{`payload: ${! json("a") }`, nil, "evaluating field payload: "},
		{"", map[string]any{MetaQoS: "x"}, `reading metadata mqtt_qos: want 0, 1 or 2, got "x"`},
		{"", map[string]any{MetaRetained: "x"}, `reading metadata mqtt_retained: want true or false, got "x"`},
		{"", map[string]any{MetaMessageID: 1 << 20}, `reading metadata mqtt_message_id: want an integer from 0 to 65535, got "1048576"`},
		{"", map[string]any{MetaTimestampMS: "soon"}, `reading metadata mqtt_timestamp_ms: want an integer of 64 bits, got "soon"`},
		{"", map[string]any{MetaPayloadFormatIndicator: 2}, "reading metadata mqtt_payload_format_indicator: want an integer from 0 to 1"},
		{"", map[string]any{MetaMessageExpiryInterval: -1}, "reading metadata mqtt_message_expiry_interval: want an integer from 0 to 4294967295"},
		{"", map[string]any{MetaUserProperties: []any{"x"}}, `reading metadata mqtt_user_properties: want an object with "key" and "value" at index 0, got "x"`},
		{"", map[string]any{MetaUserProperties: "x"}, "reading metadata mqtt_user_properties: want a JSON array of objects"},
		{"", map[string]any{MetaUserProperties: 7}, "reading metadata mqtt_user_properties: want a list of objects"},
	} {
		msg := message("abc", test.meta)
		process(t, newProcessor(t, "operator: encode\n"+test.yaml), msg)
		require.ErrorContains(t, msg.GetError(), test.want, test.yaml)
		assert.Equal(t, "abc", content(t, msg))
	}
}

func TestDecodeRestoresMetadata(t *testing.T) {
	msg := message(fullRecord, map[string]any{"other": 1, MetaContentType: "stale"})
	process(t, newProcessor(t, "operator: decode"), msg)
	require.NoError(t, msg.GetError())
	assert.Equal(t, "abc", content(t, msg))
	want := fullMeta()
	want["other"], want[MetaTimestampMS], want[MetaClientID], want[MetaUsername] = 1, int64(1640995200000), "c", "u"
	assert.Equal(t, want, metaOf(t, msg))

	msg = message(`{"topic":"","data":"","timestamp":-1}`, fullMeta())
	process(t, newProcessor(t, "operator: decode"), msg)
	require.NoError(t, msg.GetError())
	assert.Empty(t, content(t, msg))
	assert.Equal(t, map[string]any{
		MetaTopic: "", MetaQoS: 0, MetaRetained: false, MetaMessageID: 0, MetaTimestampMS: int64(-1000), MetaKafkaKey: "k",
	}, metaOf(t, msg), "properties of another message are removed")
}

func TestEncodeOfDecodedRecordIsTheSame(t *testing.T) {
	for _, header := range []string{
		`[]`,
		`[{"key":"a","value":""},{"key":"content-type","value":"late"}]`,
		`[{"key":"response-topic","value":""},{"key":"content-type","value":"x"}]`,
		`[{"key":"correlation-data","value":"not base64"},{"key":"message-expiry-interval","value":"1"}]`,
		`[{"key":"correlation-data","value":"AB=="}]`,
		`[{"key":"correlation-data","value":""},{"key":"correlation-data","value":"AA=="}]`,
		`[{"key":"payload-format-indicator","value":"2"}]`,
		`[{"key":"message-expiry-interval","value":"007"}]`,
		`[{"key":"client_id","value":"property"},{"key":"username","value":"property"}]`,
	} {
		record := `{"topic":"a/b","qos":2,"retain":true,"payload":"YWJj","client_id":"","username":"","timestamp":-7,"message_id":1,` +
			`"header":` + header + `,"key":"k","data":"YWJj","tags":["a","b"],"crc_num":891568578}`
		msg := message(record, nil)
		process(t, newProcessor(t, "operator: decode"), msg)
		require.NoError(t, msg.GetError())
		process(t, newProcessor(t, "operator: encode"), msg)
		require.NoError(t, msg.GetError())
		assert.Equal(t, record, content(t, msg))
	}
}

func TestDecodeBadRecordFailsAlone(t *testing.T) {
	bad := `{"qos":1,"payload":"*"}`
	msgs := []*service.Message{message(fullRecord, nil), message(bad, nil), message(fullRecord, nil), message(documented, nil), message(`{"payload":"","timestamp":9223372036854775807}`, nil)}
	process(t, newProcessor(t, "operator: decode"), msgs...)
	for _, i := range []int{0, 2} {
		require.NoError(t, msgs[i].GetError())
		assert.Equal(t, "abc", content(t, msgs[i]))
	}
	require.EqualError(t, msgs[1].GetError(), "decoding payload at byte 20: is not standard base64 with padding (RFC 4648, section 4)")
	assert.Equal(t, bad, content(t, msgs[1]))
	assert.Empty(t, metaOf(t, msgs[1]))
	require.ErrorContains(t, msgs[3].GetError(), "decoding crc_num at byte ")
	require.ErrorContains(t, msgs[4].GetError(), "decoding timestamp: 9223372036854775807 Unix seconds do not fit into milliseconds")
}

func TestDecodeDocumentedRecordWithoutVerification(t *testing.T) {
	msg := message(documented, nil)
	process(t, newProcessor(t, "operator: decode\nverify_crc: false"), msg)
	require.NoError(t, msg.GetError())
	assert.Equal(t, `{"temperature": 25.5, "humidity": 60}`, content(t, msg))
	v, _ := msg.MetaGet(MetaContentType)
	assert.Equal(t, "application/json", v)
}

func TestLintAndConstructorRefuseTheSame(t *testing.T) {
	env := service.NewEnvironment()
	require.NoError(t, Register(env))
	linter := env.NewComponentConfigLinter()
	for _, test := range []struct {
		yaml string
		want []string
	}{
		{"{operator: encode}", nil},
		{"{operator: decode}", nil},
		{"{operator: encode, qos: 1, retain: false, verify_crc: true, repeat_timestamp: true}", nil},
		{"{operator: decode, verify_crc: false, repeat_timestamp: false}", nil},
		{"{operator: decode, topic: a}", nil},
		{"{operator: decode, format: robustmq_record}", nil},
		{"{operator: decode, format: raw, topic: a}", nil},
		{"{operator: encode, format: robustmq_record, client_id: c, retain: true, timestamp: 1, header: '[]', payload: p, key: k}", nil},
		{"{operator: encode, format: raw, payload: p, key: k}", nil},
		{"{operator: encode, format: robustmq_protobuf}", []string{"robustmq_protobuf"}},
		{"{operator: encode, format: robustmq_record, topic: a, qos: 1, username: u, message_id: 1, tags: '[]', repeat_timestamp: true}", []string{
			"repeat_timestamp: is ignored: the format robustmq_record does not have it", "topic: is ignored: the format", "qos: is ignored: the format",
			"username: is ignored: the format", "message_id: is ignored: the format", "tags: is ignored: the format",
		}},
		{"{operator: encode, format: raw, retain: true, header: '[]'}", []string{"retain: is ignored: the format raw is the payload alone", "header: is ignored: the format raw"}},
		{"{operator: decode, qos: 1, tags: '[]'}", []string{"qos: is ignored unless operator is encode", "tags: is ignored unless operator is encode"}},
		{"{operator: decode, repeat_timestamp: true}", []string{"repeat_timestamp: is ignored unless operator is encode"}},
		{"{operator: encode, verify_crc: false}", []string{"verify_crc: is ignored unless operator is decode"}},
		{"{operator: Encode}", []string{"operator: want encode or decode"}},
		{"{operator: nope}", []string{"nope"}},
		{"{}", []string{"operator"}},
		{"{operator: encode, topic: '${! nope( }'}", []string{""}},
	} {
		lints, err := linter.LintProcessorYAML([]byte("robustmq_envelope: " + test.yaml))
		require.NoError(t, err)
		b := env.NewStreamBuilder()
		b.DisableLinting()
		require.NoError(t, b.SetLoggerYAML("level: NONE"))
		require.NoError(t, b.AddInputYAML("generate: {count: 1, interval: '', mapping: 'root = {}'}"))
		require.NoError(t, b.AddOutputYAML("drop: {}"))
		buildErr := b.AddProcessorYAML("robustmq_envelope: " + test.yaml)
		if buildErr == nil {
			var stream *service.Stream
			if stream, buildErr = b.Build(); buildErr == nil {
				buildErr = stream.Run(t.Context())
			}
		}
		if test.want == nil {
			assert.Empty(t, lints, test.yaml)
			require.NoError(t, buildErr, test.yaml)
			continue
		}
		require.Len(t, lints, len(test.want), test.yaml)
		require.Error(t, buildErr, test.yaml)
		for i, want := range test.want {
			assert.Contains(t, lints[i].What, want, test.yaml)
			assert.ErrorContains(t, buildErr, want, test.yaml)
		}
	}
}

func BenchmarkProcessorEncode(b *testing.B) {
	p := newProcessor(b, "operator: encode")
	batch := make(service.MessageBatch, 1000)
	b.ReportAllocs()
	for b.Loop() {
		for i := range batch {
			batch[i] = message("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", nil)
		}
		if _, err := p.ProcessBatch(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
}

// The output evaluates its own fields on content that is an envelope already.
func TestEncodeSetsTheKafkaKeyMetadata(t *testing.T) {
	batch := service.MessageBatch{message(`{"device":"d-42","type":"alarm"}`, nil), message("no JSON", nil)}
	process(t, newProcessor(t, "operator: encode\nkey: '${! json(\"device\") }'"), batch...)
	require.NoError(t, batch[0].GetError())
	key, _ := batch[0].MetaGet(MetaKafkaKey)
	assert.Equal(t, "d-42", key)
	require.ErrorContains(t, batch[1].GetError(), "evaluating field")
}

func TestDecodeWithoutTimestampSetsNone(t *testing.T) {
	msg := message(`{"topic":"a","payload":"YQ=="}`, nil)
	process(t, newProcessor(t, "operator: decode"), msg)
	require.NoError(t, msg.GetError())
	_, ok := msg.MetaGet(MetaTimestampMS)
	assert.False(t, ok)
}

func TestConstructorRefusesInvalidConstants(t *testing.T) {
	conf, err := Spec().ParseYAML("operator: encode\nqos: 7", nil)
	require.NoError(t, err)
	_, err = parseConfig(conf)
	require.EqualError(t, err, `qos: want 0, 1 or 2, got "7"`)
}

func TestRoomReusesItsBuffers(t *testing.T) {
	var room Room
	write := func(n int) []byte {
		return room.put(append(room.get(n, 1000), make([]byte, n)...))
	}
	first := write(100)
	second := write(100)
	require.Len(t, first, 100)
	require.Len(t, second, 100)
	require.Equal(t, 100, cap(first), "appending to one envelope must not overwrite the next")
	require.Len(t, write(2*chunk), 2*chunk, "an envelope larger than a buffer has its own")
	write(chunk)
	room.Reset()
	again := map[*byte]bool{}
	for range 3 {
		again[&write(chunk / 2)[0]] = true
	}
	require.Contains(t, again, &first[0])
	for range 5 {
		room.Reset()
	}
	require.Empty(t, room.spare, "unused buffers are released")
}
