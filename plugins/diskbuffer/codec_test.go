package diskbuffer

import (
	"encoding/json"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func metaOf(t *testing.T, msg *service.Message) map[string]any {
	t.Helper()
	all := map[string]any{}
	require.NoError(t, msg.MetaWalkMut(func(key string, value any) error {
		all[key] = value
		return nil
	}))
	return all
}

func coded(t *testing.T, msg *service.Message) *service.Message {
	t.Helper()
	b, err := encode(nil, msg)
	require.NoError(t, err)
	back, err := new(decoder).decode(b)
	require.NoError(t, err)
	return back
}

func TestMetadataKeepsItsTypes(t *testing.T) {
	values := map[string]any{
		"nil": nil, "true": true, "false": false, "empty": "", "text": "ä\x00\xff", "bytes": []byte{0, 1, 255},
		"int": -7, "int64": int64(math.MinInt64), "uint64": uint64(math.MaxUint64), "int32": int32(-5), "uint32": uint32(5),
		"float64": -1.5, "inf": math.Inf(1), "float32": float32(0.1), "number": json.Number("1e400"),
		"time":       time.Date(2026, 2, 3, 4, 5, 6, 7, time.FixedZone("", 3600)),
		"list":       []any{"a", 1, nil, []any{}, map[string]any{"x": int64(1)}},
		"object":     map[string]any{"key": "k", "empty": map[string]any{}},
		"mqtt_topic": "a/b", "mqtt_qos": 1, "mqtt_retained": false, "mqtt_timestamp_ms": int64(1_700_000_000_000),
		"mqtt_user_properties": []any{map[string]any{"key": "a", "value": "b"}},
	}
	msg := service.NewMessage([]byte("payload"))
	for key, value := range values {
		msg.MetaSetMut(key, value)
	}
	back := coded(t, msg)
	got := metaOf(t, back)
	require.True(t, values["time"].(time.Time).Equal(got["time"].(time.Time)))
	_, offset := got["time"].(time.Time).Zone()
	require.Equal(t, 3600, offset)
	delete(values, "time")
	delete(got, "time")
	assert.Equal(t, values, got)

	type other struct{ A int }
	msg.MetaSetMut("other", other{3})
	assert.Equal(t, "{3}", metaOf(t, coded(t, msg))["other"], "as text")
}

func TestPayloadAndErrorSurvive(t *testing.T) {
	for _, payload := range [][]byte{nil, {}, []byte("text"), make([]byte, 1<<20)} {
		msg := service.NewMessage(payload)
		back, err := coded(t, msg).AsBytes()
		require.NoError(t, err)
		require.Equal(t, payload, back)
	}
	msg := service.NewMessage(nil)
	msg.SetError(errors.New("too large"))
	require.EqualError(t, coded(t, msg).GetError(), "too large")

	msg = service.NewMessage(nil)
	msg.SetStructuredMut(map[string]any{"a": 1})
	back, err := coded(t, msg).AsBytes()
	require.NoError(t, err)
	assert.JSONEq(t, `{"a":1}`, string(back))
}

func TestWhatIsNestedTooDeepIsRefused(t *testing.T) {
	var deep any
	for range maxDepth + 2 {
		deep = []any{deep}
	}
	msg := service.NewMessage(nil)
	msg.MetaSetMut("deep", deep)
	_, err := encode(nil, msg)
	require.ErrorContains(t, err, `metadata "deep": lists and objects are nested more than 1000 deep`)
}

func FuzzDecode(f *testing.F) {
	msg := service.NewMessage([]byte("payload"))
	msg.MetaSetMut("mqtt_topic", "a")
	msg.MetaSetMut("list", []any{1, "x", map[string]any{"a": 1.5}})
	b, err := encode(nil, msg)
	require.NoError(f, err)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		back, err := new(decoder).decode(b)
		if err != nil {
			return
		}
		again, err := encode(nil, back)
		require.NoError(t, err)
		_, err = new(decoder).decode(again)
		require.NoError(t, err)
	})
}

// A message as the mqtt input makes it.
func BenchmarkEncodeAndDecode(b *testing.B) {
	msg := service.NewMessage(make([]byte, 64))
	for key, value := range map[string]any{
		"mqtt_topic": "sensors/1/data", "mqtt_qos": 1, "mqtt_retained": false, "mqtt_duplicate": false,
		"mqtt_message_id": 4711, "mqtt_timestamp_ms": time.Now().UnixMilli(),
	} {
		msg.MetaSetMut(key, value)
	}
	var body []byte
	var d decoder
	b.ReportAllocs()
	for b.Loop() {
		body, _ = encode(body[:0], msg)
		_, _ = d.decode(body)
	}
	b.ReportMetric(float64(len(body)-64), "overhead-bytes")
}
