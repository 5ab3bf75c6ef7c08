package envelope

import (
	"encoding/json"
	"hash/crc32"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// documented is the example record of RobustMQ's documentation. Its crc_num is a
// placeholder.
const documented = `{"topic":"sensor/temperature","qos":1,"retain":false,"payload":"eyJ0ZW1wZXJhdHVyZSI6IDI1LjUsICJodW1pZGl0eSI6IDYwfQ==","client_id":"sensor_001","username":"sensor_user","timestamp":1640995200,"message_id":12345,"header":[{"key":"content-type","value":"application/json"}],"key":"sensor_001","data":"eyJ0ZW1wZXJhdHVyZSI6IDI1LjUsICJodW1pZGl0eSI6IDYwfQ==","tags":["sensor","temperature"],"timestamp":1640995200,"crc_num":1234567890}`

func documentedEnvelope() Envelope {
	return Envelope{
		Topic: "sensor/temperature", QoS: 1, Payload: []byte(`{"temperature": 25.5, "humidity": 60}`),
		ClientID: "sensor_001", Username: "sensor_user", Timestamp: 1640995200, MessageID: 12345,
		Header: []Header{{"content-type", "application/json"}}, Key: "sensor_001",
		Tags: []string{"sensor", "temperature"},
	}
}

// stdEnvelope is the record as encoding/json writes and reads it: the reference.
type stdEnvelope struct {
	Topic     string      `json:"topic"`
	QoS       byte        `json:"qos"`
	Retain    bool        `json:"retain"`
	Payload   []byte      `json:"payload"`
	ClientID  string      `json:"client_id"`
	Username  string      `json:"username"`
	Timestamp int64       `json:"timestamp"`
	MessageID uint16      `json:"message_id"`
	Header    []stdHeader `json:"header"`
	Key       string      `json:"key"`
	Data      []byte      `json:"data"`
	Tags      []string    `json:"tags"`
	CRC       uint32      `json:"crc_num"`
}

type stdHeader struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

func stdOf(e *Envelope) stdEnvelope {
	s := stdEnvelope{
		Topic: e.Topic, QoS: e.QoS, Retain: e.Retain, Payload: e.Payload, ClientID: e.ClientID,
		Username: e.Username, Timestamp: e.Timestamp, MessageID: e.MessageID, Key: e.Key,
		Data: e.Payload, Tags: e.Tags, CRC: crc32.ChecksumIEEE(e.Payload), Header: []stdHeader{},
	}
	for _, h := range e.Header {
		s.Header = append(s.Header, stdHeader(h))
	}
	if e.Tags == nil {
		s.Tags = LevelsOf(e.Topic)
	}
	return s
}

func TestEncodeGoldenRecord(t *testing.T) {
	e := documentedEnvelope()
	// crc_num as computed by zlib's crc32.
	want := strings.Replace(documented, "1234567890", "2291312661", 1)
	assert.Equal(t, want, string(AppendEncode(nil, &e, true)))

	want = strings.Replace(want, `],"timestamp":1640995200`, `]`, 1)
	assert.Equal(t, want, string(AppendEncode(nil, &e, false)))

	e.Tags = nil
	assert.Equal(t, "before"+want, string(AppendEncode([]byte("before"), &e, false)), "nil tags are the topic's levels")
}

func TestEncodeZeroEnvelope(t *testing.T) {
	assert.Equal(t, `{"topic":"","qos":0,"retain":false,"payload":"","client_id":"","username":"","timestamp":0,`+
		`"message_id":0,"header":[],"key":"","data":"","tags":[],"crc_num":0}`, string(AppendEncode(nil, &Envelope{}, false)))
}

func TestEncodeEscapesStrings(t *testing.T) {
	for in, want := range map[string]string{
		"plain":              `"plain"`,
		"a\"b\\c/d":          `"a\"b\\c/d"`,
		"\n\r\t\b\f\x00\x1f": `"\n\r\t\u0008\u000c\u0000\u001f"`,
		"\x7f<>&é😀":          "\"\x7f<>&é😀\"",
		"a\u2028b\u2029c":    `"a\u2028b\u2029c"`,
		"a\xffb\xed\xa0\x80": `"a\ufffdb\ufffd\ufffd\ufffd"`,
		"cut\xe2\x80":        `"cut\ufffd\ufffd"`,
	} {
		got := appendString(nil, in)
		assert.Equal(t, want, string(got))
		var back string
		require.NoError(t, json.Unmarshal(got, &back))
		assert.Equal(t, strings.ToValidUTF8(back, ""), back)
	}
}

func TestEncodeEscapesEveryByteAtEveryPosition(t *testing.T) {
	for c := range 256 {
		for at := range 18 {
			in := strings.Repeat("a", at) + string([]byte{byte(c)}) + strings.Repeat("b", 17-at)
			got := appendString(nil, in)
			var back string
			require.NoError(t, json.Unmarshal(got, &back), "%q", got)
			require.Equal(t, replaced(in), back)
			require.True(t, utf8.Valid(got), "%q", got)
		}
	}
}

func TestLevelsOf(t *testing.T) {
	for topic, want := range map[string][]string{
		"":                   {},
		"a":                  {"a"},
		"/":                  {"", ""},
		"/a//b":              {"", "a", "", "b"},
		"sensor/temperature": {"sensor", "temperature"},
		"a/":                 {"a", ""},
	} {
		assert.Equal(t, want, LevelsOf(topic), topic)
		encoded, err := json.Marshal(want)
		require.NoError(t, err)
		assert.Equal(t, string(encoded), string(appendLevels(nil, topic)), topic)
	}
}

// replaced returns a string as encoding/json decodes it: with U+FFFD for each byte that
// is not UTF-8.
func replaced(s string) string {
	var b strings.Builder
	for _, r := range s {
		b.WriteRune(r)
	}
	return b.String()
}

func FuzzRoundTrip(f *testing.F) {
	f.Add("sensor/temperature", byte(1), false, []byte("{}"), "c", "u", int64(1640995200), uint16(7), "k", "h", "v", false, true)
	f.Add("/a//b", byte(2), true, []byte{}, "\"\\\n", "\u2028\u2029", int64(-1), uint16(65535), "\xff", "\x00", "\xed\xa0\x80", true, false)
	f.Add("", byte(0), false, []byte{0, 255}, "", "", int64(1)<<62, uint16(0), "é😀", "content-type", "<&>", false, false)
	f.Fuzz(func(t *testing.T, topic string, qos byte, retain bool, payload []byte, client, user string,
		timestamp int64, id uint16, key, name, value string, ownTags, repeat bool,
	) {
		e := Envelope{
			Topic: topic, QoS: qos % 3, Retain: retain, Payload: payload, ClientID: client, Username: user,
			Timestamp: timestamp, MessageID: id, Key: key, Header: []Header{{name, value}, {value, name}},
		}
		if ownTags {
			e.Tags = []string{name, value}
		}
		record := AppendEncode(nil, &e, repeat)
		require.True(t, json.Valid(record), "%s", record)
		require.True(t, utf8.Valid(record))

		encoded, err := json.Marshal(stdOf(&e))
		require.NoError(t, err)
		var want, got stdEnvelope
		require.NoError(t, json.Unmarshal(encoded, &want))
		require.NoError(t, json.Unmarshal(record, &got))
		require.Equal(t, want, got, "encoding/json reads our record as its own")

		for _, in := range [][]byte{record, encoded} {
			if payload == nil {
				continue // null for encoding/json
			}
			back, err := Decode(in, true)
			require.NoError(t, err)
			require.Equal(t, want, stdOf(&back))
			require.Equal(t, replaced(topic), back.Topic)
		}
	})
}

func benchEnvelope() Envelope {
	return Envelope{
		Topic: "sensors/building-7/data", QoS: 1, Payload: []byte(strings.Repeat("0123456789abcdef", 4)),
		ClientID: "sensor_001", Username: "sensor_user", Timestamp: 1640995200, MessageID: 12345,
		Header: []Header{{"content-type", "application/json"}}, Key: "sensor_001",
		Tags: []string{"sensors", "building-7", "data"},
	}
}

// BenchmarkEncode appends to a buffer with enough capacity, as the processor does for
// all records of a batch except the first.
func BenchmarkEncode(b *testing.B) {
	e := benchEnvelope()
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendEncode(buf[:0], &e, false)
	}
}

func BenchmarkEncodeNewBuffer(b *testing.B) {
	e := benchEnvelope()
	b.ReportAllocs()
	for b.Loop() {
		AppendEncode(nil, &e, false)
	}
}

func BenchmarkEncodeStdlib(b *testing.B) {
	e := benchEnvelope()
	s := stdOf(&e)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := json.Marshal(&s); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	e := benchEnvelope()
	record := AppendEncode(nil, &e, false)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(record, true); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeStdlib(b *testing.B) {
	e := benchEnvelope()
	record := AppendEncode(nil, &e, false)
	b.ReportAllocs()
	for b.Loop() {
		var s stdEnvelope
		if err := json.Unmarshal(record, &s); err != nil {
			b.Fatal(err)
		}
	}
}
